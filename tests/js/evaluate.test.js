import assert from "node:assert/strict";
import test from "node:test";

import { hue, rgb } from "../../pages/components/widgets/gallery/attention.js";
import { corrections } from "../../pages/components/widgets/gallery/corrections.js";
import { greatest } from "../../pages/components/widgets/matrices/drawing.js";
import { between, cellAt, clamped, moved, zoomed } from "../../pages/components/widgets/matrices/frame.js";
import { linesOf } from "../../pages/components/widgets/matrices/readout.js";
import "./browser.js";

const { Gallery } = await import("../../pages/components/widgets/gallery/gallery.js");

const WHOLE = { top: 0, left: 0, rows: 36, columns: 36 };

// ---- gallery ------------------------------------------------------------------------------------------------------

test("Undo is offered for a correction until someone else changes the image.", () => {
  corrections.add("a", "1");
  corrections.handleAnswer({ event: "1", sample: "a", status: "saved", version: 3 });
  corrections.check("a", 3);
  assert.equal(corrections.has("a"), true);
  corrections.check("a", 4);
  assert.equal(corrections.has("a"), false);
});

test("An answer to an earlier event changes nothing.", () => {
  corrections.add("b", "2");
  corrections.handleAnswer({ event: "1", sample: "b", status: "conflict", version: 3 });
  assert.equal(corrections.has("b"), true);
});

test("Undo is not offered for a refused or repeated correction.", () => {
  for (const status of ["conflict", "refused", "repeated"]) {
    corrections.add("c", "3");
    corrections.handleAnswer({ event: "3", sample: "c", status, version: 3 });
    assert.equal(corrections.has("c"), false);
  }
});

test("Enter moves to the next tile with a field, if there is one.", () => {
  const tiles = [{ field: {} }, { field: null }, { field: {} }];
  const gallery = { tiles: new Map(tiles.map((tile, place) => [String(place), tile])) };
  /** @param {any} tile */
  const after = (tile) => Gallery.prototype.tileAfter.call(gallery, tile);
  assert.equal(after(tiles[0]), tiles[2]);
  assert.equal(after(tiles[2]), undefined);
});

test("The attention of a position has the color of its character.", () => {
  assert.deepEqual(rgb(0, 6), [223, 32, 32]);
  assert.equal(hue(0, 6), "hsl(0 75% 50%)");
  assert.deepEqual(rgb(2, 6), [32, 223, 32]);
  assert.equal(hue(2, 6), "hsl(120 75% 50%)");
});

// ---- matrices -----------------------------------------------------------------------------------------------------

test("A frame stays within the axes.", () => {
  assert.deepEqual(clamped({ top: -3, left: 33.4, rows: 4, columns: 4 }, 36), {
    top: 0,
    left: 32,
    rows: 4,
    columns: 4,
  });
  assert.deepEqual(clamped({ top: 5, left: 5, rows: 90, columns: 90 }, 36), WHOLE);
});

test("Zooming in centers the cell under the pointer and stops at four characters.", () => {
  const near = clamped(zoomed(WHOLE, "in", { row: 20, column: 10 }), 36);
  assert.deepEqual(near, { top: 9, left: 0, rows: 22, columns: 22 });
  assert.equal(zoomed({ ...WHOLE, rows: 5, columns: 5 }, "in", null).rows, 4);
});

test("Zooming out and in without a cell keeps the center.", () => {
  const frame = { top: 10, left: 10, rows: 10, columns: 10 };
  const out = clamped(zoomed(frame, "out", null), 36);
  assert.deepEqual(out, { top: 7, left: 7, rows: 17, columns: 17 });
  assert.deepEqual(clamped(zoomed(out, "in", null), 36), { top: 11, left: 11, rows: 10, columns: 10 });
});

test("A drag spans the same cells from either corner.", () => {
  const frame = { top: 5, left: 5, rows: 4, columns: 5 };
  assert.deepEqual(between({ row: 5, column: 5 }, { row: 8, column: 9 }), frame);
  assert.deepEqual(between({ row: 8, column: 5 }, { row: 5, column: 9 }), frame);
});

test("The arrow keys stay within the frame.", () => {
  const frame = { top: 5, left: 5, rows: 4, columns: 4 };
  assert.deepEqual(moved(frame, { row: 6, column: 6 }, [0, 1]), { row: 6, column: 7 });
  assert.deepEqual(moved(frame, { row: 5, column: 8 }, [-1, 1]), { row: 5, column: 8 });
  assert.deepEqual(moved(frame, { row: 0, column: 30 }, [0, 0]), { row: 5, column: 8 });
});

test("A point belongs to the cell under it, or to no cell outside.", () => {
  const frame = { top: 5, left: 7, rows: 4, columns: 4 };
  assert.deepEqual(cellAt(frame, 10, 25, 5), { row: 5, column: 9 });
  for (const [x, y] of [
    [-1, 5],
    [40, 5],
    [5, 40],
    [NaN, 5],
  ])
    assert.equal(cellAt(frame, 10, x, y), null);
});

test("Right and wrong readings have separate scales over all matrices.", () => {
  const matrices = /** @type {any[]} */ ([{ cells: [9, 1, 2, 8] }, { cells: [3, 5, 0, 4] }]);
  assert.deepEqual([greatest(matrices, 2, true), greatest(matrices, 2, false)], [9, 5]);
});

test("A cell shows its count and share; an empty cell shows an upper bound.", () => {
  const matrix = /** @type {any} */ ({
    cells: [3, 1, 0, 0],
    rows: [4, 0],
    shares: { 1: "25.0%" },
    bounds: ["at most 60.2%"],
  });
  const chars = ["a", "b"];
  assert.deepEqual(linesOf(matrix, chars, "counts", { row: 0, column: 1 }), ["a read as b: 1 of 4", "25.0%"]);
  assert.deepEqual(linesOf(matrix, chars, "counts", { row: 1, column: 0 }), ["No images with b here"]);
  const rates = { ...matrix, cells: [1, 0, 0, 0] };
  assert.deepEqual(linesOf(rates, chars, "rates", { row: 0, column: 1 }), ["a read as b: 0 of 4", "25.0%"]);
  assert.equal(linesOf({ ...matrix, shares: {} }, chars, "counts", { row: 0, column: 0 })[1], "at most 60.2%");
});

test("A mean probability comes with the smallest margin.", () => {
  const matrix = /** @type {any} */ ({
    cells: [0.9, 0.1],
    rows: [1200],
    shares: ["90.00%", "10.00%"],
    margins: [-0.31],
  });
  const lines = linesOf(matrix, ["a"], "probability", { row: 0, column: 0 });
  assert.deepEqual(lines, ["a read as a: 90.00% on average", "1,200 with a, smallest margin −0.3 nats"]);
});
