import assert from "node:assert/strict";
import test from "node:test";

import { Charset } from "../../pages/components/widgets/shared/charset.js";

test("Typed letters take the case of a charset that has only one.", () => {
  assert.equal(new Charset("ABC123").adapt("b"), "B");
  assert.equal(new Charset("abc123").adapt("B"), "b");
});

test("A charset with both cases or no letters takes letters as they are typed.", () => {
  assert.equal(new Charset("aB").adapt("b"), "b");
  assert.equal(new Charset("0123").adapt("b"), "b");
});

test("A refusal names the character, and a space by its name.", () => {
  assert.equal(new Charset("01").refusal("x"), "“x” is not in the charset 01.");
  assert.equal(new Charset("01").refusal(" "), "A space is not in the charset 01.");
});

test("A touch screen shows digits where the charset has nothing else.", () => {
  assert.deepEqual(
    ["0123456789", "01a"].map((text) => new Charset(text).inputMode),
    ["numeric", "text"],
  );
});
