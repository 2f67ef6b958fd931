// Tracks the images whose last label was entered here, which Undo can revert. After a reload the server names them.

/** @type {Map<string, { event: string, version: number | null }>} by sample; the version is null until the server answers */
const entries = new Map();

export const corrections = {
  /** @param {string} sample */
  has: (sample) => entries.has(sample),

  /** @param {string} sample @param {string} event */
  add: (sample, event) => entries.set(sample, { event, version: null }),

  /** @param {string} sample @param {number} version the one that was entered here */
  restore: (sample, version) => entries.has(sample) || entries.set(sample, { event: "", version }),

  /** @param {string} sample */
  remove: (sample) => entries.delete(sample),

  /** @param {{ event: string, sample: string, status: string, version: number | null }} answer */
  handleAnswer({ event, sample, status, version }) {
    const entry = entries.get(sample);
    if (entry?.event !== event) return;
    // After a repeated event, someone else may have changed the label, so do not offer Undo.
    if (status === "saved") entry.version = version;
    else entries.delete(sample);
  },

  // Drops the entry if someone else has changed the image since.
  /** @param {string} sample @param {number} version current version */
  check(sample, version) {
    const expected = entries.get(sample)?.version;
    if (expected && expected !== version) entries.delete(sample);
  },
};
