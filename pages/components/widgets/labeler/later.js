// Work that need not be in the next frame; done once, after it.

export class Later {
  /** @param {() => void} work */
  constructor(work) {
    this.work = work;
    this.isScheduled = false;
  }

  schedule() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    const run = () => {
      this.isScheduled = false;
      this.work();
    };
    if (document.hidden) setTimeout(run);
    else requestAnimationFrame(() => setTimeout(run));
  }

  // A frame that was waited for may never come once the page is hidden.
  forget() {
    this.isScheduled = false;
  }
}
