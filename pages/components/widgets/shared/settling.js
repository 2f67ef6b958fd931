// A short delay after the screen changes, because keys may still be meant for the previous content.

export class Settling {
  /** @param {number} ms @param {() => void} onEnd */
  constructor(ms, onEnd) {
    this.ms = ms;
    this.onEnd = onEnd;
  }

  get isOn() {
    return this.timer !== undefined;
  }

  start() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.onEnd();
    }, this.ms);
  }

  close() {
    clearTimeout(this.timer);
  }
}
