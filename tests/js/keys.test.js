import assert from "node:assert/strict";
import test from "node:test";

import { commandOf as labelCommand } from "../../pages/components/widgets/labeler/keys.js";
import { commandOf as reviewCommand } from "../../pages/components/widgets/reviewer/keys.js";
import { Charset } from "../../pages/components/widgets/shared/charset.js";

const LETTERS = new Charset("abcdefghijklmnopqrstuvwxyz");

/** @param {string} key @param {object} more @returns {any} */
function pressed(key, { altGraph = false, ...more } = {}) {
  return { key, code: "", altKey: false, ctrlKey: false, getModifierState: () => altGraph, ...more };
}

test("A character is typed, whatever it is; the charset refuses it later, in words.", () => {
  for (const key of ["7", "é", "𝟙", " "]) assert.equal(labelCommand(pressed(key), LETTERS), "type");
});

test("Keys with a name have their command, and those of the browser none.", () => {
  const commands = ["Enter", "Backspace", "Escape", "F1", "F5", "Tab", "Shift"].map((key) =>
    labelCommand(pressed(key), LETTERS),
  );
  assert.deepEqual(commands, ["enter", "back", "skip", "help", undefined, undefined, undefined]);
});

test("Alt with a letter is a command by the letter of the layout.", () => {
  const event = pressed("z", { altKey: true, code: "KeyY" });
  assert.equal(labelCommand(event, LETTERS), "zoom");
  assert.equal(labelCommand(pressed("U", { altKey: true, code: "KeyU" }), LETTERS), "unreadable");
});

test("Option on a Mac makes another character of the letter; the place of the key counts.", () => {
  const event = pressed("Ω", { altKey: true, code: "KeyZ" });
  assert.equal(labelCommand(event, LETTERS), "zoom");
});

test("A character that Option makes and the charset holds is typed.", () => {
  const event = pressed("Ω", { altKey: true, code: "KeyZ" });
  assert.equal(labelCommand(event, new Charset("αΩ")), "type");
});

test("Alt with a letter that has no command does nothing.", () => {
  assert.equal(labelCommand(pressed("x", { altKey: true, code: "KeyX" }), LETTERS), undefined);
  assert.equal(labelCommand(pressed("Tab", { altKey: true, code: "Tab" }), LETTERS), undefined);
});

test("Ctrl belongs to the browser.", () => {
  assert.equal(labelCommand(pressed("c", { ctrlKey: true }), LETTERS), undefined);
  assert.equal(labelCommand(pressed("z", { ctrlKey: true, altKey: true }), LETTERS), undefined);
});

test("AltGraph types a character, though Ctrl and Alt seem to be down.", () => {
  const event = pressed("@", { ctrlKey: true, altKey: true, altGraph: true });
  assert.equal(labelCommand(event, LETTERS), "type");
  assert.equal(reviewCommand(event), "type");
});

test("In review the space bar marks, Enter is done, and any other character is typed.", () => {
  assert.deepEqual(
    [" ", "Enter", "7", "F1"].map((key) => reviewCommand(pressed(key))),
    ["mark", "done", "type", undefined],
  );
});

test("In review Alt goes by the place of the key, and Ctrl belongs to the browser.", () => {
  assert.equal(reviewCommand(pressed("¨", { altKey: true, code: "KeyU" })), "unreadable");
  assert.equal(reviewCommand(pressed("u", { altKey: true, ctrlKey: true, code: "KeyU" })), undefined);
  assert.equal(reviewCommand(pressed("a", { ctrlKey: true })), undefined);
});
