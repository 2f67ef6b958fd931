// The id under which the server leases images to this browser tab, and the images to restore after a reload.

import { uuid } from "../shared/exchange.js";
import { storage } from "../shared/storage.js";

const TAB_KEY = "slotlab/tab";
const ASK_MS = 60; // wait for another tab with the same id to answer

export class Tab {
  /** @param {string} place @param {() => void} onReady @param {() => void} onNewId */
  constructor(place, onReady, onNewId) {
    this.place = place;
    const state = storage.read("sessionStorage", TAB_KEY);
    const isSame = state?.place === place && Array.isArray(state.held) && Array.isArray(state.passed);
    this.id = typeof state?.id === "string" ? state.id : uuid();
    /** @type {string[]} */
    this.held = isSame ? state.held : [];
    /** @type {Set<string>} handled samples that stay in the queue */
    this.passed = new Set(isSame ? state.passed : []);
    // A duplicated tab copies the storage, including the id. The first tab keeps the id.
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
      state ? ASK_MS : 0,
    );
  }

  /** @param {string[]} held */
  save(held) {
    const { id, place } = this;
    storage.write("sessionStorage", TAB_KEY, { id, place, held, passed: [...this.passed] });
  }

  close() {
    this.channel.close();
  }
}
