// The labelling widget. Typing never waits for the server: images are fetched ahead, and what the operator does is
// an event that stays in the browser's storage until the server has answered it by its id. The server may get an
// event twice, late, or from the next tab; the id makes that harmless.

const SEND_MS = 150; // between messages, when the last one has been answered
const ANSWER_MS = 1500; // else: a busy server is not helped by more of them, and Streamlit keeps only the newest
const RESEND_MS = 3000; // a message is lost without a sign when the server is away
const HEARTBEAT_MS = 20000; // a lease that is not renewed ends after 60 seconds
const SETTLE_MS = 400; // without a key, after an image was taken away: what was meant for it is then over
const ASK_MS = 60; // for another tab to say that it has the same id
const PAUSE_MS = 30000; // a longer gap between two labels is a pause and does not count for the pace
const AHEAD = 6; // images decoded before their turn
const HELD = 12; // images that a reload keeps
const MAX_SCALE = 6;
const CRISP = 6; // screen pixels for one of the image, from which on it is shown as squares
const ZOOMS = [1, 2, 3];

const widgets = new WeakMap();

// Streamlit calls this again for every new `data` and theme, and only the last cleanup, when the widget goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let widget = widgets.get(parentElement);
  if (widget?.place !== placeOf(data)) {
    widget?.close();
    widget = new Labeler(parentElement.querySelector(".labeler"), data);
    widgets.set(parentElement, widget);
  }
  widget.setTriggerValue = setTriggerValue;
  widget.receive(data);
  return () => {
    widgets.get(parentElement).close();
    widgets.delete(parentElement);
  };
}

// Other images for another project, queue or operator.
function placeOf({ project, created, queue, operator }) {
  return JSON.stringify([project, created, queue, operator]);
}

// ---- what the browser keeps -----------------------------------------------------------------------------------------

// The id under which the server leases images to this browser tab, and which images a reload goes on with.
class Tab {
  constructor(place, onReady, onNewId) {
    this.place = place;
    const kept = storage.read("sessionStorage", Tab.KEY);
    const same = kept?.place === place && Array.isArray(kept.held) && Array.isArray(kept.passed);
    this.id = typeof kept?.id === "string" ? kept.id : uuid();
    this.held = same ? kept.held : [];
    this.passed = new Set(same ? kept.passed : []); // done with, though they stay in the queue
    // A duplicated tab has a copy of the storage. Whoever was there first keeps the id.
    this.channel = new BroadcastChannel("slotlab/tabs");
    this.channel.onmessage = ({ data }) => {
      if (data.id !== this.id) return;
      if (data.asks) return this.channel.postMessage({ id: this.id });
      this.id = uuid();
      this.held = [];
      onNewId();
    };
    this.channel.postMessage({ id: this.id, asks: true });
    this.ready = false;
    setTimeout(
      () => {
        this.ready = true;
        onReady();
      },
      kept ? ASK_MS : 0,
    );
  }

  keep(held) {
    const { id, place } = this;
    storage.write("sessionStorage", Tab.KEY, { id, place, held, passed: [...this.passed] });
  }

  close() {
    this.channel.close();
  }
}
Tab.KEY = "slotlab/tab";

// How many labels this tab has given, and how fast; outlives a change of page.
class Session {
  constructor(project) {
    this.key = `slotlab/session/${encodeURIComponent(project)}`;
    this.stats = { labels: 0, gaps: 0, ms: 0, last: 0, ...storage.read("sessionStorage", this.key) };
  }

  count(work) {
    const now = Date.now();
    const gap = now - this.stats.last;
    this.stats.labels += work;
    if (work > 0 && gap < PAUSE_MS) {
      this.stats.gaps += 1;
      this.stats.ms += gap;
    }
    this.stats.last = now;
  }

  keep() {
    storage.write("sessionStorage", this.key, this.stats);
  }

  // What was done, and how long `left` images will take.
  text(left) {
    const { labels, gaps, ms } = this.stats;
    if (!labels) return "";
    if (gaps < 5) return `${labels} this session`;
    const minutes = (left * ms) / gaps / 60000;
    const rest = left ? `, ${duration(minutes)} left` : "";
    return `${labels} this session, ${Math.round((gaps * 60000) / ms)} per minute${rest}`;
  }
}

// ---- one image ------------------------------------------------------------------------------------------------------

// The boxes of one label and the cursor in them; behind the last box it is at `chars.length`.
class Entry {
  constructor(length) {
    this.clear(length);
  }

  clear(length = this.chars.length) {
    this.chars = Array(length).fill("");
    this.cursor = 0;
  }

  fill(chars) {
    this.chars = [...chars];
    this.cursor = chars.length;
  }

  get text() {
    return this.chars.join("");
  }

  get missing() {
    return this.chars.filter((char) => !char).length;
  }

  get empty() {
    return this.missing === this.chars.length;
  }

  get room() {
    return this.chars.length - (this.cursor % this.chars.length);
  }

  // Returns whether the label is to be saved: a character in the last box ends it, one in another mends it.
  put(char) {
    if (this.cursor === this.chars.length) this.clear();
    this.chars[this.cursor] = char;
    this.cursor += 1;
    if (this.cursor < this.chars.length) return false;
    if (this.missing) this.cursor = this.chars.indexOf("");
    return !this.missing;
  }

  back() {
    if (!this.chars[this.cursor]) this.cursor = Math.max(0, this.cursor - 1);
    this.chars[this.cursor] = "";
  }

  erase() {
    if (this.cursor < this.chars.length) this.chars[this.cursor] = "";
  }

  // Behind the last box only when there is none left to fill.
  move(to) {
    this.cursor = Math.max(0, Math.min(to, this.chars.length - (this.missing ? 1 : 0)));
  }

  moveToEnd() {
    this.move(this.missing ? this.chars.indexOf("") : this.chars.length);
  }
}

// An image at hand; decoded when its turn comes near.
class Picture {
  constructor({ sample, version, url }, length) {
    this.sample = sample;
    this.version = version;
    this.url = url;
    this.last = null; // id of the operator's last event on it
    this.entry = new Entry(length);
    this.decoded = false;
  }

  decode(then) {
    if (this.img) return;
    this.img = image(this.url);
    // One that fails shows its alt text and can be skipped.
    const done = () => {
      this.decoded = true;
      then();
    };
    this.img.decode().then(done, done);
  }
}

// How long the image has been looked at.
class Clock {
  ms = 0;
  since = null;

  start() {
    this.ms = 0;
    this.since = document.hidden ? null : performance.now();
  }

  // On a change of the page's visibility.
  turn() {
    if (this.since !== null) this.ms += performance.now() - this.since;
    this.since = document.hidden ? null : performance.now();
  }

  read() {
    this.turn();
    return Math.round(this.ms);
  }
}

// ---- the widget -----------------------------------------------------------------------------------------------------

class Labeler {
  constructor(root, data) {
    this.root = root;
    this.place = placeOf(data);
    this.outbox = new Outbox("outbox", data);
    this.session = new Session(data.project);
    this.tab = new Tab(
      this.place,
      () => this.data && this.pump(),
      () => this.renew(),
    );
    this.clock = new Clock();
    this.charset = new Set(data.charset);
    this.map = letterCase(data.charset);
    this.queue = []; // images at hand; the first is the one shown
    this.history = []; // {image, change}, for undo; a pass changes nothing
    this.lacks = this.tab.held.filter((sample) => !this.outbox.about(sample));
    this.counts = { labelled: 0, skipped: 0, total: 0, disputed: 0 };
    this.more = true;
    this.sent = -Infinity;
    this.fresh = true; // there is something the server has not been told
    this.slots = Array.from({ length: data.length }, () => element("span", "slot"));
    this.parts = {};
    for (const part of root.querySelectorAll("[class]")) this.parts[part.classList[0]] = part;
    this.input = this.parts.input;
    this.parts.slots.replaceChildren(...this.slots);
    this.parts.entry.style.setProperty("--length", data.length);
    this.parts.notices.replaceChildren();
    this.parts.waiting.textContent = this.outbox.waiting;
    this.parts.help.hidden = true;
    this.input.inputMode = /^\d+$/.test(data.charset) ? "numeric" : "text";
    this.input.autocapitalize = data.charset === data.charset.toUpperCase() ? "characters" : "none";
    this.input.setAttribute("aria-label", `Label, ${count(data.length, "character")} of ${data.charset}`);
    root.querySelector("[data-command=skip] span").textContent = data.queue.kind === "unlabelled" ? "Skip" : "Pass";
    if (/Mac|iP(hone|ad|od)/.test(navigator.platform)) {
      for (const key of root.querySelectorAll("kbd")) key.textContent = key.textContent.replace("Alt+", "⌥");
    }
    this.hint(data.queue.kind === "second" ? "Somebody has labelled these. Type what you read." : "");
    this.view = { zoom: 1, invert: false, contrast: false, ...storage.read("localStorage", VIEW_KEY) };
    if (!ZOOMS.includes(this.view.zoom)) this.view.zoom = 1;

    this.listen = new AbortController();
    const on = (target, type, handle, capture = false) =>
      target.addEventListener(type, handle, { capture, signal: this.listen.signal });
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "paste", (event) => this.paste(event), true);
    on(window, "click", (event) => this.clickInHelp(event), true);
    on(window, "beforeunload", (event) => this.outbox.events.length && event.preventDefault());
    on(document, "visibilitychange", () => this.turn());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    on(this.input, "input", (event) => this.typedByInput(event));
    on(this.input, "compositionstart", () => (this.composing = true));
    on(this.input, "compositionupdate", (event) => this.compose(event.data));
    on(this.input, "compositionend", (event) => this.composed(event.data));
    on(root, "mousedown", (event) => this.press(event));
    on(this.parts.stage, "pointermove", (event) => this.lookAtPointer(event));
    on(this.parts.stage, "pointerleave", () => this.lookAtBox());
    for (const button of root.querySelectorAll("[data-command]")) {
      on(button, "click", () => this[button.dataset.command]());
    }
    this.resizes = new ResizeObserver(([entry]) => {
      this.room = entry.contentRect;
      this.fit();
    });
    this.resizes.observe(this.parts.stage);
    // Streamlit fades what a script has not drawn again within half a second; here it would fade the image in use.
    const container = root.closest("[data-testid=stElementContainer]");
    if (container) container.style.opacity = "1";
    // Whoever chose the project in a list of the sidebar wants to label now.
    if (focused()?.getAttribute("role") === "combobox") focused().blur();
    if (this.listening()) this.focus();
    this.showView();
  }

  close() {
    this.closed = true;
    this.listen.abort();
    this.resizes.disconnect();
    this.tab.close();
    clearTimeout(this.timer);
    clearTimeout(this.looking);
    clearTimeout(this.settling);
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  receive(data) {
    if (data.reply === this.data?.reply) return; // only the theme has changed
    this.data = data;
    for (const answer of data.answers) this.answered(answer);
    this.counts = data.counts ?? this.counts; // null when the database could not be read
    if (data.today) this.today = data.today;
    if (data.tab) this.answering = false;
    if (data.tab === this.tab.id) this.supply(data);
    // No answer to the outbox: this is a new session, after a restart of the server.
    if (!data.answers.length && !data.error && this.outbox.events.length) this.fresh = true;
    this.show();
  }

  supply({ images, lost, more, low, elsewhere }) {
    this.lacks = [];
    this.low = low;
    if (more !== null) {
      this.more = more;
      this.elsewhere = elsewhere;
    }
    const before = this.current;
    this.queue = this.queue.filter((image) => !lost.includes(image.sample) || image.last || !image.entry.empty);
    if (before && before !== this.current) {
      this.hint("Another operator has taken the image that was here.");
      this.taken = true;
    }
    for (const image of images) if (!this.has(image.sample)) this.queue.push(new Picture(image, this.slots.length));
    if (this.taken && this.current) {
      this.taken = false;
      this.settle();
    }
    if (images.length && this.hungry) this.fresh = true; // the first batch is small
  }

  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.settling = null;
      this.showReady();
    }, SETTLE_MS);
  }

  // Whether this was meant for the image that has gone. It goes on for as long as somebody types without looking.
  isForAnother() {
    if (!this.settling) return false;
    this.settle();
    this.refuse("Another operator has taken the image that was here; this is the next. Type again.");
    return true;
  }

  // Whether it is at hand, or was and is done with.
  has(sample) {
    return (
      this.tab.passed.has(sample) ||
      this.queue.some((image) => image.sample === sample) ||
      this.outbox.about(sample)
    );
  }

  answered(answer) {
    const event = this.outbox.drop(answer.event);
    if (!event) return;
    if (answer.status === "saved" || answer.status === "repeated") {
      if (this.today && event.operator === this.data.operator) this.today.labels += event.work ?? 0;
      return;
    }
    this.notify(event, answer.message);
    this.history = this.history.filter(({ image }) => image.last !== event.event); // it cannot be undone
  }

  // Another tab had the id first, and the images that go with it.
  renew() {
    this.lacks = [];
    this.queue = this.queue.filter((image) => image.last || !image.entry.empty);
    this.show();
    this.tell();
  }

  get hungry() {
    return this.more && this.queue.length < (this.low ?? 1);
  }

  // Sends the whole outbox when there is news or an answer is overdue, asks for images when few are left, and renews
  // the leases of those at hand.
  pump() {
    clearTimeout(this.timer);
    if (this.closed || !this.tab.ready) return;
    let due = document.hidden ? Infinity : HEARTBEAT_MS;
    if (this.outbox.events.length || this.hungry) due = RESEND_MS;
    if (this.fresh) due = this.answering ? ANSWER_MS : SEND_MS;
    let wait = this.sent + due - performance.now();
    if (wait <= 0 && pageIsBusy()) wait = BUSY_MS;
    if (wait <= 0) {
      this.send();
      this.pump();
    } else if (wait < Infinity) this.timer = setTimeout(() => this.pump(), wait);
  }

  send() {
    this.sent = performance.now();
    this.fresh = false;
    this.answering = true;
    const have = this.queue.map((image) => image.sample);
    this.tab.keep(have.length ? have.slice(0, HELD) : this.lacks);
    this.session.keep();
    this.setTriggerValue("outbox", {
      tab: this.tab.id,
      project: this.data.project,
      created: this.data.created,
      queue: this.data.queue,
      reply: this.data.reply,
      have,
      lacks: this.lacks,
      passed: [...this.tab.passed],
      wants: this.queue.length < (this.low ?? 1),
      events: this.outbox.events,
    });
  }

  tell() {
    this.fresh = true;
    this.later();
  }

  // `change` is what it adds to the figures, as Outbox.sum counts them.
  emit(image, action, { text = null, flag = null }, change) {
    // The version that an event leads to is known to the server alone, so the next one names the event instead.
    const { sample, version: base, last: after } = image;
    const { operator } = this.data;
    image.last = uuid();
    const ms = this.clock.read();
    this.outbox.add({ event: image.last, action, sample, text, flag, base, after, ms, operator, ...change });
    if (change.work) this.session.count(change.work);
    this.tell();
  }

  turn() {
    this.clock.turn();
    this.scheduled = false; // a frame that was waited for may never come
    if (document.hidden) this.later();
    else this.tell();
  }

  // ---- input ------------------------------------------------------------------------------------------------------

  // Keys of a hardware keyboard, wherever the focus is.
  key(event) {
    // Option+U is a dead key on macOS, which looks like a composition.
    if (event.isComposing || (event.keyCode === 229 && !event.altKey) || event.metaKey) return;
    if (!this.parts.help.hidden) return this.keyInHelp(event);
    if (!this.listening()) return;
    const command = this.commandOf(event);
    if (!command) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.focus();
    // Nobody means 111111 by resting on a key, or to undo ten labels by erasing one.
    if (event.repeat && !REPEATED.includes(command)) return;
    if (command === "type") this.type(event.key);
    else this[command](event.repeat);
  }

  commandOf(event) {
    const { key } = event;
    const typing = event.getModifierState("AltGraph");
    const isCharacter = [...key].length === 1;
    if (event.altKey && !typing && !event.ctrlKey) {
      // Other layouts have their letters elsewhere; Option on macOS makes others of them, which a charset may hold.
      if (/^[a-z]$/i.test(key)) return ALT_KEYS[key.toLowerCase()];
      if (/\P{ASCII}/u.test(key) && this.charset.has(key)) return "type";
      return ALT_KEYS[/^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase()];
    }
    if (event.ctrlKey && !typing) return undefined;
    const active = focused();
    const own = !active || active === this.input;
    // Enter and the space bar press a button that has the focus; arrows move in a list that has it.
    if ((key === "Enter" || key === " ") && !own && active.matches(PRESSABLE)) return undefined;
    if (MOVES.includes(key) && !own && !this.root.contains(active)) return undefined;
    return isCharacter ? "type" : KEYS[key];
  }

  // Virtual keyboards, dictation and the like put characters into the field itself.
  typedByInput({ inputType, data, isComposing }) {
    if (isComposing || this.composing) return;
    this.showTyped();
    if (/^delete.*Backward$/.test(inputType)) this.back();
    else if (/^delete.*Forward$/.test(inputType)) this.erase();
    else if (inputType === "insertLineBreak") this.enter();
    else if (data && !/Composition$/.test(inputType)) this.take(data);
  }

  compose(text) {
    this.hint(text && `Composing ${text}`);
    // Some keyboards never end a composition of letters by themselves.
    if ([...text].length === this.current?.entry.room && [...text].every((char) => this.fits(char))) {
      setTimeout(() => {
        this.input.blur();
        this.focus();
      });
    }
  }

  composed(text) {
    this.composing = false;
    this.hint("");
    this.showTyped();
    this.take(text);
  }

  // Several characters at once go into the boxes from the cursor on, never into the next image.
  take(text) {
    const chars = [...text].filter((char) => char.trim() || this.charset.has(char));
    const room = this.current?.entry.room ?? 1;
    if (chars.length > room) return this.refuse(`${count(chars.length, "character")} for ${room} boxes.`);
    for (const char of chars) this.type(char);
  }

  paste(event) {
    if (!this.listening() || !this.current) return;
    event.preventDefault();
    if (this.isForAnother()) return;
    const chars = [...event.clipboardData.getData("text").trim()];
    const foreign = chars.find((char) => !this.fits(char));
    if (foreign !== undefined) return this.refuse(`${quoted(foreign)} is not in the charset.`);
    if (chars.length !== this.slots.length) {
      return this.refuse(`Pasted ${count(chars.length, "character")}; a label has ${this.slots.length}.`);
    }
    this.current.entry.fill(chars.map((char) => this.inCharset(char)));
    this.hint("Pasted. Enter saves it.");
    this.showTyped();
  }

  press(event) {
    if (event.target === this.input) {
      const place = this.slots.findIndex((slot) => event.clientX <= slot.getBoundingClientRect().right);
      // A tap on empty boxes is there to bring up the keyboard.
      this.moveTo(this.current?.entry.empty ? 0 : place < 0 ? this.slots.length : place);
    } else if (!event.target.closest("a")) {
      // Neither the image nor a button takes the focus by mouse: the next Enter must not press that button again.
      event.preventDefault();
      this.focus();
    }
  }

  // As the charset has it: in its case, in the usual width.
  inCharset(char) {
    return this.charset.has(char) ? char : this.map(char.normalize("NFKC"));
  }

  fits(char) {
    return this.charset.has(this.inCharset(char));
  }

  focus() {
    if (document.activeElement !== this.input) this.input.focus({ preventScroll: true });
  }

  // Whether keys are for this widget: no other field has the focus, no dialog or menu is open.
  listening() {
    const active = focused();
    if (active !== this.input && (active?.isContentEditable || active?.matches(EDITABLE))) return false;
    if (!this.parts.help.hidden) return false;
    return ![...document.querySelectorAll(OVERLAYS)].some(
      (overlay) => overlay !== this.parts.help && overlay.checkVisibility(),
    );
  }

  // ---- what the operator does -------------------------------------------------------------------------------------

  type(key) {
    if (!this.current) return this.refuse("There is no image to label.");
    if (this.isForAnother()) return;
    const char = this.inCharset(key);
    if (!this.charset.has(char)) return this.refuse(`${quoted(key)} is not in the charset ${this.data.charset}.`);
    const { entry } = this.current;
    if (entry.put(char)) return this.submit();
    if (entry.missing) this.forgive();
    else this.hint("Enter saves it.");
    this.showTyped();
  }

  enter() {
    const { entry } = this.current ?? {};
    if (!entry || entry.empty) return;
    if (entry.missing) this.refuse(`${count(entry.missing, "character")} more.`);
    else this.submit();
  }

  back(repeat) {
    if (this.current && !this.current.entry.empty) {
      this.current.entry.back();
      this.forgive();
      this.showTyped();
    } else if (!repeat) this.undo();
  }

  erase() {
    this.current?.entry.erase();
    this.forgive();
    this.showTyped();
  }

  moveTo(place) {
    this.current?.entry.move(place);
    this.showTyped();
  }

  left() {
    this.moveTo(this.current?.entry.cursor - 1);
  }

  right() {
    this.moveTo(this.current?.entry.cursor + 1);
  }

  home() {
    this.moveTo(0);
  }

  end() {
    this.current?.entry.moveToEnd();
    this.showTyped();
  }

  get kind() {
    return this.data.queue.kind;
  }

  submit() {
    const image = this.current;
    if (!image || image.entry.missing) return;
    const { text } = image.entry;
    if (this.kind === "second") this.leave("second", { text }, { delta: 0, left: 0, work: 1 }, text);
    else this.leave("label", { text }, { delta: 1, left: -1, work: 1 }, text);
  }

  skip() {
    if (!this.current || this.isForAnother()) return;
    if (this.kind === "unlabelled") this.leave("skip", {}, { delta: 0, left: -1, work: 0 }, "Skipped");
    else {
      this.tab.passed.add(this.current.sample);
      this.leave(null, {}, null, this.kind === "skipped" ? "Left as skipped" : "Passed");
    }
  }

  unreadable() {
    this.flag("unreadable", "Unreadable");
  }

  notOurs() {
    this.flag("not_ours", "Not ours");
  }

  flag(flag, said) {
    if (!this.current || this.isForAnother()) return;
    if (this.kind === "second") return this.leave("second", { flag }, { delta: 0, left: 0, work: 1 }, said);
    // It stays in the queue of the skipped ones, and need not be seen there again.
    if (this.kind === "skipped") this.tab.passed.add(this.current.sample);
    const left = this.kind === "skipped" ? 0 : -1;
    this.leave("skip", { flag }, { delta: 0, left, work: 0 }, said);
  }

  leave(action, entry, change, said) {
    const image = this.queue.shift();
    if (action) this.emit(image, action, entry, change);
    else this.tell();
    this.history.push({ image, change });
    if (this.history.length > 100) this.history.shift();
    this.hint(`Last: ${said}`);
    this.show();
    this.announce(() => `${action === "label" ? `Labelled ${said}` : said}. ${this.leftText}`);
  }

  undo() {
    const step = this.history.pop();
    if (!step) return this.refuse("Nothing to undo.");
    const { image, change } = step;
    if (change) this.emit(image, "undo", {}, { delta: -change.delta, left: -change.left, work: -change.work });
    else this.tell();
    this.tab.passed.delete(image.sample);
    this.queue = [image, ...this.queue.filter((each) => each.sample !== image.sample)];
    const typed = !image.entry.missing;
    image.entry.moveToEnd();
    this.hint(typed ? "Undone. Type it anew, or choose a box with the arrow keys." : "Undone.");
    this.show();
    this.announce(() => `Undone. ${typed ? `${image.entry.text} is back. ` : ""}${this.leftText}`);
  }

  // ---- view -------------------------------------------------------------------------------------------------------

  zoom() {
    this.change({ zoom: ZOOMS[(ZOOMS.indexOf(this.view.zoom) + 1) % ZOOMS.length] });
  }

  invert() {
    this.change({ invert: !this.view.invert });
  }

  contrast() {
    this.change({ contrast: !this.view.contrast });
  }

  change(view) {
    this.view = { ...this.view, ...view };
    storage.write("localStorage", VIEW_KEY, this.view);
    this.showView();
  }

  showView() {
    const { zoom, invert, contrast } = this.view;
    const { stage } = this.parts;
    stage.style.setProperty("--zoom", zoom);
    stage.classList.toggle("invert", invert);
    stage.classList.toggle("contrast", contrast);
    for (const [command, on] of Object.entries({ zoom: zoom > 1, invert, contrast })) {
      this.button(command).setAttribute("aria-pressed", String(on));
    }
    this.button("zoom").firstElementChild.textContent = zoom > 1 ? `Zoom ${zoom}x` : "Zoom";
    this.lookAtBox();
    this.fit();
  }

  // The zoomed view shows the place that the pointer or the cursor is at.
  lookAtPointer({ clientX, clientY }) {
    if (this.view.zoom === 1) return;
    const { left, top, width, height } = this.parts.stage.getBoundingClientRect();
    this.lookAt((clientX - left) / width, (clientY - top) / height);
  }

  lookAtBox() {
    if (this.view.zoom === 1) return;
    const { length } = this.slots;
    this.lookAt((Math.min(this.current?.entry.cursor ?? 0, length - 1) + 0.5) / length, 0.5);
  }

  lookAt(x, y) {
    this.parts.stage.style.setProperty("--x", x);
    this.parts.stage.style.setProperty("--y", y);
  }

  help() {
    this.parts.help.hidden = !this.parts.help.hidden;
    if (this.parts.help.hidden) this.focus();
    else this.parts.help.focus();
    this.showReady();
  }

  keyInHelp(event) {
    if (event.key === "F1" || event.key === "Escape") this.help();
    else if (event.ctrlKey || event.altKey || [...event.key].length > 1) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  clickInHelp(event) {
    if (this.parts.help.hidden) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.help();
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  get current() {
    return this.queue[0];
  }

  show() {
    if (this.closed) return;
    const { current, root } = this;
    const { stage } = this.parts;
    if (!current) stage.replaceChildren(this.emptyState());
    else {
      current.decode(() => this.showReady());
      if (stage.firstChild !== current.img) stage.replaceChildren(current.img);
    }
    root.dataset.sample = current?.sample ?? "";
    root.dataset.unsaved = String(this.outbox.events.length);
    root.classList.toggle("empty", !current);
    this.fit();
    this.showTyped();
    this.showReady();
    this.later();
  }

  // Whatever need not be in the next frame, after it: figures, decoding ahead, the message to the server.
  later() {
    if (this.scheduled) return;
    this.scheduled = true;
    const work = () => {
      this.scheduled = false;
      if (this.closed) return;
      this.showFigures();
      for (const image of this.queue.slice(1, AHEAD)) image.decode(() => this.showReady());
      this.pump();
    };
    if (document.hidden) setTimeout(work);
    else requestAnimationFrame(() => setTimeout(work));
  }

  fit() {
    const img = this.current?.img;
    if (!img?.naturalWidth || !this.room) return;
    const { width, height } = this.room;
    const scale = Math.min(width / img.naturalWidth, height / img.naturalHeight, MAX_SCALE);
    img.style.width = `${Math.round(img.naturalWidth * scale)}px`;
    img.style.imageRendering = scale * this.view.zoom >= CRISP ? "pixelated" : "";
  }

  showTyped() {
    const { entry } = this.current ?? {};
    this.slots.forEach((slot, place) => {
      slot.textContent = entry?.chars[place] ?? "";
      slot.classList.toggle("next", place === entry?.cursor);
    });
    if (!this.composing) {
      const value = entry && !entry.empty ? entry.chars.map((char) => char || " ").join("").trimEnd() : "";
      if (this.input.value !== value) this.input.value = value;
    }
    this.lookAtBox();
    this.button("submit").disabled = !entry || entry.missing > 0;
    for (const command of ["skip", "unreadable", "notOurs"]) this.button(command).disabled = !entry;
    this.button("undo").disabled = !this.history.length;
  }

  showReady() {
    if (this.closed) return;
    const { current, root } = this;
    const listening = this.listening();
    if (current?.decoded && this.timed !== current) {
      this.timed = current;
      this.clock.start();
      this.fit();
    }
    if (!current) this.timed = null;
    clearTimeout(this.looking);
    // A dialog or a list goes without a sign, some time after it has given back the focus.
    if (!listening) this.looking = setTimeout(() => this.showReady(), 300);
    root.dataset.ready = String(Boolean(current?.decoded && listening && !this.settling));
    root.classList.toggle("elsewhere", Boolean(current) && !listening && this.parts.help.hidden);
  }

  showFigures() {
    const { labelled, total, skipped, disputed } = this.counts;
    const { bar, done, pace, today, unsaved } = this.parts;
    const now = labelled + this.outbox.sum("delta");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", now);
    done.style.width = `${total ? (100 * now) / total : 0}%`;
    const rest = skipped ? `, ${number(skipped)} skipped` : "";
    this.parts.total.textContent = `${number(now)} of ${number(total)} labelled${rest}`;
    this.parts.disputed.hidden = !disputed;
    this.parts.disputed.textContent = `${number(disputed)} disputed`;
    this.parts.disputed.href = `review?project=${encodeURIComponent(this.data.project)}`;
    pace.textContent = this.session.text(this.remaining);
    const labels = (this.today?.labels ?? 0) + this.outbox.sum("work");
    const each = this.today?.median_ms ? `, ${(this.today.median_ms / 1000).toFixed(1)} s each` : "";
    today.textContent = labels > 0 ? `Today ${number(labels)}${each}` : "";
    const unstored = this.outbox.unstored.length;
    this.root.dataset.unsaved = String(this.outbox.events.length);
    this.root.classList.toggle("failing", Boolean(this.data.error || unstored));
    unsaved.textContent = [
      this.data.error,
      this.outbox.events.length || this.data.error ? `Unsaved: ${this.outbox.events.length}.` : "",
      unstored ? `This browser cannot store labels: closing this tab now loses ${unstored}.` : "",
    ].join(" ");
  }

  // Images that wait in this queue; null where the server does not count them.
  get remaining() {
    const { labelled, skipped, total } = this.counts;
    const { kind, source_id, day, flag } = this.data.queue;
    if (kind === "second" || source_id !== null || day !== null || flag !== null) return null;
    return Math.max(0, (kind === "skipped" ? skipped : total - labelled - skipped) + this.outbox.sum("left"));
  }

  get leftText() {
    return this.remaining === null ? "" : `${number(this.remaining)} left.`;
  }

  // For screen readers, after the paint and never twice in a frame.
  announce(text) {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (this.parts.live.textContent = text()), 100);
  }

  emptyState() {
    const box = element("div", "message");
    const { counts, kind } = this;
    const { source_id, day, flag } = this.data.queue;
    const line = (text) => box.append(element("p", "", text));
    const button = (text, to) => {
      const link = element("button", "", text);
      link.type = "button";
      link.onclick = () => this.setTriggerValue("queue", to);
      box.append(link);
    };
    if (this.more) {
      line(this.elsewhere ? "The other images are on other screens." : "Waiting for images…");
    } else if (!counts.total) {
      line("This project has no images yet.");
    } else if (source_id !== null || day !== null || flag !== null) {
      line("No more images match the filter.");
    } else if (kind === "skipped") {
      line(this.tab.passed.size ? "No more skipped images; those you passed stay skipped." : "No images are skipped.");
      button("Back to unlabelled images", "unlabelled");
    } else if (kind === "second") {
      line("No labels of others wait for a second look.");
      button("Back to unlabelled images", "unlabelled");
    } else {
      line(counts.skipped ? "All images are labelled or skipped." : "All images are labelled.");
      if (counts.skipped) button("Label the skipped ones", "skipped");
      button("Second look at labels of others", "second");
    }
    return box;
  }

  button(command) {
    return (this.buttons ??= Object.fromEntries(
      [...this.root.querySelectorAll("[data-command]")].map((button) => [button.dataset.command, button]),
    ))[command];
  }

  hint(text) {
    const { hint } = this.parts;
    hint.textContent = text;
    hint.classList.remove("refused");
  }

  // The sentence of a refusal goes with the next key; what was typed last stays to be seen.
  forgive() {
    if (this.parts.hint.classList.contains("refused")) this.hint("");
  }

  refuse(text) {
    this.hint(text);
    this.announce(() => text);
    this.parts.hint.classList.add("refused");
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const shake = [0, -6, 5, -3, 0].map((x) => ({ transform: `translateX(${x}px)` }));
    this.parts.slots.animate(shake, { duration: 220 });
  }

  // An entry the server did not take: it stays on the screen, with its reason, until the operator has seen it.
  notify(event, message) {
    const notice = element("li", "");
    const seen = this.history.findLast((step) => step.image.sample === event.sample)?.image;
    if (seen) notice.append(image(seen.url));
    notice.append(element("strong", "", event.text ?? event.action), element("span", "", message));
    const close = element("button", "", "Dismiss");
    close.type = "button";
    close.onclick = () => notice.remove();
    notice.append(close);
    this.parts.notices.prepend(notice);
  }
}

// ---- words ----------------------------------------------------------------------------------------------------------

const VIEW_KEY = "slotlab/view";
const KEYS = {
  Enter: "enter",
  Backspace: "back",
  Delete: "erase",
  Escape: "skip",
  ArrowLeft: "left",
  ArrowRight: "right",
  Home: "home",
  End: "end",
  F1: "help",
};
const ALT_KEYS = { z: "zoom", i: "invert", c: "contrast", u: "unreadable", o: "notOurs" };
const MOVES = ["ArrowLeft", "ArrowRight", "Home", "End"];
const REPEATED = ["back", "erase", "left", "right"];

function image(url) {
  const img = new Image();
  img.src = url;
  img.alt = "The image to label";
  img.draggable = false;
  return img;
}

function duration(minutes) {
  if (minutes < 1) return "less than a minute";
  if (minutes < 90) return `about ${Math.round(minutes)} min`;
  return `about ${Math.round(minutes / 60)} h`;
}
