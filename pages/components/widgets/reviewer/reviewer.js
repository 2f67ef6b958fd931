// The reviewing widget: a grid of labelled images, or one disputed image beside its opinions. As in the labelling
// widget, nothing waits for the server: images are fetched ahead, and what the reviewer does is an event that stays in
// the browser's storage until the server has answered it by its id. Comes after browser.js, in one module.

const SEND_MS = 150; // between messages: of those that wait for a busy script Streamlit keeps only the newest
const RESEND_MS = 3000; // a message is lost without a sign when the server is away
const SETTLE_MS = 250; // a screen that is not older than this has not been seen: a second Enter came by mistake
const GAP = 10; // pixels between tiles
const TILE_WIDTH = 150; // pixels, at least
const MAX_SCALE = 2.5; // of a small image in a tile
const BELOW = 8; // pixels of the window under the tiles
const MAX_TILES = 60;
const KEPT = 1200; // tiles behind the reviewer; the oldest are let go

const widgets = new WeakMap();
let historyIsOpen = false; // stays so from one view to the next

// Streamlit calls this again for every new `data` and theme, and only the last cleanup, when the widget goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let widget = widgets.get(parentElement);
  if (widget?.data.view !== data.view) {
    widget?.close();
    const root = parentElement.querySelector(".reviewer");
    widget = data.mode === "labels" ? new Grid(root, data) : new Desk(root, data);
    widgets.set(parentElement, widget);
  }
  widget.setTriggerValue = setTriggerValue;
  widget.receive(data);
  return () => {
    widgets.get(parentElement).close();
    widgets.delete(parentElement);
  };
}

// What grid and desk share: the exchange with the server, the keyboard, the field for another text, the history.
class Widget {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.outbox = new Outbox("review", data);
    this.charset = new Set(data.charset);
    this.map = letterCase(data.charset);
    this.tiles = []; // all that came, in the order of the server
    this.known = new Set();
    this.place = null; // up to which the server has sent
    this.more = true;
    this.disputed = 0;
    this.sent = -Infinity;
    this.fresh = false; // there is something the server has not been told
    this.edited = null; // the tile that a text is typed for
    this.field = this.makeField();
    root.dataset.mode = data.mode;
    for (const name of ["stage", "notices", "commands", "history"]) this.part(name).replaceChildren();
    this.part("history").hidden = data.mode === "labels" && !historyIsOpen;
    this.part("commands").replaceChildren(...this.commands().map((each) => this.makeCommand(...each)));
    this.part("waiting").textContent = this.outbox.waiting;
    this.hint("");

    const listen = new AbortController();
    const on = (target, type, handle, capture = false) =>
      target.addEventListener(type, handle, { capture, signal: listen.signal });
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "resize", () => this.show());
    on(window, "beforeunload", (event) => this.outbox.events.length && event.preventDefault());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    on(root, "mousedown", (event) => {
      if (event.target === this.field) return;
      // Neither a tile nor a button takes the focus by mouse: the next Enter must not press that button again.
      event.preventDefault();
      if (focused() !== this.field) focused()?.blur();
    });
    this.resizes = new ResizeObserver(([entry]) => {
      if (this.width === entry.contentRect.width) return;
      this.width = entry.contentRect.width;
      this.show();
    });
    this.resizes.observe(this.part("stage"));
    this.listen = listen;
    // Whoever chose a filter in a list above wants to review now.
    if (focused()?.matches("[role=combobox], [role=radio], button")) focused().blur();
  }

  close() {
    this.listen.abort();
    this.resizes.disconnect();
    clearTimeout(this.timer);
    clearTimeout(this.settling);
    clearTimeout(this.leading);
    this.closed = true;
  }

  part(name) {
    return this.root.querySelector(`.${name}`);
  }

  makeCommand(name, text, key, title) {
    const button = element("button", "", text);
    button.type = "button";
    button.title = title;
    button.dataset.command = name;
    button.append(element("kbd", "", key));
    button.onclick = () => (this.edited ? this.giveUp() : this[name]());
    return button;
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  receive(data) {
    if (data.reply === this.last) return; // only the theme has changed
    this.last = data.reply;
    this.data = data;
    this.disputed = data.disputed ?? this.disputed;
    for (const answer of data.answers) this.answered(answer);
    if (JSON.stringify(data.after) === JSON.stringify(this.place)) this.take(data);
    if (data.tiles.length && this.more && this.wanted()) this.fresh = true; // no need to wait as for an overdue answer
    // No answer to the outbox: this is a new session, after a restart of the server.
    if (!data.answers.length && !data.error && this.outbox.events.length) this.fresh = true;
    this.show();
    this.pump();
  }

  take({ tiles, place, more }) {
    this.more = more ?? this.more; // null when none were asked for
    this.place = place;
    for (const tile of tiles) {
      // What waits for an answer has been dealt with, by an earlier tab perhaps.
      if (this.known.has(tile.sample) || this.outbox.about(tile.sample)) continue;
      this.known.add(tile.sample);
      this.tiles.push(this.makeTile(tile));
    }
  }

  makeTile(tile) {
    return { ...tile, img: picture(tile.url), last: null, status: "", seen: tile.history.length };
  }

  answered(answer) {
    const event = this.outbox.drop(answer.event);
    const tile = this.tiles.find((each) => each.sample === answer.sample);
    const refused = answer.status === "conflict" || answer.status === "refused";
    if (event && answer.notice) this.notify(event, tile, answer.notice);
    if (!tile || !answer.now) return;
    tile.history = answer.now.history;
    if (this.outbox.about(tile.sample)) return; // what was done since is shown already
    this.update(tile, answer.now);
    if (event && (refused || answer.notice)) this.overtaken(tile);
  }

  update(tile, now) {
    // Whoever types already decides by what was on the screen before.
    const seen = tile === this.edited ? tile.seen : now.history.length;
    Object.assign(tile, now, { last: null, seen });
  }

  // Sends the whole outbox when there is news or an answer is overdue, and asks for images when few are left.
  pump() {
    clearTimeout(this.timer);
    const want = this.more ? this.wanted() : 0;
    if (this.closed || !(this.fresh || this.outbox.events.length || want)) return;
    let wait = this.sent + (this.fresh ? SEND_MS : RESEND_MS) - performance.now();
    if (wait <= 0 && pageIsBusy()) wait = BUSY_MS;
    if (wait > 0) {
      this.timer = setTimeout(() => this.pump(), wait);
      return;
    }
    this.sent = performance.now();
    this.fresh = false;
    const { project, created, view } = this.data;
    this.setTriggerValue("outbox", { project, created, view, after: this.place, want, events: this.outbox.events });
    this.timer = setTimeout(() => this.pump(), RESEND_MS);
  }

  // The version that an event of one's own leads to is known to the server alone, so the next one names the event.
  emit(tile, action, { text = null, flag = null, ms = null, after = tile.last } = {}) {
    const { sample, version: base, shown, seen } = tile;
    const { operator } = this.data;
    const event = uuid();
    const rounded = ms && Math.round(ms);
    this.outbox.add({ event, action, sample, text, flag, base, after, ms: rounded, shown, seen, operator });
    const at = new Date().toISOString();
    const what = text ?? flag?.replace("_", " ") ?? shown;
    tile.history = [...tile.history, { at, operator, did: SAID[action], what, standing: "", origin: "review", ms: null }];
    this.fresh = true;
    return event;
  }

  // To the other view. A trigger can get lost like any message; when it has arrived, this widget is closed.
  leadTo(show) {
    clearTimeout(this.leading);
    if (this.closed) return;
    this.setTriggerValue("show", show);
    this.leading = setTimeout(() => this.leadTo(show), RESEND_MS);
  }

  // From the beginning, with what has come in since.
  again() {
    this.tiles = [];
    this.known.clear();
    this.place = null;
    this.more = true;
    this.restart();
    this.show();
    this.pump();
  }

  // ---- keyboard ---------------------------------------------------------------------------------------------------

  key(event) {
    if (event.isComposing || event.keyCode === 229 || event.metaKey || !this.listening()) return;
    const characters = event.getModifierState("AltGraph") || !(event.ctrlKey || event.altKey);
    const command = characters
      ? KEYS[event.key]
      : event.altKey && !event.ctrlKey && { KeyU: "unreadable", KeyO: "notOurs", KeyH: "toggleHistory" }[event.code];
    const isCharacter = characters && !command && [...event.key].length === 1;
    if (!isCharacter && !(command && this[command])) return;
    // Enter and the space bar press a button that has the focus.
    if ((event.key === "Enter" || event.key === " ") && focused()?.matches(PRESSABLE)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat && !event.key.startsWith("Arrow")) return; // nobody means to pass ten screens by resting on Enter
    focused()?.blur();
    if (isCharacter) this.type(event.key);
    else this[command]();
  }

  type(key) {
    const char = this.map(key);
    if (!this.charset.has(char)) return this.refuse(`${quoted(key)} is not in the charset ${this.data.charset}.`);
    this.edit(char);
  }

  // Whether keys are for this widget: no other field has the focus, no dialog or menu is open.
  listening() {
    const other = focused();
    if (other?.isContentEditable || other?.matches(EDITABLE)) return false;
    return ![...document.querySelectorAll(OVERLAYS)].some((overlay) => overlay.checkVisibility());
  }

  // ---- another text -----------------------------------------------------------------------------------------------

  // A field of its own, so that paste, composed characters and the keyboard of a phone work as everywhere.
  makeField() {
    const field = element("input", "field");
    field.type = "text";
    field.autocomplete = "off";
    field.spellcheck = false;
    field.autocapitalize = "none";
    field.inputMode = /^[0-9]+$/.test(this.data.charset) ? "numeric" : "text";
    field.setAttribute("aria-label", "Correct the label");
    field.addEventListener("input", (event) => event.isComposing || this.typed());
    field.addEventListener("compositionend", () => this.typed());
    field.addEventListener("keydown", (event) => this.fieldKey(event));
    // Later, as it may have lost the focus to a change of the screen that is under way.
    field.addEventListener("blur", () =>
      setTimeout(() => document.hasFocus() && focused() !== field && this.giveUp()),
    );
    return field;
  }

  openField(tile, place, char) {
    this.field.value = char;
    this.edited = tile;
    this.hint("");
    place.replaceChildren(this.field);
    this.field.focus({ preventScroll: true });
    this.showReady();
    if (char) this.typed();
  }

  closeField() {
    this.edited = null; // first, as its removal may tell it that it lost the focus
    this.field.remove();
  }

  typed() {
    const chars = [...this.field.value.trim()].map(this.map);
    const foreign = chars.find((char) => !this.charset.has(char));
    const text = chars.filter((char) => this.charset.has(char));
    this.field.value = text.join("");
    if (foreign !== undefined) return this.refuse(`${quoted(foreign)} is not in the charset ${this.data.charset}.`);
    if (text.length > this.data.length) {
      this.field.value = text.slice(0, this.data.length).join("");
      return this.refuse(`${count(text.length, "character")}; a label has ${this.data.length}.`);
    }
    this.hint("");
    if (text.length === this.data.length) this.save(text.join(""));
  }

  fieldKey(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const left = this.data.length - [...this.field.value].length;
    if (event.key === "Escape" || (event.key === "Backspace" && !this.field.value)) this.giveUp();
    else if (event.key === "Enter" && left) this.refuse(`${count(left, "character")} more, or Escape.`);
    else if (event.key === "Enter") this.typed();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  giveUp() {
    if (!this.edited) return;
    const text = this.field.value;
    this.closeField();
    this.hint(text ? `Not saved: ${text}` : "");
    this.show();
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  showReady() {
    if (this.closed) return;
    const shown = this.shown();
    const loading = shown.find((tile) => !tile.img.complete);
    if (loading) loading.img.onload = loading.img.onerror = () => this.showReady();
    const elsewhere = !this.listening() && focused() !== this.field;
    this.root.dataset.ready = String(Boolean(shown.length && !loading && this.listening() && !this.settling));
    this.root.classList.toggle("elsewhere", elsewhere && shown.length > 0);
  }

  settle() {
    clearTimeout(this.settling);
    this.since = performance.now();
    this.settling = setTimeout(() => {
      this.settling = null;
      this.showReady();
    }, SETTLE_MS);
  }

  showUnsaved() {
    const unsaved = this.outbox.events.length;
    const unstored = this.outbox.unstored.length;
    const kept = unstored ? "This browser keeps nothing: do not close the tab. " : "";
    const failure = this.data.error ? `${this.data.error} ${kept}` : kept;
    this.root.dataset.unsaved = String(unsaved);
    this.root.classList.toggle("failing", Boolean(failure));
    this.part("unsaved").textContent = unsaved || failure ? `${failure}Unsaved: ${unsaved}` : "";
  }

  showBar(now, max) {
    const bar = this.part("bar");
    bar.setAttribute("aria-valuemax", max);
    bar.setAttribute("aria-valuenow", now);
    this.part("done").style.width = `${max ? (100 * now) / max : 0}%`;
  }

  showHistory(tile) {
    const panel = this.part("history");
    if (panel.hidden) return;
    panel.replaceChildren(element("h4", "", tile ? `History of ${tile.shown}` : "History"));
    if (!tile) return;
    const list = element("ol", "");
    for (const line of tile.history.toReversed()) {
      const row = element("li", "");
      row.dataset.standing = line.standing;
      row.append(element("strong", "", line.operator), ` ${line.did} `, element("code", "", line.what));
      const time = element("time", "", ago(line.at));
      time.title = new Date(line.at).toLocaleString();
      const rest = [STANDINGS[line.standing], line.ms === null ? "" : seconds(line.ms), line.origin];
      row.append(element("br", ""), time, rest.filter(Boolean).map((each) => ` · ${each}`).join(""));
      list.append(row);
    }
    panel.append(list);
  }

  showEmpty(stage) {
    const box = this.emptyState();
    if (stage.firstChild !== box) stage.replaceChildren(box);
  }

  // The same box as long as it says the same: a button that is replaced under the mouse is not clicked.
  message(lines, buttons = []) {
    const said = JSON.stringify([lines, buttons]);
    if (this.box?.said === said) return this.box.element;
    const box = element("div", "message");
    for (const line of lines) box.append(element("p", "", line));
    for (const [text, act] of buttons) {
      const button = element("button", "", text);
      button.type = "button";
      button.onclick = act;
      box.append(button);
    }
    this.box = { said, element: box };
    return box;
  }

  hint(text) {
    const hint = this.part("hint");
    hint.textContent = text || this.keys();
    hint.classList.remove("refused");
  }

  refuse(text) {
    this.hint(text);
    this.part("hint").classList.add("refused");
  }

  // What the server took otherwise than it was meant stays on the screen until the reviewer has seen it.
  notify(event, tile, message) {
    const notice = element("li", "");
    if (tile) notice.append(picture(tile.url));
    const what = event.text ?? event.flag?.replace("_", " ") ?? `${event.action} ${event.shown}`;
    notice.append(element("strong", "", what), element("span", "", message));
    const close = element("button", "", "Dismiss");
    close.type = "button";
    close.onclick = () => notice.remove();
    notice.append(close);
    this.part("notices").prepend(notice);
  }

  slide(forward) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const from = { transform: `translateX(${forward ? 24 : -24}px)`, opacity: 0.4 };
    this.part("stage").animate([from, { transform: "none", opacity: 1 }], { duration: 110, easing: "ease-out" });
  }
}

// Many labels at once. A mark is kept in the browser's storage until its screen is done.
class Grid extends Widget {
  constructor(root, data) {
    super(root, data);
    this.restart();
  }

  restart() {
    this.start = 0; // first tile of the screen
    this.starts = []; // of the screens before
    this.at = 0; // the chosen tile, counted on the screen
    this.forgotten = 0; // tiles let go
    this.settle();
  }

  keys() {
    return "Arrow keys move. Type to correct a label. A click marks, a double click corrects.";
  }

  commands() {
    return [
      ["back", "Back", "⌫", "Backspace: to the screen before; nothing is taken back"],
      ["mark", "Wrong", "Space", "Mark the chosen label as wrong, or take the mark off"],
      ["unreadable", "Unreadable", "Alt+U", "Take the image out: nobody can read it"],
      ["notOurs", "Not ours", "Alt+O", "Take the image out: it does not belong to this project"],
      ["toggleHistory", "History", "Alt+H", "Everything that was done to the chosen image"],
      ["done", "Done", "Enter", "Confirm every label without a mark, doubt every marked one, go on"],
    ];
  }

  makeTile(tile) {
    const made = super.makeTile(tile);
    made.marked = this.marks[made.sample] === made.version;
    made.said = null; // confirm or doubt, and of which version
    made.box = element("li", "tile");
    made.box.dataset.sample = made.sample;
    made.box.setAttribute("role", "option");
    made.text = element("div", "label");
    const pencil = element("button", "pencil", "✎");
    pencil.type = "button";
    pencil.tabIndex = -1;
    pencil.title = "Correct the label";
    pencil.setAttribute("aria-label", pencil.title);
    made.box.append(made.img, made.text, pencil);
    const choose = () => this.choose(this.shown().indexOf(made));
    pencil.onclick = (event) => {
      event.stopPropagation();
      choose();
      this.edit("");
    };
    made.box.onclick = (event) => {
      if (event.target === this.field) return;
      choose();
      this.mark();
    };
    made.box.ondblclick = (event) => event.target === this.field || this.edit("");
    return made;
  }

  get marksKey() {
    return keyOf("marks", this.data, this.data.operator);
  }

  get marks() {
    return storage.read("localStorage", this.marksKey) ?? {};
  }

  keepMark(tile) {
    const marks = this.marks;
    if (tile.marked) marks[tile.sample] = tile.version;
    else delete marks[tile.sample];
    storage.write("localStorage", this.marksKey, marks);
  }

  wanted() {
    return this.tiles.length - this.start < 3 * this.n ? Math.max(2 * this.n, 24) : 0;
  }

  shown() {
    return this.tiles.slice(this.start, this.start + this.n);
  }

  selected() {
    return this.shown()[this.at];
  }

  overtaken(tile) {
    tile.status = "changed";
    tile.said = null;
    tile.flagged = false;
    tile.marked = false;
    this.keepMark(tile);
  }

  // ---- what the reviewer does -------------------------------------------------------------------------------------

  choose(at) {
    this.giveUp();
    const last = this.shown().length - 1;
    const to = Math.max(0, Math.min(at, last));
    if (to !== this.at) this.chosen = performance.now();
    this.at = to;
    this.showTiles();
    this.selected()?.box.scrollIntoView({ block: "nearest" });
  }

  left() { this.choose(this.at - 1); }
  right() { this.choose(this.at + 1); }
  up() { this.choose(this.at < this.columns ? this.at : this.at - this.columns); }
  down() { this.choose(this.at + this.columns); }
  first() { this.choose(0); }
  end() { this.choose(this.n); }

  mark() {
    const tile = this.selected();
    if (!tile) return;
    if (tile.flagged || tile.status === "resolved") return this.refuse("You have decided this one. Type to change it.");
    tile.marked = !tile.marked;
    this.keepMark(tile);
    this.hint("");
    this.showTiles();
  }

  edit(char) {
    const tile = this.selected();
    if (!tile) return;
    tile.box.dataset.state = "typing";
    this.openField(tile, tile.text, char);
  }

  save(text) {
    const tile = this.edited;
    this.closeField();
    if (text === tile.label && !tile.flagged) {
      tile.marked = false;
      this.keepMark(tile);
      this.hint(`${text} is its label already.`);
    } else {
      this.decide(tile, { text }, text);
      this.hint(`Corrected to ${text}.`);
    }
    this.show();
  }

  // Where nobody disagrees there is nothing to resolve: it is one more person's label.
  decide(tile, what, shown) {
    const action = tile.disputed ? "resolve" : what.flag ? "skip" : "label";
    tile.last = this.emit(tile, action, { ...what, ms: performance.now() - (this.chosen ?? this.since) });
    tile.label = what.text ?? null;
    tile.shown = shown;
    tile.flagged = Boolean(what.flag);
    tile.status = what.flag ?? "resolved";
    tile.operator = this.data.operator;
    tile.at = new Date().toISOString();
    tile.marked = false;
    this.keepMark(tile);
    this.pump();
  }

  unreadable() { this.flag("unreadable"); }
  notOurs() { this.flag("not_ours"); }

  flag(flag) {
    const tile = this.selected();
    if (!tile) return;
    const shown = flag.replace("_", " ");
    this.decide(tile, { flag }, shown);
    this.hint(`Taken out as ${shown}. Type its label to bring it back.`);
    this.show();
  }

  toggleHistory() {
    const panel = this.part("history");
    panel.hidden = !panel.hidden;
    historyIsOpen = !panel.hidden;
    this.showHistory(this.selected());
  }

  done() {
    const tiles = this.shown();
    if (!tiles.length) return;
    if (this.settling || tiles.some((tile) => !tile.img.complete)) return;
    const ms = (performance.now() - this.since) / tiles.length;
    for (const tile of tiles) {
      if (tile.flagged || tile.status === "resolved") continue;
      const action = tile.marked ? "doubt" : "confirm";
      if (tile.said === `${action} ${tile.version}`) continue;
      this.emit(tile, action, { ms });
      tile.said = `${action} ${tile.version}`;
      tile.status = tile.marked ? "doubted" : "confirmed";
      const marked = tile.marked;
      tile.marked = false;
      this.keepMark(tile);
      tile.marked = marked;
    }
    this.starts.push(this.start);
    this.start += tiles.length;
    this.forget();
    this.turn(true);
    this.pump();
  }

  forget() {
    if (this.start <= KEPT) return;
    const n = this.starts[1];
    this.tiles.splice(0, n);
    this.starts = this.starts.slice(1).map((start) => start - n);
    this.start -= n;
    this.forgotten += n;
  }

  back() {
    if (!this.starts.length) return this.refuse("This is the first screen.");
    this.start = this.starts.pop();
    this.turn(false);
  }

  turn(forward) {
    this.at = 0;
    this.chosen = null;
    this.hint("");
    this.settle();
    this.show();
    this.slide(forward);
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  // As many tiles as the window holds: Enter confirms all of them. All have one size, that of the first image.
  fit() {
    const width = this.width || 800;
    const [tile] = this.tiles;
    const aspect = tile ? tile.width / tile.height : 3;
    const least = Math.min(Math.max(TILE_WIDTH, Math.min((tile?.width ?? 0) * 0.95, 260), this.data.length * 13), width);
    this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    if (width < 500) this.columns = Math.max(2, this.columns);
    const each = (width - GAP * (this.columns - 1)) / this.columns;
    this.imageWidth = Math.min(each - 14, (tile?.width ?? 200) * MAX_SCALE);
    const height = this.imageWidth / aspect + 50; // with label and padding
    const scrolled = this.root.closest("[data-testid=stMain]")?.scrollTop ?? 0;
    const top = this.part("stage").getBoundingClientRect().top + scrolled;
    const rows = Math.max(1, Math.floor((window.innerHeight - top - BELOW + GAP) / (height + GAP)));
    this.n = Math.min(this.columns * rows, Math.floor(MAX_TILES / this.columns) * this.columns);
    const size = Math.max(8, Math.min(25, (each - 16) / (this.data.length * 0.69))); // a character is 0.68 as wide as high
    this.root.style.setProperty("--label-size", `${size}px`);
    this.root.style.setProperty("--columns", this.columns);
    this.root.style.setProperty("--image-width", `${this.imageWidth}px`);
    this.root.style.setProperty("--image-height", `${this.imageWidth / aspect}px`);
  }

  show() {
    if (this.closed) return;
    this.fit();
    const tiles = this.shown();
    const stage = this.part("stage");
    if (tiles.length) {
      if (!this.list) {
        this.list = element("ul", "grid");
        this.list.setAttribute("role", "listbox");
        this.list.setAttribute("aria-label", "Labels on this screen");
      }
      const boxes = tiles.map((tile) => tile.box);
      // A box that stays is not moved: that would take the focus from the field in it.
      for (const box of [...this.list.children]) boxes.includes(box) || box.remove();
      const standing = [...this.list.children];
      if (standing.every((box, i) => box === boxes[i])) this.list.append(...boxes.slice(standing.length));
      else this.list.replaceChildren(...boxes);
      if (stage.firstChild !== this.list) stage.replaceChildren(this.list);
    } else this.showEmpty(stage);
    this.at = Math.max(0, Math.min(this.at, tiles.length - 1));
    this.showTiles();
    this.showReady();
    this.showFigures();
  }

  showTiles() {
    this.shown().forEach((tile, at) => {
      const { box, text } = tile;
      const marked = tile.marked && !tile.flagged && tile.status !== "resolved";
      const state = marked ? "marked" : tile.status || (tile.disputed ? "disputed" : tile.checked ? "checked" : "shown");
      if (tile !== this.edited) {
        box.dataset.state = state;
        text.textContent = tile.shown;
      }
      box.setAttribute("aria-selected", at === this.at);
      box.setAttribute("aria-label", `${tile.shown}, ${state.replace("_", " ")}`);
      box.title = `${tile.operator}, ${ago(tile.at)}, ${tile.split}`;
    });
    const tile = this.selected();
    this.root.dataset.sample = tile?.sample ?? "";
    this.showHistory(tile);
    for (const name of ["mark", "unreadable", "notOurs", "done"]) this.button(name).disabled = !tile;
    this.button("back").disabled = !this.starts.length;
    const marks = this.shown().filter((each) => each.box.dataset.state === "marked").length;
    this.button("done").firstChild.textContent = marks ? `Done, ${marks} wrong` : "Done";
  }

  button(command) {
    return this.root.querySelector(`[data-command="${command}"]`);
  }

  showFigures() {
    const seen = this.forgotten + this.start;
    const { total } = this.data;
    const tile = this.selected();
    const now = this.shown().length ? `${number(seen + 1)} to ${number(seen + this.shown().length)}` : number(seen);
    const all = total === null ? "" : ` of ${number(Math.max(total, this.forgotten + this.tiles.length))}`;
    this.part("seen").textContent = `${now}${all} labels`;
    this.showBar(seen, total ?? 0);
    const mine = this.shown().filter((each) => each.operator === this.data.operator).length;
    const own = mine ? `, ${mine === this.shown().length ? "all" : mine} of them your own` : "";
    const names = [...new Set(this.shown().map((each) => each.operator))];
    const by = names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", ");
    this.part("rest").textContent = tile ? `Labels of ${by}${own}` : "";
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message(["Waiting for images…"]);
    const lines = [this.tiles.length ? "That was the last one." : "No label is left to look at with these filters."];
    const disputed = this.disputed + this.outbox.events.filter((event) => event.action === "doubt").length;
    const buttons = [];
    if (disputed) {
      lines.push(`${count(disputed, "image")} ${disputed === 1 ? "is" : "are"} disputed.`);
      buttons.push(["Decide them", () => this.leadTo("disputed")]);
    }
    if (this.tiles.length) buttons.push(["Look for more", () => this.again()]);
    return this.message(lines, buttons);
  }
}

// One disputed image at a time, beside what was said of it.
class Desk extends Widget {
  constructor(root, data) {
    super(root, data);
    this.restart();
  }

  restart() {
    this.index = 0;
    this.steps = []; // tiles decided, in order, for undo
    this.settle();
  }

  keys() {
    return "Up and down choose an opinion, left and right turn to another image. Type for another text.";
  }

  commands() {
    return [
      ["back", "Undo", "⌫", "Backspace: take the last decision back"],
      ["unreadable", "Unreadable", "Alt+U", "Take the image out: nobody can read it"],
      ["notOurs", "Not ours", "Alt+O", "Take the image out: it does not belong to this project"],
      ["done", "Take the chosen", "Enter", "Decide for the chosen opinion; the present label is chosen at first"],
    ];
  }

  makeTile(tile) {
    return { ...super.makeTile(tile), choice: presentOf(tile) };
  }

  wanted() {
    return this.tiles.length - this.index < 5 ? 1 : 0;
  }

  shown() {
    return this.tiles.slice(this.index, this.index + 1);
  }

  selected() {
    return this.tiles[this.index];
  }

  // What is chosen stays so, wherever it stands now.
  update(tile, now) {
    const { choices, choice } = tile;
    super.update(tile, now);
    const at = tile.choices.findIndex((each) => each.shown === choices[choice]?.shown);
    tile.choice = at < 0 ? presentOf(tile) : at;
    if (tile === this.selected() && tile.choices.length !== choices.length) this.settle();
  }

  // It cannot be undone. Where somebody still disagrees, it comes again, after the image on the screen.
  overtaken(tile) {
    tile.status = "";
    tile.decided = null;
    tile.choice = presentOf(tile);
    this.steps = this.steps.filter((step) => step !== tile);
    const at = this.tiles.indexOf(tile);
    if (!tile.disputed || at >= this.index) return;
    this.tiles.splice(at, 1);
    this.index -= 1;
    this.tiles.splice(this.index + 1, 0, tile);
    if (tile === this.selected()) this.settle();
  }

  up() { this.choose(-1); }
  down() { this.choose(1); }

  choose(by) {
    const tile = this.selected();
    if (!tile) return;
    tile.choice = Math.max(0, Math.min(tile.choice + by, tile.choices.length - 1));
    this.hint("");
    this.show();
  }

  left() { this.turn(this.index - 1); }
  right() { this.turn(this.index + 1); }

  turn(index) {
    const to = Math.max(0, Math.min(index, this.tiles.length));
    const forward = to > this.index;
    if (to === this.index) return;
    this.index = to;
    this.hint("");
    this.settle();
    this.show();
    this.slide(forward);
    this.pump();
  }

  done() {
    const tile = this.selected();
    if (!tile || this.settling || !tile.img.complete) return;
    const choice = tile.choices[tile.choice];
    if (!choice) return this.refuse("Choose an opinion with the arrow keys, or type the label.");
    this.decide(tile, choice.text, choice.flag, choice.shown);
  }

  edit(char) {
    const tile = this.selected();
    if (tile) this.openField(tile, this.part("other"), char);
  }

  save(text) {
    const tile = this.edited;
    this.closeField();
    this.decide(tile, text, null, text);
  }

  unreadable() { this.selected() && this.decide(this.selected(), null, "unreadable", "unreadable"); }
  notOurs() { this.selected() && this.decide(this.selected(), null, "not_ours", "not ours"); }

  decide(tile, text, flag, shown) {
    tile.last = this.emit(tile, "resolve", { text, flag, ms: performance.now() - this.since });
    tile.decided = tile.last;
    tile.status = `Decided: ${shown}`;
    this.steps = [...this.steps.filter((step) => step !== tile), tile];
    this.turn(this.tiles.indexOf(tile) + 1);
    this.hint(`Last: ${shown}`);
    this.pump();
  }

  back() {
    const tile = this.steps.pop();
    if (!tile) return this.refuse("Nothing to undo.");
    tile.last = this.emit(tile, "undo", { after: tile.decided });
    tile.decided = null;
    tile.status = "";
    this.turn(this.tiles.indexOf(tile));
    this.show();
    this.hint("Undone.");
    this.pump();
  }

  show() {
    if (this.closed) return;
    this.showFigures();
    if (this.edited) return;
    const tile = this.selected();
    const stage = this.part("stage");
    if (tile) {
      const look = element("div", "look");
      look.append(tile.img);
      tile.img.style.width = `${Math.min(this.lookWidth(), tile.width * 4)}px`;
      stage.replaceChildren(look, this.opinions(tile));
    } else this.showEmpty(stage);
    stage.classList.toggle("desk", Boolean(tile));
    this.root.dataset.sample = tile?.sample ?? "";
    this.part("history").hidden = !tile;
    this.showHistory(tile);
    for (const button of this.part("commands").children) button.disabled = !tile;
    this.root.querySelector("[data-command=back]").disabled = !this.steps.length;
    const choice = tile?.choices[tile.choice];
    const taken = choice ? `${choice.current ? "Keep" : "Take"} ${choice.shown}` : "Take the chosen";
    this.root.querySelector("[data-command=done]").firstChild.textContent = taken;
    this.showReady();
  }

  lookWidth() {
    const width = this.width || 600;
    return width > 620 ? width * 0.55 : width - 34;
  }

  opinions(tile) {
    const list = element("ul", "opinions");
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Opinions");
    tile.choices.forEach((choice, index) => {
      const item = element("li", "opinion");
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", index === tile.choice);
      item.append(element("span", "label", choice.shown), element("span", "voices", choice.voices.join(", ")));
      if (choice.current) item.append(element("span", "current", "present label"));
      item.onclick = () => {
        this.giveUp();
        if (tile !== this.selected()) return;
        tile.choice = index;
        this.done();
      };
      list.append(item);
    });
    const other = element("li", "opinion other");
    const pencil = element("button", "", "Another text");
    pencil.type = "button";
    pencil.onclick = () => this.edit("");
    other.append(pencil);
    list.append(other);
    if (tile.status) list.append(element("li", "status", tile.status));
    return list;
  }

  showFigures() {
    const pending = { resolve: -1, undo: 1 };
    const left = this.disputed + this.outbox.events.reduce((sum, event) => sum + (pending[event.action] ?? 0), 0);
    const decided = this.steps.length;
    this.open = Math.max(0, left);
    const total = decided + this.open;
    this.part("seen").textContent = `${number(decided)} of ${number(total)} decided`;
    this.part("rest").textContent = "";
    this.showBar(decided, total);
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message(["Waiting for images…"]);
    if (!this.open) {
      const done = this.steps.length ? "All disputed images are decided." : "Nobody disagrees about any image.";
      return this.message([done], [["Review labels", () => this.leadTo("labels")]]);
    }
    const open = `${count(this.open, "image")} ${this.open === 1 ? "is" : "are"} still disputed.`;
    return this.message([open], [["Look at them again", () => this.again()]]);
  }
}

const KEYS = {
  Enter: "done", Backspace: "back", " ": "mark", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up",
  ArrowDown: "down", Home: "first", End: "end",
};
const SAID = {
  label: "labelled", skip: "skipped", confirm: "confirmed", doubt: "doubted", resolve: "decided", undo: "undid",
};
const STANDINGS = { lost: "came second, changed nothing", opinion: "opinion", "": "" };
const presentOf = (tile) => tile.choices.findIndex((choice) => choice.current);

function picture(url) {
  const img = new Image();
  img.src = url;
  img.alt = "";
  img.draggable = false;
  img.decode().catch(() => {}); // ahead of its turn
  return img;
}

function ago(at) {
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const past = (Date.now() - new Date(at)) / 1000;
  for (const [unit, size] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (past >= size) return format.format(-Math.round(past / size), unit);
  }
  return "just now";
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
