// The confusion matrices: one per position and one for all positions, with common axes and one color scale. Pointing,
// choosing and zooming apply to all of them. Drawn on canvas: seven matrices of 36 characters have 9,000 cells.

import { element, mount } from "../shared/dom.js";
import { number } from "../shared/words.js";
import { KINDS, LEFT, WRONG, drawMatrix, greatest } from "./drawing.js";
import { MIN_SIZE, between, cellAt, clamped, moved, zoomed } from "./frame.js";
import { linesOf } from "./readout.js";

/** @typedef {import("./frame.js").Cell} Cell */
/** @typedef {import("./drawing.js").Matrix} Matrix */
/**
 * @typedef {object} Panel
 * @property {HTMLElement} panel
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} readout
 * @property {number} index of its matrix
 * @property {number} size of a cell
 */

const MANY = 16; // characters; with more, zooming is offered
/** @type {Record<string, number[]>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
/** @type {Record<string, "in" | "out" | "all">} */
const ZOOM_KEYS = { "+": "in", "-": "out", 0: "all" };

export default mount((root) => new Matrices(root));

class Matrices {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Panel[]} */
    this.panels = [];
    /** @type {any} sent by the server */
    this.data = null;
    /** @type {string[]} */
    this.chars = [];
    /** @type {number[]} characters on the axes */
    this.list = [];
    /** @type {import("./frame.js").Frame | null} */
    this.frame = null;
    /** @type {Cell | null} as characters, not screen positions */
    this.pointed = null;
    /** @type {Panel | null} under the pointer */
    this.pointedPanel = null;
    /** @type {Cell | null} start of a drag */
    this.start = null;
    /** @type {(Cell & { position: number | null }) | null} position null: any */
    this.chosen = null;
    this.greatest = { right: 0, wrong: 0 };
    this.resizes = new ResizeObserver(() => this.draw());
    this.resizes.observe(root);
    /** @type {NodeListOf<HTMLButtonElement>} */
    const buttons = root.querySelectorAll("[data-zoom]");
    /** @type {Record<string, HTMLButtonElement>} */
    this.buttons = {};
    for (const button of buttons) {
      this.buttons[button.dataset.zoom] = button;
      button.onclick = () => this.zoom(/** @type {any} */ (button.dataset.zoom));
    }
    /** @type {HTMLInputElement} */
    this.only = root.querySelector(".confused");
    this.only.onchange = () => this.showAll();
  }

  close() {
    this.resizes.disconnect();
  }

  /** @param {any} data @param {import("../shared/exchange.js").Trigger} trigger */
  receive(data, trigger) {
    const isKnown = this.data?.view === data.view;
    this.data = data;
    this.trigger = trigger;
    this.chars = [...data.charset];
    const C = this.chars.length;
    this.greatest = { right: greatest(data.matrices, C, true), wrong: greatest(data.matrices, C, false) };
    this.only.disabled = !data.confused.length;
    if (!data.confused.length) this.only.checked = false;
    if (!isKnown) {
      this.only.checked = false;
      this.makePanels();
    }
    if (!isKnown || String(this.axis()) !== String(this.list)) this.showAll(); // confused characters differ by kind
    this.chosen = data.chosen;
    this.panels.forEach((panel, index) => this.title(panel, data.matrices[index]));
    this.legend();
    this.draw();
  }

  makePanels() {
    this.panels = this.data.matrices.map((/** @type {Matrix} */ matrix, /** @type {number} */ index) => {
      const panel = element("div", "panel");
      const canvas = element("canvas");
      canvas.tabIndex = 0;
      canvas.dataset.testid = "matrix";
      canvas.dataset.position = String(matrix.position ?? "all");
      canvas.setAttribute("role", "img");
      const readout = element("p", "readout");
      panel.append(element("h4"), canvas, readout);
      /** @type {Panel} */
      const entry = { panel, canvas, readout, index, size: 0 };
      canvas.onpointermove = (event) => this.point(entry, this.cell(entry, event));
      canvas.onpointerleave = () => this.point(entry, null);
      canvas.onpointerdown = (event) => (this.start = event.button ? null : this.cell(entry, event));
      canvas.onpointerup = (event) => this.release(entry, this.cell(entry, event), event.pointerType);
      canvas.onkeydown = (event) => this.key(entry, event);
      canvas.onblur = () => this.point(entry, null);
      return entry;
    });
    this.root.style.setProperty("--least", this.chars.length > MANY ? "320px" : "170px");
    this.root.querySelector(".panels").replaceChildren(...this.panels.map(({ panel }) => panel));
  }

  /** @param {Panel} panel @param {Matrix} matrix */
  title({ panel, canvas }, matrix) {
    const name = matrix.position === null ? "All positions" : `Position ${matrix.position + 1}`;
    const score = `${number(matrix.right)} of ${number(matrix.n)}`;
    panel.querySelector("h4").replaceChildren(name, element("span", "", `: ${score}`));
    canvas.setAttribute(
      "aria-label",
      `Confusion matrix, ${name}: ${score} right. Arrow keys move between cells, Enter shows the images.`,
    );
  }

  legend() {
    const { faintest, ends } = KINDS[this.data.kind];
    const bar = element("i");
    bar.style.background = `linear-gradient(90deg, rgba(${WRONG}, ${faintest}), rgba(${WRONG}, 0.95))`;
    const last = ends[1] ?? number(Math.max(1, this.greatest.wrong));
    this.root.querySelector(".scale").replaceChildren("wrong: ", ends[0], bar, last);
  }

  // ---- axes and zoom ----------------------------------------------------------------------------------------------

  axis() {
    return this.only.checked ? this.data.confused : this.chars.map((_, char) => char);
  }

  showAll() {
    this.list = this.axis();
    this.setFrame({ top: 0, left: 0, rows: this.list.length, columns: this.list.length });
  }

  /** @param {import("./frame.js").Frame} frame */
  setFrame(frame) {
    const most = this.list.length;
    this.frame = clamped(frame, most);
    const { rows, columns } = this.frame;
    const isWhole = rows === most && columns === most;
    /** @type {HTMLElement} */
    const tools = this.root.querySelector(".zoom");
    tools.hidden = this.chars.length <= MANY && isWhole && !this.only.checked;
    this.buttons.all.disabled = isWhole && !this.only.checked;
    this.buttons.out.disabled = isWhole;
    this.buttons.in.disabled = Math.max(rows, columns) <= MIN_SIZE;
    this.draw();
  }

  /** @param {"in" | "out" | "all"} how */
  zoom(how) {
    if (how !== "all") return this.setFrame(zoomed(this.frame, how, this.toAxes(this.pointed ?? this.chosen)));
    this.only.checked = false;
    this.showAll();
  }

  // Returns the position of a cell's characters on the axes.
  /** @param {Cell | null} cell */
  toAxes(cell) {
    return cell && { row: this.list.indexOf(cell.row), column: this.list.indexOf(cell.column) };
  }

  // Returns the characters at a position on the axes.
  /** @param {Cell | null} cell */
  toChars(cell) {
    return cell && { row: this.list[cell.row], column: this.list[cell.column] };
  }

  // ---- pointer and keyboard ---------------------------------------------------------------------------------------

  // Returns the characters under the pointer, or null outside the cells.
  /** @param {Panel} panel @param {PointerEvent} event */
  cell({ canvas, size }, event) {
    const box = canvas.getBoundingClientRect();
    return this.toChars(cellAt(this.frame, size, event.clientX - box.left - LEFT, event.clientY - box.top));
  }

  /** @param {Panel} panel @param {Cell | null} cell */
  point(panel, cell) {
    if (this.pointed?.row === cell?.row && this.pointed?.column === cell?.column && this.pointedPanel === panel) return;
    this.pointed = cell;
    this.pointedPanel = cell ? panel : null;
    this.draw();
  }

  /** @param {Panel} panel @param {Cell | null} cell @param {string} pointer */
  release(panel, cell, pointer) {
    const { start } = this;
    this.start = null;
    if (!start || !cell) return;
    const isClick = start.row === cell.row && start.column === cell.column;
    if (isClick || pointer !== "mouse") return this.pick(panel, cell);
    this.setFrame(between(this.toAxes(start), this.toAxes(cell)));
  }

  /** @param {Panel} panel @param {Cell} cell */
  pick({ index }, { row, column }) {
    const { position, rows } = this.data.matrices[index];
    if (!rows[row]) return;
    this.chosen = { position, row, column };
    this.draw();
    this.trigger("cell", { position, true: row, read: column, view: this.data.view });
  }

  /** @param {Panel} panel @param {KeyboardEvent} event */
  key(panel, event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = STEPS[event.key];
    if (step) this.point(panel, this.stepped(step));
    else if (event.key === "Enter" && this.pointed) this.pick(panel, this.pointed);
    else if (ZOOM_KEYS[event.key]) this.zoom(ZOOM_KEYS[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Returns the cell after a step, or the first visible cell if none is selected.
  /** @param {number[]} step */
  stepped(step) {
    const from = this.toAxes(this.pointed ?? this.chosen);
    const { top, left } = this.frame;
    return this.toChars(from ? moved(this.frame, from, step) : { row: top, column: left });
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  draw() {
    if (!this.frame) return;
    const style = getComputedStyle(this.root);
    const colors = { text: style.color, font: style.fontFamily, line: style.getPropertyValue("--st-border-color") };
    const { chars, list, frame, pointed, chosen } = this;
    const { kind, target, matrices } = this.data;
    const display = { kind, target, chars, list, frame, greatest: this.greatest, pointed, chosen };
    const cell = pointed ?? chosen;
    this.root.dataset.chosen = chosen ? `${chosen.position ?? "all"} ${chosen.row} ${chosen.column}` : "";
    for (const panel of this.panels) {
      const matrix = matrices[panel.index];
      panel.size = drawMatrix(panel.canvas, matrix, display, colors) || panel.size;
      panel.panel.classList.toggle("pointed", panel === this.pointedPanel);
      const lines = cell ? linesOf(matrix, chars, kind, cell) : [];
      panel.readout.replaceChildren(...lines.flatMap((line) => [element("br"), line]).slice(1));
    }
  }
}
