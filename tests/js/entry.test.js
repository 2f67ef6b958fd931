import assert from "node:assert/strict";
import test from "node:test";

import { Entry } from "../../pages/components/widgets/labeler/entry.js";

/** @param {string} text a dot for an empty box @param {number} cursor */
function entryOf(text, cursor) {
  const entry = new Entry(text.length);
  entry.chars = [...text].map((char) => (char === "." ? "" : char));
  entry.cursor = cursor;
  return entry;
}

/** @param {Entry} entry */
const shown = (entry) => [entry.chars.map((char) => char || ".").join(""), entry.cursor];

test("Characters fill the boxes from the left, and the last one completes the label.", () => {
  const entry = new Entry(3);
  assert.deepEqual(
    ["1", "2", "3"].map((char) => entry.put(char)),
    [false, false, true],
  );
  assert.equal(entry.text, "123");
});

test("A character in an earlier box replaces it and does not complete the label.", () => {
  const entry = entryOf("123", 1);
  assert.equal(entry.put("9"), false);
  assert.deepEqual(shown(entry), ["193", 2]);
});

test("The last box does not complete the label while another box is empty; the cursor moves there.", () => {
  const entry = entryOf(".2.", 2);
  assert.equal(entry.put("3"), false);
  assert.deepEqual(shown(entry), [".23", 0]);
});

test("A character after the last box starts the label over.", () => {
  const entry = entryOf("123", 3);
  assert.equal(entry.put("7"), false);
  assert.deepEqual(shown(entry), ["7..", 1]);
});

test("Backspace clears the box at the cursor, or else the one before it.", () => {
  const entry = entryOf("12.", 2);
  entry.back();
  assert.deepEqual(shown(entry), ["1..", 1]);
  entry.move(0);
  entry.back();
  assert.deepEqual(shown(entry), ["...", 0]);
});

test("Backspace in the first box stays there.", () => {
  const entry = entryOf("...", 0);
  entry.back();
  assert.deepEqual(shown(entry), ["...", 0]);
});

test("Delete clears the box at the cursor and does not move.", () => {
  const entry = entryOf("123", 1);
  entry.erase();
  assert.deepEqual(shown(entry), ["1.3", 1]);
  entry.cursor = 3;
  entry.erase();
  assert.deepEqual(shown(entry), ["1.3", 3]);
});

test("The cursor moves past the last box only if no box is empty.", () => {
  const whole = entryOf("123", 0);
  whole.move(9);
  assert.equal(whole.cursor, 3);
  const gap = entryOf("1.3", 0);
  gap.move(9);
  assert.equal(gap.cursor, 2);
  gap.move(-4);
  assert.equal(gap.cursor, 0);
});

test("End moves to the first empty box, or past the last.", () => {
  const gap = entryOf("1.3", 0);
  gap.moveToEnd();
  assert.equal(gap.cursor, 1);
  const whole = entryOf("123", 0);
  whole.moveToEnd();
  assert.equal(whole.cursor, 3);
});

test("The room is the number of boxes from the cursor, or all of them past the last box.", () => {
  assert.equal(entryOf("12....", 2).room, 4);
  assert.equal(entryOf("123456", 6).room, 6);
});

test("A pasted label fills every box.", () => {
  const entry = new Entry(3);
  entry.fill(["4", "5", "6"]);
  assert.deepEqual(shown(entry), ["456", 3]);
  assert.equal(entry.missing, 0);
  assert.equal(entry.isEmpty, false);
});
