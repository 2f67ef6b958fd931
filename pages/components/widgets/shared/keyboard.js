// Who has the keyboard.

const EDITABLE =
  "textarea, select, input:not([type=button], [type=checkbox], [type=radio], [type=range], [type=submit], [type=file])";
const PRESSABLE = "a, button, input, summary, [role=button], [role=link], [role=tab], [role=radio], [role=option]";
const OVERLAYS = "[role=dialog], [role=menu], [data-testid=stDialog], [data-testid=stPopoverBody]";

// The element that has the focus, inside shadow roots too; null when none has.
/** @returns {HTMLElement | null} */
export function focused() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active === document.body ? null : /** @type {HTMLElement | null} */ (active);
}

// Whether keys are for the widget: no field but its own has the focus, no dialog or menu but its own is open. Its own is
// left out first, because checkVisibility makes the browser compute all styles, twice a key.
/** @param {HTMLElement | null} field @param {HTMLElement | null} dialog */
export function isListening(field = null, dialog = null) {
  const active = focused();
  if (active !== field && (active?.isContentEditable || active?.matches(EDITABLE))) return false;
  return ![...document.querySelectorAll(OVERLAYS)].some((each) => each !== dialog && each.checkVisibility());
}

// Whether the key presses the button that has the focus.
/** @param {string} key @param {HTMLElement | null} field */
export function isPress(key, field = null) {
  const active = focused();
  return (key === "Enter" || key === " ") && active !== field && Boolean(active?.matches(PRESSABLE));
}

// Whether an input method takes the key. Option+U is a dead key on macOS, which looks like a composition.
/** @param {KeyboardEvent} event */
export const isComposed = (event) => event.isComposing || (event.keyCode === 229 && !event.altKey);
