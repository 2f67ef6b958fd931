// A short time after what is on the screen has changed: keys may still be meant for what was there.

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
