// Images beside what was read and what is right, each with a field for the right text. Nobody waits for a save: what is
// entered is an event that is sent until it is answered.

import { Charset } from "../shared/charset.js";
import { mount } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { Outbox } from "../shared/outbox.js";
import { mended } from "./mended.js";
import { Tile } from "./tile.js";

const NOTICE_MS = 1000; // before a save that takes long is spoken of

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
    for (const answer of data.answers) notices.set(answer.sample, this.answered(answer));
    const tiles = new Map();
    // A tile that stays is the same element: somebody may be typing in it.
    for (const { sample } of data.tiles) tiles.set(sample, this.tiles.get(sample) ?? new Tile(this, sample));
    const isChanged = [...tiles.keys()].join() !== [...this.tiles.keys()].join();
    this.tiles = tiles;
    if (isChanged) this.root.querySelector(".tiles").replaceChildren(...[...tiles.values()].map(({ root }) => root));
    for (const each of data.tiles) this.tiles.get(each.sample).receive(each, notices.get(each.sample));
    this.show();
    this.exchange.pump();
  }

  // Returns what its operator must be told, or nothing.
  /** @param {{ event: string, sample: string, status: string, message: string, version: number | null }} answer */
  answered(answer) {
    this.outbox.drop(answer.event);
    mended.answered(answer);
    return answer.status === "saved" || answer.status === "repeated" ? "" : answer.message;
  }

  /** @param {Tile} tile @param {string} action @param {{ text?: string, flag?: string }} what */
  emit(tile, action, what = {}) {
    const { sample, version: base } = tile;
    // The version that an event of one's own leads to is known to the server alone, so the next one names the event.
    const after = this.outbox.isAbout(sample) ? tile.lastEvent : null;
    const event = this.exchange.emit({ action, sample, text: null, flag: null, ...what, base, after });
    if (action === "undo") mended.forget(sample);
    else mended.enter(sample, event);
    tile.lastEvent = event;
    this.show();
    this.exchange.pump();
  }

  show() {
    const failure = this.exchange.showUnsaved(this.root);
    const unsaved = this.outbox.events.length;
    this.root.querySelector(".waiting").textContent = this.outbox.waitingText;
    clearTimeout(this.late);
    const text = unsaved ? `${failure} Unsaved: ${unsaved}`.trimStart() : "";
    const say = () => (this.root.querySelector(".unsaved").textContent = text);
    if (unsaved && !failure) this.late = setTimeout(say, NOTICE_MS);
    else say();
  }

  // Returns the next image that a text can be typed for.
  /** @param {Tile} tile */
  after(tile) {
    const tiles = [...this.tiles.values()];
    return tiles.slice(tiles.indexOf(tile) + 1).find(({ field }) => field);
  }
}
