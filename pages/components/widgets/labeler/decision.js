// Decisions about an image: label, skip, exclude. Their effect depends on the kind of queue.

/** @typedef {{ delta: number, left: number, work: number }} Change that an event makes to the figures */
/**
 * @typedef {object} Decision
 * @property {string | null} action of the event; null: nothing is stored
 * @property {{ text?: string, flag?: string, suggested?: boolean }} content
 * @property {Change | null} change
 * @property {string} summary
 * @property {boolean} isPassed whether the image stays in the queue but is not shown again in this tab
 */

/** @type {Record<string, [string, string]>} flag of the event, and its text on the screen */
const EXCLUSIONS = { unreadable: ["unreadable", "Unreadable"], otherPortal: ["not_ours", "Not from this portal"] };
const SECOND_OPINION = { delta: 0, left: 0, work: 1 };

/** @param {string} kind @param {string} text @param {boolean} [suggested] @returns {Decision} */
export function label(kind, text, suggested = false) {
  const isSecond = kind === "second";
  const change = isSecond ? SECOND_OPINION : { delta: 1, left: -1, work: 1 };
  return { action: isSecond ? "second" : "label", content: { text, suggested }, change, summary: text, isPassed: false };
}

/** @param {string} kind @returns {Decision} */
export function skip(kind) {
  if (kind === "unlabeled") {
    const change = { delta: 0, left: -1, work: 0 };
    return { action: "skip", content: {}, change, summary: "Skipped", isPassed: false };
  }
  const summary = kind === "skipped" ? "Still skipped" : "Passed";
  return { action: null, content: {}, change: null, summary, isPassed: true };
}

/** @param {string} kind @param {"unreadable" | "otherPortal"} command @returns {Decision} */
export function exclude(kind, command) {
  const [flag, summary] = EXCLUSIONS[command];
  const content = { flag };
  if (kind === "second") return { action: "second", content, change: SECOND_OPINION, summary, isPassed: false };
  const isPassed = kind === "skipped";
  return { action: "skip", content, change: { delta: 0, left: isPassed ? 0 : -1, work: 0 }, summary, isPassed };
}

// Returns the change that undoes this one.
/** @param {Change} change @returns {Change} */
export function opposite({ delta, left, work }) {
  return { delta: -delta, left: -left, work: -work };
}
