// Where the stage is, and how wide. Its images must fit the window, because Enter confirms all of them.

export class Place {
  /** @param {HTMLElement} root @param {HTMLElement} stage @param {() => void} onChange of width or top */
  constructor(root, stage, onChange) {
    this.stage = stage;
    this.main = root.closest("[data-testid=stMain]");
    this.width = 0;
    this.topBefore = 0;
    this.observer = new ResizeObserver(() => {
      const { width } = stage.getBoundingClientRect();
      if (width === this.width && this.top === this.topBefore) return;
      this.width = width;
      this.topBefore = this.top;
      onChange();
    });
    this.observer.observe(stage);
    // Elements above that arrive late, or grow, move the stage without a change of its size.
    const page = root.closest("[data-testid=stMainBlockContainer]");
    if (page) this.observer.observe(page);
  }

  // Pixels from the top of the page, wherever it is scrolled to.
  get top() {
    return this.stage.getBoundingClientRect().top + (this.main?.scrollTop ?? 0);
  }

  close() {
    this.observer.disconnect();
  }
}
