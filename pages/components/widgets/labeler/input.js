// Operator input: hardware keys, touch keyboards, input methods, paste and clicks.

import { listener } from "../shared/dom.js";
import { focusedElement, isComposed, isListening, isPress } from "../shared/keyboard.js";
import { MOVES, REPEATED, commandOf } from "./keys.js";

export class Input {
  /**
   * @param {import("./screen.js").Screen} screen
   * @param {import("./typing.js").Typing} typing
   * @param {Record<string, (isRepeat?: boolean) => void>} commands
   * @param {AbortSignal} signal
   */
  constructor(screen, typing, commands, signal) {
    this.screen = screen;
    this.typing = typing;
    this.commands = commands;
    this.field = screen.field;
    const { root, parts } = screen;
    const on = listener(signal);
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "paste", (event) => this.paste(event), true);
    on(this.field, "input", (event) => this.readInput(event));
    on(this.field, "compositionstart", () => (screen.isComposing = true));
    on(this.field, "compositionupdate", (event) => this.compose(event.data));
    on(this.field, "compositionend", (event) => this.endComposition(event.data));
    on(root, "mousedown", (event) => this.press(event));
    on(parts.stage, "pointermove", (event) => screen.zoom.panToPointer(event));
    on(parts.stage, "pointerleave", () => screen.panToBox());
    for (const [command, button] of Object.entries(screen.buttons)) on(button, "click", () => commands[command]());
  }

  // Takes the focus from the project list in the sidebar: after choosing a project, the operator wants to label.
  claimFocus() {
    if (focusedElement()?.getAttribute("role") === "combobox") focusedElement().blur();
    if (this.isListening()) this.focus();
  }

  focus() {
    if (document.activeElement !== this.field) this.field.focus({ preventScroll: true });
  }

  isListening() {
    return isListening(this.field);
  }

  // ---- keys -------------------------------------------------------------------------------------------------------

  // Handles keys of a hardware keyboard, regardless of the focus.
  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event) || event.metaKey) return;
    if (!this.isListening()) return;
    const command = commandOf(event, this.typing.charset);
    if (!command || this.isUsedByFocus(event.key)) return;
    consume(event);
    this.focus();
    // Ignore key repeat: holding a key must not type 111111, and holding Backspace must not undo ten labels.
    if (event.repeat && !REPEATED.includes(command)) return;
    if (command === "type") this.typing.type(event.key);
    else this.commands[command](event.repeat);
  }

  // Returns whether the focused element uses the key: Enter and Space press a button, arrows move in a list.
  /** @param {string} key */
  isUsedByFocus(key) {
    const active = focusedElement();
    return isPress(key, this.field) || (MOVES.includes(key) && active && !this.screen.root.contains(active));
  }

  /** @param {MouseEvent} event */
  press(event) {
    const target = /** @type {Element} */ (event.target);
    if (target === this.field) this.typing.moveTo(this.screen.boxAt(event.clientX));
    else if (!target.closest("a")) {
      // Keep the focus in the field on mouse clicks, or the next Enter would press the clicked button again.
      event.preventDefault();
      this.focus();
    }
  }

  // ---- other text input --------------------------------------------------------------------------------------------

  // Handles text that virtual keyboards or dictation put directly into the field.
  /** @param {InputEvent} event */
  readInput({ inputType, data, isComposing }) {
    if (isComposing || this.screen.isComposing) return;
    this.screen.showTyped();
    if (/^delete.*Backward$/.test(inputType)) this.typing.back();
    else if (/^delete.*Forward$/.test(inputType)) this.typing.erase();
    else if (inputType === "insertLineBreak") this.typing.enter();
    else if (data && !/Composition$/.test(inputType)) this.typing.insert(data);
  }

  /** @param {string} text */
  compose(text) {
    this.screen.hint(text && `Composing ${text}`);
    // Some keyboards never end a composition of letters, so end it by moving the focus.
    if ([...text].length === this.screen.entry?.room && [...text].every((char) => this.typing.fits(char))) {
      setTimeout(() => {
        this.field.blur();
        this.focus();
      });
    }
  }

  /** @param {string} text */
  endComposition(text) {
    this.screen.isComposing = false;
    this.screen.hint("");
    this.screen.showTyped();
    this.typing.insert(text);
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    if (!this.isListening() || !this.screen.picture) return;
    event.preventDefault();
    this.typing.paste(event.clipboardData.getData("text").trim());
  }
}

/** @param {Event} event */
function consume(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
