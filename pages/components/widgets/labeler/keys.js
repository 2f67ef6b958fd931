// Maps keys to commands.

/** @type {Record<string, string>} */
const KEYS = {
  Enter: "enter",
  Backspace: "back",
  Delete: "erase",
  Escape: "skip",
  ArrowLeft: "left",
  ArrowRight: "right",
  Home: "home",
  End: "end",
  F1: "help",
};
/** @type {Record<string, string>} */
const ALT_KEYS = { z: "zoom", i: "invert", c: "contrast", u: "unreadable", o: "otherPortal" };

export const MOVES = ["ArrowLeft", "ArrowRight", "Home", "End"];
export const REPEATED = ["back", "erase", "left", "right"];

// Returns undefined for keys that the widget does not use.
/** @param {KeyboardEvent} event @param {{ has(char: string): boolean }} charset */
export function commandOf(event, charset) {
  const isAltGraph = event.getModifierState("AltGraph"); // types a character, although Ctrl and Alt are reported as pressed
  if (event.altKey && !event.ctrlKey && !isAltGraph) return altCommandOf(event, charset);
  if (event.ctrlKey && !isAltGraph) return undefined;
  if (event.key === "?" && !charset.has("?")) return "help";
  return [...event.key].length === 1 ? "type" : KEYS[event.key];
}

// Uses the letter of the layout. On macOS, Option types another character: accept it if allowed, else use the key code.
/** @param {KeyboardEvent} event @param {{ has(char: string): boolean }} charset */
function altCommandOf({ key, code }, charset) {
  if (/^[a-z]$/i.test(key)) return ALT_KEYS[key.toLowerCase()];
  if (/\P{ASCII}/u.test(key) && charset.has(key)) return "type";
  return ALT_KEYS[/^Key([A-Z])$/.exec(code)?.[1].toLowerCase() ?? ""];
}
