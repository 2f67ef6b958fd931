// Runs work once after the next frame.

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

  // On a hidden page the awaited frame may never come, so allow scheduling again.
  cancel() {
    this.isScheduled = false;
  }
}
