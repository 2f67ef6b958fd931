// How fast the operator works: the time on one image, and the pace in this tab.

import { storage } from "../shared/storage.js";

const PAUSE_MS = 30000; // a longer gap between two labels is a pause and does not count for the pace

// Measures how long the image has been looked at.
export class Clock {
  ms = 0;
  /** @type {number | null} */
  since = null;

  start() {
    this.ms = 0;
    this.since = document.hidden ? null : performance.now();
  }

  // On a change of the page's visibility.
  turn() {
    if (this.since !== null) this.ms += performance.now() - this.since;
    this.since = document.hidden ? null : performance.now();
  }

  read() {
    this.turn();
    return Math.round(this.ms);
  }
}

// Counts the labels that this tab has given; outlives a change of page.
export class Pace {
  /** @param {string} project */
  constructor(project) {
    this.key = `slotlab/session/${encodeURIComponent(project)}`;
    this.stats = { labels: 0, gaps: 0, ms: 0, last: 0, ...storage.read("sessionStorage", this.key) };
  }

  /** @param {number} work */
  count(work) {
    const now = Date.now();
    const gap = now - this.stats.last;
    this.stats.labels += work;
    if (work > 0 && gap < PAUSE_MS) {
      this.stats.gaps += 1;
      this.stats.ms += gap;
    }
    this.stats.last = now;
  }

  keep() {
    storage.write("sessionStorage", this.key, this.stats);
  }

  // Says what was done, and how long `left` images will take.
  /** @param {number | null} left */
  text(left) {
    const { labels, gaps, ms } = this.stats;
    if (!labels) return "";
    if (gaps < 5) return `${labels} this session`;
    const rest = left ? `, ${duration((left * ms) / gaps / 60000)} left` : "";
    return `${labels} this session, ${Math.round((gaps * 60000) / ms)} per minute${rest}`;
  }
}

/** @param {number} minutes */
function duration(minutes) {
  if (minutes < 1) return "less than a minute";
  if (minutes < 90) return `about ${Math.round(minutes)} min`;
  return `about ${Math.round(minutes / 60)} h`;
}
