// The characters allowed in a label.

import { quoted } from "./words.js";

export class Charset {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.chars = new Set(text);
    const upper = text !== text.toLowerCase();
    const lower = text !== text.toUpperCase();
    // A charset with only one case needs no Shift key.
    this.toCase = upper === lower ? "" : upper ? "toUpperCase" : "toLowerCase";
  }

  /** @param {string} char */
  has(char) {
    return this.chars.has(char);
  }

  // Converts a typed letter to the case of the charset.
  /** @param {string} char */
  adapt(char) {
    if (this.toCase === "toUpperCase") return char.toUpperCase();
    return this.toCase === "toLowerCase" ? char.toLowerCase() : char;
  }

  /** @param {string} char */
  refusal(char) {
    return `${quoted(char)} is not an allowed character (${this.text}).`;
  }

  // The on-screen keyboard for touch devices.
  get inputMode() {
    return /^\d+$/.test(this.text) ? "numeric" : "text";
  }
}
