// The labelling widget. Typing never waits for the server: images are fetched ahead, and what the operator does is
// an event that stays in the browser's storage until the server has answered it by its id. The server may get an
// event twice, late, or from the next tab; the id makes that harmless.

const SEND_MS = 150; // between messages: of those that wait for a busy script Streamlit keeps only the newest
const RESEND_MS = 3000; // a message is lost without a sign when the server is away
const PAUSE_MS = 30000; // a longer gap between two labels is a pause and does not count for the pace
const LOW = 40;
const TAB = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const MAX_SCALE = 6;
const MAX_HEIGHT = 240; // pixels of the image on the screen

const widgets = new WeakMap();

// Streamlit calls this again for every new `data` and theme, and only the last cleanup, when the widget goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let widget = widgets.get(parentElement);
  if (!widget || !widget.shows(data)) {
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

// Events without an answer, one storage key each: two tabs of one project then never overwrite each other's.
class Outbox {
  constructor(project) {
    this.prefix = `slotlab/outbox/${encodeURIComponent(project)}/`;
    this.events = Object.keys(localStorage)
      .filter((key) => key.startsWith(this.prefix))
      .map((key) => JSON.parse(localStorage.getItem(key)))
      .sort((a, b) => a.at - b.at);
  }

  add(event) {
    event.at = Math.max(Date.now(), (this.events.at(-1)?.at ?? 0) + 1);
    this.events.push(event);
    localStorage.setItem(this.prefix + event.event, JSON.stringify(event));
  }

  // Returns the event, or undefined when it had been answered before.
  drop(id) {
    const event = this.events.find((each) => each.event === id);
    this.events = this.events.filter((each) => each !== event);
    localStorage.removeItem(this.prefix + id);
    return event;
  }
}

// How many labels this tab has given, and how fast; outlives a change of page.
class Session {
  constructor(project) {
    this.key = `slotlab/session/${encodeURIComponent(project)}`;
    this.stats = JSON.parse(sessionStorage.getItem(this.key)) ?? { labels: 0, gaps: 0, ms: 0, last: 0 };
  }

  count(delta) {
    const now = Date.now();
    const gap = now - this.stats.last;
    this.stats.labels += delta;
    if (delta > 0 && gap < PAUSE_MS) {
      this.stats.gaps += 1;
      this.stats.ms += gap;
    }
    this.stats.last = now;
    sessionStorage.setItem(this.key, JSON.stringify(this.stats));
  }

  get text() {
    const { labels, gaps, ms } = this.stats;
    if (!labels) return "";
    const pace = gaps >= 5 ? `, ${Math.round((gaps * 60000) / ms)} per minute` : "";
    return `${labels} this session${pace}`;
  }
}

class Labeler {
  constructor(root, data) {
    this.root = root;
    this.outbox = new Outbox(data.project);
    this.session = new Session(data.project);
    this.charset = new Set(data.charset);
    this.map = letterCase(data.charset);
    this.queue = []; // images at hand; the first is the one shown
    this.history = []; // {image, action}, for undo
    this.done = new Set(); // hashes not to show again though the server may still offer them
    this.passed = new Set(); // skipped images seen again and left as they are
    this.counts = { labelled: 0, skipped: 0, total: 0 };
    this.sent = -Infinity;
    this.fresh = false; // there is something the server has not been told
    this.slots = Array.from({ length: data.length }, () => element("span", "slot"));
    this.part("slots").replaceChildren(...this.slots);
    this.part("slots").style.setProperty("--length", data.length);
    this.part("notices").replaceChildren();
    this.hint("");

    const listen = new AbortController();
    const on = (target, type, handle, capture = false) =>
      target.addEventListener(type, handle, { capture, signal: listen.signal });
    on(window, "keydown", (event) => this.key(event), true);
    on(window, "paste", (event) => this.paste(event), true);
    on(window, "beforeunload", (event) => this.outbox.events.length && event.preventDefault());
    on(document, "focusin", () => this.showReady());
    on(document, "focusout", () => setTimeout(() => this.showReady()));
    on(root, "mousedown", (event) => {
      // Neither the image nor a button takes the focus by mouse: the next Enter must not press that button again.
      event.preventDefault();
      focused()?.blur();
    });
    for (const button of root.querySelectorAll("[data-command]")) {
      on(button, "click", () => this[button.dataset.command]());
    }
    this.resizes = new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.fit();
    });
    this.resizes.observe(this.part("stage"));
    this.listen = listen;
    // Whoever chose the project in a list of the sidebar wants to label now.
    if (focused()?.getAttribute("role") === "combobox") focused().blur();
  }

  shows({ project, queue }) {
    return project === this.data.project && JSON.stringify(queue) === JSON.stringify(this.data.queue);
  }

  close() {
    this.listen.abort();
    this.resizes.disconnect();
    clearTimeout(this.timer);
    this.closed = true;
  }

  part(name) {
    return this.root.querySelector(`.${name}`);
  }

  // ---- server -----------------------------------------------------------------------------------------------------

  receive(data) {
    if (data.reply === this.data?.reply) return; // only the theme has changed
    this.data = data;
    this.more = data.more ?? this.more ?? true;
    this.counts = data.counts ?? this.counts; // null when the database could not be read
    for (const answer of data.answers) this.answered(answer);
    for (const { sample, version, url } of data.images) {
      if (this.done.has(sample) || this.queue.some((image) => image.sample === sample)) continue;
      if (this.outbox.events.some((event) => event.sample === sample)) continue;
      this.queue.push({ sample, version, last: null, img: picture(url), typed: [] });
    }
    // No answer to the outbox: this is a new session, after a restart of the server.
    if (!data.answers.length && !data.error && this.outbox.events.length) this.fresh = true;
    this.show();
    this.pump();
  }

  answered(answer) {
    const event = this.outbox.drop(answer.event);
    if (!event || answer.status === "saved" || answer.status === "repeated") return;
    this.done.delete(answer.sample);
    this.notify(event, answer.message);
    this.history = this.history.filter(({ image }) => image.last !== event.event); // it cannot be undone
  }

  // Sends the whole outbox when there is news or an answer is overdue, and asks for images when few are left.
  pump() {
    clearTimeout(this.timer);
    const wants = this.more && this.queue.length < this.data.low;
    if (this.closed || !(this.fresh || this.outbox.events.length || wants)) return;
    const wait = this.sent + (this.fresh ? SEND_MS : RESEND_MS) - performance.now();
    if (wait > 0) {
      this.timer = setTimeout(() => this.pump(), wait);
      return;
    }
    this.sent = performance.now();
    this.fresh = false;
    this.setTriggerValue("outbox", {
      tab: TAB,
      project: this.data.project,
      queue: this.data.queue,
      reply: this.data.reply,
      have: this.queue.map((image) => image.sample),
      passed: [...this.passed],
      wants: this.queue.length < LOW,
      events: this.outbox.events,
    });
    this.timer = setTimeout(() => this.pump(), RESEND_MS);
  }

  emit(image, action, text, delta) {
    // The version that an event leads to is known to the server alone, so the next one names the event instead.
    const { sample, version: base, last: after } = image;
    const { operator } = this.data;
    image.last = uuid();
    this.outbox.add({ event: image.last, action, sample, text, base, after, operator, delta });
    this.tell();
  }

  tell() {
    this.fresh = true;
    this.pump();
  }

  // ---- what the operator does -------------------------------------------------------------------------------------

  key(event) {
    if (event.isComposing || event.keyCode === 229 || event.metaKey) return;
    if ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph")) return;
    if (!this.listening()) return;
    const isCharacter = [...event.key].length === 1;
    // Enter and the space bar press a button that has the focus.
    if ((event.key === "Enter" || event.key === " ") && focused()?.matches(PRESSABLE)) return;
    const command = { Enter: "enter", Backspace: "back", Escape: "skip" }[event.key];
    if (!isCharacter && !command) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    // Nobody means 111111 by resting on a key, or to undo ten labels by erasing one.
    if (event.repeat && command !== "back") return;
    focused()?.blur();
    if (isCharacter) this.type(event.key);
    else if (command === "back") this.back(event.repeat);
    else this[command]();
  }

  paste(event) {
    if (!this.listening() || !this.current) return;
    event.preventDefault();
    const text = [...event.clipboardData.getData("text").trim()].map(this.map);
    const foreign = text.find((char) => !this.charset.has(char));
    if (foreign !== undefined) return this.refuse(`${quoted(foreign)} is not in the charset.`);
    if (text.length !== this.slots.length) {
      return this.refuse(`Pasted ${characters(text.length)}; a label has ${this.slots.length}.`);
    }
    this.current.typed = text;
    this.hint("Pasted. Enter saves it.");
    this.showTyped();
  }

  type(key) {
    if (!this.current) return this.refuse("There is no image to label.");
    const char = this.map(key);
    if (!this.charset.has(char)) return this.refuse(`${quoted(key)} is not in the charset ${this.data.charset}.`);
    if (this.complete) this.current.typed = []; // a label that came back by undo is typed over
    this.current.typed.push(char);
    this.forgive();
    if (this.complete) this.submit();
    else this.showTyped();
  }

  enter() {
    const typed = this.current?.typed.length;
    if (!typed) return;
    if (this.complete) this.submit();
    else this.refuse(`${characters(this.slots.length - typed)} more.`);
  }

  back(repeat) {
    if (this.current?.typed.length) {
      this.current.typed.pop();
      this.forgive();
      this.showTyped();
    } else if (!repeat) this.undo();
  }

  submit() {
    if (!this.complete) return;
    const image = this.current;
    const text = image.typed.join("");
    this.emit(image, "label", text, 1);
    this.session.count(1);
    this.leave("label", text);
  }

  skip() {
    const image = this.current;
    if (!image) return;
    if (this.data.queue.kind === "skipped") {
      this.passed.add(image.sample);
      this.tell();
      this.leave("pass", "Left as skipped");
    } else {
      this.emit(image, "skip", null, 0);
      this.leave("skip", "Skipped");
    }
  }

  leave(action, said) {
    const image = this.queue.shift();
    this.done.add(image.sample);
    this.history.push({ image, action });
    if (this.history.length > 100) this.history.shift();
    this.hint(`Last: ${said}`);
    this.show();
  }

  undo() {
    const step = this.history.pop();
    if (!step) return this.refuse("Nothing to undo.");
    const { image, action } = step;
    if (action === "label") this.session.count(-1);
    if (action !== "pass") this.emit(image, "undo", null, action === "label" ? -1 : 0);
    this.passed.delete(image.sample);
    this.done.delete(image.sample);
    this.queue = [image, ...this.queue.filter((each) => each.sample !== image.sample)];
    this.hint("Undone.");
    this.show();
  }

  // ---- screen -----------------------------------------------------------------------------------------------------

  get current() {
    return this.queue[0];
  }

  get complete() {
    return this.current?.typed.length === this.slots.length;
  }

  // Whether keys are for this widget: no other field has the focus, no dialog or menu is open.
  listening() {
    const other = focused();
    if (other?.isContentEditable || other?.matches(EDITABLE)) return false;
    return ![...document.querySelectorAll(OVERLAYS)].some((overlay) => overlay.checkVisibility());
  }

  show() {
    if (this.closed) return;
    const { current, root } = this;
    const stage = this.part("stage");
    if (!current) stage.replaceChildren(this.emptyState());
    else if (stage.firstChild !== current.img) stage.replaceChildren(current.img);
    root.dataset.sample = current?.sample ?? "";
    root.classList.toggle("empty", !current);
    this.fit();
    this.showTyped();
    this.showReady();
    this.showFigures();
  }

  fit() {
    const img = this.current?.img;
    if (!img?.naturalWidth || !this.width) return;
    const scale = Math.min(this.width / img.naturalWidth, MAX_HEIGHT / img.naturalHeight, MAX_SCALE);
    img.style.width = `${Math.round(img.naturalWidth * scale)}px`;
  }

  showTyped() {
    const typed = this.current?.typed ?? [];
    this.slots.forEach((slot, position) => {
      slot.textContent = typed[position] ?? "";
      slot.classList.toggle("next", Boolean(this.current) && position === typed.length);
    });
    this.part("slots").setAttribute("aria-label", `Typed: ${typed.join(" ") || "nothing"}`);
    this.button("submit").disabled = !this.complete;
    this.button("skip").disabled = !this.current;
    this.button("undo").disabled = !this.history.length;
  }

  showReady() {
    if (this.closed) return;
    const img = this.current?.img;
    const listening = this.listening();
    if (img && !img.complete) {
      img.onload = img.onerror = () => this.show();
    }
    this.root.dataset.ready = String(Boolean(img?.complete && listening));
    this.root.classList.toggle("elsewhere", Boolean(img) && !listening);
  }

  showFigures() {
    const { labelled, total, skipped } = this.counts;
    const now = this.outbox.events.reduce((sum, event) => sum + event.delta, labelled);
    const bar = this.part("bar");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", now);
    this.part("done").style.width = `${total ? (100 * now) / total : 0}%`;
    const rest = skipped ? `, ${skipped.toLocaleString("en")} skipped` : "";
    this.part("total").textContent = `${now.toLocaleString("en")} of ${total.toLocaleString("en")} labelled${rest}`;
    this.part("pace").textContent = this.session.text;
    const unsaved = this.outbox.events.length;
    this.root.dataset.unsaved = String(unsaved);
    this.root.classList.toggle("failing", Boolean(this.data.error));
    const failure = this.data.error ? `${this.data.error} ` : "";
    this.part("unsaved").textContent = unsaved || failure ? `${failure}Unsaved: ${unsaved}` : "";
  }

  emptyState() {
    const box = element("div", "message");
    const { counts } = this;
    const queue = this.data.queue.kind;
    if (this.more) {
      box.textContent = "Waiting for images…";
      return box;
    }
    const line = (text) => box.append(element("p", "", text));
    const button = (text, to) => {
      const link = element("button", "", text);
      link.type = "button";
      link.onclick = () => this.setTriggerValue("queue", to);
      box.append(link);
    };
    if (queue === "skipped") {
      line(this.passed.size ? "No more skipped images; those you passed stay skipped." : "No images are skipped.");
      button("Back to unlabelled images", "unlabelled");
    } else if (counts.total) {
      line(counts.skipped ? "All images are labelled or skipped." : "All images are labelled.");
      if (counts.skipped) button("Label the skipped ones", "skipped");
    } else line("This project has no images yet.");
    return box;
  }

  button(command) {
    return this.root.querySelector(`[data-command="${command}"]`);
  }

  hint(text) {
    const hint = this.part("hint");
    hint.textContent = text;
    hint.classList.remove("refused");
  }

  // The sentence of a refusal goes with the next key; what was typed last stays to be seen.
  forgive() {
    if (this.part("hint").classList.contains("refused")) this.hint("");
  }

  refuse(text) {
    this.hint(text);
    this.part("hint").classList.add("refused");
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const shake = [0, -6, 5, -3, 0].map((x) => ({ transform: `translateX(${x}px)` }));
    this.part("slots").animate(shake, { duration: 220 });
  }

  // An entry the server did not take: it stays on the screen, with its reason, until the operator has seen it.
  notify(event, message) {
    const notice = element("li", "");
    const image = this.history.findLast((step) => step.image.sample === event.sample)?.image;
    if (image) notice.append(picture(image.img.src));
    notice.append(element("strong", "", event.text ?? event.action), element("span", "", message));
    const close = element("button", "", "Dismiss");
    close.type = "button";
    close.onclick = () => notice.remove();
    notice.append(close);
    this.part("notices").prepend(notice);
  }
}

const EDITABLE =
  "textarea, select, input:not([type=button], [type=checkbox], [type=radio], [type=range], [type=submit], [type=file])";
const PRESSABLE = "a, button, input, summary, [role=button], [role=link], [role=tab], [role=radio], [role=option]";
const OVERLAYS = "[role=dialog], [role=menu], [data-testid=stDialog], [data-testid=stPopoverBody]";

// The element that has the focus, inside shadow roots too; null when none has.
function focused() {
  let active = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active === document.body ? null : active;
}

// Typed letters are turned to the case of the charset, when it has only one.
function letterCase(charset) {
  const upper = charset !== charset.toLowerCase();
  const lower = charset !== charset.toUpperCase();
  if (upper === lower) return (char) => char;
  return upper ? (char) => char.toUpperCase() : (char) => char.toLowerCase();
}

function picture(url) {
  const img = new Image();
  img.src = url;
  img.alt = "The image to label";
  img.draggable = false;
  img.decode().catch(() => {}); // ahead of its turn; an image that fails shows its alt text and can be skipped
  return img;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// crypto.randomUUID exists only on https and localhost.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const quoted = (char) => (char === " " ? "A space" : `“${char}”`);
const characters = (n) => `${n} character${n === 1 ? "" : "s"}`;
