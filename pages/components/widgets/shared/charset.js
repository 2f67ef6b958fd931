// The characters that a label may hold.

import { quoted } from "./words.js";

export class Charset {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.chars = new Set(text);
    const upper = text !== text.toLowerCase();
    const lower = text !== text.toUpperCase();
    // Nobody has to hold Shift for a charset that has only one case.
    this.toCase = upper === lower ? "" : upper ? "toUpperCase" : "toLowerCase";
  }

  /** @param {string} char */
  has(char) {
    return this.chars.has(char);
  }

  // Turns a typed letter to the case of the charset.
  /** @param {string} char */
  adapt(char) {
    if (this.toCase === "toUpperCase") return char.toUpperCase();
    return this.toCase === "toLowerCase" ? char.toLowerCase() : char;
  }

  /** @param {string} char */
  refusal(char) {
    return `${quoted(char)} is not in the charset ${this.text}.`;
  }

  // The keyboard that a touch screen shows.
  get inputMode() {
    return /^\d+$/.test(this.text) ? "numeric" : "text";
  }
}
