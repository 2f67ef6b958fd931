// The images at hand, which the server has leased to this tab.

import { Picture } from "./picture.js";

const HELD = 12; // images that a reload keeps

export class Supply {
  /** @param {import("./tab.js").Tab} tab @param {import("../shared/outbox.js").Outbox} outbox @param {number} length */
  constructor(tab, outbox, length) {
    this.tab = tab;
    this.outbox = outbox;
    this.length = length;
    /** @type {Picture[]} the first is the one shown */
    this.pictures = [];
    /** @type {string[]} samples that the tab had before it was reloaded */
    this.lacks = tab.held.filter((sample) => !outbox.isAbout(sample));
    this.more = true; // wait at the server
    this.elsewhere = false; // all that wait are on other screens
    this.low = 1; // so few images are few
  }

  get isHungry() {
    return this.more && this.pictures.length < this.low;
  }

  // Whether the image is at hand, or was and is done with.
  /** @param {string} sample */
  has(sample) {
    return (
      this.tab.passed.has(sample) ||
      this.pictures.some((picture) => picture.sample === sample) ||
      this.outbox.isAbout(sample)
    );
  }

  // Returns whether another has taken the image that was shown.
  /** @param {any} data */
  receive({ images, lost, more, low, elsewhere }) {
    this.lacks = [];
    this.low = low;
    if (more !== null) {
      this.more = more;
      this.elsewhere = elsewhere;
    }
    const [before] = this.pictures;
    this.pictures = this.pictures.filter((picture) => !lost.includes(picture.sample) || picture.isInUse);
    const isTaken = before !== this.pictures[0];
    for (const image of images) if (!this.has(image.sample)) this.pictures.push(new Picture(image, this.length));
    return isTaken;
  }

  // Another tab had the id first, and the images that go with it.
  giveUp() {
    this.lacks = [];
    this.pictures = this.pictures.filter((picture) => picture.isInUse);
  }

  /** @param {Picture} picture */
  putBack(picture) {
    this.tab.passed.delete(picture.sample);
    this.pictures = [picture, ...this.pictures.filter((each) => each.sample !== picture.sample)];
  }

  // Tells the server what the tab has, and keeps the same for a reload.
  message() {
    const have = this.pictures.map((picture) => picture.sample);
    this.tab.keep(have.length ? have.slice(0, HELD) : this.lacks);
    const { lacks } = this;
    return { tab: this.tab.id, have, lacks, passed: [...this.tab.passed], wants: this.pictures.length < this.low };
  }
}
