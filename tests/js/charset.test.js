import assert from "node:assert/strict";
import test from "node:test";

import { Charset } from "../../pages/components/widgets/shared/charset.js";

test("Typed letters take the case of a single-case charset.", () => {
  assert.equal(new Charset("ABC123").adapt("b"), "B");
  assert.equal(new Charset("abc123").adapt("B"), "b");
});

test("A charset with both cases, or without letters, leaves letters as typed.", () => {
  assert.equal(new Charset("aB").adapt("b"), "b");
  assert.equal(new Charset("0123").adapt("b"), "b");
});

test("A refusal quotes the character and spells out a space.", () => {
  assert.equal(new Charset("01").refusal("x"), "“x” is not an allowed character (01).");
  assert.equal(new Charset("01").refusal(" "), "A space is not an allowed character (01).");
});

test("A touch screen shows a numeric keyboard for a charset of digits.", () => {
  assert.deepEqual(
    ["0123456789", "01a"].map((text) => new Charset(text).inputMode),
    ["numeric", "text"],
  );
});
