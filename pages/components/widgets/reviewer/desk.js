// One disputed image at a time, beside what was said of it.

import { button, element, showProgress } from "../shared/dom.js";
import { count, number } from "../shared/words.js";
import { Widget } from "./widget.js";

/** @typedef {import("./types.d.ts").DeskTile} Tile */

export class Desk extends Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    super(root, data);
    this.open = 0; // images still disputed
    this.restart();
  }

  restart() {
    /** @type {number} */
    this.index = 0;
    /** @type {Tile[]} decided, in order, for undo */
    this.steps = [];
    this.settle();
  }

  get help() {
    return "Up and down choose an opinion, left and right turn to another image. Type for another text.";
  }

  get commands() {
    return [
      ["back", "Undo", "⌫", "Backspace: take the last decision back"],
      ["unreadable", "Unreadable", "Alt+U", "Take the image out: nobody can read it"],
      ["notOurs", "Not ours", "Alt+O", "Take the image out: it does not belong to this project"],
      ["done", "Take the chosen", "Enter", "Decide for the chosen opinion; the present label is chosen at first"],
    ];
  }

  get acts() {
    return {
      back: () => this.back(),
      unreadable: () => this.takeOut("unreadable", "unreadable"),
      notOurs: () => this.takeOut("not_ours", "not ours"),
      done: () => this.done(),
      up: () => this.choose(-1),
      down: () => this.choose(1),
      left: () => this.turn(this.index - 1),
      right: () => this.turn(this.index + 1),
    };
  }

  /** @param {any} tile @returns {Tile} */
  makeTile(tile) {
    return { ...super.makeTile(tile), choice: presentOf(tile), decided: null };
  }

  wanted() {
    return this.tiles.length - this.index < 5 ? 1 : 0;
  }

  /** @returns {Tile[]} */
  shown() {
    return this.tiles.slice(this.index, this.index + 1);
  }

  /** @returns {Tile | undefined} */
  selected() {
    return this.tiles[this.index];
  }

  // What is chosen stays so, wherever it stands now.
  /** @param {Tile} tile @param {any} now */
  update(tile, now) {
    const { choices, choice } = tile;
    super.update(tile, now);
    const at = tile.choices.findIndex((each) => each.shown === choices[choice]?.shown);
    tile.choice = at < 0 ? presentOf(tile) : at;
    if (tile === this.selected() && tile.choices.length !== choices.length) this.settle();
  }

  // It cannot be undone. Where somebody still disagrees, it comes again, after the image on the screen.
  /** @param {Tile} tile */
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

  /** @param {number} by */
  choose(by) {
    const tile = this.selected();
    if (!tile) return;
    tile.choice = Math.max(0, Math.min(tile.choice + by, tile.choices.length - 1));
    this.hint("");
    this.show();
  }

  /** @param {number} index */
  turn(index) {
    const to = Math.max(0, Math.min(index, this.tiles.length));
    const isForward = to > this.index;
    if (to === this.index) return;
    this.index = to;
    this.hint("");
    this.settle();
    this.show();
    this.slide(isForward);
    this.exchange.pump();
  }

  done() {
    const tile = this.selected();
    if (!tile || this.settling.isOn || !tile.img.complete) return;
    const choice = tile.choices[tile.choice];
    if (!choice) return this.refuse("Choose an opinion with the arrow keys, or type the label.");
    this.decide(tile, { text: choice.text, flag: choice.flag }, choice.shown);
  }

  /** @param {string} char */
  edit(char) {
    const tile = this.selected();
    if (tile) this.field.open(tile, this.part("other"), char);
  }

  /** @param {Tile} tile @param {string} text */
  save(tile, text) {
    this.decide(tile, { text }, text);
  }

  /** @param {string} flag @param {string} shown */
  takeOut(flag, shown) {
    const tile = this.selected();
    if (tile) this.decide(tile, { flag }, shown);
  }

  /** @param {Tile} tile @param {{ text?: string | null, flag?: string | null }} what @param {string} shown */
  decide(tile, what, shown) {
    tile.last = this.emit(tile, "resolve", { ...what, ms: performance.now() - this.since });
    tile.decided = tile.last;
    tile.status = `Decided: ${shown}`;
    this.steps = [...this.steps.filter((step) => step !== tile), tile];
    this.turn(this.tiles.indexOf(tile) + 1);
    this.hint(`Last: ${shown}`);
    this.exchange.pump();
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
    this.exchange.pump();
  }

  show() {
    if (this.isClosed) return;
    this.showFigures();
    if (this.field.tile) return;
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
    this.history.setOpen(Boolean(tile));
    this.history.show(tile);
    for (const [command] of this.commands) this.button(command).disabled = !tile;
    this.button("back").disabled = !this.steps.length;
    const choice = tile?.choices[tile.choice];
    const taken = choice ? `${choice.current ? "Keep" : "Take"} ${choice.shown}` : "Take the chosen";
    this.button("done").firstChild.textContent = taken;
    this.showReady();
  }

  lookWidth() {
    const width = this.width || 600;
    return width > 620 ? width * 0.55 : width - 34;
  }

  /** @param {Tile} tile */
  opinions(tile) {
    const list = element("ul", "opinions");
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Opinions");
    tile.choices.forEach((choice, index) => {
      const item = element("li", "opinion");
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(index === tile.choice));
      item.append(element("span", "label", choice.shown), element("span", "voices", choice.voices.join(", ")));
      if (choice.current) item.append(element("span", "current", "present label"));
      item.onclick = () => {
        this.field.giveUp();
        if (tile !== this.selected()) return;
        tile.choice = index;
        this.done();
      };
      list.append(item);
    });
    const other = element("li", "opinion other");
    other.append(button("Another text", () => this.edit("")));
    list.append(other);
    if (tile.status) list.append(element("li", "status", tile.status));
    return list;
  }

  showFigures() {
    /** @type {Record<string, number>} what an unsaved event adds to the disputed images */
    const pending = { resolve: -1, undo: 1 };
    const left = this.disputed + this.outbox.events.reduce((sum, event) => sum + (pending[event.action] ?? 0), 0);
    const decided = this.steps.length;
    this.open = Math.max(0, left);
    const total = decided + this.open;
    this.part("seen").textContent = `${number(decided)} of ${number(total)} decided`;
    this.part("rest").textContent = "";
    showProgress(this.root, decided, total);
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message(["Waiting for images…"]);
    if (!this.open) {
      const done = this.steps.length ? "All disputed images are decided." : "Nobody disagrees about any image.";
      return this.message([done], [["Review labels", () => this.exchange.insist("show", "labels")]]);
    }
    const open = `${count(this.open, "image")} ${this.open === 1 ? "is" : "are"} still disputed.`;
    return this.message([open], [["Look at them again", () => this.again()]]);
  }
}

// Place of the present label among the opinions.
/** @param {{ choices?: import("./types.d.ts").Choice[] }} tile */
const presentOf = (tile) => tile.choices.findIndex((choice) => choice.current);
