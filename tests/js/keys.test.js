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

test("Every character is typed. The charset refuses it later, with a sentence.", () => {
  for (const key of ["7", "é", "𝟙", " "]) assert.equal(labelCommand(pressed(key), LETTERS), "type");
});

test("Named keys map to commands; browser keys do not.", () => {
  const commands = ["Enter", "Backspace", "Escape", "F1", "F5", "Tab", "Shift"].map((key) =>
    labelCommand(pressed(key), LETTERS),
  );
  assert.deepEqual(commands, ["enter", "back", "skip", "help", undefined, undefined, undefined]);
});

test("Alt plus a letter is a command, by the letter of the keyboard layout.", () => {
  const event = pressed("z", { altKey: true, code: "KeyY" });
  assert.equal(labelCommand(event, LETTERS), "zoom");
  assert.equal(labelCommand(pressed("U", { altKey: true, code: "KeyU" }), LETTERS), "unreadable");
});

test("Option on a Mac types another character, so the key code counts.", () => {
  const event = pressed("Ω", { altKey: true, code: "KeyZ" });
  assert.equal(labelCommand(event, LETTERS), "zoom");
});

test("A character typed with Option is accepted if the charset has it.", () => {
  const event = pressed("Ω", { altKey: true, code: "KeyZ" });
  assert.equal(labelCommand(event, new Charset("αΩ")), "type");
});

test("Alt plus a letter without a command does nothing.", () => {
  assert.equal(labelCommand(pressed("x", { altKey: true, code: "KeyX" }), LETTERS), undefined);
  assert.equal(labelCommand(pressed("Tab", { altKey: true, code: "Tab" }), LETTERS), undefined);
});

test("Ctrl belongs to the browser.", () => {
  assert.equal(labelCommand(pressed("c", { ctrlKey: true }), LETTERS), undefined);
  assert.equal(labelCommand(pressed("z", { ctrlKey: true, altKey: true }), LETTERS), undefined);
});

test("AltGraph types a character, although Ctrl and Alt are reported as pressed.", () => {
  const event = pressed("@", { ctrlKey: true, altKey: true, altGraph: true });
  assert.equal(labelCommand(event, LETTERS), "type");
  assert.equal(reviewCommand(event, LETTERS), "type");
});

test("In review, Space marks, Enter confirms the screen, and other characters are typed.", () => {
  assert.deepEqual(
    [" ", "Enter", "7", "F1"].map((key) => reviewCommand(pressed(key), LETTERS)),
    ["mark", "done", "type", undefined],
  );
});

test("In review, Alt uses the key code, and Ctrl belongs to the browser.", () => {
  assert.equal(reviewCommand(pressed("¨", { altKey: true, code: "KeyU" }), LETTERS), "unreadable");
  assert.equal(reviewCommand(pressed("u", { altKey: true, ctrlKey: true, code: "KeyU" }), LETTERS), undefined);
  assert.equal(reviewCommand(pressed("a", { ctrlKey: true }), LETTERS), undefined);
});

test("A question mark asks for help, unless labels have it.", () => {
  const marks = new Charset("0123?");
  assert.deepEqual([labelCommand(pressed("?"), LETTERS), labelCommand(pressed("?"), marks)], ["help", "type"]);
  assert.deepEqual([reviewCommand(pressed("?"), LETTERS), reviewCommand(pressed("?"), marks)], [undefined, "type"]);
});
