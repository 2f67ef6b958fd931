// What the operator types, whatever the keyboard: keys, touch keyboards, input methods, paste, and clicks.

import { listener } from "../shared/dom.js";
import { focused, isComposed, isListening, isPress } from "../shared/keyboard.js";
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
    on(window, "click", (event) => this.clickInHelp(event), true);
    on(this.field, "input", (event) => this.typedByInput(event));
    on(this.field, "compositionstart", () => (screen.isComposing = true));
    on(this.field, "compositionupdate", (event) => this.compose(event.data));
    on(this.field, "compositionend", (event) => this.composed(event.data));
    on(root, "mousedown", (event) => this.press(event));
    on(parts.stage, "pointermove", (event) => screen.zoom.lookAtPointer(event));
    on(parts.stage, "pointerleave", () => screen.lookAtBox());
    for (const [command, button] of Object.entries(screen.buttons)) on(button, "click", () => commands[command]());
  }

  // Whoever chose the project in a list of the sidebar wants to label now.
  takeOver() {
    if (focused()?.getAttribute("role") === "combobox") focused().blur();
    if (this.isListening()) this.focus();
  }

  focus() {
    if (document.activeElement !== this.field) this.field.focus({ preventScroll: true });
  }

  isListening() {
    return !this.screen.isHelpOpen && isListening(this.field, this.screen.parts.help);
  }

  // ---- keys -------------------------------------------------------------------------------------------------------

  // Keys of a hardware keyboard, wherever the focus is.
  /** @param {KeyboardEvent} event */
  key(event) {
    if (isComposed(event) || event.metaKey) return;
    if (this.screen.isHelpOpen) return this.keyInHelp(event);
    if (!this.isListening()) return;
    const command = commandOf(event, this.typing.charset);
    if (!command || this.isForFocus(event.key)) return;
    take(event);
    this.focus();
    // Nobody means 111111 by resting on a key, or to undo ten labels by erasing one.
    if (event.repeat && !REPEATED.includes(command)) return;
    if (command === "type") this.typing.type(event.key);
    else this.commands[command](event.repeat);
  }

  // Enter and the space bar press a button that has the focus; arrows move in a list that has it.
  /** @param {string} key */
  isForFocus(key) {
    const active = focused();
    return isPress(key, this.field) || (MOVES.includes(key) && active && !this.screen.root.contains(active));
  }

  /** @param {KeyboardEvent} event */
  keyInHelp(event) {
    if (event.key === "F1" || event.key === "Escape") this.commands.help();
    else if (event.ctrlKey || event.altKey || [...event.key].length > 1) return;
    take(event);
  }

  /** @param {MouseEvent} event */
  clickInHelp(event) {
    if (!this.screen.isHelpOpen) return;
    take(event);
    this.commands.help();
  }

  /** @param {MouseEvent} event */
  press(event) {
    const target = /** @type {Element} */ (event.target);
    if (target === this.field) this.typing.moveTo(this.screen.boxAt(event.clientX));
    else if (!target.closest("a")) {
      // Neither the image nor a button takes the focus by mouse: the next Enter must not press that button again.
      event.preventDefault();
      this.focus();
    }
  }

  // ---- characters that come otherwise -----------------------------------------------------------------------------

  // Virtual keyboards, dictation and the like put characters into the field itself.
  /** @param {InputEvent} event */
  typedByInput({ inputType, data, isComposing }) {
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
    // Some keyboards never end a composition of letters by themselves.
    if ([...text].length === this.screen.entry?.room && [...text].every((char) => this.typing.fits(char))) {
      setTimeout(() => {
        this.field.blur();
        this.focus();
      });
    }
  }

  /** @param {string} text */
  composed(text) {
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
function take(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
