// The id under which the server leases images to this browser tab, and which images a reload goes on with.

import { uuid } from "../shared/exchange.js";
import { storage } from "../shared/storage.js";

const TAB_KEY = "slotlab/tab";
const ASK_MS = 60; // for another tab to say that it has the same id

export class Tab {
  /** @param {string} place @param {() => void} onReady @param {() => void} onNewId */
  constructor(place, onReady, onNewId) {
    this.place = place;
    const kept = storage.read("sessionStorage", TAB_KEY);
    const isSame = kept?.place === place && Array.isArray(kept.held) && Array.isArray(kept.passed);
    this.id = typeof kept?.id === "string" ? kept.id : uuid();
    /** @type {string[]} */
    this.held = isSame ? kept.held : [];
    /** @type {Set<string>} samples that are done with, though they stay in the queue */
    this.passed = new Set(isSame ? kept.passed : []);
    // A duplicated tab has a copy of the storage. Whoever was there first keeps the id.
    this.channel = new BroadcastChannel("slotlab/tabs");
    this.channel.onmessage = ({ data }) => {
      if (data.id !== this.id) return;
      if (data.asks) return this.channel.postMessage({ id: this.id });
      this.id = uuid();
      this.held = [];
      onNewId();
    };
    this.channel.postMessage({ id: this.id, asks: true });
    this.isReady = false;
    setTimeout(
      () => {
        this.isReady = true;
        onReady();
      },
      kept ? ASK_MS : 0,
    );
  }

  /** @param {string[]} held */
  keep(held) {
    const { id, place } = this;
    storage.write("sessionStorage", TAB_KEY, { id, place, held, passed: [...this.passed] });
  }

  close() {
    this.channel.close();
  }
}
