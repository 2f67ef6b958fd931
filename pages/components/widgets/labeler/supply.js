// The loaded images, which the server has leased to this tab.

import { Picture } from "./picture.js";

const MAX_HELD = 12; // images to restore after a reload

export class Supply {
  /** @param {import("./tab.js").Tab} tab @param {import("../shared/outbox.js").Outbox} outbox @param {number} length */
  constructor(tab, outbox, length) {
    this.tab = tab;
    this.outbox = outbox;
    this.length = length;
    /** @type {Picture[]} the first is on the screen */
    this.pictures = [];
    /** @type {string[]} samples that the tab had before a reload */
    this.lacks = tab.held.filter((sample) => !outbox.isAbout(sample));
    this.more = true; // whether the server has more
    this.elsewhere = false; // whether all of those are on other screens
    this.low = 1; // request more below this number
  }

  get isHungry() {
    return this.more && this.pictures.length < this.low;
  }

  // Returns whether the image is loaded or already handled.
  /** @param {string} sample */
  has(sample) {
    return (
      this.tab.passed.has(sample) ||
      this.pictures.some((picture) => picture.sample === sample) ||
      this.outbox.isAbout(sample)
    );
  }

  // Returns whether the image on the screen was taken by someone else.
  /** @param {any} data */
  receive({ images, lost, more, low, elsewhere }) {
    this.lacks = [];
    this.low = low;
    if (more !== null) {
      this.more = more;
      this.elsewhere = elsewhere;
    }
    const [previous] = this.pictures;
    this.pictures = this.pictures.filter((picture) => !lost.includes(picture.sample) || picture.isInUse);
    const isReplaced = previous !== this.pictures[0];
    for (const image of images) if (!this.has(image.sample)) this.pictures.push(new Picture(image, this.length));
    return isReplaced;
  }

  // Drops unused images: another tab owns the tab id and its leases.
  releaseUnused() {
    this.lacks = [];
    this.pictures = this.pictures.filter((picture) => picture.isInUse);
  }

  /** @param {Picture} picture */
  putBack(picture) {
    this.tab.passed.delete(picture.sample);
    this.pictures = [picture, ...this.pictures.filter((each) => each.sample !== picture.sample)];
  }

  // Returns the message fields about this tab's images, and stores the images for a reload.
  message() {
    const have = this.pictures.map((picture) => picture.sample);
    this.tab.save(have.length ? have.slice(0, MAX_HELD) : this.lacks);
    const { lacks } = this;
    return { tab: this.tab.id, have, lacks, passed: [...this.tab.passed], wants: this.pictures.length < this.low };
  }
}
