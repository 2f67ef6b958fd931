// The labeling widget. Typing never waits for the server: images are fetched ahead, and what the operator does is an
// event that the exchange sends until it is answered.

import { Charset } from "../shared/charset.js";
import { listener, mount } from "../shared/dom.js";
import { Exchange } from "../shared/exchange.js";
import { Outbox } from "../shared/outbox.js";
import { Settling } from "../shared/settling.js";
import { number } from "../shared/words.js";
import { label, opposite, skip, takeOut } from "./decision.js";
import { Input } from "./input.js";
import { Later } from "./later.js";
import { Clock, Pace } from "./pace.js";
import { Screen, emptyBox } from "./screen.js";
import { Supply } from "./supply.js";
import { Tab } from "./tab.js";
import { Typing } from "./typing.js";
import { emptyMessage, remaining } from "./waiting.js";

const ANSWER_MS = 1500; // between messages without an answer: a busy server is not helped by more of them
const HEARTBEAT_MS = 20000; // a lease that is not renewed ends after 60 seconds
const SETTLE_MS = 400; // without a key, after an image was taken away: what was meant for it is then over
const AHEAD = 6; // images decoded before their turn
const UNDONE = 100; // steps that can be undone

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./decision.js").Change} Change */

// Other images for another project, queue or operator.
/** @param {any} data */
function placeOf({ project, created, queue, operator }) {
  return JSON.stringify([project, created, queue, operator]);
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
    this.tab = new Tab(placeOf(data), sendFirst, () => this.renew());
    this.supply = new Supply(this.tab, this.outbox, data.length);
    this.pace = new Pace(data.project);
    this.clock = new Clock();
    this.settling = new Settling(SETTLE_MS, () => this.showReady());
    this.later = new Later(() => this.afterPaint());
    /** @type {{ picture: Picture, change: Change | null }[]} for undo; a pass changes nothing */
    this.history = [];
    /** @type {Picture | null} whose time the clock takes */
    this.timed = null;
    this.counts = { labeled: 0, skipped: 0, total: 0, disputed: 0 };

    this.ending = new AbortController();
    const on = listener(this.ending.signal);
    on(document, "visibilitychange", () => this.turn());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    const charset = new Charset(data.charset);
    const screen = new Screen(root, data, charset);
    const typing = new Typing(screen, charset, this);
    /** @type {Record<string, (isRepeat?: boolean) => void>} by the names that keys and buttons give them */
    const commands = {
      enter: () => typing.enter(),
      back: (isRepeat) => typing.back(isRepeat),
      erase: () => typing.erase(),
      left: () => typing.moveBy(-1),
      right: () => typing.moveBy(1),
      home: () => typing.moveTo(0),
      end: () => typing.end(),
      submit: () => this.submit(),
      skip: () => this.skip(),
      unreadable: () => this.takeOut("unreadable"),
      notOurs: () => this.takeOut("notOurs"),
      undo: () => this.undo(),
      zoom: () => screen.changeZoom("zoom"),
      invert: () => screen.changeZoom("invert"),
      contrast: () => screen.changeZoom("contrast"),
      help: () => this.help(),
    };
    screen.parts.waiting.textContent = this.outbox.waiting;
    this.screen = screen;
    this.input = new Input(screen, typing, commands, this.ending.signal);
    this.input.takeOver();
  }

  close() {
    this.isClosed = true;
    this.ending.abort();
    this.exchange.close();
    this.screen.close();
    this.tab.close();
    clearTimeout(this.looking);
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
    for (const answer of data.answers) this.answered(answer);
    this.counts = data.counts ?? this.counts; // null when the database could not be read
    if (data.today) this.today = data.today;
    if (data.tab) this.exchange.isUnanswered = false;
    if (data.tab === this.tab.id) this.receiveImages(data);
    this.exchange.resendToNewSession();
    this.show();
  }

  /** @param {any} data */
  receiveImages(data) {
    if (this.supply.receive(data)) {
      this.screen.hint("Another operator has taken the image that was here.");
      this.isTaken = true;
    }
    if (this.isTaken && this.current) {
      this.isTaken = false;
      this.settling.start();
    }
    if (data.images.length && this.supply.isHungry) this.exchange.hasNews = true; // the first batch is small
  }

  // Whether this was meant for the image that has gone. It goes on for as long as somebody types without looking.
  isForAnother() {
    if (!this.settling.isOn) return false;
    this.settling.start();
    this.screen.refuse("Another operator has taken the image that was here; this is the next. Type again.");
    return true;
  }

  /** @param {{ event: string, sample: string, status: string, message: string }} answer */
  answered({ event: id, status, message }) {
    const event = this.outbox.drop(id);
    if (!event) return;
    if (status === "saved" || status === "repeated") {
      if (this.today && event.operator === this.data.operator) this.today.labels += event.work ?? 0;
      return;
    }
    const seen = this.history.findLast(({ picture }) => picture.sample === event.sample)?.picture;
    this.screen.notify(seen?.url, event.text ?? event.action, message);
    this.history = this.history.filter(({ picture }) => picture.last !== id); // it cannot be undone
  }

  renew() {
    this.supply.giveUp();
    this.show();
    this.tell();
  }

  message() {
    this.pace.keep();
    const { queue, reply } = this.data;
    return { queue, reply, ...this.supply.message() };
  }

  tell() {
    this.exchange.hasNews = true;
    this.later.schedule();
  }

  /** @param {Picture} picture @param {string} action @param {object} what @param {Change} change */
  emit(picture, action, what, change) {
    const { sample, version: base, last: after } = picture;
    const ms = this.clock.read();
    picture.last = this.exchange.emit({ action, sample, text: null, flag: null, ...what, base, after, ms, ...change });
    if (change.work) this.pace.count(change.work);
    this.later.schedule();
  }

  turn() {
    this.clock.turn();
    this.later.forget();
    if (document.hidden) this.later.schedule();
    else this.tell();
  }

  // ---- what becomes of the image ----------------------------------------------------------------------------------

  submit() {
    if (this.current && !this.current.entry.missing) this.leave(label(this.data.queue.kind, this.current.entry.text));
  }

  skip() {
    if (this.current && !this.isForAnother()) this.leave(skip(this.data.queue.kind));
  }

  /** @param {"unreadable" | "notOurs"} command */
  takeOut(command) {
    if (this.current && !this.isForAnother()) this.leave(takeOut(this.data.queue.kind, command));
  }

  /** @param {import("./decision.js").Decision} decision */
  leave({ action, what, change, said, isPassed }) {
    const picture = this.supply.pictures.shift();
    if (isPassed) this.tab.passed.add(picture.sample);
    if (action) this.emit(picture, action, what, change);
    else this.tell();
    this.history.push({ picture, change });
    if (this.history.length > UNDONE) this.history.shift();
    this.screen.hint(`Last: ${said}`);
    this.show();
    this.screen.announce(() => `${action === "label" ? `Labeled ${said}` : said}. ${this.leftText}`);
  }

  undo() {
    const step = this.history.pop();
    if (!step) return this.screen.refuse("Nothing to undo.");
    const { picture, change } = step;
    if (change) this.emit(picture, "undo", {}, opposite(change));
    else this.tell();
    this.supply.putBack(picture);
    const isTyped = !picture.entry.missing;
    picture.entry.moveToEnd();
    this.screen.hint(isTyped ? "Undone. Type it anew, or choose a box with the arrow keys." : "Undone.");
    this.show();
    this.screen.announce(() => `Undone. ${isTyped ? `${picture.entry.text} is back. ` : ""}${this.leftText}`);
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  help() {
    this.screen.toggleHelp();
    this.showReady();
  }

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
    for (const picture of this.supply.pictures.slice(1, AHEAD)) picture.decode(() => this.showReady());
    this.exchange.pump();
  }

  showReady() {
    if (this.isClosed) return;
    const { current } = this;
    const isListening = this.input.isListening();
    if (!current) this.timed = null;
    else if (current.isDecoded && this.timed !== current) {
      this.timed = current;
      this.clock.start();
      this.screen.fit();
    }
    clearTimeout(this.looking);
    // A dialog or a list goes without a sign, some time after it has given back the focus.
    if (!isListening) this.looking = setTimeout(() => this.showReady(), 300);
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
    const message = emptyMessage({ more, elsewhere, queue, counts: this.counts, hasPassed: this.tab.passed.size > 0 });
    return emptyBox(message, (kind) => this.exchange.trigger("queue", kind));
  }
}
