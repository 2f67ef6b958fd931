// Events that the server has not answered yet.

import { adoptNamed, keyOf, storage } from "./storage.js";
import { count } from "./words.js";

/**
 * @typedef {object} OutboxEvent
 * @property {string} event unique id; the server answers by it and applies it only once
 * @property {string} sample hash of the image
 * @property {string} action
 * @property {string} operator
 * @property {string | null} [text]
 * @property {string | null} [flag]
 * @property {number} [base] version of the image that the operator saw
 * @property {string | null} [after] id of this operator's previous event, whose version only the server knows
 * @property {number | null} [ms] time spent on the image
 * @property {boolean} [suggested] whether a suggestion of the readers was on the screen
 * @property {string} [shown]
 * @property {number} [seen]
 * @property {number} [delta] change in the number of labeled images
 * @property {number} [left] change in the number of images left in the queue
 * @property {number} [work] change in the number of labels by this operator
 * @property {number} [at] time of entry in ms, unique within a tab
 */

// Each event has its own storage key, so two tabs of one project never overwrite each other's events.
export class Outbox {
  /** @param {string} kind @param {{ id: number, created: string, twins: string[], operator: string, login: boolean }} data */
  constructor(kind, data) {
    adoptNamed(kind, data);
    this.prefix = `${keyOf(kind, data)}/`;
    /** @type {OutboxEvent[]} */
    const stored = storage
      .keys("localStorage", this.prefix)
      .map((key) => [key, storage.read("localStorage", key)])
      .filter(([key, event]) => key === this.prefix + event?.event && event.sample && event.action)
      .map(([, event]) => event)
      .sort((a, b) => a.at - b.at);
    // With login, the name in an event proves nothing, so its operator must log in again.
    /** @param {OutboxEvent} event */
    const isOwn = (event) => !data.login || event.operator === data.operator;
    this.events = stored.filter(isOwn);
    this.others = stored.filter((event) => !isOwn(event));
  }

  /** @param {OutboxEvent} event */
  add(event) {
    event.at = Math.max(Date.now(), (this.events.at(-1)?.at ?? 0) + 1);
    this.events.push(event);
    storage.write("localStorage", this.prefix + event.event, event);
  }

  // Removes an answered event and returns it, or undefined if it was already removed.
  /** @param {string} id */
  drop(id) {
    const event = this.events.find((each) => each.event === id);
    this.events = this.events.filter((each) => each !== event);
    storage.remove("localStorage", this.prefix + id);
    for (const each of this.unstored) storage.write("localStorage", this.prefix + each.event, each);
    return event;
  }

  // Events that closing the tab would lose.
  get unstored() {
    return this.events.filter(({ event }) => storage.endsWithTab(this.prefix + event));
  }

  // Sentences about events that wait for another operator to log in.
  get waitingText() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { operator } of this.others) counts.set(operator, (counts.get(operator) ?? 0) + 1);
    return [...counts]
      .map(([name, n]) => {
        if (name) return `${count(n, "label")} by ${name} will be saved when ${name} logs in.`;
        return `${count(n, "label")} without an operator ${n === 1 ? "stays" : "stay"} in this browser.`;
      })
      .join(" ");
  }

  // Returns the total change that the events will make to a server figure.
  /** @param {"delta" | "left" | "work"} figure */
  sum(figure) {
    return this.events.reduce((sum, event) => sum + (event[figure] ?? 0), 0);
  }

  /** @param {string} sample */
  isAbout(sample) {
    return this.events.some((event) => event.sample === sample);
  }
}
