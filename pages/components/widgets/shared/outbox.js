// What was entered and has no answer yet.

import { keyOf, storage } from "./storage.js";
import { count } from "./words.js";

/**
 * @typedef {object} Entered
 * @property {string} event its id, by which the server answers it and takes it only once
 * @property {string} sample hash of the image
 * @property {string} action
 * @property {string} operator
 * @property {string | null} [text]
 * @property {string | null} [flag]
 * @property {number} [base] version of the image that the operator saw
 * @property {string | null} [after] id of the operator's event before this one, whose version only the server knows
 * @property {number | null} [ms] time spent on the image
 * @property {string} [shown]
 * @property {number} [seen]
 * @property {number} [delta] labels that it adds
 * @property {number} [left] images that it adds to those that wait
 * @property {number} [work] labels that the operator gave
 * @property {number} [at] when it was entered; no two of a tab have the same
 */

// Events have a storage key each: two tabs of one project never overwrite each other's.
export class Outbox {
  /** @param {string} kind @param {{ project: string, created: string, operator: string, login: boolean }} data */
  constructor(kind, data) {
    this.prefix = `${keyOf(kind, data)}/`;
    /** @type {Entered[]} */
    const stored = storage
      .keys("localStorage", this.prefix)
      .map((key) => [key, storage.read("localStorage", key)])
      .filter(([key, event]) => key === this.prefix + event?.event && event.sample && event.action)
      .map(([, event]) => event)
      .sort((a, b) => a.at - b.at);
    // With login a name inside an event proves nothing: its owner has to log in again.
    /** @param {Entered} event */
    const isOwn = (event) => !data.login || event.operator === data.operator;
    this.events = stored.filter(isOwn);
    this.others = stored.filter((event) => !isOwn(event));
  }

  /** @param {Entered} event */
  add(event) {
    event.at = Math.max(Date.now(), (this.events.at(-1)?.at ?? 0) + 1);
    this.events.push(event);
    storage.write("localStorage", this.prefix + event.event, event);
  }

  // Returns the event, or undefined when it had been answered before.
  /** @param {string} id */
  drop(id) {
    const event = this.events.find((each) => each.event === id);
    this.events = this.events.filter((each) => each !== event);
    storage.forget("localStorage", this.prefix + id);
    for (const each of this.unstored) storage.write("localStorage", this.prefix + each.event, each);
    return event;
  }

  // Events that are lost with the tab.
  get unstored() {
    return this.events.filter(({ event }) => storage.endsWithTab(this.prefix + event));
  }

  // Says whose events wait here for another login.
  get waiting() {
    /** @type {Map<string, number>} */
    const numbers = new Map();
    for (const { operator } of this.others) numbers.set(operator, (numbers.get(operator) ?? 0) + 1);
    return [...numbers]
      .map(([name, n]) => `${count(n, "label")} of ${name ?? "nobody"} ${n === 1 ? "waits" : "wait"} for that login.`)
      .join(" ");
  }

  // Adds up what the events will change in a figure of the server.
  /** @param {"delta" | "left" | "work"} figure */
  sum(figure) {
    return this.events.reduce((sum, event) => sum + (event[figure] ?? 0), 0);
  }

  /** @param {string} sample */
  isAbout(sample) {
    return this.events.some((event) => event.sample === sample);
  }
}
