// The number of images left in the queue, and the message shown when none is loaded.

import { loadingText } from "../shared/words.js";

/** @typedef {import("./screen.js").Counts} Counts */
/** @typedef {{ text: string, link: string }} Next the next step with the project */
/** @typedef {{ kind: string, source_id: number | null, day: string | null, flag: string | null, blind: boolean }} Queue */

/** @param {Queue} queue */
const isFiltered = ({ source_id: source, day, flag, blind }) =>
  source !== null || day !== null || flag !== null || blind;

// Returns null if the server does not count them.
/** @param {Queue} queue @param {Counts} counts @param {number} unsaved change by unsaved events */
export function remaining(queue, { labeled, skipped, total }, unsaved) {
  if (queue.kind === "second" || isFiltered(queue)) return null;
  return Math.max(0, (queue.kind === "skipped" ? skipped : total - labeled - skipped) + unsaved);
}

/**
 * @param {{ more: boolean, elsewhere: boolean, error?: string | null, counts: Counts, queue: Queue, hasPassed: boolean, next?: Next | null }} state
 * @returns {{ lines: string[], buttons: [string, string][], next?: Next | null }} each button opens a kind of queue
 */
export function emptyMessage({ more, elsewhere, error, counts, queue, hasPassed, next }) {
  /** @type {[string, string]} */
  const back = ["Show unlabeled images", "unlabeled"];
  if (more) {
    const line = elsewhere ? "The remaining images are open on other screens." : loadingText(error);
    return { lines: [line], buttons: [] };
  }
  if (!counts.total) return { lines: ["This project has no images yet."], buttons: [] };
  if (isFiltered(queue)) return { lines: ["No more images match the filter."], buttons: [] };
  if (queue.kind === "skipped") {
    const passed = "No more skipped images. The ones you passed stay skipped.";
    return { lines: [hasPassed ? passed : "No skipped images."], buttons: [back] };
  }
  if (queue.kind === "second") return { lines: ["No labels are waiting for a second opinion."], buttons: [back] };
  const { skipped, second } = counts;
  /** @type {[string, string][]} */
  const buttons = [];
  if (skipped) buttons.push(["Label skipped images", "skipped"]);
  if (second) buttons.push(["Give second opinions", "second"]);
  return {
    lines: [skipped ? "All images are labeled or skipped." : "All images are labeled."],
    buttons,
    next,
  };
}
