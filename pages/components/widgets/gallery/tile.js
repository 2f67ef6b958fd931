// One image: its reading, its current label, and the field to correct it.

import { button, element } from "../shared/dom.js";
import { focusedElement, isComposed } from "../shared/keyboard.js";
import { count, flagText } from "../shared/words.js";
import { drawAttention, hue } from "./attention.js";
import { corrections } from "./corrections.js";

/**
 * @typedef {object} Position
 * @property {string} read
 * @property {string} label
 * @property {[string, string, string][]} best character, its probability, and the short form for a column
 */

const MAX_HEIGHT = 150; // pixels on the screen
const MAX_SCALE = 4; // screen pixels per image pixel

export class Tile {
  /** @param {import("./gallery.js").Gallery} gallery @param {string} sample */
  constructor(gallery, sample) {
    this.gallery = gallery;
    this.sample = sample;
    /** @type {number | null} position under the pointer */
    this.pointed = null;
    /** @type {string | null} id of the last unanswered event */
    this.lastEvent = null;
    /** @type {HTMLInputElement | null} null if the image was deleted */
    this.field = null;
    /** @type {{ shown: string, label: string | null, operator?: string, disputed?: boolean } | null} current state */
    this.now = null;
    this.root = element("article", "tile");
    this.root.dataset.testid = "tile";
    this.root.dataset.sample = sample;
  }

  /** @param {any} data @param {string | undefined} notice */
  receive(data, notice) {
    this.data = data;
    this.version = data.version;
    corrections.check(this.sample, data.version);
    if (data.deleted) {
      this.root.replaceChildren(element("p", "", "This image is no longer in the project."));
      return;
    }
    if (!this.field) this.build();
    // An unanswered event, perhaps from an earlier tab, is newer than the server's state.
    if (!this.now || !this.gallery.outbox.isAbout(this.sample)) {
      this.now = data.now;
      this.lastEvent = null;
      if (data.undo) corrections.restore(this.sample, data.version);
    }
    if (notice !== undefined) this.showNotice(notice);
    this.root.classList.toggle("has-attention", Boolean(data.attention));
    this.picture.dataset.off = String(!data.attention);
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
    this.picture.style.width = `${Math.min((MAX_HEIGHT * data.width) / data.height, MAX_SCALE * data.width)}px`;
    this.characters = element("div", "characters");
    this.characters.onpointerleave = () => this.point(null);
    this.figures = element("p", "figures");

    const correction = element("div", "correction");
    this.field = element("input");
    Object.assign(this.field, {
      type: "text",
      placeholder: "correct label",
      autocomplete: "off",
      spellcheck: false,
      autocapitalize: "none",
      enterKeyHint: "done",
      inputMode: this.gallery.charset.inputMode,
    });
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.useReading = command("", "use", "Use the reading as the label", () =>
      this.save("label", { text: this.data.read }),
    );
    correction.append(this.field, this.useReading);

    this.notice = element("p", "notice");
    this.notice.setAttribute("role", "alert");
    const now = element("div", "now");
    this.status = element("span", "status");
    this.unreadable = command("Unreadable", "unreadable", "Skip this image: nobody can read it", () =>
      this.save("skip", { flag: "unreadable" }),
    );
    this.skip = command("Skip", "skip", "Skip this image for now", () => this.save("skip"));
    this.undo = command("Undo", "undo", "Restore the previous label", () => this.revert());
    const history = element("a", "", "history");
    history.href = data.link;
    history.title = "Open this image and its history on the Samples page";
    now.append(this.unreadable, this.skip, this.status, this.undo, history);
    this.root.replaceChildren(this.picture, this.characters, this.figures, correction, this.notice, now);
    this.img.onload = () => this.draw();
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  // ---- correction --------------------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event)) return;
    if (event.key === "Enter") this.enter();
    else if (event.key === "Escape") {
      this.field.value = "";
      this.showNotice("");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  enter() {
    const { charset, data } = this.gallery;
    const chars = [...this.field.value.trim()].map((char) => charset.adapt(char));
    if (!chars.length) return;
    const foreign = chars.find((char) => !charset.has(char));
    if (foreign !== undefined) return this.showNotice(charset.refusal(foreign));
    const { length } = data;
    const entered = count(chars.length, "character");
    if (chars.length !== length) return this.showNotice(`${entered} entered; a label has ${length}.`);
    this.save("label", { text: chars.join("") });
    this.gallery.tileAfter(this)?.field.focus();
  }

  /** @param {string} action @param {{ text?: string, flag?: string }} content */
  save(action, content = {}) {
    this.now = { shown: content.text ?? flagText(content.flag) ?? "skipped", label: content.text ?? null };
    this.field.value = "";
    this.showNotice("");
    this.gallery.emit(this, action, content);
    this.showNow();
  }

  revert() {
    this.showNotice("");
    this.gallery.emit(this, "undo");
    this.now = { shown: "…", label: null }; // only the server knows the previous label
    this.showNow();
    this.field.focus();
  }

  /** @param {string} text */
  showNotice(text) {
    this.notice.textContent = text;
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  showNow() {
    const isCorrected = corrections.has(this.sample);
    const differs = this.now.label !== this.data.label;
    this.root.dataset.corrected = String(isCorrected);
    const by = this.now.operator && differs && !isCorrected ? ` by ${this.now.operator}` : "";
    const disputed = this.now.disputed ? ", disputed" : "";
    this.status.replaceChildren(
      ...(differs || isCorrected ? ["now ", element("strong", "", this.now.shown), by] : []),
      disputed,
    );
    this.undo.hidden = !isCorrected;
    this.unreadable.hidden = this.skip.hidden = isCorrected;
    this.useReading.hidden = !this.data.offered || this.now.label === this.data.read;
  }

  // A tile persists when the run or the views change, so its reading must be updated.
  showReading() {
    const { label, read, figures } = this.data;
    this.img.alt = `Image labeled ${label}, read as ${read}`;
    this.field.setAttribute("aria-label", `Correct label of the image labeled ${label}`);
    const lines = figures.flatMap((/** @type {string} */ line) => [element("br"), line]);
    this.figures.replaceChildren(...lines.slice(1));
    this.useReading.textContent = `Use ${read}`;
  }

  showCharacters() {
    const { data } = this;
    const focusIndex = [...this.characters.querySelectorAll("button")].findIndex((each) => each === focusedElement());
    this.characters.style.setProperty("--positions", data.positions.length);
    const heads = element("span", "head");
    heads.append(element("b", "", "reading"), element("b", "", "label"));
    const buttons = data.positions.map((/** @type {Position} */ position, /** @type {number} */ index) =>
      this.makeCharacter(position, index),
    );
    this.characters.replaceChildren(heads, ...buttons);
    buttons[focusIndex]?.focus();
  }

  /** @param {Position} position @param {number} index */
  makeCharacter({ read, label, best }, index) {
    const { attention, probabilities, positions } = this.data;
    const [first, second] = best;
    const title = `Position ${index + 1}: ${first[0]} (${first[1]}), then ${second[0]} (${second[1]})`;
    const node = element("button", read === label ? "" : "wrong");
    node.type = "button";
    node.title = title;
    node.tabIndex = attention || probabilities ? 0 : -1;
    node.setAttribute("aria-label", `${title}, labeled ${label}`);
    node.style.setProperty("--hue", hue(index, positions.length));
    node.append(element("b", "", read), element("b", "label", label));
    for (const [char, , share] of probabilities ? best : []) {
      const line = element("small", "", ` ${share}`);
      line.prepend(element("strong", "", char));
      node.append(line);
    }
    node.onpointerenter = node.onfocus = () => this.point(index);
    node.onblur = () => this.point(null);
    return node;
  }

  /** @param {number | null} position */
  point(position) {
    if (position === this.pointed) return;
    this.pointed = position;
    this.draw();
  }

  draw() {
    const { attention, positions } = this.data;
    if (attention && this.canvas.clientWidth) drawAttention(this.canvas, attention, positions.length, this.pointed);
  }
}

/** @param {string} text @param {string} name @param {string} title @param {() => void} onClick */
function command(text, name, title, onClick) {
  const node = button(text, onClick, title);
  node.dataset.command = name;
  return node;
}
