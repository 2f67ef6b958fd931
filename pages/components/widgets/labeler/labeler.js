// The labeling widget. Typing never waits for the server: images are fetched ahead, and each action is an event that
// the exchange sends until it is answered.

import { Charset } from "../shared/charset.js";
import { listener, mount } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { HELP } from "../shared/keyboard.js";
import { Outbox } from "../shared/outbox.js";
import { Settling } from "../shared/settling.js";
import { flagText, number } from "../shared/words.js";
import { exclude, label, opposite, skip } from "./decision.js";
import { Input } from "./input.js";
import { Later } from "./later.js";
import { Clock, Pace } from "./pace.js";
import { Screen, emptyBox } from "./screen.js";
import { Supply } from "./supply.js";
import { Tab } from "./tab.js";
import { Typing } from "./typing.js";
import { emptyMessage, remaining } from "./waiting.js";

const ANSWER_MS = 1500; // between unanswered messages, to spare a busy server
const HEARTBEAT_MS = 20000; // a lease expires after 60 seconds without renewal
const SETTLE_MS = 400; // keys this soon after an image was replaced are meant for the old image
const DECODE_AHEAD = 6; // images decoded in advance
const MAX_UNDO = 100; // steps

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./decision.js").Change} Change */

// Identifies the source of the images: project, queue and operator.
/** @param {any} data */
function placeOf({ id, created, queue, operator }) {
  return JSON.stringify([id, created, queue, operator]);
}

export default mount((root, data) => new Labeler(root, data), placeOf);

class Labeler {
  /** @param {HTMLElement} root @param {any} data */
  constructor(root, data) {
    this.data = data;
    this.outbox = new Outbox("outbox", data);
    this.exchange = new Exchange(this.outbox, {
      message: () => this.message(),
      wants: () => this.supply.isHungry,
      isReady: () => this.tab.isReady,
      idleMs: () => (document.hidden ? Infinity : HEARTBEAT_MS),
      unansweredMs: ANSWER_MS,
    });
    this.exchange.hasNews = true;
    const sendFirst = () => this.exchange.pump();
    this.tab = new Tab(placeOf(data), sendFirst, () => this.onNewTabId());
    this.supply = new Supply(this.tab, this.outbox, data.length);
    this.pace = new Pace(data.project);
    this.clock = new Clock();
    this.settling = new Settling(SETTLE_MS, () => this.showReady());
    this.later = new Later(() => this.afterPaint());
    /** @type {{ picture: Picture, change: Change | null }[]} steps to undo; the change is null if nothing was stored */
    this.history = [];
    /** @type {Picture | null} that the clock measures */
    this.clockPicture = null;
    this.counts = { labeled: 0, skipped: 0, total: 0, disputed: 0, second: false, kinds: "" };

    this.closing = new AbortController();
    const on = listener(this.closing.signal);
    on(document, "visibilitychange", () => this.onVisibilityChange());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    const charset = new Charset(data.charset);
    const screen = new Screen(root, data, charset);
    const typing = new Typing(screen, charset, this);
    /** @type {Record<string, (isRepeat?: boolean) => void>} by name, as used by keys and buttons */
    const commands = {
      enter: () => typing.enter(),
      back: (isRepeat) => typing.back(isRepeat),
      erase: () => typing.erase(),
      left: () => typing.moveBy(-1),
      right: () => typing.moveBy(1),
      home: () => typing.moveTo(0),
      end: () => typing.end(),
      submit: () => typing.enter(),
      skip: () => this.skip(),
      unreadable: () => this.exclude("unreadable"),
      otherPortal: () => this.exclude("otherPortal"),
      undo: () => this.undo(),
      zoom: () => screen.changeView("zoom"),
      invert: () => screen.changeView("invert"),
      contrast: () => screen.changeView("contrast"),
      help: () => window.dispatchEvent(new Event(HELP)),
    };
    screen.parts.waiting.textContent = this.outbox.waitingText;
    this.screen = screen;
    this.input = new Input(screen, typing, commands, this.closing.signal);
    this.input.claimFocus();
  }

  close() {
    this.isClosed = true;
    this.closing.abort();
    this.exchange.close();
    this.screen.close();
    this.tab.close();
    clearTimeout(this.focusTimer);
    this.settling.close();
  }

  get current() {
    return this.supply.pictures[0];
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  /** @param {any} data @param {import("../shared/exchange.js").Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.exchange.receive(data, trigger);
    for (const answer of data.answers) this.handleAnswer(answer);
    this.counts = data.counts ?? this.counts; // null if the database could not be read
    if (data.today) this.today = data.today;
    if (data.tab) this.exchange.isUnanswered = false;
    if (data.tab === this.tab.id) this.receiveImages(data);
    this.exchange.resendToNewSession();
    this.show();
  }

  /** @param {any} data */
  receiveImages(data) {
    if (this.supply.receive(data)) {
      this.screen.hint("Someone else took that image.");
      this.isReplaced = true;
    }
    if (this.isReplaced && this.current) {
      this.isReplaced = false;
      this.settling.start();
    }
    if (data.images.length && this.supply.isHungry) this.exchange.hasNews = true; // the first batch is small
  }

  // Refuses input meant for the previous image. Each refused key restarts the delay.
  refuseAfterReplacement() {
    if (!this.settling.isOn) return false;
    this.settling.start();
    this.screen.refuse("Someone else took that image. This is the next one: please type again.");
    return true;
  }

  /** @param {{ event: string, sample: string, status: string, message: string }} answer */
  handleAnswer({ event: id, status, message }) {
    const event = this.outbox.drop(id);
    if (!event) return;
    if (status === "saved" || status === "repeated") {
      if (this.today && event.operator === this.data.operator) this.today.labels += event.work ?? 0;
      return;
    }
    const step = this.history.findLast(({ picture }) => picture.sample === event.sample);
    this.screen.notify(step?.picture.url, event.text ?? flagText(event.flag) ?? event.action, message);
    this.history = this.history.filter(({ picture }) => picture.last !== id); // a refused event cannot be undone
  }

  onNewTabId() {
    this.supply.releaseUnused();
    this.show();
    this.sendSoon();
  }

  message() {
    this.pace.save();
    const { queue, reply } = this.data;
    return { queue, reply, ...this.supply.message() };
  }

  sendSoon() {
    this.exchange.hasNews = true;
    this.later.schedule();
  }

  /** @param {Picture} picture @param {string} action @param {object} content @param {Change} change */
  emit(picture, action, content, change) {
    const { sample, version: base, last: after } = picture;
    const ms = this.clock.read();
    picture.last = this.exchange.emit({ action, sample, text: null, flag: null, ...content, base, after, ms, ...change });
    if (change.work) this.pace.add(change.work);
    this.later.schedule();
  }

  onVisibilityChange() {
    this.clock.update();
    this.later.cancel();
    if (document.hidden) this.later.schedule();
    else this.sendSoon();
  }

  // ---- decisions ---------------------------------------------------------------------------------------------------

  submit() {
    if (!this.current || this.current.entry.missing) return;
    const { entry, suggestion } = this.current;
    this.finish(label(this.data.queue.kind, entry.text, suggestion !== null));
  }

  skip() {
    if (this.current && !this.refuseAfterReplacement()) this.finish(skip(this.data.queue.kind));
  }

  /** @param {"unreadable" | "otherPortal"} command */
  exclude(command) {
    if (this.current && !this.refuseAfterReplacement()) this.finish(exclude(this.data.queue.kind, command));
  }

  /** @param {import("./decision.js").Decision} decision */
  finish({ action, content, change, summary, isPassed }) {
    const picture = this.supply.pictures.shift();
    if (isPassed) this.tab.passed.add(picture.sample);
    if (action) this.emit(picture, action, content, change);
    else this.sendSoon();
    this.history.push({ picture, change });
    if (this.history.length > MAX_UNDO) this.history.shift();
    this.screen.hint(`Last: ${summary}`);
    this.show();
    this.screen.announce(() => `${action === "label" ? `Labeled ${summary}` : summary}. ${this.leftText}`);
  }

  undo() {
    const step = this.history.pop();
    if (!step) return this.screen.refuse("Nothing to undo.");
    const { picture, change } = step;
    if (change) this.emit(picture, "undo", {}, opposite(change));
    else this.sendSoon();
    this.supply.putBack(picture);
    const isTyped = !picture.entry.missing;
    picture.entry.moveToEnd();
    this.screen.hint(isTyped ? "Undone. Type the label again, or move to a box with the arrow keys." : "Undone.");
    this.show();
    this.screen.announce(() => `Undone${isTyped ? `: ${picture.entry.text}` : ""}. ${this.leftText}`);
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  show() {
    if (this.isClosed) return;
    this.current?.decode(() => this.showReady());
    this.screen.showImage(this.current, () => this.emptyState());
    this.screen.buttons.undo.disabled = !this.history.length;
    this.exchange.showUnsaved(this.screen.root);
    this.screen.showTyped();
    this.showReady();
    this.later.schedule();
  }

  afterPaint() {
    if (this.isClosed) return;
    this.showFigures();
    for (const picture of this.supply.pictures.slice(1, DECODE_AHEAD)) picture.decode(() => this.showReady());
    this.exchange.pump();
  }

  showReady() {
    if (this.isClosed) return;
    const { current } = this;
    const isListening = this.input.isListening();
    if (!current) this.clockPicture = null;
    else if (current.isDecoded && this.clockPicture !== current) {
      this.clockPicture = current;
      this.clock.start();
      this.screen.fit();
    }
    clearTimeout(this.focusTimer);
    // A dialog or list disappears without an event some time after it loses the focus, so check again.
    if (!isListening) this.focusTimer = setTimeout(() => this.showReady(), 300);
    const isReady = Boolean(current?.isDecoded && isListening && !this.settling.isOn);
    this.screen.showReady(isReady, Boolean(current) && !isListening);
  }

  showFigures() {
    const { events, unstored } = this.outbox;
    const labels = (this.today?.labels ?? 0) + this.outbox.sum("work");
    this.screen.showCounts(this.counts, this.data.project, this.outbox);
    this.screen.showPace(this.pace.text(this.remaining), labels, this.today?.median_ms);
    this.screen.showUnsaved(this.data.error, events.length, unstored.length);
  }

  get remaining() {
    return remaining(this.data.queue, this.counts, this.outbox.sum("left"));
  }

  get leftText() {
    return this.remaining === null ? "" : `${number(this.remaining)} left.`;
  }

  emptyState() {
    const { more, elsewhere } = this.supply;
    const { queue } = this.data;
    const { counts, tab, data } = this;
    const { error, next } = data;
    const hasPassed = tab.passed.size > 0;
    const message = emptyMessage({ more, elsewhere, error, queue, counts, hasPassed, next });
    return emptyBox(message, (kind) => this.exchange.trigger("queue", kind));
  }
}
