// The screen of the labeling widget: image, boxes, figures and sentences.

import { animate, button, element, notice, showProgress } from "../shared/dom.js";
import { count, number } from "../shared/words.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {{ labeled: number, skipped: number, total: number, disputed: number, second: boolean, kinds: string }} Counts */

export class Screen {
  /** @param {HTMLElement} root @param {any} data @param {import("../shared/charset.js").Charset} charset */
  constructor(root, { length, queue }, charset) {
    this.root = root;
    this.slots = Array.from({ length }, () => element("span", "slot"));
    /** @type {Record<string, HTMLElement>} by class */
    this.parts = {};
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[class]"))) {
      this.parts[part.classList[0]] = part;
    }
    /** @type {Record<string, HTMLButtonElement>} by command */
    this.buttons = {};
    for (const each of /** @type {NodeListOf<HTMLButtonElement>} */ (root.querySelectorAll("[data-command]"))) {
      this.buttons[each.dataset.command] = each;
    }
    this.field = /** @type {HTMLInputElement} */ (this.parts.input);
    this.isComposing = false; // an input method is active
    /** @type {Picture | undefined} */
    this.picture = undefined;
    this.parts.slots.replaceChildren(...this.slots);
    this.parts.entry.style.setProperty("--length", length);
    this.parts.notices.replaceChildren();
    this.field.inputMode = charset.inputMode;
    this.field.autocapitalize = charset.text === charset.text.toUpperCase() ? "characters" : "none";
    this.field.setAttribute("aria-label", `Label, ${count(length, "character")} of ${charset.text}`);
    this.buttons.skip.firstElementChild.textContent = queue.kind === "unlabeled" ? "Skip" : "Pass";
    if (/Mac|iP(hone|ad|od)/.test(navigator.platform)) {
      for (const key of root.querySelectorAll("kbd")) key.textContent = key.textContent.replace("Alt+", "⌥");
    }
    this.hint(queue.kind === "second" ? "Second opinion: someone else labeled these images. Type what you read." : "");
    this.zoom = new Zoom(this.parts.stage);
    this.resizes = new ResizeObserver(([{ contentRect }]) => {
      this.room = contentRect;
      this.fit();
    });
    this.resizes.observe(this.parts.stage);
    // Streamlit fades elements that a script does not redraw within half a second, so keep the image opaque.
    /** @type {HTMLElement | null} */
    const container = root.closest("[data-testid=stElementContainer]");
    if (container) container.style.opacity = "1";
    this.showView();
  }

  close() {
    this.resizes.disconnect();
  }

  get entry() {
    return this.picture?.entry;
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

  panToBox() {
    this.zoom.panToBox(this.entry?.cursor ?? 0, this.slots.length);
  }

  /** @param {"zoom" | "invert" | "contrast"} command */
  changeView(command) {
    this.zoom.change(command);
    this.showView();
  }

  showView() {
    const { zoom, invert, contrast } = this.zoom.settings;
    for (const [command, isOn] of Object.entries({ zoom: zoom > 1, invert, contrast })) {
      this.buttons[command].setAttribute("aria-pressed", String(isOn));
    }
    this.buttons.zoom.firstElementChild.textContent = zoom > 1 ? `Zoom ${zoom}x` : "Zoom";
    this.zoom.apply();
    this.panToBox();
    this.fit();
  }

  // ---- the boxes --------------------------------------------------------------------------------------------------

  showTyped() {
    const { entry, field } = this;
    const ghost = this.picture?.ghost;
    const suggested = ghost ? [...ghost.text] : [];
    this.slots.forEach((slot, place) => {
      slot.textContent = entry?.chars[place] ?? "";
      slot.classList.toggle("next", place === entry?.cursor);
      slot.classList.toggle("unsure", place === ghost?.unsure);
      if (ghost) slot.dataset.ghost = suggested[place];
      else delete slot.dataset.ghost;
    });
    field.placeholder = ghost?.text ?? ""; // for screen readers
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
    this.panToBox();
    this.buttons.submit.disabled = !entry || (entry.missing > 0 && !ghost);
    this.buttons.submit.firstElementChild.textContent = ghost ? "Accept" : "Save";
    for (const command of ["skip", "unreadable", "otherPortal"]) this.buttons[command].disabled = !entry;
  }

  // Returns the index of the box at a click in the field.
  /** @param {number} clientX */
  boxAt(clientX) {
    const place = this.slots.findIndex((slot) => clientX <= slot.getBoundingClientRect().right);
    // A tap on empty boxes only opens the keyboard.
    if (this.entry?.isEmpty) return 0;
    return place < 0 ? this.slots.length : place;
  }

  // ---- figures ----------------------------------------------------------------------------------------------------

  /** @param {boolean} isReady @param {boolean} isElsewhere whether another element has the keyboard focus */
  showReady(isReady, isElsewhere) {
    this.root.dataset.ready = String(isReady);
    this.root.classList.toggle("elsewhere", isElsewhere);
  }

  /** @param {Counts} counts @param {string} project @param {import("../shared/outbox.js").Outbox} outbox */
  showCounts({ labeled, total, skipped, disputed, kinds }, project, outbox) {
    const now = labeled + outbox.sum("delta");
    const link = /** @type {HTMLAnchorElement} */ (this.parts.disputed);
    showProgress(this.root, now, total);
    const skips = skipped ? `, ${number(skipped)} skipped` : "";
    const parts = kinds ? ` (${kinds})` : "";
    this.parts.total.textContent = `${number(now)} of ${number(total)} labeled${parts}${skips}`;
    link.hidden = !disputed;
    link.textContent = `${number(disputed)} disputed`;
    link.href = `review?project=${encodeURIComponent(project)}`;
  }

  /** @param {string} pace @param {number} labels @param {number | null} [medianMs] */
  showPace(pace, labels, medianMs) {
    const median = medianMs ? `, median ${(medianMs / 1000).toFixed(1)} s` : "";
    this.parts.pace.textContent = pace;
    this.parts.today.textContent = labels > 0 ? `Today: ${number(labels)}${median}` : "";
  }

  /** @param {string | null} error @param {number} unsaved @param {number} unstored */
  showUnsaved(error, unsaved, unstored) {
    this.parts.unsaved.textContent = [
      error,
      unsaved || error ? `Unsaved: ${unsaved}.` : "",
      unstored ? `This browser cannot store labels. Closing this tab now loses ${unstored}.` : "",
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

  // Clears a refusal at the next key. Other hints stay.
  clearRefusal() {
    if (this.parts.hint.classList.contains("refused")) this.hint("");
  }

  // Announces a text to screen readers, after the paint and at most once per frame.
  /** @param {() => string} text */
  announce(text) {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (this.parts.live.textContent = text()), 100);
  }

  /** @param {string | undefined} url @param {string} title @param {string} message */
  notify(url, title, message) {
    this.parts.notices.prepend(notice(url, title, message));
  }
}

// Returns the message shown when no image is available.
/** @param {ReturnType<typeof import("./waiting.js").emptyMessage>} message @param {(kind: string) => void} changeKind */
export function emptyBox({ lines, buttons, next }, changeKind) {
  const box = element("div", "message");
  box.append(...lines.map((line) => element("p", "", line)));
  if (next) {
    const link = element("a", "next-step", next.text);
    link.href = next.link;
    box.append(link);
  }
  box.append(...buttons.map(([text, kind]) => button(text, () => changeKind(kind))));
  return box;
}
