// View settings of the image: zoom, invert, contrast. They persist for later images and visits.

import { storage } from "../shared/storage.js";

/** @typedef {{ zoom: number, invert: boolean, contrast: boolean }} Settings */

const ZOOM_KEY = "slotlab/view";
const SCALES = [1, 2, 3];
const CRISP = 6; // screen pixels per image pixel; from here on pixels are drawn as squares
const MAX_SCALE = 6;

// Returns the settings after a command.
/** @param {Settings} settings @param {"zoom" | "invert" | "contrast"} command */
export function toggleSetting(settings, command) {
  const { zoom } = settings;
  if (command === "zoom") return { ...settings, zoom: SCALES[(SCALES.indexOf(zoom) + 1) % SCALES.length] };
  return { ...settings, [command]: !settings[command] };
}

// Returns the screen pixels per image pixel before zooming.
/** @param {{ width: number, height: number }} room @param {{ width: number, height: number }} image */
export function fitScale(room, image) {
  return Math.min(room.width / image.width, room.height / image.height, MAX_SCALE);
}

export class Zoom {
  /** @param {HTMLElement} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {Settings} */
    this.settings = { zoom: 1, invert: false, contrast: false, ...storage.read("localStorage", ZOOM_KEY) };
    if (!SCALES.includes(this.settings.zoom)) this.settings.zoom = 1;
  }

  /** @param {"zoom" | "invert" | "contrast"} command */
  change(command) {
    this.settings = toggleSetting(this.settings, command);
    storage.write("localStorage", ZOOM_KEY, this.settings);
  }

  apply() {
    const { zoom, invert, contrast } = this.settings;
    this.stage.style.setProperty("--zoom", String(zoom));
    this.stage.classList.toggle("invert", invert);
    this.stage.classList.toggle("contrast", contrast);
  }

  // Pans the zoomed image to the pointer.
  /** @param {PointerEvent} event */
  panToPointer({ clientX, clientY }) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    this.panTo((clientX - left) / width, (clientY - top) / height);
  }

  /** @param {number} cursor @param {number} length */
  panToBox(cursor, length) {
    this.panTo((Math.min(cursor, length - 1) + 0.5) / length, 0.5);
  }

  /** @param {number} x @param {number} y */
  panTo(x, y) {
    if (this.settings.zoom === 1) return;
    this.stage.style.setProperty("--x", String(x));
    this.stage.style.setProperty("--y", String(y));
  }

  /** @param {HTMLImageElement | null} [img] @param {{ width: number, height: number }} [room] */
  fit(img, room) {
    if (!img?.naturalWidth || !room) return;
    const scale = fitScale(room, { width: img.naturalWidth, height: img.naturalHeight });
    img.style.width = `${Math.round(img.naturalWidth * scale)}px`;
    img.style.imageRendering = scale * this.settings.zoom >= CRISP ? "pixelated" : "";
  }
}
