// Draws one matrix on its canvas.

import { number } from "../shared/words.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").Cell} Cell */
/** @typedef {CanvasRenderingContext2D} Pen */
/** @typedef {{ text: string, font: string, line: string }} Colors */

/**
 * @typedef {object} Matrix as the server sends it
 * @property {number | null} position null: all positions
 * @property {number} right
 * @property {number} n
 * @property {number[]} cells
 * @property {number[]} rows images with each true character
 * @property {Record<number, string>} shares by cell index: its share as text
 * @property {string[]} [bounds] by row: upper bound of the share in an empty cell
 * @property {Record<number, string>} [labels] text in a cell, if it is not its value
 * @property {number[]} [margins] by row: smallest margin
 */

/**
 * @typedef {object} Display common to all matrices
 * @property {"counts" | "rates" | "probability"} kind
 * @property {string} target name of the text that is compared with the reading
 * @property {string[]} chars
 * @property {number[]} list characters on the axes
 * @property {Frame} frame
 * @property {{ right: number, wrong: number }} greatest
 * @property {Cell | null} pointed as characters, not screen positions
 * @property {Cell | null} chosen
 */

const RIGHT = "47, 111, 237";
export const WRONG = "217, 72, 56";
export const LEFT = 30; // pixels for the axis of true characters
const BELOW = 32; // pixels for the axis of read characters
const MAX_CELL = 64; // pixels
const MIN_FONT = 6.5; // pixels

/**
 * @typedef {object} Kind
 * @property {(value: number, max: number) => number} depth of the color, from 0 to 1
 * @property {number} faintest lowest opacity of wrong readings
 * @property {[string, string | null]} ends labels of the legend; null: the largest value
 */

/** @param {number} value @param {number} decades */
const logScale = (value, decades) => Math.max(0, 1 + Math.log10(value) / decades);

/** @type {Record<string, Kind>} */
export const KINDS = {
  counts: {
    depth: (value, max) => Math.log1p(value) / Math.log1p(Math.max(max, 2)),
    faintest: 0.5,
    ends: ["1", null],
  },
  rates: { depth: (value) => logScale(value, 3), faintest: 0.4, ends: ["0.1%", "100%"] },
  probability: { depth: (value) => logScale(value, 5), faintest: 0.02, ends: ["0.001%", "100%"] },
};

// Returns the largest value of all matrices, among right or wrong readings. Errors are comparatively few, so they have
// a separate scale.
/** @param {Matrix[]} matrices @param {number} C @param {boolean} isRight */
export function greatest(matrices, C, isRight) {
  /** @param {number} most @param {number} value @param {number} at */
  const larger = (most, value, at) => ((at % C === Math.floor(at / C)) === isRight ? Math.max(most, value) : most);
  return Math.max(...matrices.map(({ cells }) => cells.reduce(larger, 0)));
}

// Returns the size of a cell in pixels, or 0 if there is no room.
/** @param {HTMLCanvasElement} canvas @param {Matrix} matrix @param {Display} display @param {Colors} colors */
export function drawMatrix(canvas, matrix, display, colors) {
  const width = canvas.clientWidth;
  if (!width) return 0;
  const { frame, list, pointed, chosen } = display;
  const size = Math.min((width - LEFT - 2) / frame.columns, MAX_CELL);
  const pen = preparePen(canvas, width, Math.ceil(size * frame.rows) + BELOW);
  Object.assign(canvas.dataset, { size, axis: LEFT, top: frame.top, left: frame.left });
  drawCells(pen, size, matrix, display, colors);
  pen.strokeStyle = colors.line;
  pen.lineWidth = 1;
  pen.strokeRect(LEFT - 0.5, 0.5, size * frame.columns, size * frame.rows - 1);
  drawAxes(pen, size, matrix, display, colors);
  pen.strokeStyle = colors.text;
  if (chosen) outline(pen, size, frame, { row: list.indexOf(chosen.row), column: list.indexOf(chosen.column) }, 2);
  if (pointed) outline(pen, size, frame, { row: list.indexOf(pointed.row), column: list.indexOf(pointed.column) }, 1);
  return size;
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function preparePen(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  return pen;
}

/** @param {Pen} pen @param {number} size @param {Matrix} matrix @param {Display} display @param {Colors} colors */
function drawCells(pen, size, { cells, labels }, { kind, chars, list, frame, greatest: most }, colors) {
  const { depth: depthOf, faintest } = KINDS[kind];
  const gap = size > 8 ? 1 : 0.5;
  for (let row = 0; row < frame.rows; row++) {
    for (let column = 0; column < frame.columns; column++) {
      const [y, x] = [list[frame.top + row], list[frame.left + column]];
      const at = y * chars.length + x;
      const value = cells[at];
      if (!value) continue;
      const isRight = x === y;
      const depth = Math.min(1, depthOf(value, isRight ? most.right : most.wrong));
      const [rgb, least] = isRight ? [RIGHT, 0.12] : [WRONG, faintest];
      const [left, top] = [LEFT + column * size, row * size];
      pen.fillStyle = `rgba(${rgb}, ${least + (0.95 - least) * depth})`;
      pen.fillRect(left, top, size - gap, size - gap);
      if (kind === "probability" || size < (isRight ? 26 : 13)) continue;
      const color = isRight && depth < 0.5 ? colors.text : "white";
      drawText(pen, labels?.[at] ?? number(value), left + size / 2, top + size / 2, size, color, colors.font);
    }
  }
}

/**
 * @param {Pen} pen @param {string} text @param {number} x @param {number} y
 * @param {number} size of the cell @param {string} color @param {string} font
 */
function drawText(pen, text, x, y, size, color, font) {
  const points = Math.min(11, (1.6 * size) / Math.max(2, text.length));
  if (points < MIN_FONT) return;
  pen.fillStyle = color;
  pen.font = `600 ${points}px ${font}`;
  pen.fillText(text, x, y);
}

/** @param {Pen} pen @param {number} size @param {Matrix} matrix @param {Display} display @param {Colors} colors */
function drawAxes(pen, size, { rows: support }, { target, chars, list, frame, pointed }, colors) {
  const { top, left, rows, columns } = frame;
  const every = Math.ceil(11 / size);
  /** @param {string} char @param {number} x @param {number} y @param {boolean} isMarked @param {boolean} isFaint */
  const label = (char, x, y, isMarked, isFaint) => {
    pen.globalAlpha = isFaint ? 0.35 : 1;
    pen.font = `${isMarked ? 700 : 400} 11px ${colors.font}`;
    pen.fillText(char === " " ? "␣" : char, x, y);
  };
  pen.fillStyle = colors.text;
  for (let row = 0; row < rows; row++) {
    const char = list[top + row];
    const isMarked = pointed?.row === char;
    if (row % every === 0 || isMarked) label(chars[char], LEFT - 9, (row + 0.5) * size, isMarked, !support[char]);
  }
  for (let column = 0; column < columns; column++) {
    const char = list[left + column];
    const isMarked = pointed?.column === char;
    if (column % every === 0 || isMarked) {
      label(chars[char], LEFT + (column + 0.5) * size, rows * size + 9, isMarked, false);
    }
  }
  pen.globalAlpha = 0.7;
  pen.font = `11px ${colors.font}`;
  pen.fillText("read as", LEFT + (columns * size) / 2, rows * size + 24);
  pen.save();
  pen.translate(7, (rows * size) / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText(target, 0, 0);
  pen.restore();
  pen.globalAlpha = 1;
}

/** @param {Pen} pen @param {number} size @param {Frame} frame @param {Cell} cell @param {number} width */
function outline(pen, size, { top, left, rows, columns }, cell, width) {
  const [row, column] = [cell.row - top, cell.column - left];
  if (row < 0 || row >= rows || column < 0 || column >= columns) return;
  const [x, y] = [LEFT + column * size, row * size];
  pen.lineWidth = width;
  pen.strokeRect(x - 0.5, y - 0.5, size, size);
  if (width > 1) return;
  pen.globalAlpha = 0.25; // cross hairs to the axes
  pen.strokeRect(LEFT, y - 0.5, columns * size, size);
  pen.strokeRect(x - 0.5, 0, size, rows * size);
  pen.globalAlpha = 1;
}
