// The gallery widget: images with their reading, their label, and a field to correct the label. Nothing waits for the
// server: each correction is an event that is sent until it is answered.

import { Charset } from "../shared/charset.js";
import { mount } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { Outbox } from "../shared/outbox.js";
import { corrections } from "./corrections.js";
import { Tile } from "./tile.js";

const NOTICE_MS = 1000; // report unsaved labels after this time

export default mount(
  (root, data) => new Gallery(root, data),
  ({ project, created }) => JSON.stringify([project, created]),
);

export class Gallery {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.outbox = new Outbox("evaluate", data);
    this.exchange = new Exchange(this.outbox);
    this.exchange.hasNews = this.outbox.events.length > 0;
    this.charset = new Charset(data.charset);
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    root.querySelector(".tiles").replaceChildren();
  }

  close() {
    this.exchange.close();
  }

  /** @param {any} data @param {import("../shared/exchange.js").Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.exchange.receive(data, trigger);
    /** @type {Map<string, string>} */
    const notices = new Map();
    for (const answer of data.answers) notices.set(answer.sample, this.handleAnswer(answer));
    const tiles = new Map();
    // Reuse the elements of tiles that stay, because the operator may be typing in one.
    for (const { sample } of data.tiles) tiles.set(sample, this.tiles.get(sample) ?? new Tile(this, sample));
    const isChanged = [...tiles.keys()].join() !== [...this.tiles.keys()].join();
    this.tiles = tiles;
    if (isChanged) this.root.querySelector(".tiles").replaceChildren(...[...tiles.values()].map(({ root }) => root));
    for (const each of data.tiles) this.tiles.get(each.sample).receive(each, notices.get(each.sample));
    this.show();
    if (data.clicked) this.reveal();
    this.exchange.pump();
  }

  // Brings the first images into view: the click that asked for them was above the window. The focus stays there, so
  // that the arrow keys lead to the next cell.
  reveal() {
    const first = this.tiles.values().next().value;
    this.root.querySelector(".found").textContent = `Images below: ${this.tiles.size}`;
    if (!first) return;
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const scroll = () => first.root.scrollIntoView({ block: "nearest", behavior: isStill ? "instant" : "smooth" });
    if (first.img) first.img.decode().then(scroll, scroll); // before, the tile has no height
    else scroll();
  }

  // Returns the notice for the operator, or an empty string.
  /** @param {{ event: string, sample: string, status: string, message: string, version: number | null }} answer */
  handleAnswer(answer) {
    this.outbox.drop(answer.event);
    corrections.handleAnswer(answer);
    return answer.status === "saved" || answer.status === "repeated" ? "" : answer.message;
  }

  /** @param {Tile} tile @param {string} action @param {{ text?: string, flag?: string }} content */
  emit(tile, action, content = {}) {
    const { sample, version: base } = tile;
    // Only the server knows the version that an event creates, so the next event refers to it by event id.
    const after = this.outbox.isAbout(sample) ? tile.lastEvent : null;
    const event = this.exchange.emit({ action, sample, text: null, flag: null, ...content, base, after });
    if (action === "undo") corrections.remove(sample);
    else corrections.add(sample, event);
    tile.lastEvent = event;
    this.show();
    this.exchange.pump();
  }

  show() {
    const failure = this.exchange.showUnsaved(this.root);
    const unsaved = this.outbox.events.length;
    this.root.querySelector(".waiting").textContent = this.outbox.waitingText;
    clearTimeout(this.noticeTimer);
    const text = unsaved ? `${failure} Unsaved: ${unsaved}`.trimStart() : "";
    const showText = () => (this.root.querySelector(".unsaved").textContent = text);
    if (unsaved && !failure) this.noticeTimer = setTimeout(showText, NOTICE_MS);
    else showText();
  }

  // Returns the next tile with an input field.
  /** @param {Tile} tile */
  tileAfter(tile) {
    const tiles = [...this.tiles.values()];
    return tiles.slice(tiles.indexOf(tile) + 1).find(({ field }) => field);
  }
}
