// The boxes of one label and the cursor. After the last box the cursor is at `chars.length`.

export class Entry {
  /** @param {number} length */
  constructor(length) {
    /** @type {string[]} */
    this.chars = Array(length).fill("");
    this.cursor = 0;
  }

  /** @param {string[]} chars */
  fill(chars) {
    this.chars = [...chars];
    this.cursor = chars.length;
  }

  get text() {
    return this.chars.join("");
  }

  get missing() {
    return this.chars.filter((char) => !char).length;
  }

  get isEmpty() {
    return this.missing === this.chars.length;
  }

  get room() {
    return this.chars.length - (this.cursor % this.chars.length);
  }

  // Returns whether to save the label: only a character in the last box of a complete label saves it.
  /** @param {string} char */
  put(char) {
    if (this.cursor === this.chars.length) {
      this.chars.fill("");
      this.cursor = 0;
    }
    this.chars[this.cursor] = char;
    this.cursor += 1;
    if (this.cursor < this.chars.length) return false;
    if (this.missing) this.cursor = this.chars.indexOf("");
    return !this.missing;
  }

  back() {
    if (!this.chars[this.cursor]) this.cursor = Math.max(0, this.cursor - 1);
    this.chars[this.cursor] = "";
  }

  erase() {
    if (this.cursor < this.chars.length) this.chars[this.cursor] = "";
  }

  // Moves past the last box only if all boxes are filled.
  /** @param {number} to */
  move(to) {
    this.cursor = Math.max(0, Math.min(to, this.chars.length - (this.missing ? 1 : 0)));
  }

  moveToEnd() {
    this.move(this.missing ? this.chars.indexOf("") : this.chars.length);
  }
}
