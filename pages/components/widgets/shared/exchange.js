// Exchanges messages with the server without blocking the operator. Events stay in the outbox until the server answers
// them. The server may receive an event twice, late or from another tab. The event id makes repeats harmless.

/** @typedef {import("./outbox.js").OutboxEvent} OutboxEvent */
/** @typedef {(name: string, value: unknown) => void} Trigger Streamlit's setTriggerValue */

/**
 * @typedef {object} Data sent by the server to every widget that has an outbox
 * @property {string} reply id of this answer
 * @property {number} id
 * @property {string} project
 * @property {string} created
 * @property {string[]} twins names of projects created in the same second
 * @property {number} length
 * @property {string} charset
 * @property {string} operator
 * @property {boolean} login
 * @property {any[]} answers
 * @property {string | null} error
 */

const SEND_MS = 150; // between messages; while a script is busy, Streamlit keeps only the newest message
const RESEND_MS = 3000; // while the server is down, messages are lost silently
const BUSY_MS = 30; // between checks of whether the page accepts messages

const DEFAULTS = {
  message: () => /** @type {object} */ ({}), // extra message fields besides the project and the events
  wants: () => false, // whether to request more from the server
  isReady: () => true, // whether messages can be sent now
  idleMs: () => Infinity, // between heartbeats when there is nothing to send
  unansweredMs: SEND_MS, // between messages while the last one is unanswered
};

// Returns whether the page cannot accept a message now. While a restarted server draws the page, a message to the
// widget's fragment makes Streamlit (1.67) discard the rest of the output, which leaves the page blank.
function isPageBusy() {
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
  /** @param {import("./outbox.js").Outbox} outbox @param {Partial<typeof DEFAULTS>} options */
  constructor(outbox, options = {}) {
    this.outbox = outbox;
    this.options = { ...DEFAULTS, ...options };
    /** @type {Data | null} */
    this.data = null;
    this.sentAt = -Infinity;
    this.hasNews = false; // there is something new to send
    this.isUnanswered = false;
    this.closing = new AbortController();
    const { signal } = this.closing;
    window.addEventListener("beforeunload", (event) => outbox.events.length && event.preventDefault(), { signal });
  }

  close() {
    this.closing.abort();
    clearTimeout(this.timer);
    clearTimeout(this.insistTimer);
  }

  /** @param {Data} data @param {Trigger} trigger */
  receive(data, trigger) {
    this.data = data;
    this.trigger = trigger;
  }

  // If the outbox got no answer, this is a new session after a server restart.
  resendToNewSession() {
    const { answers, error } = this.data;
    if (!answers.length && !error && this.outbox.events.length) this.hasNews = true;
  }

  /** @param {Omit<OutboxEvent, "event" | "operator">} event */
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

  // Sends the whole outbox if there is something new or an answer is overdue.
  pump() {
    clearTimeout(this.timer);
    if (!this.data || this.closing.signal.aborted || !this.options.isReady()) return;
    const due = this.dueMs;
    if (due === Infinity) return;
    let delay = this.sentAt + due - performance.now();
    if (delay <= 0 && isPageBusy()) delay = BUSY_MS;
    if (delay <= 0) {
      this.send();
      delay = RESEND_MS;
    }
    this.timer = setTimeout(() => this.pump(), delay);
  }

  send() {
    this.sentAt = performance.now();
    this.hasNews = false;
    this.isUnanswered = true;
    const { id, project, created } = this.data;
    this.trigger("outbox", { id, project, created, ...this.options.message(), events: this.outbox.events });
  }

  // Sends a value repeatedly, because any message can get lost. Once it arrives, the server replaces the widget.
  /** @param {string} name @param {unknown} value */
  insist(name, value) {
    clearTimeout(this.insistTimer);
    if (this.closing.signal.aborted) return;
    this.trigger(name, value);
    this.insistTimer = setTimeout(() => this.insist(name, value), RESEND_MS);
  }

  // Sets the unsaved count and the failing state of the widget. Returns the reason.
  /** @param {HTMLElement} root */
  showUnsaved(root) {
    const { error } = this.data;
    const { events, unstored } = this.outbox;
    root.dataset.unsaved = String(events.length);
    root.classList.toggle("failing", Boolean(error || unstored.length));
    const warning = unstored.length ? "This browser cannot store labels. Keep this tab open." : "";
    return [error, warning].filter(Boolean).join(" ");
  }
}
