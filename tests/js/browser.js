// Browser globals that Node lacks. Import this before the scripts.

class BrowserStorage {
  /** @param {string} key */
  getItem(key) {
    return this[key] ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    if (browser.isFull) throw new DOMException("full", "QuotaExceededError");
    this[key] = value;
  }

  /** @param {string} key */
  removeItem(key) {
    delete this[key];
  }
}

const stores = { localStorage: new BrowserStorage(), sessionStorage: new BrowserStorage() };

// The simulated browser. Tests set its state; `reset` restores it.
export const browser = {
  isFull: false,
  isForbidden: false,
  /** @type {Record<string, string>} */
  app: {},

  /** @param {Record<string, unknown>} values in localStorage, by key */
  reset(values = {}) {
    Object.assign(this, { isFull: false, isForbidden: false, app: {} });
    for (const key of Object.keys(stores)) stores[key] = new BrowserStorage();
    globalThis[Symbol.for("slotlab.memory")].clear();
    for (const [key, value] of Object.entries(values)) stores.localStorage[key] = JSON.stringify(value);
  },

  stored: () => ({ ...stores.localStorage }),
};

for (const kind of Object.keys(stores)) {
  Object.defineProperty(globalThis, kind, {
    configurable: true,
    get() {
      if (browser.isForbidden) throw new DOMException("forbidden", "SecurityError");
      return stores[kind];
    },
  });
}
globalThis[Symbol.for("slotlab.memory")] = new Map();
globalThis.window = globalThis;
globalThis.addEventListener ??= () => {};
globalThis.document = { hidden: false, querySelector: () => ({ dataset: browser.app }) };
