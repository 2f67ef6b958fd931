// Browser storage. If it is full or blocked, values last as long as the tab.

/** @typedef {"localStorage" | "sessionStorage"} Kind */

/** @type {Map<string, any>} values that the browser could not store; they outlive the widget */
const MEMORY = (/** @type {any} */ (window)[Symbol.for("slotlab.memory")] ??= new Map());

export const storage = {
  // Returns undefined if the value is missing or damaged.
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
  remove(kind, key) {
    MEMORY.delete(key);
    try {
      window[kind].removeItem(key);
    } catch {
      // storage is blocked: nothing to remove
    }
  },

  /** @param {Kind} kind @param {string} prefix */
  keys(kind, prefix) {
    /** @type {string[]} */
    let names = [];
    try {
      names = Object.keys(window[kind]);
    } catch {
      // storage is blocked
    }
    return [...new Set([...names, ...MEMORY.keys()])].filter((key) => key.startsWith(prefix));
  },

  // Returns whether the browser could not store the value, so closing the tab loses it.
  /** @param {string} key */
  endsWithTab(key) {
    return MEMORY.has(key);
  },
};

// Returns a storage key for a project. It has the id, because a name can change, and the creation time, because another
// Slotlab folder served at the same address may have a project of the same id.
/** @param {string} kind @param {{ id: number, created: string }} data @param {string[]} more */
export function keyOf(kind, { id, created }, ...more) {
  return ["slotlab", kind, ...[id, created, ...more].map(encodeURIComponent)].join("/");
}

// Moves what an earlier version stored under the name of a project, which may have changed since. `twins` are the names
// of projects created in the same second, whose values are theirs.
/** @param {string} kind @param {{ id: number, created: string, twins: string[] }} data */
export function adoptNamed(kind, { id, created, twins }) {
  const others = [String(id), ...twins].map(encodeURIComponent);
  for (const key of storage.keys("localStorage", `slotlab/${kind}/`)) {
    const [, , name, time, ...more] = key.split("/");
    if (time !== encodeURIComponent(created) || others.includes(name)) continue;
    const value = storage.read("localStorage", key);
    storage.remove("localStorage", key); // first, because a full storage has no room for both
    if (value !== undefined) storage.write("localStorage", [keyOf(kind, { id, created }), ...more].join("/"), value);
  }
}
