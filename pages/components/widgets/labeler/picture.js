// A loaded image, its typed label, and the suggestion of the readers. It is decoded shortly before it is shown.

import { imageOf } from "../shared/dom.js";
import { Entry } from "./entry.js";

/** @typedef {{ text: string, unsure: number }} Suggestion agreed reading, and the index of its least sure character */

export class Picture {
  /** @param {{ sample: string, version: number, url: string, suggestion?: Suggestion | null }} image @param {number} length */
  constructor({ sample, version, url, suggestion = null }, length) {
    this.sample = sample;
    this.version = version;
    this.url = url;
    this.suggestion = suggestion;
    /** @type {string | null} id of the operator's last event about it */
    this.last = null;
    this.entry = new Entry(length);
    this.isDecoded = false;
    /** @type {HTMLImageElement | null} */
    this.img = null;
  }

  // The suggestion on the screen. Typing hides it.
  get ghost() {
    return this.entry.isEmpty ? this.suggestion : null;
  }

  acceptGhost() {
    this.entry.fill([...this.ghost.text]);
  }

  // The tab keeps such an image even if it has lost the lease.
  get isInUse() {
    return this.last !== null || !this.entry.isEmpty;
  }

  /** @param {() => void} onDone */
  decode(onDone) {
    if (this.img) return;
    this.img = imageOf(this.url, "The image to label");
    // An image that fails to decode shows its alt text and can be skipped.
    const finish = () => {
      this.isDecoded = true;
      onDone();
    };
    this.img.decode().then(finish, finish);
  }
}
