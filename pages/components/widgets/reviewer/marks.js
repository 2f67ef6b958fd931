// Marks of wrong labels. The browser stores a mark until its screen is confirmed.

import { adoptNamed, keyOf, storage } from "../shared/storage.js";

export class Marks {
  /** @param {{ id: number, created: string, twins: string[], operator: string }} data */
  constructor(data) {
    adoptNamed("marks", data);
    this.key = keyOf("marks", data, data.operator);
  }

  /** @returns {Record<string, number>} version of each marked sample */
  read() {
    return storage.read("localStorage", this.key) ?? {};
  }

  // A mark applies to one version of an image.
  /** @param {{ sample: string, version: number }} tile */
  has({ sample, version }) {
    return this.read()[sample] === version;
  }

  /** @param {{ sample: string, version: number }} tile @param {boolean} isMarked */
  set({ sample, version }, isMarked) {
    const marks = this.read();
    if (isMarked) marks[sample] = version;
    else delete marks[sample];
    storage.write("localStorage", this.key, marks);
  }
}
