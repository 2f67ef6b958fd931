// The visible part of the axes, common to all matrices.

/** @typedef {{ top: number, left: number, rows: number, columns: number }} Frame in axis positions */
/** @typedef {{ row: number, column: number }} Cell */

export const MIN_SIZE = 4; // characters

// Limits a frame to axes of `most` characters.
/** @param {Frame} frame @param {number} most @returns {Frame} */
export function clamped(frame, most) {
  const rows = Math.min(most, frame.rows);
  const columns = Math.min(most, frame.columns);
  /** @param {number} start @param {number} size */
  const within = (start, size) => Math.max(0, Math.min(most - size, Math.round(start)));
  return { top: within(frame.top, rows), left: within(frame.left, columns), rows, columns };
}

// Returns a larger or smaller frame around a cell, or around its center.
/** @param {Frame} frame @param {"in" | "out"} how @param {Cell | null} center @returns {Frame} */
export function zoomed({ top, left, rows, columns }, how, center) {
  const size = Math.max(MIN_SIZE, Math.round(Math.max(rows, columns) * (how === "in" ? 0.6 : 1.7)));
  const { row, column } = center ?? { row: top + rows / 2, column: left + columns / 2 };
  return { top: row - size / 2, left: column - size / 2, rows: size, columns: size };
}

// Returns the frame spanned by a drag between two cells.
/** @param {Cell} one @param {Cell} other @returns {Frame} */
export function between(one, other) {
  const top = Math.min(one.row, other.row);
  const left = Math.min(one.column, other.column);
  return {
    top,
    left,
    rows: Math.abs(one.row - other.row) + 1,
    columns: Math.abs(one.column - other.column) + 1,
  };
}

// Moves a cell within the frame.
/** @param {Frame} frame @param {Cell} cell @param {number[]} step @returns {Cell} */
export function moved({ top, left, rows, columns }, cell, [down, right]) {
  /** @param {number} value @param {number} first @param {number} n */
  const within = (value, first, n) => Math.max(first, Math.min(first + n - 1, value));
  return { row: within(cell.row + down, top, rows), column: within(cell.column + right, left, columns) };
}

// Returns the cell at a point of the matrix, or null outside the cells.
/** @param {Frame} frame @param {number} size of a cell @param {number} x @param {number} y @returns {Cell | null} */
export function cellAt({ top, left, rows, columns }, size, x, y) {
  const row = Math.floor(y / size);
  const column = Math.floor(x / size);
  if (!(row >= 0 && row < rows && column >= 0 && column < columns)) return null;
  return { row: top + row, column: left + column };
}
