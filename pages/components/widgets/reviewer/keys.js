// Maps keys to commands.

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
const ALT_CODES = { KeyU: "unreadable", KeyO: "otherPortal", KeyH: "toggleHistory" };

// Returns undefined for keys that the widget does not use.
/** @param {KeyboardEvent} event @param {{ has(char: string): boolean }} charset */
export function commandOf(event, charset) {
  const isAltGraph = event.getModifierState("AltGraph"); // types a character, although Ctrl and Alt are reported as pressed
  if (!isAltGraph && event.ctrlKey) return undefined;
  if (!isAltGraph && event.altKey) return ALT_CODES[event.code];
  if (event.key === "?" && !charset.has("?")) return undefined; // the help of the page
  return KEYS[event.key] ?? ([...event.key].length === 1 ? "type" : undefined);
}
