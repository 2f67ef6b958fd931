// Draws attention: where each position of the label looked in the image.

/** @typedef {{ rows: number, columns: number, box: number[], cells: string }} Attention maps of all positions; cells are base64 */

/** @param {number} position @param {number} n */
export const hue = (position, n) => `hsl(${Math.round((360 * position) / n)} 75% 50%)`;

// Returns the same color as [red, green, blue].
/** @param {number} position @param {number} n */
export function rgb(position, n) {
  const [h, s, l] = [(360 * position) / n, 0.75, 0.5];
  /** @param {number} offset */
  const channel = (offset) => {
    const k = (offset + h / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

// Draws each position in its color. While one is pointed at, draws only that one, as a light on the darkened image.
/** @param {HTMLCanvasElement} canvas @param {Attention} attention @param {number} n positions @param {number | null} pointed */
export function drawAttention(canvas, attention, n, pointed) {
  const ratio = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  const pen = canvas.getContext("2d");
  const [left, top, right, bottom] = attention.box;
  const cells = Uint8Array.from(atob(attention.cells), (char) => char.charCodeAt(0));
  const size = attention.rows * attention.columns;
  /** @param {number} position @param {number[]} color @param {number} opacity */
  const paint = (position, color, opacity) => {
    const map = bitmapOf(cells.subarray(position * size, (position + 1) * size), attention, color, opacity);
    pen.drawImage(map, left * width, top * height, (right - left) * width, (bottom - top) * height);
  };
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = "high";
  canvas.dataset.shown = String(pointed ?? "all");
  if (pointed === null) {
    for (let position = 0; position < n; position++) paint(position, rgb(position, n), 0.5);
    return;
  }
  pen.fillStyle = "rgba(0, 0, 0, 0.72)";
  pen.fillRect(0, 0, width, height);
  pen.globalCompositeOperation = "destination-out";
  paint(pointed, [0, 0, 0], 1);
}

// Returns the map as a bitmap with one pixel per cell, which the browser smooths when enlarging.
/** @param {Uint8Array} cells @param {Attention} attention @param {number[]} color @param {number} opacity */
function bitmapOf(cells, { rows, columns }, [red, green, blue], opacity) {
  const bitmap = new OffscreenCanvas(columns, rows);
  const pen = bitmap.getContext("2d");
  const image = pen.createImageData(columns, rows);
  cells.forEach((value, index) => image.data.set([red, green, blue, value * opacity], 4 * index));
  pen.putImageData(image, 0, 0);
  return bitmap;
}
