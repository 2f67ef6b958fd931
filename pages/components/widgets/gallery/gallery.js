// Images beside what was read and what is right, each with a field for the right text. What is entered is an event that
// stays in the browser's storage until the server has answered it by its id, so that nobody waits for a save, and none
// is lost. Comes after browser.js, in one module.

const SEND_MS = 150; // between messages: of those that wait for a busy script Streamlit keeps only the newest
const RESEND_MS = 3000; // a message is lost without a sign when the server is away
const TALLEST = 150; // pixels of an image on the screen
const WIDEST = 4; // times as large as it is, at most

const galleries = new WeakMap();
const mended = new Map(); // samples whose last entry is of here: its event, and its version, null until that is known

// Streamlit calls this again for every new `data` and theme, and only the last cleanup, when the widget goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let gallery = galleries.get(parentElement);
  if (gallery && (gallery.data.project !== data.project || gallery.data.created !== data.created)) {
    gallery.close();
    gallery = null;
  }
  if (!gallery) galleries.set(parentElement, (gallery = new Gallery(parentElement.querySelector(".gallery"), data)));
  gallery.setTriggerValue = setTriggerValue;
  gallery.receive(data);
  return () => {
    galleries.get(parentElement).close();
    galleries.delete(parentElement);
  };
}

class Gallery {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.outbox = new Outbox("evaluate", data);
    this.map = letterCase(data.charset);
    this.charset = new Set(data.charset);
    this.tiles = new Map();
    this.sent = -Infinity;
    this.fresh = this.outbox.events.length > 0;
    this.listen = new AbortController();
    const { signal } = this.listen;
    window.addEventListener("beforeunload", (event) => this.outbox.events.length && event.preventDefault(), { signal });
    root.querySelector(".tiles").replaceChildren();
  }

  close() {
    this.closed = true;
    this.listen.abort();
    clearTimeout(this.timer);
  }

  receive(data) {
    if (data.reply === this.last) return; // only the theme has changed
    this.last = data.reply;
    this.data = data;
    const notices = new Map(data.answers.map((answer) => [answer.sample, this.answered(answer)]));
    const tiles = new Map();
    // A tile that stays is the same element: somebody may be typing in it.
    for (const each of data.tiles) tiles.set(each.sample, this.tiles.get(each.sample) ?? new Tile(this, each));
    const changed = [...tiles.keys()].join() !== [...this.tiles.keys()].join();
    this.tiles = tiles;
    if (changed) this.root.querySelector(".tiles").replaceChildren(...[...tiles.values()].map(({ root }) => root));
    for (const each of data.tiles) this.tiles.get(each.sample).receive(each, notices.get(each.sample));
    this.show();
    this.pump();
  }

  // What its operator must be told, or nothing.
  answered({ event, sample, status, message, version }) {
    this.outbox.drop(event);
    const entered = mended.get(sample);
    if (entered?.event === event) {
      // Whether another label came after one that is repeated, nobody knows here.
      if (status === "saved") entered.version = version;
      else mended.delete(sample);
    }
    return status === "saved" || status === "repeated" ? "" : message;
  }

  emit(tile, action, { text = null, flag = null } = {}) {
    // The version that an event of one's own leads to is known to the server alone, so the next one names the event.
    const after = this.outbox.about(tile.sample) ? (tile.lastEvent ?? null) : null;
    const event = uuid();
    const { operator } = this.data;
    this.outbox.add({ event, action, sample: tile.sample, text, flag, base: tile.version, after, operator });
    if (action === "undo") mended.delete(tile.sample);
    else mended.set(tile.sample, { event, version: null });
    tile.lastEvent = event;
    this.fresh = true;
    this.show();
    this.pump();
  }

  // Sends the whole outbox when there is news or an answer is overdue.
  pump() {
    clearTimeout(this.timer);
    if (this.closed || !this.outbox.events.length) return;
    let wait = this.sent + (this.fresh ? SEND_MS : RESEND_MS) - performance.now();
    if (wait <= 0 && pageIsBusy()) wait = BUSY_MS;
    if (wait > 0) {
      this.timer = setTimeout(() => this.pump(), wait);
      return;
    }
    this.sent = performance.now();
    this.fresh = false;
    const { project, created } = this.data;
    this.setTriggerValue("outbox", { project, created, events: this.outbox.events });
    this.timer = setTimeout(() => this.pump(), RESEND_MS);
  }

  show() {
    const unsaved = this.outbox.events.length;
    const kept = this.outbox.unstored.length ? "This browser keeps nothing: do not close the tab. " : "";
    const failure = `${this.data.error ? `${this.data.error} ` : ""}${kept}`;
    this.root.dataset.unsaved = String(unsaved);
    this.root.classList.toggle("failing", Boolean(failure));
    this.root.querySelector(".waiting").textContent = this.outbox.waiting;
    clearTimeout(this.late);
    // Shown only when saving takes long enough to notice.
    const say = () => (this.root.querySelector(".unsaved").textContent = unsaved ? `${failure}Unsaved: ${unsaved}` : "");
    if (unsaved && !failure) this.late = setTimeout(say, 1000);
    else say();
  }

  after(tile) {
    const tiles = [...this.tiles.values()];
    return tiles.slice(tiles.indexOf(tile) + 1).find(({ field }) => field);
  }
}

class Tile {
  constructor(gallery, { sample }) {
    this.gallery = gallery;
    this.sample = sample;
    this.pointed = null;
    this.root = element("article", "tile");
    this.root.dataset.testid = "tile";
    this.root.dataset.sample = sample;
  }

  receive(data, notice) {
    this.data = data;
    this.version = data.version;
    const version = mended.get(this.sample)?.version;
    if (version && version !== data.version) mended.delete(this.sample); // another has changed it since
    if (data.gone) {
      this.root.replaceChildren(element("p", "", "This image is no longer in the project."));
      return;
    }
    if (!this.field) this.build();
    // What is waiting for its answer is newer than what the server says; an earlier tab may have entered it.
    if (!this.now || !this.gallery.outbox.about(this.sample)) {
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
    this.canvas = element("canvas", "");
    this.picture.append(this.img, this.canvas);
    this.picture.style.width = `${Math.min((TALLEST * data.width) / data.height, WIDEST * data.width)}px`;
    this.characters = element("div", "characters");
    this.characters.onpointerleave = () => this.point(null);
    this.figures = element("p", "figures");

    const mend = element("div", "mend");
    this.field = element("input", "");
    Object.assign(this.field, {
      type: "text", placeholder: "right text", autocomplete: "off", spellcheck: false, autocapitalize: "none",
      enterKeyHint: "done", inputMode: /^[0-9]+$/.test(this.gallery.data.charset) ? "numeric" : "text",
    });
    this.field.addEventListener("keydown", (event) => this.key(event));
    const button = (text, title, command, act) => {
      const made = element("button", "", text);
      Object.assign(made, { type: "button", title, onclick: act });
      made.dataset.command = command;
      return made;
    };
    const use = "What was read is right: make it the label";
    this.takeRead = button("", use, "use", () => this.save("label", { text: this.data.read }));
    mend.append(this.field, this.takeRead);

    this.notice = element("p", "notice");
    this.notice.setAttribute("role", "alert");
    const now = element("div", "now");
    this.said = element("span", "said");
    this.unreadable = button("Unreadable", "Nobody can read it: skipped for good", "unreadable", () =>
      this.save("skip", { flag: "unreadable" }),
    );
    this.skip = button("Skip", "Take it out, to be seen again in the skipped queue", "skip", () => this.save("skip"));
    this.undo = button("Undo", "Back to what it was before", "undo", () => this.takeBack());
    const history = element("a", "", "history");
    history.href = data.link;
    history.title = "The image on the Samples page, with its history";
    now.append(this.unreadable, this.skip, this.said, this.undo, history);
    this.root.replaceChildren(this.picture, this.characters, this.figures, mend, this.notice, now);
    this.img.onload = () => this.draw();
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  // ---- the right text ---------------------------------------------------------------------------------------------

  key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter") this.enter();
    else if (event.key === "Escape") {
      this.field.value = "";
      this.tell("");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  enter() {
    const chars = [...this.field.value.trim()].map(this.gallery.map);
    if (!chars.length) return;
    const { length, charset } = this.gallery.data;
    const foreign = chars.find((char) => !this.gallery.charset.has(char));
    if (foreign !== undefined) return this.tell(`${quoted(foreign)} is not in the charset ${charset}.`);
    if (chars.length !== length) return this.tell(`${count(chars.length, "character")}; a label has ${length}.`);
    this.save("label", { text: chars.join("") });
    this.gallery.after(this)?.field.focus();
  }

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
    this.img.alt = `Image labelled ${label}, read as ${read}`;
    this.field.setAttribute("aria-label", `Right text of the image labelled ${label}`);
    this.figures.replaceChildren(...figures.flatMap((line, index) => (index ? [element("br", ""), line] : [line])));
    this.takeRead.textContent = `Use ${read}`;
  }

  showCharacters() {
    const { data } = this;
    const focusedPlace = [...this.characters.querySelectorAll("button")].indexOf(focused());
    this.characters.style.setProperty("--positions", data.positions.length);
    const heads = element("span", "head");
    heads.append(element("b", "", "read"), element("b", "", "true"));
    const buttons = data.positions.map((position, place) => {
      const button = element("button", position.read === position.label ? "" : "wrong");
      button.type = "button";
      button.tabIndex = data.look || data.probabilities ? 0 : -1;
      const [best, second] = position.best;
      button.title = `Position ${place + 1}: ${best[0]} at ${best[1]}, then ${second[0]} at ${second[1]}`;
      button.setAttribute("aria-label", `${button.title}; labelled ${position.label}`);
      button.style.setProperty("--hue", hue(place, data.positions.length));
      button.append(element("b", "", position.read), element("b", "label", position.label));
      if (data.probabilities) {
        for (const [char, share] of position.best) {
          const line = element("small", "", ` ${short(share)}`);
          line.prepend(element("strong", "", char));
          button.append(line);
        }
      }
      button.onpointerenter = button.onfocus = () => this.point(place);
      button.onblur = () => this.point(null);
      return button;
    });
    this.characters.replaceChildren(heads, ...buttons);
    buttons[focusedPlace]?.focus();
  }

  point(place) {
    if (place === this.pointed) return;
    this.pointed = place;
    this.draw();
  }

  // Each position in its colour; the one that is pointed at as a light on the darkened image.
  draw() {
    const { look } = this.data;
    if (!look || !this.canvas.clientWidth) return;
    const sharp = window.devicePixelRatio || 1;
    const width = (this.canvas.width = Math.round(this.canvas.clientWidth * sharp));
    const height = (this.canvas.height = Math.round(this.canvas.clientHeight * sharp));
    const pen = this.canvas.getContext("2d");
    const [left, top, right, bottom] = look.box;
    const frame = [left * width, top * height, (right - left) * width, (bottom - top) * height];
    const cells = Uint8Array.from(atob(look.cells), (char) => char.charCodeAt(0));
    const map = (place) => cells.subarray(place * look.rows * look.columns, (place + 1) * look.rows * look.columns);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    this.canvas.dataset.shown = this.pointed ?? "all";
    if (this.pointed !== null) {
      pen.fillStyle = "rgba(0, 0, 0, 0.72)";
      pen.fillRect(0, 0, width, height);
      pen.globalCompositeOperation = "destination-out";
      pen.drawImage(painted(map(this.pointed), look, [0, 0, 0], 1), ...frame);
      return;
    }
    const n = this.data.positions.length;
    for (let place = 0; place < n; place++) {
      pen.drawImage(painted(map(place), look, rgb(place, n), 0.5), ...frame);
    }
  }
}

// Without decimals, for which a column has no room.
function short(share) {
  const value = parseFloat(share.replace(/[<>]/, ""));
  if (value > 99 && share !== "100%") return ">99";
  return value > 0 && value < 1 ? "<1" : value.toFixed(0);
}

// The map as a picture of one pixel a cell, which the browser smoothes when it enlarges it.
function painted(cells, { rows, columns }, [red, green, blue], opacity) {
  const small = new OffscreenCanvas(columns, rows);
  const pen = small.getContext("2d");
  const image = pen.createImageData(columns, rows);
  cells.forEach((value, at) => image.data.set([red, green, blue, value * opacity], 4 * at));
  pen.putImageData(image, 0, 0);
  return small;
}

const hue = (place, n) => `hsl(${Math.round((360 * place) / n)} 75% 50%)`;

function rgb(place, n) {
  const [h, s, l] = [(360 * place) / n, 0.75, 0.5];
  const channel = (offset) => {
    const k = (offset + h / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
