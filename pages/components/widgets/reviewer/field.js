// The input field for a correction. A real input supports paste, input methods and touch keyboards.

import { element } from "../shared/dom.js";
import { focusedElement, isComposed } from "../shared/keyboard.js";
import { count } from "../shared/words.js";

/** @typedef {import("./types.d.ts").Tile} Tile */
/** @typedef {import("./widget.js").Widget} Widget */
/** @typedef {import("../shared/charset.js").Charset} Charset */

export class LabelField {
  /** @param {Charset} charset @param {number} length @param {Widget} widget */
  constructor(charset, length, widget) {
    this.charset = charset;
    this.length = length;
    this.widget = widget;
    /** @type {Tile | null} being corrected */
    this.tile = null;
    this.input = element("input", "field");
    const { input } = this;
    input.type = "text";
    input.autocomplete = "off";
    input.spellcheck = false;
    input.autocapitalize = "none";
    input.inputMode = charset.inputMode;
    input.setAttribute("aria-label", "Corrected label");
    input.addEventListener("input", (event) => /** @type {InputEvent} */ (event).isComposing || this.read());
    input.addEventListener("compositionend", () => this.read());
    input.addEventListener("keydown", (event) => this.key(event));
    // Deferred, because a screen update in progress may move the focus only briefly.
    input.addEventListener("blur", () => setTimeout(() => document.hasFocus() && focusedElement() !== input && this.cancel()));
  }

  /** @param {Tile} tile @param {HTMLElement} place @param {string} char */
  open(tile, place, char) {
    this.input.value = char;
    this.tile = tile;
    this.widget.hint("");
    place.replaceChildren(this.input);
    this.input.focus({ preventScroll: true });
    this.widget.showReady();
    if (char) this.read();
  }

  close() {
    const { tile } = this;
    this.tile = null; // before the removal, which fires blur
    this.input.remove();
    return tile;
  }

  // Saves the text once the label is complete.
  read() {
    const chars = [...this.input.value.trim()].map((char) => this.charset.adapt(char));
    const foreign = chars.find((char) => !this.charset.has(char));
    const text = chars.filter((char) => this.charset.has(char));
    this.input.value = text.slice(0, foreign === undefined ? this.length : undefined).join("");
    if (foreign !== undefined) return this.widget.refuse(this.charset.refusal(foreign));
    if (text.length > this.length) {
      return this.widget.refuse(`${count(text.length, "character")} entered; a label has ${this.length}.`);
    }
    this.widget.hint("");
    if (text.length === this.length) this.widget.view.save(this.close(), text.join(""));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event)) return;
    const left = this.length - [...this.input.value].length;
    if (event.key === "Escape" || (event.key === "Backspace" && !this.input.value)) this.cancel();
    else if (event.key === "Enter" && left) {
      this.widget.refuse(`${count(left, "more character")} needed. Escape cancels.`);
    } else if (event.key === "Enter") this.read();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  cancel() {
    if (!this.tile) return;
    const text = this.input.value;
    this.close();
    this.widget.hint(text ? `Not saved: ${text}` : "");
    this.widget.view.show();
  }
}
