// An image at hand and what is typed for it; decoded when its turn comes near.

import { imageOf } from "../shared/dom.js";
import { Entry } from "./entry.js";

export class Picture {
  /** @param {{ sample: string, version: number, url: string }} image @param {number} length */
  constructor({ sample, version, url }, length) {
    this.sample = sample;
    this.version = version;
    this.url = url;
    /** @type {string | null} id of the operator's last event on it */
    this.last = null;
    this.entry = new Entry(length);
    this.isDecoded = false;
    /** @type {HTMLImageElement | null} */
    this.img = null;
  }

  // The tab keeps it even where another has the lease.
  get isInUse() {
    return this.last !== null || !this.entry.isEmpty;
  }

  /** @param {() => void} then */
  decode(then) {
    if (this.img) return;
    this.img = imageOf(this.url, "The image to label");
    // One that fails shows its alt text and can be skipped.
    const done = () => {
      this.isDecoded = true;
      then();
    };
    this.img.decode().then(done, done);
  }
}
