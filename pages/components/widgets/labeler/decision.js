// What becomes of an image, which depends on the kind of queue it comes from.

/** @typedef {{ delta: number, left: number, work: number }} Change what an event adds to the figures */
/**
 * @typedef {object} Decision
 * @property {string | null} action of the event; null where nothing is stored
 * @property {{ text?: string, flag?: string }} what
 * @property {Change | null} change
 * @property {string} said
 * @property {boolean} isPassed whether it stays in the queue and need not be seen there again
 */

/** @type {Record<string, [string, string]>} flag of the event, and how it is said */
const FLAGS = { unreadable: ["unreadable", "Unreadable"], notOurs: ["not_ours", "Not ours"] };
const SECOND_LOOK = { delta: 0, left: 0, work: 1 };

/** @param {string} kind @param {string} text @returns {Decision} */
export function label(kind, text) {
  const isSecond = kind === "second";
  const change = isSecond ? SECOND_LOOK : { delta: 1, left: -1, work: 1 };
  return { action: isSecond ? "second" : "label", what: { text }, change, said: text, isPassed: false };
}

/** @param {string} kind @returns {Decision} */
export function skip(kind) {
  if (kind === "unlabeled") {
    return { action: "skip", what: {}, change: { delta: 0, left: -1, work: 0 }, said: "Skipped", isPassed: false };
  }
  const said = kind === "skipped" ? "Left as skipped" : "Passed";
  return { action: null, what: {}, change: null, said, isPassed: true };
}

/** @param {string} kind @param {"unreadable" | "notOurs"} command @returns {Decision} */
export function takeOut(kind, command) {
  const [flag, said] = FLAGS[command];
  if (kind === "second") return { action: "second", what: { flag }, change: SECOND_LOOK, said, isPassed: false };
  const isPassed = kind === "skipped";
  return { action: "skip", what: { flag }, change: { delta: 0, left: isPassed ? 0 : -1, work: 0 }, said, isPassed };
}

// Returns what the undo of an event adds to the figures.
/** @param {Change} change @returns {Change} */
export function opposite({ delta, left, work }) {
  return { delta: -delta, left: -left, work: -work };
}
