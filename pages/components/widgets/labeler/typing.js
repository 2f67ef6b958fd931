// What the keys do to the boxes of the image on the screen.

import { count, quoted } from "../shared/words.js";

export class Typing {
  /**
   * @param {import("./screen.js").Screen} screen
   * @param {import("../shared/charset.js").Charset} charset
   * @param {{ submit(): void, undo(): void, isForAnother(): boolean }} labeler
   */
  constructor(screen, charset, labeler) {
    this.screen = screen;
    this.charset = charset;
    this.labeler = labeler;
  }

  get entry() {
    return this.screen.picture?.entry;
  }

  // As the charset has it: in its case, in the usual width.
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
    if (!entry) return screen.refuse("There is no image to label.");
    if (this.labeler.isForAnother()) return;
    const char = this.inCharset(key);
    if (!this.charset.has(char)) return screen.refuse(this.charset.refusal(key));
    if (entry.put(char)) return this.labeler.submit();
    if (entry.missing) screen.forgive();
    else screen.hint("Enter saves it.");
    screen.showTyped();
  }

  // Several characters at once go into the boxes from the cursor on, never into the next image.
  /** @param {string} text */
  insert(text) {
    const chars = [...text].filter((char) => char.trim() || this.charset.has(char));
    const room = this.entry?.room ?? 1;
    if (chars.length > room) return this.screen.refuse(`${count(chars.length, "character")} for ${room} boxes.`);
    for (const char of chars) this.type(char);
  }

  /** @param {string} text */
  paste(text) {
    if (this.labeler.isForAnother()) return;
    const chars = [...text];
    const { length } = this.entry.chars;
    const foreign = chars.find((char) => !this.fits(char));
    if (foreign !== undefined) return this.screen.refuse(`${quoted(foreign)} is not in the charset.`);
    if (chars.length !== length) {
      return this.screen.refuse(`Pasted ${count(chars.length, "character")}; a label has ${length}.`);
    }
    this.entry.fill(chars.map((char) => this.inCharset(char)));
    this.screen.hint("Pasted. Enter saves it.");
    this.screen.showTyped();
  }

  enter() {
    if (!this.entry || this.entry.isEmpty) return;
    if (this.entry.missing) this.screen.refuse(`${count(this.entry.missing, "character")} more.`);
    else this.labeler.submit();
  }

  /** @param {boolean} [isRepeat] */
  back(isRepeat) {
    if (this.entry && !this.entry.isEmpty) {
      this.entry.back();
      this.screen.forgive();
      this.screen.showTyped();
    } else if (!isRepeat) this.labeler.undo();
  }

  erase() {
    this.entry?.erase();
    this.screen.forgive();
    this.screen.showTyped();
  }

  /** @param {number} place */
  moveTo(place) {
    this.entry?.move(place);
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
