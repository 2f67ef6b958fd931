// How many images wait in the queue, and what is said when none is at hand.

/** @typedef {import("./screen.js").Counts} Counts */
/** @typedef {{ kind: string, source_id: number | null, day: string | null, flag: string | null }} Queue */

/** @param {Queue} queue */
const isFiltered = ({ source_id: source, day, flag }) => source !== null || day !== null || flag !== null;

// Returns null where the server does not count them.
/** @param {Queue} queue @param {Counts} counts @param {number} unsaved what unsaved events add to them */
export function remaining(queue, { labeled, skipped, total }, unsaved) {
  if (queue.kind === "second" || isFiltered(queue)) return null;
  return Math.max(0, (queue.kind === "skipped" ? skipped : total - labeled - skipped) + unsaved);
}

/**
 * @param {{ more: boolean, elsewhere: boolean, counts: Counts, queue: Queue, hasPassed: boolean }} state
 * @returns {{ lines: string[], buttons: [string, string][] }} buttons lead to a kind of queue
 */
export function emptyMessage({ more, elsewhere, counts, queue, hasPassed }) {
  /** @type {[string, string]} */
  const back = ["Back to unlabeled images", "unlabeled"];
  if (more) {
    return { lines: [elsewhere ? "The other images are on other screens." : "Waiting for images…"], buttons: [] };
  }
  if (!counts.total) return { lines: ["This project has no images yet."], buttons: [] };
  if (isFiltered(queue)) return { lines: ["No more images match the filter."], buttons: [] };
  if (queue.kind === "skipped") {
    const passed = "No more skipped images; those you passed stay skipped.";
    return { lines: [hasPassed ? passed : "No images are skipped."], buttons: [back] };
  }
  if (queue.kind === "second") return { lines: ["No labels of others wait for a second look."], buttons: [back] };
  const { skipped } = counts;
  return {
    lines: [skipped ? "All images are labeled or skipped." : "All images are labeled."],
    buttons: [
      ...(skipped ? /** @type {[string, string][]} */ ([["Label the skipped ones", "skipped"]]) : []),
      ["Second look at labels of others", "second"],
    ],
  };
}
