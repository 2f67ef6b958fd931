// The history of the selected image.

import { element } from "../shared/dom.js";

/** @typedef {import("./types.d.ts").Line} Line */
/** @typedef {{ label: string | null, history: Line[] }} Subject */

/** @type {Record<string, string>} */
const STANDINGS = { lost: "came second, not applied", opinion: "opinion", "": "" };
/** @type {[Intl.RelativeTimeFormatUnit, number][]} and its length in seconds */
const UNITS = [
  ["year", 31557600],
  ["month", 2629800],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

let wasOpen = false; // persists between views

export class HistoryPanel {
  /** @param {HTMLElement} panel @param {boolean} isOpen */
  constructor(panel, isOpen) {
    this.panel = panel;
    panel.replaceChildren();
    panel.hidden = !(isOpen || wasOpen);
  }

  /** @param {boolean} isOpen */
  setOpen(isOpen) {
    this.panel.hidden = !isOpen;
  }

  /** @param {Subject | undefined} tile */
  toggle(tile) {
    wasOpen = Boolean(this.panel.hidden);
    this.panel.hidden = !wasOpen;
    this.show(tile);
  }

  /** @param {Subject | undefined} tile */
  show(tile) {
    if (this.panel.hidden) return;
    this.panel.replaceChildren(element("h4", "", tile?.label ? `History of ${tile.label}` : "History"));
    if (!tile) return;
    const list = element("ol");
    list.append(...tile.history.toReversed().map(rowOf));
    this.panel.append(list);
  }
}

/** @param {Line} line */
function rowOf(line) {
  const row = element("li");
  row.dataset.standing = line.standing;
  row.append(element("strong", "", line.operator), ` ${line.did} `, element("code", "", line.what));
  const time = element("time", "", ago(line.at));
  time.title = new Date(line.at).toLocaleString();
  const seconds = line.ms === null ? "" : `${(line.ms / 1000).toFixed(1)} s`;
  const details = [STANDINGS[line.standing], seconds, line.origin].filter(Boolean);
  row.append(element("br"), time, details.map((each) => ` · ${each}`).join(""));
  return row;
}

/** @param {string} at */
export function ago(at) {
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const age = (Date.now() - new Date(at).getTime()) / 1000;
  const unit = UNITS.find(([, seconds]) => age >= seconds);
  return unit ? format.format(-Math.round(age / unit[1]), unit[0]) : "just now";
}
