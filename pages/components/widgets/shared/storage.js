// The browser's storage. It may be full or forbidden: what it does not take lasts as long as the tab.

/** @typedef {"localStorage" | "sessionStorage"} Kind */

/** @type {Map<string, any>} values that the browser did not take; they outlive the widget */
const MEMORY = (/** @type {any} */ (window)[Symbol.for("slotlab.memory")] ??= new Map());

export const storage = {
  // Returns undefined where there is no value or a damaged one.
  /** @param {Kind} kind @param {string} key @returns {any} */
  read(kind, key) {
    try {
      return MEMORY.has(key) ? MEMORY.get(key) : (JSON.parse(window[kind].getItem(key) ?? "null") ?? undefined);
    } catch {
      return undefined;
    }
  },

  /** @param {Kind} kind @param {string} key @param {unknown} value */
  write(kind, key, value) {
    try {
      window[kind].setItem(key, JSON.stringify(value));
      MEMORY.delete(key);
    } catch {
      MEMORY.set(key, value);
    }
  },

  /** @param {Kind} kind @param {string} key */
  forget(kind, key) {
    MEMORY.delete(key);
    try {
      window[kind].removeItem(key);
    } catch {
      // a browser that forbids storage has nothing to forget
    }
  },

  /** @param {Kind} kind @param {string} prefix */
  keys(kind, prefix) {
    /** @type {string[]} */
    let stored = [];
    try {
      stored = Object.keys(window[kind]);
    } catch {
      // as above
    }
    return [...new Set([...stored, ...MEMORY.keys()])].filter((key) => key.startsWith(prefix));
  },

  // Whether the browser did not take the value, so that it is lost with the tab.
  /** @param {string} key */
  endsWithTab(key) {
    return MEMORY.has(key);
  },
};

// Names what the browser keeps of a project. Another Slotlab folder may be served at the same address, with a project
// of the same name; it was not made in the same second.
/** @param {string} kind @param {{ project: string, created: string }} data @param {string[]} more */
export function keyOf(kind, { project, created }, ...more) {
  return ["slotlab", kind, ...[project, created, ...more].map(encodeURIComponent)].join("/");
}
