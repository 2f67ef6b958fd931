// Says in two lines what one cell of a matrix holds.

import { number } from "../shared/words.js";

/** @typedef {import("./drawing.js").Matrix} Matrix */
/** @typedef {import("./frame.js").Cell} Cell */

/** @param {Matrix} matrix @param {string[]} chars @param {string} kind @param {Cell} cell @returns {string[]} */
export function linesOf({ cells, rows, shares, none, margins }, chars, kind, { row, column }) {
  const [is, as] = [chars[row], chars[column]];
  const at = row * chars.length + column;
  const n = rows[row];
  if (!n) return [`No ${is} here`];
  const share = shares[at] ?? none[row];
  if (kind === "probability") {
    const closest = margins[row].toFixed(1).replace("-", "−");
    return [`${is} read as ${as}: ${share} on average`, `${number(n)} with ${is}, closest call ${closest} nats`];
  }
  const k = kind === "rates" ? Math.round(cells[at] * n) : cells[at];
  return [`${is} read as ${as}: ${number(k)} of ${number(n)}`, share];
}
