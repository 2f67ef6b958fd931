// Many labels at once, as many as the window holds.

import { element, showProgress } from "../shared/dom.js";
import { count, number } from "../shared/words.js";
import { layoutOf } from "./layout.js";
import { Marks } from "./marks.js";
import { boxOf, isDecided, showTile } from "./tile.js";
import { Widget } from "./widget.js";

/** @typedef {import("./types.d.ts").GridTile} Tile */

const KEPT = 1200; // tiles behind the reviewer; the oldest are let go

export class Grid extends Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    super(root, data);
    this.marks = new Marks(data);
    this.layout = { columns: 1, tiles: 0, imageWidth: 0, imageHeight: 0, labelSize: 0 };
    this.list = element("ul", "grid");
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Labels on this screen");
    this.restart();
  }

  restart() {
    this.start = 0; // first tile of the screen
    /** @type {number[]} of the screens before */
    this.starts = [];
    /** @type {number} the chosen tile, counted on the screen */
    this.at = 0;
    /** @type {number | null} when it was chosen */
    this.chosenAt = null;
    this.forgotten = 0; // tiles let go
    this.settle();
  }

  get help() {
    return "Arrow keys move. Type to correct a label. A click marks, a double click corrects.";
  }

  get commands() {
    return [
      ["back", "Back", "⌫", "Backspace: to the screen before; nothing is taken back"],
      ["mark", "Wrong", "Space", "Mark the chosen label as wrong, or take the mark off"],
      ["unreadable", "Unreadable", "Alt+U", "Take the image out: nobody can read it"],
      ["notOurs", "Not ours", "Alt+O", "Take the image out: it does not belong to this project"],
      ["toggleHistory", "History", "Alt+H", "Everything that was done to the chosen image"],
      ["done", "Done", "Enter", "Confirm every label without a mark, doubt every marked one, go on"],
    ];
  }

  get acts() {
    const { columns, tiles } = this.layout;
    return {
      back: () => this.back(),
      mark: () => this.mark(),
      unreadable: () => this.takeOut("unreadable"),
      notOurs: () => this.takeOut("not_ours"),
      toggleHistory: () => this.history.toggle(this.selected()),
      done: () => this.done(),
      left: () => this.choose(this.at - 1),
      right: () => this.choose(this.at + 1),
      up: () => this.choose(this.at < columns ? this.at : this.at - columns),
      down: () => this.choose(this.at + columns),
      first: () => this.choose(0),
      end: () => this.choose(tiles),
    };
  }

  /** @param {any} tile @returns {Tile} */
  makeTile(tile) {
    const made = { ...super.makeTile(tile), isMarked: this.marks.has(tile), isTakenOut: false, said: null };
    const choose = () => this.choose(this.shown().indexOf(made));
    const acts = { choose, mark: () => this.mark(), edit: () => this.edit("") };
    return Object.assign(made, boxOf(made, this.field.input, acts));
  }

  wanted() {
    return this.tiles.length - this.start < 3 * this.layout.tiles ? Math.max(2 * this.layout.tiles, 24) : 0;
  }

  /** @returns {Tile[]} */
  shown() {
    return this.tiles.slice(this.start, this.start + this.layout.tiles);
  }

  /** @returns {Tile | undefined} */
  selected() {
    return this.shown()[this.at];
  }

  /** @param {Tile} tile */
  overtaken(tile) {
    tile.status = "changed";
    tile.said = null;
    tile.isTakenOut = false;
    this.setMark(tile, false);
  }

  // ---- what the reviewer does -------------------------------------------------------------------------------------

  /** @param {number} at */
  choose(at) {
    this.field.giveUp();
    const last = this.shown().length - 1;
    const to = Math.max(0, Math.min(at, last));
    if (to !== this.at) this.chosenAt = performance.now();
    this.at = to;
    this.showTiles();
    this.selected()?.box.scrollIntoView({ block: "nearest" });
  }

  /** @param {Tile} tile @param {boolean} isMarked */
  setMark(tile, isMarked) {
    tile.isMarked = isMarked;
    this.marks.keep(tile, isMarked);
  }

  mark() {
    const tile = this.selected();
    if (!tile) return;
    if (isDecided(tile)) return this.refuse("You have decided this one. Type to change it.");
    this.setMark(tile, !tile.isMarked);
    this.hint("");
    this.showTiles();
  }

  /** @param {string} char */
  edit(char) {
    const tile = this.selected();
    if (!tile) return;
    tile.box.dataset.state = "typing";
    this.field.open(tile, tile.text, char);
  }

  /** @param {Tile} tile @param {string} text */
  save(tile, text) {
    if (text === tile.label && !tile.isTakenOut) {
      this.setMark(tile, false);
      this.hint(`${text} is its label already.`);
    } else {
      this.decide(tile, { text }, text);
      this.hint(`Corrected to ${text}.`);
    }
    this.show();
  }

  // Where nobody disagrees there is nothing to resolve: it is one more person's label.
  /** @param {Tile} tile @param {{ text?: string, flag?: string }} what @param {string} shown */
  decide(tile, what, shown) {
    const action = tile.disputed ? "resolve" : what.flag ? "skip" : "label";
    tile.last = this.emit(tile, action, { ...what, ms: performance.now() - (this.chosenAt ?? this.since) });
    tile.label = what.text ?? null;
    tile.shown = shown;
    tile.isTakenOut = Boolean(what.flag);
    tile.status = what.flag ?? "resolved";
    tile.operator = this.data.operator;
    tile.at = new Date().toISOString();
    this.setMark(tile, false);
    this.exchange.pump();
  }

  /** @param {string} flag */
  takeOut(flag) {
    const tile = this.selected();
    if (!tile) return;
    const shown = flag.replace("_", " ");
    this.decide(tile, { flag }, shown);
    this.hint(`Taken out as ${shown}. Type its label to bring it back.`);
    this.show();
  }

  done() {
    const tiles = this.shown();
    if (!tiles.length || this.settling.isOn || tiles.some(({ img }) => !img.complete)) return;
    const ms = (performance.now() - this.since) / tiles.length;
    for (const tile of tiles) {
      if (isDecided(tile)) continue;
      const action = tile.isMarked ? "doubt" : "confirm";
      if (tile.said === `${action} ${tile.version}`) continue;
      this.emit(tile, action, { ms });
      tile.said = `${action} ${tile.version}`;
      tile.status = tile.isMarked ? "doubted" : "confirmed";
      this.marks.keep(tile, false);
    }
    this.starts.push(this.start);
    this.start += tiles.length;
    this.forget();
    this.turn(true);
    this.exchange.pump();
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

  /** @param {boolean} isForward */
  turn(isForward) {
    this.at = 0;
    this.chosenAt = null;
    this.hint("");
    this.settle();
    this.show();
    this.slide(isForward);
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  fit() {
    const scrolled = this.root.closest("[data-testid=stMain]")?.scrollTop ?? 0;
    const top = this.part("stage").getBoundingClientRect().top + scrolled;
    const room = { width: this.width || 800, height: window.innerHeight - top };
    this.layout = layoutOf(room, this.tiles[0], this.data.length);
    const { columns, imageWidth, imageHeight, labelSize } = this.layout;
    this.root.style.setProperty("--label-size", `${labelSize}px`);
    this.root.style.setProperty("--columns", String(columns));
    this.root.style.setProperty("--image-width", `${imageWidth}px`);
    this.root.style.setProperty("--image-height", `${imageHeight}px`);
  }

  show() {
    if (this.isClosed) return;
    this.fit();
    const tiles = this.shown();
    const stage = this.part("stage");
    if (tiles.length) {
      this.putTiles(tiles);
      if (stage.firstChild !== this.list) stage.replaceChildren(this.list);
    } else this.showEmpty(stage);
    this.at = Math.max(0, Math.min(this.at, tiles.length - 1));
    this.showTiles();
    this.showReady();
    this.showFigures();
  }

  // A box that stays is not moved: that would take the focus from the field in it.
  /** @param {Tile[]} tiles */
  putTiles(tiles) {
    /** @type {Element[]} */
    const boxes = tiles.map((tile) => tile.box);
    for (const box of [...this.list.children]) boxes.includes(box) || box.remove();
    const standing = [...this.list.children];
    if (standing.every((box, at) => box === boxes[at])) this.list.append(...boxes.slice(standing.length));
    else this.list.replaceChildren(...boxes);
  }

  showTiles() {
    this.shown().forEach((each, at) => showTile(each, at === this.at, each === this.field.tile));
    const tile = this.selected();
    this.root.dataset.sample = tile?.sample ?? "";
    this.history.show(tile);
    for (const name of ["mark", "unreadable", "notOurs", "done"]) this.button(name).disabled = !tile;
    this.button("back").disabled = !this.starts.length;
    const marks = this.shown().filter((each) => each.box.dataset.state === "marked").length;
    this.button("done").firstChild.textContent = marks ? `Done, ${marks} wrong` : "Done";
  }

  showFigures() {
    const seen = this.forgotten + this.start;
    const { total } = this.data;
    const now = this.shown().length ? `${number(seen + 1)} to ${number(seen + this.shown().length)}` : number(seen);
    const all = total === null ? "" : ` of ${number(Math.max(total, this.forgotten + this.tiles.length))}`;
    this.part("seen").textContent = `${now}${all} labels`;
    showProgress(this.root, seen, total ?? 0);
    const operators = this.shown().map(({ operator }) => operator);
    const mine = operators.filter((name) => name === this.data.operator).length;
    const own = mine ? `, ${mine === operators.length ? "all" : mine} of them your own` : "";
    const names = [...new Set(operators)];
    const by = names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", ");
    this.part("rest").textContent = names.length ? `Labels of ${by}${own}` : "";
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message(["Waiting for images…"]);
    const lines = [this.tiles.length ? "That was the last one." : "No label is left to look at with these filters."];
    const disputed = this.disputed + this.outbox.events.filter((event) => event.action === "doubt").length;
    /** @type {[string, () => void][]} */
    const buttons = [];
    if (disputed) {
      lines.push(`${count(disputed, "image")} ${disputed === 1 ? "is" : "are"} disputed.`);
      buttons.push(["Decide them", () => this.exchange.insist("show", "disputed")]);
    }
    if (this.tiles.length) buttons.push(["Look for more", () => this.again()]);
    return this.message(lines, buttons);
  }
}
