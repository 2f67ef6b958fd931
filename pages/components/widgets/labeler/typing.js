// Applies typing to the boxes of the image on the screen.

import { count } from "../shared/words.js";

const READ_MS = 300; // an Enter this soon after an image appeared is meant for the image before

export class Typing {
  /**
   * @param {import("./screen.js").Screen} screen
   * @param {import("../shared/charset.js").Charset} charset
   * @param {{ clock: { read(): number }, submit(): void, undo(): void, refuseAfterReplacement(): boolean }} labeler
   */
  constructor(screen, charset, labeler) {
    this.screen = screen;
    this.charset = charset;
    this.labeler = labeler;
  }

  get entry() {
    return this.screen.picture?.entry;
  }

  // Converts to the case of the charset and from full width to normal width.
  /** @param {string} char */
  inCharset(char) {
    return this.charset.has(char) ? char : this.charset.adapt(char.normalize("NFKC"));
  }

  /** @param {string} char */
  fits(char) {
    return this.charset.has(this.inCharset(char));
  }

  /** @param {string} key */
  type(key) {
    const { entry, screen } = this;
    if (!entry) return screen.refuse("No image to label.");
    if (this.labeler.refuseAfterReplacement()) return;
    const char = this.inCharset(key);
    if (!this.charset.has(char)) return screen.refuse(this.charset.refusal(key));
    if (entry.put(char)) return this.labeler.submit();
    if (entry.missing) screen.clearRefusal();
    else screen.hint("Press Enter to save.");
    screen.showTyped();
  }

  // Inserts several characters at the cursor, never into the next image.
  /** @param {string} text */
  insert(text) {
    const chars = [...text].filter((char) => char.trim() || this.charset.has(char));
    const room = this.entry?.room ?? 1;
    if (chars.length > room) {
      return this.screen.refuse(`${count(chars.length, "character")} entered; there is room for ${room}.`);
    }
    for (const char of chars) this.type(char);
  }

  /** @param {string} text */
  paste(text) {
    if (this.labeler.refuseAfterReplacement()) return;
    const chars = [...text];
    const { length } = this.entry.chars;
    const foreign = chars.find((char) => !this.fits(char));
    if (foreign !== undefined) return this.screen.refuse(this.charset.refusal(foreign));
    if (chars.length !== length) {
      return this.screen.refuse(`Pasted ${count(chars.length, "character")}; a label has ${length}.`);
    }
    this.entry.fill(chars.map((char) => this.inCharset(char)));
    this.screen.hint("Pasted. Press Enter to save.");
    this.screen.showTyped();
  }

  // Saves the typed label, or the suggestion if nothing is typed.
  enter() {
    const { picture } = this.screen;
    if (picture?.ghost) {
      if (this.labeler.refuseAfterReplacement() || !picture.isDecoded || this.labeler.clock.read() < READ_MS) return;
      picture.acceptGhost();
    }
    if (!picture || picture.entry.isEmpty) return;
    if (this.entry.missing) this.screen.refuse(`${count(this.entry.missing, "more character")} needed.`);
    else this.labeler.submit();
  }

  /** @param {boolean} [isRepeat] */
  back(isRepeat) {
    if (this.entry && !this.entry.isEmpty) {
      this.entry.back();
      this.screen.clearRefusal();
      this.screen.showTyped();
    } else if (!isRepeat) this.labeler.undo();
  }

  erase() {
    this.entry?.erase();
    this.screen.clearRefusal();
    this.screen.showTyped();
  }

  /** @param {number} index */
  moveTo(index) {
    this.entry?.move(index);
    this.screen.showTyped();
  }

  /** @param {number} by */
  moveBy(by) {
    if (this.entry) this.moveTo(this.entry.cursor + by);
  }

  end() {
    this.entry?.moveToEnd();
    this.screen.showTyped();
  }
}
