// A tile of the grid: image and label.

import { element } from "../shared/dom.js";
import { ago } from "./history.js";

/** @typedef {import("./types.d.ts").GridTile} GridTile */

/** @type {Record<string, string>} states whose name differs on the screen */
const STATES = {
  marked: "marked wrong",
  doubted: "reported wrong",
  resolved: "corrected",
  changed: "changed by someone else",
  unchecked: "not checked",
  not_ours: "not from this portal",
};

/**
 * @param {import("./types.d.ts").Tile} tile
 * @param {HTMLElement} field whose clicks the tile ignores
 * @param {{ choose: () => void, mark: () => void, edit: () => void }} handlers
 * @returns {Pick<GridTile, "box" | "text" | "badge">}
 */
export function boxOf(tile, field, { choose, mark, edit }) {
  const box = element("li", "tile");
  const text = element("div", "label");
  const badge = element("span", "kind");
  const pencil = element("button", "pencil", "✎");
  pencil.type = "button";
  pencil.title = "Correct label";
  pencil.tabIndex = -1;
  pencil.setAttribute("aria-label", pencil.title);
  pencil.onclick = (event) => {
    event.stopPropagation();
    choose();
    edit();
  };
  box.dataset.sample = tile.sample;
  box.append(tile.img, text, badge, pencil);
  box.onclick = (event) => {
    if (event.target === field) return;
    choose();
    mark();
  };
  box.ondblclick = (event) => event.target === field || edit();
  return { box, text, badge };
}

// Returns whether the reviewer corrected the label or excluded the image. A mark then has no effect.
/** @param {GridTile} tile */
export const isDecided = (tile) => tile.isExcluded || tile.status === "resolved";

/** @param {GridTile} tile */
export function stateOf(tile) {
  if (tile.isMarked && !isDecided(tile)) return "marked";
  if (tile.status) return tile.status;
  if (tile.disputed) return "disputed";
  return tile.checked ? "checked" : "unchecked";
}

/** @param {GridTile} tile @param {boolean} isSelected @param {boolean} isTyped whether it contains the input field */
export function showTile(tile, isSelected, isTyped) {
  const { box, text, badge, kind } = tile;
  const state = stateOf(tile);
  if (!isTyped) {
    box.dataset.state = state;
    text.textContent = tile.shown;
  }
  box.setAttribute("aria-current", String(isSelected));
  badge.textContent = kind ?? "";
  badge.hidden = !kind;
  box.setAttribute("aria-label", [tile.shown, STATES[state] ?? state, kind && `read by ${kind}`].filter(Boolean).join(", "));
  box.title = `${tile.operator}, ${ago(tile.at)}, ${tile.split}`;
}
