// One label of the grid, below its image.

import { element } from "../shared/dom.js";
import { ago } from "./history.js";

/** @typedef {import("./types.d.ts").GridTile} GridTile */

/**
 * @param {import("./types.d.ts").Tile} tile
 * @param {HTMLElement} field whose clicks are not for the tile
 * @param {{ choose: () => void, mark: () => void, edit: () => void }} acts
 * @returns {Pick<GridTile, "box" | "text">}
 */
export function boxOf(tile, field, { choose, mark, edit }) {
  const box = element("li", "tile");
  const text = element("div", "label");
  const pencil = element("button", "pencil", "✎");
  pencil.type = "button";
  pencil.title = "Correct the label";
  pencil.tabIndex = -1;
  pencil.setAttribute("aria-label", pencil.title);
  pencil.onclick = (event) => {
    event.stopPropagation();
    choose();
    edit();
  };
  box.dataset.sample = tile.sample;
  box.setAttribute("role", "option");
  box.append(tile.img, text, pencil);
  box.onclick = (event) => {
    if (event.target === field) return;
    choose();
    mark();
  };
  box.ondblclick = (event) => event.target === field || edit();
  return { box, text };
}

// Whether the reviewer has given another label or taken the image out; a mark then says nothing.
/** @param {GridTile} tile */
export const isDecided = (tile) => tile.isTakenOut || tile.status === "resolved";

/** @param {GridTile} tile */
export function stateOf(tile) {
  if (tile.isMarked && !isDecided(tile)) return "marked";
  if (tile.status) return tile.status;
  if (tile.disputed) return "disputed";
  return tile.checked ? "checked" : "shown";
}

/** @param {GridTile} tile @param {boolean} isSelected @param {boolean} isTyped whether it holds the field */
export function showTile(tile, isSelected, isTyped) {
  const { box, text } = tile;
  const state = stateOf(tile);
  if (!isTyped) {
    box.dataset.state = state;
    text.textContent = tile.shown;
  }
  box.setAttribute("aria-selected", String(isSelected));
  box.setAttribute("aria-label", `${tile.shown}, ${state.replace("_", " ")}`);
  box.title = `${tile.operator}, ${ago(tile.at)}, ${tile.split}`;
}
