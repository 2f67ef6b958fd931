// Base class of grid and desk: images, exchange with the server, keyboard and messages. Nothing waits for the server:
// images are fetched ahead, and each action is an event that is sent until it is answered.

import { Charset } from "../shared/charset.js";
import { animate, button, element, imageOf, listener, notice } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { focusedElement, isComposed, isListening, isPress } from "../shared/keyboard.js";
import { Outbox } from "../shared/outbox.js";
import { Settling } from "../shared/settling.js";
import { flagText } from "../shared/words.js";
import { LabelField } from "./field.js";
import { HistoryPanel } from "./history.js";
import { commandOf } from "./keys.js";
import { Place } from "./place.js";

/** @typedef {import("./types.d.ts").Tile} Tile */
/** @typedef {import("./types.d.ts").Image} TileData */

const SETTLE_MS = 250; // ignore Enter this soon after a screen change: it is accidental
/** @type {Record<string, string>} */
const VERBS = {
  label: "labeled",
  skip: "skipped",
  confirm: "confirmed",
  doubt: "doubted",
  resolve: "resolved",
  undo: "undid",
};

export class Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.outbox = new Outbox("review", data);
    this.exchange = new Exchange(this.outbox, {
      message: () => ({ view: this.data.view, after: this.cursor, want: this.more ? this.view.missingCount() : 0 }),
      wants: () => this.more && this.view.missingCount() > 0,
    });
    this.charset = new Charset(data.charset);
    /** @type {any[]} all images received, in server order */
    this.tiles = [];
    /** @type {Set<string>} */
    this.samples = new Set();
    /** @type {any[] | null} position of the last image received */
    this.cursor = null;
    this.more = true;
    this.disputed = 0;
    this.since = 0;
    this.field = new LabelField(this.charset, data.length, this);
    this.history = new HistoryPanel(this.part("history"), data.mode !== "labels");
    this.settling = new Settling(SETTLE_MS, () => this.showReady());
    /** @type {{ key: string, element: HTMLElement } | null} */
    this.currentMessage = null;
    root.dataset.mode = data.mode;
    for (const name of ["stage", "notices"]) this.part(name).replaceChildren();
    this.part("commands").replaceChildren(...this.view.commands.map((each) => this.makeCommand(each)));
    this.part("waiting").textContent = this.outbox.waitingText;
    this.hint("");

    this.closing = new AbortController();
    const on = listener(this.closing.signal);
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "resize", () => this.view.show());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    on(root, "mousedown", (event) => this.press(event));
    this.place = new Place(root, this.part("stage"), () => this.view.show());
    // After choosing a filter, the reviewer wants to review, so take the focus from it.
    if (focusedElement()?.matches("[role=combobox], [role=radio], button")) focusedElement().blur();
  }

  close() {
    this.isClosed = true;
    this.closing.abort();
    this.exchange.close();
    this.place.close();
    this.settling.close();
  }

  // This widget as a grid or a desk.
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
    const node = button(text, () => (this.field.tile ? this.field.cancel() : this.view.handlers[name]()), title);
    node.dataset.command = name;
    node.append(element("kbd", "", key));
    return node;
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  /** @param {any} data @param {import("../shared/exchange.js").Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.exchange.receive(data, trigger);
    this.disputed = data.disputed ?? this.disputed;
    for (const answer of data.answers) this.handleAnswer(answer);
    if (JSON.stringify(data.after) === JSON.stringify(this.cursor)) this.addTiles(data);
    // Ask again immediately instead of waiting for RESEND_MS.
    if (data.tiles.length && this.more && this.view.missingCount()) this.exchange.hasNews = true;
    this.exchange.resendToNewSession();
    this.view.show();
    this.exchange.pump();
  }

  /** @param {{ tiles: any[], cursor: any[] | null, more: boolean | null }} data */
  addTiles({ tiles, cursor, more }) {
    this.more = more ?? this.more; // null if none were requested
    this.cursor = cursor;
    for (const tile of tiles) {
      // An image with an unanswered event is already handled, perhaps in an earlier tab.
      if (this.samples.has(tile.sample) || this.outbox.isAbout(tile.sample)) continue;
      this.samples.add(tile.sample);
      this.tiles.push(this.makeTile(tile));
    }
  }

  /** @param {any} tile @returns {any} */
  makeTile(tile) {
    const img = imageOf(tile.url);
    img.decode().catch(() => {}); // decode in advance
    return { ...tile, img, last: null, status: "", seen: tile.history.length };
  }

  /** @param {{ event: string, sample: string, status: string, notice: string, now: any }} answer */
  handleAnswer(answer) {
    const event = this.outbox.drop(answer.event);
    const tile = this.tiles.find((each) => each.sample === answer.sample);
    const isRefused = answer.status === "conflict" || answer.status === "refused";
    if (event && answer.notice) this.notify(event, tile, answer.notice);
    if (!tile || !answer.now) return;
    tile.history = answer.now.history;
    if (this.outbox.isAbout(tile.sample)) return; // newer unanswered events are already on the screen
    this.update(tile, answer.now);
    if (event && (isRefused || answer.notice)) this.view.onConflict(tile);
  }

  /** @param {any} tile @param {any} now */
  update(tile, now) {
    // While a correction is typed, it is based on the history on the screen before.
    const seen = tile === this.field.tile ? tile.seen : now.history.length;
    Object.assign(tile, now, { last: null, seen });
  }

  // Only the server knows the version that an event creates, so the next event refers to it by event id.
  /**
   * @param {any} tile
   * @param {string} action
   * @param {{ text?: string | null, flag?: string | null, ms?: number | null, after?: string | null }} content
   */
  emit(tile, action, { text = null, flag = null, ms = null, after = tile.last } = {}) {
    const { sample, version: base, shown, seen } = tile;
    const rounded = ms && Math.round(ms);
    const event = this.exchange.emit({ action, sample, text, flag, base, after, ms: rounded, shown, seen });
    const at = new Date().toISOString();
    const what = text ?? flagText(flag) ?? shown;
    const { operator } = this.data;
    /** @type {import("./types.d.ts").Line} */
    const line = { at, operator, did: VERBS[action], what, standing: "", origin: "review", ms: null };
    tile.history = [...tile.history, line];
    return event;
  }

  // Starts over, including new images.
  again() {
    this.tiles = [];
    this.samples.clear();
    this.cursor = null;
    this.more = true;
    this.view.restart();
    this.view.show();
    this.exchange.pump();
  }

  // ---- keyboard ---------------------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event) || event.metaKey || !isListening()) return;
    const command = commandOf(event, this.charset);
    const handler = command === "type" ? () => this.type(event.key) : this.view.handlers[command];
    if (!handler || this.isUsedByFocus(event.key)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat && !event.key.startsWith("Arrow")) return; // holding Enter must not confirm ten screens
    focusedElement()?.blur();
    handler();
  }

  // Returns whether the focused element uses the key. A click on the tab of this view leaves the focus there, and
  // pressing that tab again does nothing. Until the view of another tab is here, keys must not act on this one.
  /** @param {string} key */
  isUsedByFocus(key) {
    const active = focusedElement();
    const isOwnTab = active?.matches("[role=radio]") && active.textContent.trim().toLowerCase() === this.data.mode;
    return isPress(key) && !isOwnTab;
  }

  /** @param {string} key */
  type(key) {
    const char = this.charset.adapt(key);
    if (this.charset.has(char)) this.view.edit(char);
    else this.refuse(this.charset.refusal(key));
  }

  // Prevents mouse clicks from moving the focus, or the next Enter would press the clicked button again.
  /** @param {MouseEvent} event */
  press(event) {
    if (event.target === this.field.input) return;
    event.preventDefault();
    if (focusedElement() !== this.field.input) focusedElement()?.blur();
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  showReady() {
    if (this.isClosed) return;
    const tiles = this.view.visibleTiles();
    const loading = tiles.find((tile) => !tile.img.complete);
    if (loading) loading.img.onload = loading.img.onerror = () => this.showReady();
    const isElsewhere = (!isListening() || this.isUsedByFocus("Enter")) && focusedElement() !== this.field.input;
    this.root.dataset.ready = String(Boolean(tiles.length && !loading && isListening() && !this.settling.isOn));
    this.root.classList.toggle("elsewhere", isElsewhere && tiles.length > 0);
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

  // Keeps the element while its text is unchanged, because a button replaced under the mouse loses the click.
  /** @param {string[]} lines @param {[string, () => void][]} buttons */
  message(lines, buttons = []) {
    const key = JSON.stringify([lines, buttons]);
    if (this.currentMessage?.key === key) return this.currentMessage.element;
    const box = element("div", "message");
    box.append(...lines.map((line) => element("p", "", line)), ...buttons.map(([text, onClick]) => button(text, onClick)));
    this.currentMessage = { key, element: box };
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

  /** @param {import("../shared/outbox.js").OutboxEvent} event @param {Tile | undefined} tile @param {string} message */
  notify(event, tile, message) {
    const title = event.text ?? flagText(event.flag) ?? `${event.action} ${event.shown}`;
    this.part("notices").prepend(notice(tile?.url, title, message));
  }

  /** @param {boolean} isForward */
  slide(isForward) {
    const from = { transform: `translateX(${isForward ? 24 : -24}px)`, opacity: 0.4 };
    animate(this.part("stage"), [from, { transform: "none", opacity: 1 }], { duration: 110, easing: "ease-out" });
  }
}
