// Reviews many labels at once, as many as fit the window.

import { element, showProgress } from "../shared/dom.js";
import { count, flagText, loadingText, number } from "../shared/words.js";
import { layoutOf } from "./layout.js";
import { Marks } from "./marks.js";
import { boxOf, isDecided, showTile } from "./tile.js";
import { Widget } from "./widget.js";

/** @typedef {import("./types.d.ts").GridTile} Tile */

const MAX_REVIEWED = 1200; // reviewed tiles in memory; the oldest are dropped

export class Grid extends Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    super(root, data);
    this.marks = new Marks(data);
    this.layout = { columns: 1, tiles: 0, imageWidth: 0, imageHeight: 0, labelSize: 0 };
    this.list = element("ul", "grid");
    this.list.setAttribute("role", "list"); // a listbox may not hold the tiles' buttons
    this.list.setAttribute("aria-label", "Labels on this screen");
    this.restart();
  }

  restart() {
    this.start = 0; // first tile of the screen
    /** @type {number[]} first tiles of the previous screens */
    this.starts = [];
    /** @type {number} index of the selected tile on the screen */
    this.index = 0;
    /** @type {number | null} time of the selection */
    this.selectedAt = null;
    this.dropCount = 0; // tiles dropped from memory
    this.settle();
  }

  get help() {
    return "Arrow keys select. Type to correct a label. Click to mark it as wrong, double-click to correct it.";
  }

  get commands() {
    return [
      ["back", "Back", "⌫", "Previous screen (Backspace). Does not undo anything."],
      ["mark", "Wrong", "Space", "Mark the selected label as wrong, or remove the mark"],
      ["unreadable", "Unreadable", "Alt+U", "Skip this image: nobody can read it"],
      ["otherPortal", "Not from this portal", "Alt+O", "Skip this image: it is not from this portal"],
      ["toggleHistory", "History", "Alt+H", "History of the selected image"],
      ["done", "Done", "Enter", "Confirm unmarked labels, dispute marked ones, and continue"],
    ];
  }

  get handlers() {
    const { columns, tiles } = this.layout;
    return {
      back: () => this.back(),
      mark: () => this.mark(),
      unreadable: () => this.exclude("unreadable"),
      otherPortal: () => this.exclude("not_ours"),
      toggleHistory: () => this.history.toggle(this.selectedTile()),
      done: () => this.done(),
      left: () => this.choose(this.index - 1),
      right: () => this.choose(this.index + 1),
      up: () => this.choose(this.index < columns ? this.index : this.index - columns),
      down: () => this.choose(this.index + columns),
      first: () => this.choose(0),
      end: () => this.choose(tiles),
    };
  }

  /** @param {any} tile @returns {Tile} */
  makeTile(tile) {
    const made = { ...super.makeTile(tile), isMarked: this.marks.has(tile), isExcluded: false, verdict: null };
    const choose = () => this.choose(this.visibleTiles().indexOf(made));
    const acts = { choose, mark: () => this.mark(), edit: () => this.edit("") };
    return Object.assign(made, boxOf(made, this.field.input, acts));
  }

  missingCount() {
    return this.tiles.length - this.start < 3 * this.layout.tiles ? Math.max(2 * this.layout.tiles, 24) : 0;
  }

  /** @returns {Tile[]} */
  visibleTiles() {
    return this.tiles.slice(this.start, this.start + this.layout.tiles);
  }

  /** @returns {Tile | undefined} */
  selectedTile() {
    return this.visibleTiles()[this.index];
  }

  /** @param {Tile} tile */
  onConflict(tile) {
    tile.status = "changed";
    tile.verdict = null;
    tile.isExcluded = false;
    this.setMark(tile, false);
  }

  // ---- actions ----------------------------------------------------------------------------------------------------

  /** @param {number} index */
  choose(index) {
    this.field.cancel();
    const last = this.visibleTiles().length - 1;
    const to = Math.max(0, Math.min(index, last));
    if (to !== this.index) this.selectedAt = performance.now();
    this.index = to;
    this.showTiles();
    this.selectedTile()?.box.scrollIntoView({ block: "nearest" });
  }

  /** @param {Tile} tile @param {boolean} isMarked */
  setMark(tile, isMarked) {
    tile.isMarked = isMarked;
    this.marks.set(tile, isMarked);
  }

  mark() {
    const tile = this.selectedTile();
    if (!tile) return;
    if (isDecided(tile)) return this.refuse("You have already decided this one. Type to change it.");
    this.setMark(tile, !tile.isMarked);
    this.hint("");
    this.showTiles();
  }

  /** @param {string} char */
  edit(char) {
    const tile = this.selectedTile();
    if (!tile) return;
    tile.box.dataset.state = "typing";
    this.field.open(tile, tile.text, char);
  }

  /** @param {Tile} tile @param {string} text */
  save(tile, text) {
    if (text === tile.label && !tile.isExcluded) {
      this.setMark(tile, false);
      this.hint(`The label is already ${text}.`);
    } else {
      this.decide(tile, { text }, text);
      this.hint(`Corrected to ${text}.`);
    }
    this.show();
  }

  // Resolves a disputed image. Otherwise, adds a label or a skip.
  /** @param {Tile} tile @param {{ text?: string, flag?: string }} content @param {string} text */
  decide(tile, content, text) {
    const action = tile.disputed ? "resolve" : content.flag ? "skip" : "label";
    tile.last = this.emit(tile, action, { ...content, ms: performance.now() - (this.selectedAt ?? this.since) });
    Object.assign(tile, { label: content.text ?? null, kind: null, shown: text });
    tile.isExcluded = Boolean(content.flag);
    tile.status = content.flag ?? "resolved";
    tile.operator = this.data.operator;
    tile.at = new Date().toISOString();
    this.setMark(tile, false);
    this.exchange.pump();
  }

  /** @param {string} flag */
  exclude(flag) {
    const tile = this.selectedTile();
    if (!tile) return;
    const text = flagText(flag);
    this.decide(tile, { flag }, text);
    this.hint(`Skipped: ${text}. Type a label to include it again.`);
    this.show();
  }

  done() {
    const tiles = this.visibleTiles();
    if (!tiles.length || this.settling.isOn || tiles.some(({ img }) => !img.complete)) return;
    const ms = (performance.now() - this.since) / tiles.length;
    for (const tile of tiles) {
      if (isDecided(tile)) continue;
      const action = tile.isMarked ? "doubt" : "confirm";
      if (tile.verdict === `${action} ${tile.version}`) continue;
      this.emit(tile, action, { ms });
      tile.verdict = `${action} ${tile.version}`;
      tile.status = tile.isMarked ? "doubted" : "confirmed";
      this.marks.set(tile, false);
    }
    this.starts.push(this.start);
    this.start += tiles.length;
    this.dropOldest();
    this.turn(true);
    this.exchange.pump();
  }

  dropOldest() {
    if (this.start <= MAX_REVIEWED) return;
    const n = this.starts[1];
    this.tiles.splice(0, n);
    this.starts = this.starts.slice(1).map((start) => start - n);
    this.start -= n;
    this.dropCount += n;
  }

  back() {
    if (!this.starts.length) return this.refuse("This is the first screen.");
    this.start = this.starts.pop();
    this.turn(false);
  }

  /** @param {boolean} isForward */
  turn(isForward) {
    this.index = 0;
    this.selectedAt = null;
    this.hint("");
    this.settle();
    this.show();
    this.slide(isForward);
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  fit() {
    const room = { width: this.place.width || 800, height: window.innerHeight - this.place.top };
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
    const tiles = this.visibleTiles();
    const stage = this.part("stage");
    if (tiles.length) {
      this.putTiles(tiles);
      if (stage.firstChild !== this.list) stage.replaceChildren(this.list);
    } else this.showEmpty(stage);
    this.index = Math.max(0, Math.min(this.index, tiles.length - 1));
    this.showTiles();
    this.showReady();
    this.showFigures();
  }

  // Does not move boxes that stay, because moving would take the focus from the field in them. An image that appears
  // when there is more room needs as much time before Enter confirms it as a whole new screen.
  /** @param {Tile[]} tiles */
  putTiles(tiles) {
    /** @type {Element[]} */
    const boxes = tiles.map((tile) => tile.box);
    for (const box of [...this.list.children]) boxes.includes(box) || box.remove();
    const current = [...this.list.children];
    if (boxes.length > current.length) this.settling.start();
    if (current.every((box, index) => box === boxes[index])) this.list.append(...boxes.slice(current.length));
    else this.list.replaceChildren(...boxes);
  }

  showTiles() {
    this.visibleTiles().forEach((each, index) => showTile(each, index === this.index, each === this.field.tile));
    const tile = this.selectedTile();
    this.root.dataset.sample = tile?.sample ?? "";
    this.history.show(tile);
    for (const name of ["mark", "unreadable", "otherPortal", "done"]) this.button(name).disabled = !tile;
    this.button("back").disabled = !this.starts.length;
    const marks = this.visibleTiles().filter((each) => each.box.dataset.state === "marked").length;
    this.button("done").firstChild.textContent = marks ? `Done, ${marks} wrong` : "Done";
  }

  showFigures() {
    const reviewed = this.dropCount + this.start;
    const { total } = this.data;
    const tiles = this.visibleTiles();
    const range = tiles.length ? `${number(reviewed + 1)} to ${number(reviewed + tiles.length)}` : number(reviewed);
    const all = total === null ? "labels" : `of ${count(Math.max(total, this.dropCount + this.tiles.length), "label")}`;
    this.part("progress").textContent = `${range} ${all}`;
    showProgress(this.root, reviewed, total ?? 0);
    const operators = tiles.map(({ operator }) => operator);
    const mine = operators.filter((name) => name === this.data.operator).length;
    const own = mine ? ` (${mine === operators.length ? "all" : mine} by you)` : "";
    const names = [...new Set(operators)];
    const by = names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", ");
    this.part("operators").textContent = names.length ? `Labels by ${by}${own}` : "";
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message([loadingText(this.data.error)]);
    const lines = [this.tiles.length ? "That was the last one." : "No labels to review with these filters."];
    const disputed = this.disputed + this.outbox.events.filter((event) => event.action === "doubt").length;
    /** @type {[string, () => void][]} */
    const buttons = [];
    if (disputed) {
      lines.push(`${count(disputed, "image")} ${disputed === 1 ? "is" : "are"} disputed.`);
      buttons.push(["Resolve disputes", () => this.exchange.insist("show", "disputed")]);
    }
    if (this.tiles.length) buttons.push(["Find more labels", () => this.again()]);
    return this.message(lines, buttons);
  }
}
