// Which command a key gives.

/** @type {Record<string, string>} */
const KEYS = {
  Enter: "done",
  Backspace: "back",
  " ": "mark",
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Home: "first",
  End: "end",
};
/** @type {Record<string, string>} */
const ALT_CODES = { KeyU: "unreadable", KeyO: "notOurs", KeyH: "toggleHistory" };

// Returns undefined for a key that is none of the widget's.
/** @param {KeyboardEvent} event */
export function commandOf(event) {
  const isAltGraph = event.getModifierState("AltGraph"); // types a character, though Ctrl and Alt seem to be down
  if (!isAltGraph && event.ctrlKey) return undefined;
  if (!isAltGraph && event.altKey) return ALT_CODES[event.code];
  return KEYS[event.key] ?? ([...event.key].length === 1 ? "type" : undefined);
}
