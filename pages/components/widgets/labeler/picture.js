// A loaded image and its typed label. It is decoded shortly before it is shown.

import { imageOf } from "../shared/dom.js";
import { Entry } from "./entry.js";

export class Picture {
  /** @param {{ sample: string, version: number, url: string }} image @param {number} length */
  constructor({ sample, version, url }, length) {
    this.sample = sample;
    this.version = version;
    this.url = url;
    /** @type {string | null} id of the operator's last event about it */
    this.last = null;
    this.entry = new Entry(length);
    this.isDecoded = false;
    /** @type {HTMLImageElement | null} */
    this.img = null;
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
