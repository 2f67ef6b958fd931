// Which images have their last label from here, so that Undo takes it back. Outlives the widget, not the page.

/** @type {Map<string, { event: string, version: number | null }>} by sample; the version is null until it is known */
const entries = new Map();

export const mended = {
  /** @param {string} sample */
  has: (sample) => entries.has(sample),

  /** @param {string} sample @param {string} event */
  enter: (sample, event) => entries.set(sample, { event, version: null }),

  /** @param {string} sample */
  forget: (sample) => entries.delete(sample),

  /** @param {{ event: string, sample: string, status: string, version: number | null }} answer */
  answered({ event, sample, status, version }) {
    const entered = entries.get(sample);
    if (entered?.event !== event) return;
    // Whether another label came after one that is repeated, nobody knows here.
    if (status === "saved") entered.version = version;
    else entries.delete(sample);
  },

  // Another may have changed the image since.
  /** @param {string} sample @param {number} version that it has now */
  check(sample, version) {
    const known = entries.get(sample)?.version;
    if (known && known !== version) entries.delete(sample);
  },
};
