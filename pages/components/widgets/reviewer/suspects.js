// Checks suspected labels one at a time: accept the suggestion, keep the label, or type another one.

import { showProgress } from "../shared/dom.js";
import { count, loadingText, number } from "../shared/words.js";
import { Desk } from "./desk.js";

export class SuspectDesk extends Desk {
  get help() {
    if (!this.data.total) return "";
    return "Enter accepts the suggestion, Space keeps the label. Type to enter another label. Left and right change the image.";
  }

  get commands() {
    const commands = super.commands.slice(0, -1);
    commands.push(["mark", "Label is right", "Space", "Keep the label. It is not suspected again."]);
    commands.push(["done", "Accept suggestion", "Enter", "Save the selected text as the label"]);
    return commands;
  }

  get handlers() {
    return { ...super.handlers, mark: () => this.keep() };
  }

  // The suggestion comes first. An image that someone disputes meanwhile has only opinions.
  firstChoice() {
    return 0;
  }

  keep() {
    const tile = this.selectedTile();
    if (!tile) return;
    tile.choice = tile.choices.findIndex((choice) => choice.current);
    this.done();
  }

  get actions() {
    return { text: "label", current: "confirm", flag: "skip" };
  }

  showFigures() {
    const decisions = this.steps.length;
    this.openCount = Math.max(0, (this.data.total ?? 0) - decisions);
    this.part("progress").textContent = `${number(decisions)} of ${count(decisions + this.openCount, "suspected label")} decided`;
    this.part("operators").textContent = "";
    showProgress(this.root, decisions, decisions + this.openCount);
    this.showUnsaved();
  }

  emptyState() {
    if (this.more) return this.message([loadingText(this.data.error)]);
    if (!this.steps.length && !this.tiles.length) return this.message(["No suspected labels."]);
    return this.message(["That was the last one."], [["Show undecided labels", () => this.again()]]);
  }
}
