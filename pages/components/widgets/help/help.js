// The keys of a page and the link to its guide. The dialog opens on `?`, on its button, and when a widget asks for it.

import { element, listener, mount } from "../shared/dom.js";
import { HELP, isComposed, isListening } from "../shared/keyboard.js";

export default mount((root) => new Help(root));

class Help {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.dialog = root.querySelector("dialog");
    this.shown = "";
    this.closing = new AbortController();
    const on = listener(this.closing.signal);
    on(window, "keydown", (event) => this.key(event));
    on(window, HELP, () => this.open());
    on(root.querySelector(".open"), "click", () => this.open());
    on(root.querySelector(".close"), "click", () => this.dialog.close());
    on(this.dialog, "click", (event) => event.target === this.dialog && this.dialog.close()); // outside of its content
  }

  close() {
    this.closing.abort();
    this.dialog.close();
  }

  /** @param {{ project: string, title: string, lists: { title: string, rows: [string, string][] }[], guide: string }} data */
  receive(data) {
    if (this.shown === JSON.stringify(data)) return;
    this.shown = JSON.stringify(data);
    this.root.querySelector(".project").textContent = data.project;
    this.root.querySelector("h2").textContent = data.title;
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (this.root.querySelectorAll(".guide"))) {
      link.href = data.guide;
    }
    const lists = data.lists.flatMap(({ title, rows }) => [element("h3", "", title), listOf(rows)]);
    this.root.querySelector(".lists").replaceChildren(...lists);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || isComposed(event) || !isListening()) return;
    event.preventDefault();
    this.open();
  }

  open() {
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.dialog.focus(); // showModal gives the focus to the first link, and scrolls the keys above it away
    this.dialog.scrollTop = 0;
  }
}

/** @param {[string, string][]} rows */
function listOf(rows) {
  const list = element("dl");
  list.append(...rows.flatMap(([key, effect]) => [element("dt", "", key), element("dd", "", effect)]));
  return list;
}
