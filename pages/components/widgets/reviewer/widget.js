// What grid and desk share: the images and the exchange with the server, the keyboard, and sentences. Nothing waits for
// the server: images are fetched ahead, and what the reviewer does is an event that is sent until it is answered.

import { Charset } from "../shared/charset.js";
import { animate, button, element, imageOf, listener, notice } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { focused, isComposed, isListening, isPress } from "../shared/keyboard.js";
import { Outbox } from "../shared/outbox.js";
import { Settling } from "../shared/settling.js";
import { LabelField } from "./field.js";
import { HistoryPanel } from "./history.js";
import { commandOf } from "./keys.js";

/** @typedef {import("./types.d.ts").Tile} Tile */
/** @typedef {import("./types.d.ts").Image} TileData */

const SETTLE_MS = 250; // a screen that is not older than this has not been seen: a second Enter came by mistake
/** @type {Record<string, string>} */
const SAID = {
  label: "labeled",
  skip: "skipped",
  confirm: "confirmed",
  doubt: "doubted",
  resolve: "decided",
  undo: "undid",
};

export class Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.outbox = new Outbox("review", data);
    this.exchange = new Exchange(this.outbox, {
      message: () => ({ view: this.data.view, after: this.place, want: this.more ? this.view.wanted() : 0 }),
      wants: () => this.more && this.view.wanted() > 0,
    });
    this.charset = new Charset(data.charset);
    /** @type {any[]} all that came, in the order of the server */
    this.tiles = [];
    /** @type {Set<string>} */
    this.known = new Set();
    /** @type {any[] | null} up to which the server has sent */
    this.place = null;
    this.more = true;
    this.disputed = 0;
    this.since = 0;
    this.width = 0;
    this.field = new LabelField(this.charset, data.length, this);
    this.history = new HistoryPanel(this.part("history"), data.mode !== "labels");
    this.settling = new Settling(SETTLE_MS, () => this.showReady());
    /** @type {{ said: string, element: HTMLElement } | null} */
    this.box = null;
    root.dataset.mode = data.mode;
    for (const name of ["stage", "notices"]) this.part(name).replaceChildren();
    this.part("commands").replaceChildren(...this.view.commands.map((each) => this.makeCommand(each)));
    this.part("waiting").textContent = this.outbox.waiting;
    this.hint("");

    this.ending = new AbortController();
    const on = listener(this.ending.signal);
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "resize", () => this.view.show());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    on(root, "mousedown", (event) => this.press(event));
    this.resizes = new ResizeObserver(([{ contentRect }]) => {
      if (this.width === contentRect.width) return;
      this.width = contentRect.width;
      this.view.show();
    });
    this.resizes.observe(this.part("stage"));
    // Whoever chose a filter in a list above wants to review now.
    if (focused()?.matches("[role=combobox], [role=radio], button")) focused().blur();
  }

  close() {
    this.isClosed = true;
    this.ending.abort();
    this.exchange.close();
    this.resizes.disconnect();
    this.settling.close();
  }

  // The grid or the desk that this is.
  /** @returns {import("./types.d.ts").View} */
  get view() {
    return /** @type {any} */ (this);
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return this.root.querySelector(`.${name}`);
  }

  /** @param {string} command @returns {HTMLButtonElement} */
  button(command) {
    return this.root.querySelector(`[data-command="${command}"]`);
  }

  /** @param {string[]} command */
  makeCommand([name, text, key, title]) {
    const made = button(text, () => (this.field.tile ? this.field.giveUp() : this.view.acts[name]()), title);
    made.dataset.command = name;
    made.append(element("kbd", "", key));
    return made;
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  /** @param {any} data @param {import("../shared/exchange.js").Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.exchange.receive(data, trigger);
    this.disputed = data.disputed ?? this.disputed;
    for (const answer of data.answers) this.answered(answer);
    if (JSON.stringify(data.after) === JSON.stringify(this.place)) this.take(data);
    // There is no need to wait as for an overdue answer.
    if (data.tiles.length && this.more && this.view.wanted()) this.exchange.hasNews = true;
    this.exchange.resendToNewSession();
    this.view.show();
    this.exchange.pump();
  }

  /** @param {{ tiles: any[], place: any[] | null, more: boolean | null }} data */
  take({ tiles, place, more }) {
    this.more = more ?? this.more; // null when none were asked for
    this.place = place;
    for (const tile of tiles) {
      // What waits for an answer has been dealt with, by an earlier tab perhaps.
      if (this.known.has(tile.sample) || this.outbox.isAbout(tile.sample)) continue;
      this.known.add(tile.sample);
      this.tiles.push(this.makeTile(tile));
    }
  }

  /** @param {any} tile @returns {any} */
  makeTile(tile) {
    const img = imageOf(tile.url);
    img.decode().catch(() => {}); // ahead of its turn
    return { ...tile, img, last: null, status: "", seen: tile.history.length };
  }

  /** @param {{ event: string, sample: string, status: string, notice: string, now: any }} answer */
  answered(answer) {
    const event = this.outbox.drop(answer.event);
    const tile = this.tiles.find((each) => each.sample === answer.sample);
    const isRefused = answer.status === "conflict" || answer.status === "refused";
    if (event && answer.notice) this.notify(event, tile, answer.notice);
    if (!tile || !answer.now) return;
    tile.history = answer.now.history;
    if (this.outbox.isAbout(tile.sample)) return; // what was done since is shown already
    this.update(tile, answer.now);
    if (event && (isRefused || answer.notice)) this.view.overtaken(tile);
  }

  /** @param {any} tile @param {any} now */
  update(tile, now) {
    // Whoever types already decides by what was on the screen before.
    const seen = tile === this.field.tile ? tile.seen : now.history.length;
    Object.assign(tile, now, { last: null, seen });
  }

  // The version that an event of one's own leads to is known to the server alone, so the next one names the event.
  /**
   * @param {any} tile
   * @param {string} action
   * @param {{ text?: string | null, flag?: string | null, ms?: number | null, after?: string | null }} what
   */
  emit(tile, action, { text = null, flag = null, ms = null, after = tile.last } = {}) {
    const { sample, version: base, shown, seen } = tile;
    const rounded = ms && Math.round(ms);
    const event = this.exchange.emit({ action, sample, text, flag, base, after, ms: rounded, shown, seen });
    const at = new Date().toISOString();
    const what = text ?? flag?.replace("_", " ") ?? shown;
    const { operator } = this.data;
    /** @type {import("./types.d.ts").Line} */
    const line = { at, operator, did: SAID[action], what, standing: "", origin: "review", ms: null };
    tile.history = [...tile.history, line];
    return event;
  }

  // Begins anew, with what has come in since.
  again() {
    this.tiles = [];
    this.known.clear();
    this.place = null;
    this.more = true;
    this.view.restart();
    this.view.show();
    this.exchange.pump();
  }

  // ---- keyboard ---------------------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event) || event.metaKey || !isListening()) return;
    const command = commandOf(event);
    const act = command === "type" ? () => this.type(event.key) : this.view.acts[command];
    if (!act || isPress(event.key)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat && !event.key.startsWith("Arrow")) return; // nobody means to pass ten screens by resting on Enter
    focused()?.blur();
    act();
  }

  /** @param {string} key */
  type(key) {
    const char = this.charset.adapt(key);
    if (this.charset.has(char)) this.view.edit(char);
    else this.refuse(this.charset.refusal(key));
  }

  // Neither a tile nor a button takes the focus by mouse: the next Enter must not press that button again.
  /** @param {MouseEvent} event */
  press(event) {
    if (event.target === this.field.input) return;
    event.preventDefault();
    if (focused() !== this.field.input) focused()?.blur();
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  showReady() {
    if (this.isClosed) return;
    const shown = this.view.shown();
    const loading = shown.find((tile) => !tile.img.complete);
    if (loading) loading.img.onload = loading.img.onerror = () => this.showReady();
    const isElsewhere = !isListening() && focused() !== this.field.input;
    this.root.dataset.ready = String(Boolean(shown.length && !loading && isListening() && !this.settling.isOn));
    this.root.classList.toggle("elsewhere", isElsewhere && shown.length > 0);
  }

  settle() {
    this.since = performance.now();
    this.settling.start();
  }

  showUnsaved() {
    const failure = this.exchange.showUnsaved(this.root);
    const unsaved = this.outbox.events.length;
    this.part("unsaved").textContent = unsaved || failure ? `${failure} Unsaved: ${unsaved}`.trimStart() : "";
  }

  /** @param {HTMLElement} stage */
  showEmpty(stage) {
    const box = this.view.emptyState();
    if (stage.firstChild !== box) stage.replaceChildren(box);
  }

  // The same box as long as it says the same: a button that is replaced under the mouse is not clicked.
  /** @param {string[]} lines @param {[string, () => void][]} buttons */
  message(lines, buttons = []) {
    const said = JSON.stringify([lines, buttons]);
    if (this.box?.said === said) return this.box.element;
    const box = element("div", "message");
    box.append(...lines.map((line) => element("p", "", line)), ...buttons.map(([text, act]) => button(text, act)));
    this.box = { said, element: box };
    return box;
  }

  /** @param {string} text */
  hint(text) {
    this.part("hint").textContent = text || this.view.help;
    this.part("hint").classList.remove("refused");
  }

  /** @param {string} text */
  refuse(text) {
    this.hint(text);
    this.part("hint").classList.add("refused");
  }

  /** @param {import("../shared/outbox.js").Entered} event @param {Tile | undefined} tile @param {string} message */
  notify(event, tile, message) {
    const what = event.text ?? event.flag?.replace("_", " ") ?? `${event.action} ${event.shown}`;
    this.part("notices").prepend(notice(tile?.url, what, message));
  }

  /** @param {boolean} isForward */
  slide(isForward) {
    const from = { transform: `translateX(${isForward ? 24 : -24}px)`, opacity: 0.4 };
    animate(this.part("stage"), [from, { transform: "none", opacity: 1 }], { duration: 110, easing: "ease-out" });
  }
}
