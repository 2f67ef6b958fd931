// What the labeling widget shows: the image, the boxes, figures, and sentences.

import { animate, button, element, notice, showProgress } from "../shared/dom.js";
import { count, number } from "../shared/words.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {{ labeled: number, skipped: number, total: number, disputed: number }} Counts */

export class Screen {
  /** @param {HTMLElement} root @param {any} data @param {import("../shared/charset.js").Charset} charset */
  constructor(root, { length, queue }, charset) {
    this.root = root;
    this.slots = Array.from({ length }, () => element("span", "slot"));
    /** @type {Record<string, HTMLElement>} by the class of each */
    this.parts = {};
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[class]"))) {
      this.parts[part.classList[0]] = part;
    }
    /** @type {Record<string, HTMLButtonElement>} by the command of each */
    this.buttons = {};
    for (const each of /** @type {NodeListOf<HTMLButtonElement>} */ (root.querySelectorAll("[data-command]"))) {
      this.buttons[each.dataset.command] = each;
    }
    this.field = /** @type {HTMLInputElement} */ (this.parts.input);
    this.isComposing = false; // an input method has the field
    /** @type {Picture | undefined} */
    this.picture = undefined;
    this.parts.slots.replaceChildren(...this.slots);
    this.parts.entry.style.setProperty("--length", length);
    this.parts.notices.replaceChildren();
    this.parts.help.hidden = true;
    this.field.inputMode = charset.inputMode;
    this.field.autocapitalize = charset.text === charset.text.toUpperCase() ? "characters" : "none";
    this.field.setAttribute("aria-label", `Label, ${count(length, "character")} of ${charset.text}`);
    this.buttons.skip.firstElementChild.textContent = queue.kind === "unlabeled" ? "Skip" : "Pass";
    if (/Mac|iP(hone|ad|od)/.test(navigator.platform)) {
      for (const key of root.querySelectorAll("kbd")) key.textContent = key.textContent.replace("Alt+", "⌥");
    }
    this.hint(queue.kind === "second" ? "Somebody has labeled these. Type what you read." : "");
    this.zoom = new Zoom(this.parts.stage);
    this.resizes = new ResizeObserver(([{ contentRect }]) => {
      this.room = contentRect;
      this.fit();
    });
    this.resizes.observe(this.parts.stage);
    // Streamlit fades what a script has not drawn again within half a second; here it would fade the image in use.
    /** @type {HTMLElement | null} */
    const container = root.closest("[data-testid=stElementContainer]");
    if (container) container.style.opacity = "1";
    this.showZoom();
  }

  close() {
    this.resizes.disconnect();
  }

  get entry() {
    return this.picture?.entry;
  }

  get isHelpOpen() {
    return !this.parts.help.hidden;
  }

  toggleHelp() {
    this.parts.help.hidden = this.isHelpOpen;
    (this.isHelpOpen ? this.parts.help : this.field).focus({ preventScroll: !this.isHelpOpen });
  }

  // ---- the image --------------------------------------------------------------------------------------------------

  /** @param {Picture | undefined} picture @param {() => HTMLElement} emptyState */
  showImage(picture, emptyState) {
    const { stage } = this.parts;
    this.picture = picture;
    if (!picture) stage.replaceChildren(emptyState());
    else if (stage.firstChild !== picture.img) stage.replaceChildren(picture.img);
    this.root.dataset.sample = picture?.sample ?? "";
    this.root.classList.toggle("empty", !picture);
    this.fit();
  }

  fit() {
    this.zoom.fit(this.picture?.img, this.room);
  }

  lookAtBox() {
    this.zoom.lookAtBox(this.entry?.cursor ?? 0, this.slots.length);
  }

  /** @param {"zoom" | "invert" | "contrast"} command */
  changeZoom(command) {
    this.zoom.change(command);
    this.showZoom();
  }

  showZoom() {
    const { zoom, invert, contrast } = this.zoom.settings;
    for (const [command, isOn] of Object.entries({ zoom: zoom > 1, invert, contrast })) {
      this.buttons[command].setAttribute("aria-pressed", String(isOn));
    }
    this.buttons.zoom.firstElementChild.textContent = zoom > 1 ? `Zoom ${zoom}x` : "Zoom";
    this.zoom.show();
    this.lookAtBox();
    this.fit();
  }

  // ---- the boxes --------------------------------------------------------------------------------------------------

  showTyped() {
    const { entry, field } = this;
    this.slots.forEach((slot, place) => {
      slot.textContent = entry?.chars[place] ?? "";
      slot.classList.toggle("next", place === entry?.cursor);
    });
    if (!this.isComposing) {
      const value =
        entry && !entry.isEmpty
          ? entry.chars
              .map((char) => char || " ")
              .join("")
              .trimEnd()
          : "";
      if (field.value !== value) field.value = value;
    }
    this.lookAtBox();
    this.buttons.submit.disabled = !entry || entry.missing > 0;
    for (const command of ["skip", "unreadable", "notOurs"]) this.buttons[command].disabled = !entry;
  }

  // Returns the place of the box that a click in the field is on.
  /** @param {number} clientX */
  boxAt(clientX) {
    const place = this.slots.findIndex((slot) => clientX <= slot.getBoundingClientRect().right);
    // A tap on empty boxes is there to bring up the keyboard.
    if (this.entry?.isEmpty) return 0;
    return place < 0 ? this.slots.length : place;
  }

  // ---- figures ----------------------------------------------------------------------------------------------------

  /** @param {boolean} isReady @param {boolean} isElsewhere whether something else has the keyboard */
  showReady(isReady, isElsewhere) {
    this.root.dataset.ready = String(isReady);
    this.root.classList.toggle("elsewhere", isElsewhere && !this.isHelpOpen);
  }

  /** @param {Counts} counts @param {string} project @param {import("../shared/outbox.js").Outbox} outbox */
  showCounts({ labeled, total, skipped, disputed }, project, outbox) {
    const now = labeled + outbox.sum("delta");
    const link = /** @type {HTMLAnchorElement} */ (this.parts.disputed);
    showProgress(this.root, now, total);
    const rest = skipped ? `, ${number(skipped)} skipped` : "";
    this.parts.total.textContent = `${number(now)} of ${number(total)} labeled${rest}`;
    link.hidden = !disputed;
    link.textContent = `${number(disputed)} disputed`;
    link.href = `review?project=${encodeURIComponent(project)}`;
  }

  /** @param {string} pace @param {number} labels @param {number | null} [medianMs] */
  showPace(pace, labels, medianMs) {
    const each = medianMs ? `, ${(medianMs / 1000).toFixed(1)} s each` : "";
    this.parts.pace.textContent = pace;
    this.parts.today.textContent = labels > 0 ? `Today ${number(labels)}${each}` : "";
  }

  /** @param {string | null} error @param {number} unsaved @param {number} unstored */
  showUnsaved(error, unsaved, unstored) {
    this.parts.unsaved.textContent = [
      error,
      unsaved || error ? `Unsaved: ${unsaved}.` : "",
      unstored ? `This browser cannot store labels: closing this tab now loses ${unstored}.` : "",
    ].join(" ");
  }

  // ---- sentences --------------------------------------------------------------------------------------------------

  /** @param {string} text */
  hint(text) {
    this.parts.hint.textContent = text;
    this.parts.hint.classList.remove("refused");
  }

  /** @param {string} text */
  refuse(text) {
    this.hint(text);
    this.announce(() => text);
    this.parts.hint.classList.add("refused");
    const shake = [0, -6, 5, -3, 0].map((x) => ({ transform: `translateX(${x}px)` }));
    animate(this.parts.slots, shake, { duration: 220 });
  }

  // The sentence of a refusal goes with the next key; what was typed last stays to be seen.
  forgive() {
    if (this.parts.hint.classList.contains("refused")) this.hint("");
  }

  // For screen readers, after the paint and never twice in a frame.
  /** @param {() => string} text */
  announce(text) {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (this.parts.live.textContent = text()), 100);
  }

  /** @param {string | undefined} url @param {string} what @param {string} message */
  notify(url, what, message) {
    this.parts.notices.prepend(notice(url, what, message));
  }
}

// Stands in place of the image when none is at hand.
/** @param {{ lines: string[], buttons: [string, string][] }} message @param {(kind: string) => void} changeKind */
export function emptyBox({ lines, buttons }, changeKind) {
  const box = element("div", "message");
  box.append(...lines.map((line) => element("p", "", line)));
  box.append(...buttons.map(([text, kind]) => button(text, () => changeKind(kind))));
  return box;
}
