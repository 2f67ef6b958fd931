// Resolves disputed images one at a time, next to the opinions about each.

import { button, element, showProgress } from "../shared/dom.js";
import { count, flagText, loadingText, number } from "../shared/words.js";
import { Widget } from "./widget.js";

/** @typedef {import("./types.d.ts").DeskTile} Tile */
/** @typedef {import("./types.d.ts").Choice} Choice */

export class Desk extends Widget {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    super(root, data);
    this.openCount = 0; // images still disputed
    this.restart();
  }

  restart() {
    /** @type {number} */
    this.index = 0;
    /** @type {Tile[]} in order of decision, for undo */
    this.steps = [];
    this.settle();
  }

  get help() {
    return "Up and down choose an opinion, left and right change the image. Type to enter another label.";
  }

  get commands() {
    return [
      ["back", "Undo", "⌫", "Undo the last decision (Backspace)"],
      ["unreadable", "Unreadable", "Alt+U", "Skip this image: nobody can read it"],
      ["otherPortal", "Not from this portal", "Alt+O", "Skip this image: it is not from this portal"],
      ["done", "Accept opinion", "Enter", "Accept the selected opinion. The current label is selected at first."],
    ];
  }

  get handlers() {
    return {
      back: () => this.back(),
      unreadable: () => this.exclude("unreadable"),
      otherPortal: () => this.exclude("not_ours"),
      done: () => this.done(),
      up: () => this.choose(-1),
      down: () => this.choose(1),
      left: () => this.turn(this.index - 1),
      right: () => this.turn(this.index + 1),
    };
  }

  /** @param {any} tile @returns {Tile} */
  makeTile(tile) {
    return { ...super.makeTile(tile), choice: this.firstChoice(tile), decisionId: null };
  }

  // Returns the index of the opinion that is selected at first.
  /** @param {{ choices?: Choice[] }} tile */
  firstChoice(tile) {
    return tile.choices.findIndex((choice) => choice.current);
  }

  // Returns the action of each decision: for another text, for the current label, for a flag.
  get actions() {
    return { text: "resolve", current: "resolve", flag: "resolve" };
  }

  missingCount() {
    return this.tiles.length - this.index < 5 ? 1 : 0;
  }

  /** @returns {Tile[]} */
  visibleTiles() {
    return this.tiles.slice(this.index, this.index + 1);
  }

  /** @returns {Tile | undefined} */
  selectedTile() {
    return this.tiles[this.index];
  }

  // Keeps the chosen opinion selected if its index changes.
  /** @param {Tile} tile @param {any} now */
  update(tile, now) {
    const { choices, choice } = tile;
    super.update(tile, now);
    const index = tile.choices.findIndex((each) => each.shown === choices[choice]?.shown);
    tile.choice = index < 0 ? this.firstChoice(tile) : index;
    if (tile === this.selectedTile() && tile.choices.length !== choices.length) this.settle();
  }

  // Drops the decision from the undo steps. If the image is still disputed, it comes next.
  /** @param {Tile} tile */
  onConflict(tile) {
    tile.status = "";
    tile.decisionId = null;
    tile.choice = this.firstChoice(tile);
    this.steps = this.steps.filter((step) => step !== tile);
    const index = this.tiles.indexOf(tile);
    if (!tile.disputed || index >= this.index) return;
    this.tiles.splice(index, 1);
    this.index -= 1;
    this.tiles.splice(this.index + 1, 0, tile);
    if (tile === this.selectedTile()) this.settle();
  }

  /** @param {number} by */
  choose(by) {
    const tile = this.selectedTile();
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
    const tile = this.selectedTile();
    if (!tile || this.settling.isOn || !tile.img.complete) return;
    const choice = tile.choices[tile.choice];
    if (!choice) return this.refuse("Choose an opinion with the arrow keys, or type a label.");
    this.decide(tile, { text: choice.text, flag: choice.flag }, choice.shown);
  }

  /** @param {string} char */
  edit(char) {
    const tile = this.selectedTile();
    if (tile) this.field.open(tile, this.part("other"), char);
  }

  /** @param {Tile} tile @param {string} text */
  save(tile, text) {
    this.decide(tile, { text }, text);
  }

  /** @param {string} flag */
  exclude(flag) {
    const tile = this.selectedTile();
    if (tile) this.decide(tile, { flag }, flagText(flag));
  }

  /** @param {Tile} tile @param {{ text?: string | null, flag?: string | null }} content @param {string} text */
  decide(tile, content, text) {
    const isCurrent = tile.choices.some((choice) => choice.current && choice.text === content.text);
    const decision = content.flag ? "flag" : isCurrent ? "current" : "text";
    const action = tile.disputed ? "resolve" : this.actions[decision];
    tile.last = this.emit(tile, action, { ...content, ms: performance.now() - this.since });
    tile.decisionId = tile.last;
    tile.status = `Decided: ${text}`;
    this.steps = [...this.steps.filter((step) => step !== tile), tile];
    this.turn(this.tiles.indexOf(tile) + 1);
    this.hint(`Last: ${text}`);
    this.exchange.pump();
  }

  back() {
    const tile = this.steps.pop();
    if (!tile) return this.refuse("Nothing to undo.");
    tile.last = this.emit(tile, "undo", { after: tile.decisionId });
    tile.decisionId = null;
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
    const tile = this.selectedTile();
    const stage = this.part("stage");
    if (tile) {
      const picture = element("div", "picture");
      picture.append(tile.img);
      tile.img.style.width = `${Math.min(this.pictureWidth(), tile.width * 4)}px`;
      stage.replaceChildren(picture, this.opinions(tile));
    } else this.showEmpty(stage);
    stage.classList.toggle("desk", Boolean(tile));
    this.root.dataset.sample = tile?.sample ?? "";
    this.history.setOpen(Boolean(tile));
    this.history.show(tile);
    for (const [command] of this.commands) this.button(command).disabled = !tile;
    this.button("back").disabled = !this.steps.length;
    const choice = tile?.choices[tile.choice];
    const text = choice ? `${choice.current ? "Keep" : "Accept"} ${choice.shown}` : "Accept opinion";
    this.button("done").firstChild.textContent = text;
    this.showReady();
  }

  pictureWidth() {
    const width = this.place.width || 600;
    return width > 620 ? width * 0.55 : width - 34;
  }

  /** @param {Tile} tile */
  opinions(tile) {
    const list = element("ul", "opinions");
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Opinions");
    const current = tile.choices.find((choice) => choice.current);
    tile.choices.forEach((choice, index) => {
      const item = element("li", "opinion");
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(index === tile.choice));
      item.append(labelOf(choice, current), element("span", "voices", choice.voices.join(", ")));
      if (choice.current) item.append(element("span", "current", "current label"));
      item.onclick = () => {
        this.field.cancel();
        if (tile !== this.selectedTile()) return;
        tile.choice = index;
        this.done();
      };
      list.append(item);
    });
    const other = element("li", "opinion other");
    other.append(button("Other label", () => this.edit("")));
    list.append(other);
    if (tile.status) list.append(element("li", "status", tile.status));
    return list;
  }

  showFigures() {
    /** @type {Record<string, number>} change in disputed images by each unsaved action */
    const pending = { resolve: -1, undo: 1 };
    const left = this.disputed + this.outbox.events.reduce((sum, event) => sum + (pending[event.action] ?? 0), 0);
    const decisions = this.steps.length;
    this.openCount = Math.max(0, left);
    const total = decisions + this.openCount;
    this.part("progress").textContent = `${number(decisions)} of ${number(total)} decided`;
    this.part("operators").textContent = "";
    showProgress(this.root, decisions, total);
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message([loadingText(this.data.error)]);
    if (!this.openCount) {
      const line = this.steps.length ? "All disputed images are decided." : "No disputed images.";
      return this.message([line], [["Review labels", () => this.exchange.insist("show", "labels")]]);
    }
    const line = `${count(this.openCount, "image")} ${this.openCount === 1 ? "is" : "are"} still disputed.`;
    return this.message([line], [["Show disputed images", () => this.again()]]);
  }
}

// Returns the text of an opinion, with the characters marked that differ from the current label.
/** @param {Choice} choice @param {Choice | undefined} current */
function labelOf(choice, current) {
  const label = element("span", "label");
  const currentChars = [...(current?.text ?? "")];
  if (choice.text && currentChars.length) {
    label.append(...[...choice.text].map((char, place) => element(char === currentChars[place] ? "span" : "mark", "", char)));
  } else label.textContent = choice.shown;
  return label;
}
