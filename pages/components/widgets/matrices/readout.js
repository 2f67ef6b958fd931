// Describes a cell of a matrix in up to two lines.

import { number } from "../shared/words.js";

/** @typedef {import("./drawing.js").Matrix} Matrix */
/** @typedef {import("./frame.js").Cell} Cell */

/** @param {Matrix} matrix @param {string[]} chars @param {string} kind @param {Cell} cell @returns {string[]} */
export function linesOf({ cells, rows, shares, bounds, margins }, chars, kind, { row, column }) {
  const [is, as] = [chars[row], chars[column]];
  const at = row * chars.length + column;
  const n = rows[row];
  if (!n) return [`No images with ${is} here`];
  const share = shares[at] ?? bounds[row];
  if (kind === "probability") {
    const margin = margins[row].toFixed(1).replace("-", "−");
    return [`${is} read as ${as}: ${share} on average`, `${number(n)} with ${is}, smallest margin ${margin} nats`];
  }
  const k = kind === "rates" ? Math.round(cells[at] * n) : cells[at];
  return [`${is} read as ${as}: ${number(k)} of ${number(n)}`, share];
}
