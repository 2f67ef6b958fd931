// One matrix for each position and one of all of them, on common axes and one scale of colours: what is pointed at,
// chosen or zoomed in one is so in each. Drawn on canvas: seven matrices of 36 characters are 9,000 cells. Comes after
// browser.js, in one module.

const RIGHT = "47, 111, 237";
const WRONG = "217, 72, 56";
const LEFT = 30; // pixels for the axis of true characters
const BELOW = 32; // pixels for the axis of what was read
const MANY = 16; // characters, above which zooming is offered
const FEWEST = 4; // characters that a zoom leaves
const KINDS = {
  // Depth of the colour from 0 to 1, its faintest opacity where wrong, ends of the legend.
  counts: { depth: (value, max) => Math.log1p(value) / Math.log1p(Math.max(max, 2)), faintest: 0.5, first: "1" },
  rates: { depth: (value) => Math.max(0, 1 + Math.log10(value) / 3), faintest: 0.4, first: "0.1%", last: "100%" },
  probability: { depth: (value) => Math.max(0, 1 + Math.log10(value) / 5), faintest: 0.02, first: "0.001%", last: "100%" },
};

const all = new WeakMap();

// Streamlit calls this again for every new `data` and theme, and only the last cleanup, when the widget goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let widget = all.get(parentElement);
  if (!widget) all.set(parentElement, (widget = new Matrices(parentElement.querySelector(".matrices"))));
  widget.setTriggerValue = setTriggerValue;
  widget.receive(data);
  return () => {
    widget.resizes.disconnect();
    all.delete(parentElement);
  };
}

class Matrices {
  constructor(root) {
    this.root = root;
    this.panels = [];
    this.pointed = null; // { row, column }: characters, not places on the screen
    this.chosen = null; // { position, row, column }; position null: any
    this.resizes = new ResizeObserver(() => this.draw());
    this.resizes.observe(root);
    for (const button of root.querySelectorAll("[data-zoom]")) button.onclick = () => this.zoom(button.dataset.zoom);
    this.only = root.querySelector(".confused");
    this.only.onchange = () => this.showAll();
  }

  receive(data) {
    const known = this.data?.view === data.view;
    this.data = data;
    this.chars = [...data.charset];
    this.greatest = { right: this.most(true), wrong: this.most(false) };
    this.only.disabled = !data.confused.length;
    if (!data.confused.length) this.only.checked = false;
    if (!known) {
      this.only.checked = false;
      this.makePanels();
    }
    if (!known || String(this.axis()) !== String(this.list)) this.showAll(); // others are confused in another kind
    this.chosen = data.chosen;
    this.panels.forEach((panel, place) => this.title(panel, data.matrices[place]));
    this.legend();
    this.draw();
  }

  makePanels() {
    this.panels = this.data.matrices.map((matrix, place) => {
      const panel = element("div", "panel");
      const canvas = element("canvas", "");
      canvas.tabIndex = 0;
      canvas.dataset.testid = "matrix";
      canvas.dataset.position = matrix.position === null ? "all" : matrix.position;
      canvas.setAttribute("role", "img");
      const readout = element("p", "readout");
      panel.append(element("h4", ""), canvas, readout);
      const made = { panel, canvas, readout, place };
      canvas.onpointermove = (event) => this.point(made, this.cell(made, event));
      canvas.onpointerleave = () => this.point(made, null);
      canvas.onpointerdown = (event) => (this.start = event.button ? null : this.cell(made, event));
      canvas.onpointerup = (event) => this.release(made, this.cell(made, event), event.pointerType);
      canvas.onkeydown = (event) => this.key(made, event);
      canvas.onblur = () => this.point(made, null);
      return made;
    });
    this.root.style.setProperty("--least", this.chars.length > MANY ? "320px" : "170px");
    this.root.querySelector(".panels").replaceChildren(...this.panels.map(({ panel }) => panel));
  }

  title({ panel, canvas }, matrix) {
    const name = matrix.position === null ? "All positions" : `Position ${matrix.position + 1}`;
    const score = `${number(matrix.right)} of ${number(matrix.n)}`;
    panel.querySelector("h4").replaceChildren(name, element("span", "", `: ${score}`));
    canvas.setAttribute(
      "aria-label",
      `Confusion matrix, ${name}: ${score} right. The arrow keys go from cell to cell, Enter shows the images.`,
    );
  }

  legend() {
    const { faintest, first, last } = KINDS[this.data.kind];
    const bar = element("i", "");
    bar.style.background = `linear-gradient(90deg, rgba(${WRONG}, ${faintest}), rgba(${WRONG}, 0.95))`;
    this.root.querySelector(".scale").replaceChildren("wrong: ", first, bar, last ?? number(Math.max(1, this.greatest.wrong)));
  }

  // The largest value of all matrices, among the right or the wrong ones: errors are few beside right answers, and have
  // a scale of their own.
  most(right) {
    const C = this.chars.length;
    return Math.max(
      ...this.data.matrices.map(({ cells }) =>
        cells.reduce((most, value, at) => ((at % C === Math.floor(at / C)) === right ? Math.max(most, value) : most), 0),
      ),
    );
  }

  // ---- what is shown of the axes ----------------------------------------------------------------------------------

  axis() {
    return this.only.checked ? this.data.confused : this.chars.map((_, char) => char);
  }

  showAll() {
    this.list = this.axis();
    this.look({ top: 0, left: 0, rows: this.list.length, columns: this.list.length });
  }

  look(frame) {
    const most = this.list.length;
    const rows = Math.min(most, frame.rows);
    const columns = Math.min(most, frame.columns);
    const within = (start, size) => Math.max(0, Math.min(most - size, Math.round(start)));
    this.frame = { top: within(frame.top, rows), left: within(frame.left, columns), rows, columns };
    const whole = rows === most && columns === most;
    this.root.querySelector(".zoom").hidden = this.chars.length <= MANY && whole && !this.only.checked;
    this.root.querySelector("[data-zoom=all]").disabled = whole && !this.only.checked;
    this.root.querySelector("[data-zoom=out]").disabled = whole;
    this.root.querySelector("[data-zoom=in]").disabled = Math.max(rows, columns) <= FEWEST;
    this.draw();
  }

  zoom(how) {
    if (how === "all") {
      this.only.checked = false;
      return this.showAll();
    }
    const { top, left, rows, columns } = this.frame;
    const size = Math.max(FEWEST, Math.round(Math.max(rows, columns) * (how === "in" ? 0.6 : 1.7)));
    const center = this.pointed ?? this.chosen;
    const row = center ? this.list.indexOf(center.row) : top + rows / 2;
    const column = center ? this.list.indexOf(center.column) : left + columns / 2;
    this.look({ top: row - size / 2, left: column - size / 2, rows: size, columns: size });
  }

  // ---- pointer and keyboard ---------------------------------------------------------------------------------------

  // The characters under the pointer, or null beside the cells.
  cell({ canvas, size }, event) {
    const { top, left, rows, columns } = this.frame;
    const box = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / size);
    const column = Math.floor((event.clientX - box.left - LEFT) / size);
    if (!(row >= 0 && row < rows && column >= 0 && column < columns)) return null;
    return { row: this.list[top + row], column: this.list[left + column] };
  }

  point(panel, cell) {
    if (this.pointed?.row === cell?.row && this.pointed?.column === cell?.column && this.in === panel) return;
    this.pointed = cell;
    this.in = cell ? panel : null;
    this.draw();
  }

  release(panel, cell, pointer) {
    const start = this.start;
    this.start = null;
    if (!start || !cell) return;
    if ((start.row === cell.row && start.column === cell.column) || pointer !== "mouse") return this.pick(panel, cell);
    const place = (char) => this.list.indexOf(char);
    const [top, bottom] = [place(start.row), place(cell.row)].sort((a, b) => a - b);
    const [left, right] = [place(start.column), place(cell.column)].sort((a, b) => a - b);
    this.look({ top, left, rows: bottom - top + 1, columns: right - left + 1 });
  }

  pick({ place }, { row, column }) {
    const { position, rows } = this.data.matrices[place];
    if (!rows[row]) return;
    this.chosen = { position, row, column };
    this.draw();
    this.setTriggerValue("cell", { position, true: row, read: column, view: this.data.view });
  }

  key(panel, event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const { top, left, rows, columns } = this.frame;
    if (steps) {
      const at = this.pointed ?? this.chosen ?? { row: this.list[top], column: this.list[left] };
      const step = (char, by, first, n) =>
        this.list[Math.max(first, Math.min(first + n - 1, this.list.indexOf(char) + by))];
      const moved = this.pointed || this.chosen ? steps : [0, 0];
      this.point(panel, { row: step(at.row, moved[0], top, rows), column: step(at.column, moved[1], left, columns) });
    } else if (event.key === "Enter" && this.pointed) this.pick(panel, this.pointed);
    else if (event.key === "+") this.zoom("in");
    else if (event.key === "-") this.zoom("out");
    else if (event.key === "0") this.zoom("all");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  draw() {
    if (!this.frame) return;
    const style = getComputedStyle(this.root);
    const colors = { text: style.color, font: style.fontFamily, line: style.getPropertyValue("--st-border-color") };
    const { chosen } = this;
    this.root.dataset.chosen = chosen ? `${chosen.position ?? "all"} ${chosen.row} ${chosen.column}` : "";
    for (const panel of this.panels) {
      this.drawPanel(panel, this.data.matrices[panel.place], colors);
      panel.panel.classList.toggle("pointed", panel === this.in);
      panel.readout.replaceChildren(...this.read(this.data.matrices[panel.place]));
    }
  }

  drawPanel(panel, { cells, rows: support }, colors) {
    const { canvas } = panel;
    const { top, left, rows, columns } = this.frame;
    const width = canvas.clientWidth;
    if (!width) return;
    const size = (panel.size = Math.min((width - LEFT - 2) / columns, 64));
    const height = Math.ceil(size * rows) + BELOW;
    const sharp = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * sharp);
    canvas.height = Math.round(height * sharp);
    canvas.style.height = `${height}px`;
    Object.assign(canvas.dataset, { size, axis: LEFT, top, left });
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const C = this.chars.length;
    const kind = KINDS[this.data.kind];
    const gap = size > 8 ? 1 : 0.5;
    const at = (row, column) => [LEFT + column * size, row * size];
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [y, x] = [this.list[top + row], this.list[left + column]];
        const value = cells[y * C + x];
        if (!value) continue;
        const [px, py] = at(row, column);
        const depth = Math.min(1, kind.depth(value, x === y ? this.greatest.right : this.greatest.wrong));
        const [rgb, faintest] = x === y ? [RIGHT, 0.12] : [WRONG, kind.faintest];
        pen.fillStyle = `rgba(${rgb}, ${faintest + (0.95 - faintest) * depth})`;
        pen.fillRect(px, py, size - gap, size - gap);
        if (size < 13 || (x === y && size < 26) || this.data.kind === "probability") continue;
        const text = this.data.kind === "rates" ? below(100 * value, value < 0.01 ? 1 : 0) : number(value);
        const points = Math.min(11, (1.6 * size) / Math.max(2, text.length));
        if (points < 6.5) continue;
        pen.fillStyle = x === y && depth < 0.5 ? colors.text : "white";
        pen.font = `600 ${points}px ${colors.font}`;
        pen.fillText(text, px + size / 2, py + size / 2);
      }
    }
    pen.strokeStyle = colors.line;
    pen.lineWidth = 1;
    pen.strokeRect(LEFT - 0.5, 0.5, size * columns, size * rows - 1);
    this.drawAxes(pen, { rows, columns, top, left, size, support, colors });
    this.outline(pen, at, size, this.chosen, colors.text, 2);
    if (this.pointed) this.outline(pen, at, size, this.pointed, colors.text, 1);
  }

  drawAxes(pen, { rows, columns, top, left, size, support, colors }) {
    const every = Math.ceil(11 / size);
    const label = (char, x, y, marked, faint) => {
      pen.globalAlpha = faint ? 0.35 : 1;
      pen.font = `${marked ? 700 : 400} 11px ${colors.font}`;
      pen.fillText(char === " " ? "␣" : char, x, y);
      pen.globalAlpha = 1;
    };
    pen.fillStyle = colors.text;
    for (let row = 0; row < rows; row++) {
      const char = this.list[top + row];
      const marked = this.pointed?.row === char;
      if (row % every && !marked) continue;
      label(this.chars[char], LEFT - 9, (row + 0.5) * size, marked, !support[char]);
    }
    for (let column = 0; column < columns; column++) {
      const char = this.list[left + column];
      const marked = this.pointed?.column === char;
      if (column % every && !marked) continue;
      label(this.chars[char], LEFT + (column + 0.5) * size, rows * size + 9, marked, false);
    }
    pen.globalAlpha = 0.7;
    pen.font = `11px ${colors.font}`;
    pen.fillText("read as", LEFT + (columns * size) / 2, rows * size + 24);
    pen.save();
    pen.translate(7, (rows * size) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("true", 0, 0);
    pen.restore();
    pen.globalAlpha = 1;
  }

  outline(pen, at, size, cell, color, width) {
    if (!cell) return;
    const { top, left, rows, columns } = this.frame;
    const [row, column] = [this.list.indexOf(cell.row) - top, this.list.indexOf(cell.column) - left];
    if (row < 0 || row >= rows || column < 0 || column >= columns) return;
    const [x, y] = at(row, column);
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.strokeRect(x - 0.5, y - 0.5, size, size);
    if (width > 1) return;
    pen.globalAlpha = 0.25; // the cross that leads to the axes
    pen.strokeRect(LEFT, y - 0.5, columns * size, size);
    pen.strokeRect(x - 0.5, 0, size, rows * size);
    pen.globalAlpha = 1;
  }

  // Two lines on the cell that is pointed at, or else chosen, as it is in this matrix.
  read({ cells, rows, zeros, bounds, margins }) {
    const cell = this.pointed ?? this.chosen;
    if (!cell) return [];
    const [row, column] = [cell.row, cell.column];
    const at = row * this.chars.length + column;
    const [is, as] = [this.chars[row], this.chars[column]];
    const n = rows[row];
    if (!n) return [`No ${is} here`];
    if (this.data.kind === "probability") {
      const first = `${is} read as ${as}: ${percent(cells[at], 2)} on average`;
      return [first, element("br", ""), `${number(n)} with ${is}, closest call ${signed(margins[row])} nats`];
    }
    const k = this.data.kind === "rates" ? Math.round(cells[at] * n) : cells[at];
    const [low, high] = bounds[at] ?? [0, zeros[row]];
    const first = `${is} read as ${as}: ${number(k)} of ${number(n)}`;
    const within = k ? `${percent(k / n, 1)} (${percent(low, 1)} to ${percent(high, 1)})` : `at most ${percent(high, 1)}`;
    return [first, element("br", ""), within];
  }
}

// No rounding makes 100 of what is less.
function below(value, digits) {
  return (value < 100 ? Math.min(value, 100 - 10 ** -digits) : value).toFixed(digits);
}

function percent(share, digits) {
  const value = 100 * share;
  return `${value > 0 && value < 0.1 ? value.toPrecision(1) : below(value, digits)}%`;
}

const signed = (value) => value.toFixed(1).replace("-", "−");
