// One image: what was read, what it is now, and the field for the right text.

import { button, element } from "../shared/dom.js";
import { focusedElement, isComposed } from "../shared/keyboard.js";
import { count } from "../shared/words.js";
import { drawLook, hue } from "./look.js";
import { mended } from "./mended.js";

/**
 * @typedef {object} Position
 * @property {string} read
 * @property {string} label
 * @property {[string, string, string][]} best character, its share, and that as short as a column needs it
 */

const TALLEST = 150; // pixels of an image on the screen
const WIDEST = 4; // times as large as it is, at most

export class Tile {
  /** @param {import("./gallery.js").Gallery} gallery @param {string} sample */
  constructor(gallery, sample) {
    this.gallery = gallery;
    this.sample = sample;
    /** @type {number | null} position that is pointed at */
    this.pointed = null;
    /** @type {string | null} id of the last event that has no answer */
    this.lastEvent = null;
    /** @type {HTMLInputElement | null} none where the image is no longer there */
    this.field = null;
    /** @type {{ shown: string, label: string | null, operator?: string, disputed?: boolean } | null} what it is now */
    this.now = null;
    this.root = element("article", "tile");
    this.root.dataset.testid = "tile";
    this.root.dataset.sample = sample;
  }

  /** @param {any} data @param {string | undefined} notice */
  receive(data, notice) {
    this.data = data;
    this.version = data.version;
    mended.check(this.sample, data.version);
    if (data.gone) {
      this.root.replaceChildren(element("p", "", "This image is no longer in the project."));
      return;
    }
    if (!this.field) this.build();
    // What is waiting for its answer is newer than what the server says; an earlier tab may have entered it.
    if (!this.now || !this.gallery.outbox.isAbout(this.sample)) {
      this.now = data.now;
      this.lastEvent = null;
    }
    if (notice !== undefined) this.tell(notice);
    this.root.classList.toggle("looked", Boolean(data.look));
    this.picture.dataset.off = String(!data.look);
    this.showReading();
    this.showCharacters();
    this.showNow();
    this.draw();
  }

  build() {
    const { data } = this;
    this.picture = element("div", "picture");
    this.img = new Image();
    this.img.src = data.url;
    this.canvas = element("canvas");
    this.picture.append(this.img, this.canvas);
    this.picture.style.width = `${Math.min((TALLEST * data.width) / data.height, WIDEST * data.width)}px`;
    this.characters = element("div", "characters");
    this.characters.onpointerleave = () => this.point(null);
    this.figures = element("p", "figures");

    const mend = element("div", "mend");
    this.field = element("input");
    Object.assign(this.field, {
      type: "text",
      placeholder: "right text",
      autocomplete: "off",
      spellcheck: false,
      autocapitalize: "none",
      enterKeyHint: "done",
      inputMode: this.gallery.charset.inputMode,
    });
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.takeRead = command("", "use", "What was read is right: make it the label", () =>
      this.save("label", { text: this.data.read }),
    );
    mend.append(this.field, this.takeRead);

    this.notice = element("p", "notice");
    this.notice.setAttribute("role", "alert");
    const now = element("div", "now");
    this.said = element("span", "said");
    this.unreadable = command("Unreadable", "unreadable", "Nobody can read it: skipped for good", () =>
      this.save("skip", { flag: "unreadable" }),
    );
    this.skip = command("Skip", "skip", "Take it out, to be seen again in the skipped queue", () => this.save("skip"));
    this.undo = command("Undo", "undo", "Back to what it was before", () => this.takeBack());
    const history = element("a", "", "history");
    history.href = data.link;
    history.title = "The image on the Samples page, with its history";
    now.append(this.unreadable, this.skip, this.said, this.undo, history);
    this.root.replaceChildren(this.picture, this.characters, this.figures, mend, this.notice, now);
    this.img.onload = () => this.draw();
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  // ---- the right text ---------------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event)) return;
    if (event.key === "Enter") this.enter();
    else if (event.key === "Escape") {
      this.field.value = "";
      this.tell("");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  enter() {
    const { charset, data } = this.gallery;
    const chars = [...this.field.value.trim()].map((char) => charset.adapt(char));
    if (!chars.length) return;
    const foreign = chars.find((char) => !charset.has(char));
    if (foreign !== undefined) return this.tell(charset.refusal(foreign));
    const { length } = data;
    if (chars.length !== length) return this.tell(`${count(chars.length, "character")}; a label has ${length}.`);
    this.save("label", { text: chars.join("") });
    this.gallery.after(this)?.field.focus();
  }

  /** @param {string} action @param {{ text?: string, flag?: string }} what */
  save(action, what = {}) {
    this.now = { shown: what.text ?? what.flag ?? "skipped", label: what.text ?? null };
    this.field.value = "";
    this.tell("");
    this.gallery.emit(this, action, what);
    this.showNow();
  }

  takeBack() {
    this.tell("");
    this.gallery.emit(this, "undo");
    this.now = { shown: "…", label: null }; // what it was before is known to the server
    this.showNow();
    this.field.focus();
  }

  /** @param {string} text */
  tell(text) {
    this.notice.textContent = text;
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  showNow() {
    const entered = mended.has(this.sample);
    const differs = this.now.label !== this.data.label;
    this.root.dataset.mended = String(entered);
    const by = this.now.operator && differs && !entered ? ` by ${this.now.operator}` : "";
    const disputed = this.now.disputed ? ", disputed" : "";
    this.said.replaceChildren(
      ...(differs || entered ? ["now ", element("strong", "", this.now.shown), by] : []),
      disputed,
    );
    this.undo.hidden = !entered;
    this.unreadable.hidden = this.skip.hidden = entered;
    this.takeRead.hidden = this.now.label === this.data.read;
  }

  // The tile stays where another run is chosen, or the views; what was read and how surely does not.
  showReading() {
    const { label, read, figures } = this.data;
    this.img.alt = `Image labeled ${label}, read as ${read}`;
    this.field.setAttribute("aria-label", `Right text of the image labeled ${label}`);
    const lines = figures.flatMap((/** @type {string} */ line) => [element("br"), line]);
    this.figures.replaceChildren(...lines.slice(1));
    this.takeRead.textContent = `Use ${read}`;
  }

  showCharacters() {
    const { data } = this;
    const focusedPlace = [...this.characters.querySelectorAll("button")].findIndex((each) => each === focusedElement());
    this.characters.style.setProperty("--positions", data.positions.length);
    const heads = element("span", "head");
    heads.append(element("b", "", "read"), element("b", "", "true"));
    const buttons = data.positions.map((/** @type {Position} */ position, /** @type {number} */ place) =>
      this.makeCharacter(position, place),
    );
    this.characters.replaceChildren(heads, ...buttons);
    buttons[focusedPlace]?.focus();
  }

  /** @param {Position} position @param {number} place */
  makeCharacter({ read, label, best }, place) {
    const { look, probabilities, positions } = this.data;
    const [first, second] = best;
    const title = `Position ${place + 1}: ${first[0]} at ${first[1]}, then ${second[0]} at ${second[1]}`;
    const made = element("button", read === label ? "" : "wrong");
    made.type = "button";
    made.title = title;
    made.tabIndex = look || probabilities ? 0 : -1;
    made.setAttribute("aria-label", `${title}; labeled ${label}`);
    made.style.setProperty("--hue", hue(place, positions.length));
    made.append(element("b", "", read), element("b", "label", label));
    for (const [char, , share] of probabilities ? best : []) {
      const line = element("small", "", ` ${share}`);
      line.prepend(element("strong", "", char));
      made.append(line);
    }
    made.onpointerenter = made.onfocus = () => this.point(place);
    made.onblur = () => this.point(null);
    return made;
  }

  /** @param {number | null} place */
  point(place) {
    if (place === this.pointed) return;
    this.pointed = place;
    this.draw();
  }

  draw() {
    const { look, positions } = this.data;
    if (look && this.canvas.clientWidth) drawLook(this.canvas, look, positions.length, this.pointed);
  }
}

/** @param {string} text @param {string} name @param {string} title @param {() => void} act */
function command(text, name, title, act) {
  const made = button(text, act, title);
  made.dataset.command = name;
  return made;
}
