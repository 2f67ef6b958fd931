// The operator's speed: time per image, and pace in this tab.

import { storage } from "../shared/storage.js";

const PAUSE_MS = 30000; // a longer gap between two labels is a pause and is not counted

// Measures how long an image has been visible.
export class Clock {
  ms = 0;
  /** @type {number | null} */
  since = null;

  start() {
    this.ms = 0;
    this.since = document.hidden ? null : performance.now();
  }

  // Adds the elapsed time. Call it on each visibility change of the page.
  update() {
    if (this.since !== null) this.ms += performance.now() - this.since;
    this.since = document.hidden ? null : performance.now();
  }

  read() {
    this.update();
    return Math.round(this.ms);
  }
}

// Counts the labels typed in this tab. It outlives page changes.
export class Pace {
  /** @param {string} project */
  constructor(project) {
    this.key = `slotlab/session/${encodeURIComponent(project)}`;
    this.stats = { labels: 0, gaps: 0, ms: 0, last: 0, ...storage.read("sessionStorage", this.key) };
  }

  /** @param {number} work */
  add(work) {
    const now = Date.now();
    const gap = now - this.stats.last;
    this.stats.labels += work;
    if (work > 0 && gap < PAUSE_MS) {
      this.stats.gaps += 1;
      this.stats.ms += gap;
    }
    this.stats.last = now;
  }

  save() {
    storage.write("sessionStorage", this.key, this.stats);
  }

  // Describes the work so far and the time that `left` images will take.
  /** @param {number | null} left */
  text(left) {
    const { labels, gaps, ms } = this.stats;
    if (!labels) return "";
    if (gaps < 5) return `${labels} this session`;
    const forecast = left ? `, ${duration((left * ms) / gaps / 60000)} left` : "";
    return `${labels} this session, ${Math.round((gaps * 60000) / ms)} per minute${forecast}`;
  }
}

/** @param {number} minutes */
function duration(minutes) {
  if (minutes < 1) return "less than a minute";
  if (minutes < 90) return `about ${Math.round(minutes)} min`;
  return `about ${Math.round(minutes / 60)} h`;
}
