// Where each position of a label looked in the image.

/** @typedef {{ rows: number, columns: number, box: number[], cells: string }} Look maps of all positions, as base64 */

/** @param {number} place @param {number} n */
export const hue = (place, n) => `hsl(${Math.round((360 * place) / n)} 75% 50%)`;

// The same color as red, green and blue.
/** @param {number} place @param {number} n */
export function rgb(place, n) {
  const [h, s, l] = [(360 * place) / n, 0.75, 0.5];
  /** @param {number} offset */
  const channel = (offset) => {
    const k = (offset + h / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

// Draws each position in its color; the one that is pointed at as a light on the darkened image.
/** @param {HTMLCanvasElement} canvas @param {Look} look @param {number} n positions @param {number | null} pointed */
export function drawLook(canvas, look, n, pointed) {
  const sharp = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * sharp));
  const height = (canvas.height = Math.round(canvas.clientHeight * sharp));
  const pen = canvas.getContext("2d");
  const [left, top, right, bottom] = look.box;
  const cells = Uint8Array.from(atob(look.cells), (char) => char.charCodeAt(0));
  const size = look.rows * look.columns;
  /** @param {number} place @param {number[]} color @param {number} opacity */
  const paint = (place, color, opacity) => {
    const map = painted(cells.subarray(place * size, (place + 1) * size), look, color, opacity);
    pen.drawImage(map, left * width, top * height, (right - left) * width, (bottom - top) * height);
  };
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = "high";
  canvas.dataset.shown = String(pointed ?? "all");
  if (pointed === null) {
    for (let place = 0; place < n; place++) paint(place, rgb(place, n), 0.5);
    return;
  }
  pen.fillStyle = "rgba(0, 0, 0, 0.72)";
  pen.fillRect(0, 0, width, height);
  pen.globalCompositeOperation = "destination-out";
  paint(pointed, [0, 0, 0], 1);
}

// The map as a picture of one pixel a cell, which the browser smoothes when it enlarges it.
/** @param {Uint8Array} cells @param {Look} look @param {number[]} color @param {number} opacity */
function painted(cells, { rows, columns }, [red, green, blue], opacity) {
  const small = new OffscreenCanvas(columns, rows);
  const pen = small.getContext("2d");
  const image = pen.createImageData(columns, rows);
  cells.forEach((value, at) => image.data.set([red, green, blue, value * opacity], 4 * at));
  pen.putImageData(image, 0, 0);
  return small;
}
