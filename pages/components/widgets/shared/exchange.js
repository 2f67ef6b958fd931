// The exchange with the server. Nobody waits for it: what was entered stays in the outbox until the server has answered
// it. The server may get an event twice, late, or from the next tab; its id makes that harmless.

/** @typedef {import("./outbox.js").Entered} Entered */
/** @typedef {(name: string, value: unknown) => void} Trigger what Streamlit calls setTriggerValue */

/**
 * @typedef {object} Data what the server sends every widget that has an outbox
 * @property {string} reply id of this answer
 * @property {string} project
 * @property {string} created
 * @property {number} length
 * @property {string} charset
 * @property {string} operator
 * @property {boolean} login
 * @property {any[]} answers
 * @property {string | null} error
 */

const SEND_MS = 150; // between messages: of those that wait for a busy script Streamlit keeps only the newest
const RESEND_MS = 3000; // a message is lost without a sign when the server is away
const BUSY_MS = 30; // between two looks at whether the page takes messages

const USUAL = {
  message: () => /** @type {object} */ ({}), // what a message holds beside the project and the events
  wants: () => false, // whether the server shall send more
  isReady: () => true, // whether messages can be sent yet
  idleMs: () => Infinity, // how long the server need not hear anything
  unansweredMs: SEND_MS, // between messages while the last one has no answer
};

// Whether a message cannot be answered now. While a server that was restarted draws the whole page, a message to the
// widget's part of it makes Streamlit (1.67) throw away what it has not sent yet, and the page stays blank.
function pageIsBusy() {
  /** @type {HTMLElement | null} */
  const app = document.querySelector("[data-testid=stApp]");
  const { testScriptState, testConnectionState } = app?.dataset ?? {};
  return testScriptState === "running" || (testConnectionState ?? "CONNECTED") !== "CONNECTED";
}

// crypto.randomUUID exists only on https and localhost.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Exchange {
  /** @param {import("./outbox.js").Outbox} outbox @param {Partial<typeof USUAL>} options */
  constructor(outbox, options = {}) {
    this.outbox = outbox;
    this.options = { ...USUAL, ...options };
    /** @type {Data | null} */
    this.data = null;
    this.sentAt = -Infinity;
    this.hasNews = false; // there is something the server has not been told
    this.isUnanswered = false;
    this.ending = new AbortController();
    const { signal } = this.ending;
    window.addEventListener("beforeunload", (event) => outbox.events.length && event.preventDefault(), { signal });
  }

  close() {
    this.ending.abort();
    clearTimeout(this.timer);
    clearTimeout(this.insisting);
  }

  /** @param {Data} data @param {Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.trigger = trigger;
  }

  // No answer to the outbox: this is a new session, after a restart of the server.
  resendToNewSession() {
    const { answers, error } = this.data;
    if (!answers.length && !error && this.outbox.events.length) this.hasNews = true;
  }

  /** @param {Omit<Entered, "event" | "operator">} event */
  emit(event) {
    const id = uuid();
    this.outbox.add({ event: id, operator: this.data.operator, ...event });
    this.hasNews = true;
    return id;
  }

  get dueMs() {
    const { unansweredMs, wants, idleMs } = this.options;
    if (this.hasNews) return this.isUnanswered ? unansweredMs : SEND_MS;
    return this.outbox.events.length || wants() ? RESEND_MS : idleMs();
  }

  // Sends the whole outbox when there is news or an answer is overdue.
  pump() {
    clearTimeout(this.timer);
    if (!this.data || this.ending.signal.aborted || !this.options.isReady()) return;
    const due = this.dueMs;
    if (due === Infinity) return;
    let wait = this.sentAt + due - performance.now();
    if (wait <= 0 && pageIsBusy()) wait = BUSY_MS;
    if (wait <= 0) {
      this.send();
      wait = RESEND_MS;
    }
    this.timer = setTimeout(() => this.pump(), wait);
  }

  send() {
    this.sentAt = performance.now();
    this.hasNews = false;
    this.isUnanswered = true;
    const { project, created } = this.data;
    this.trigger("outbox", { project, created, ...this.options.message(), events: this.outbox.events });
  }

  // Sends a value again and again: it can get lost like any message. When it has arrived, the widget is closed.
  /** @param {string} name @param {unknown} value */
  insist(name, value) {
    clearTimeout(this.insisting);
    if (this.ending.signal.aborted) return;
    this.trigger(name, value);
    this.insisting = setTimeout(() => this.insist(name, value), RESEND_MS);
  }

  // Marks the widget as unsaved or failing; returns the sentence that says why.
  /** @param {HTMLElement} root */
  showUnsaved(root) {
    const { error } = this.data;
    const { events, unstored } = this.outbox;
    root.dataset.unsaved = String(events.length);
    root.classList.toggle("failing", Boolean(error || unstored.length));
    const kept = unstored.length ? "This browser keeps nothing: do not close the tab." : "";
    return [error, kept].filter(Boolean).join(" ");
  }
}
