// Keyboard focus.

export const HELP = "slotlab-help"; // event of a widget that wants the help of the page

const EDITABLE =
  "textarea, select, input:not([type=button], [type=checkbox], [type=radio], [type=range], [type=submit], [type=file])";
const PRESSABLE = "a, button, input, summary, [role=button], [role=link], [role=tab], [role=radio], [role=option]";
const OVERLAYS = "[role=dialog], [role=menu], [data-testid=stDialog], [data-testid=stPopoverBody]";

// Returns the focused element, looking into shadow roots, or null.
/** @returns {HTMLElement | null} */
export function focusedElement() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active === document.body ? null : /** @type {HTMLElement | null} */ (active);
}

// Returns whether keys go to the widget: no other field has the focus and no dialog or menu is open. The open dialog of
// the help has the focus.
/** @param {HTMLElement | null} field */
export function isListening(field = null) {
  const active = focusedElement();
  if (active !== field && (active?.isContentEditable || active?.matches(EDITABLE))) return false;
  if (active?.closest("dialog")) return false;
  return ![...document.querySelectorAll(OVERLAYS)].some((each) => each.checkVisibility());
}

// Returns whether the key activates the focused button or link.
/** @param {string} key @param {HTMLElement | null} field */
export function isPress(key, field = null) {
  const active = focusedElement();
  return (key === "Enter" || key === " ") && active !== field && Boolean(active?.matches(PRESSABLE));
}

// Returns whether an input method handles the key. On macOS, Option+U is a dead key, which looks like a composition.
/** @param {KeyboardEvent} event */
export const isComposed = (event) => event.isComposing || (event.keyCode === 229 && !event.altKey);
