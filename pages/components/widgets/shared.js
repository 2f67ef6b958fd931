// What widgets share in the browser: storage that may fail, the outbox, who has the keyboard. Their server sides put it
// before their own script, in one module.

// What a browser that forbids storage, or is full, could not keep; outlives the widget, not the tab.
const MEMORY = (window[Symbol.for("slotlab.memory")] ??= new Map());

const storage = {
  // The value, or undefined where there is none or it is damaged.
  read(kind, key) {
    try {
      return MEMORY.has(key) ? MEMORY.get(key) : (JSON.parse(window[kind].getItem(key)) ?? undefined);
    } catch {
      return undefined;
    }
  },

  write(kind, key, value) {
    try {
      window[kind].setItem(key, JSON.stringify(value));
      MEMORY.delete(key);
    } catch {
      MEMORY.set(key, value);
    }
  },

  forget(kind, key) {
    MEMORY.delete(key);
    try {
      window[kind].removeItem(key);
    } catch {
      // a browser that forbids storage has nothing to forget
    }
  },

  keys(kind, prefix) {
    let stored = [];
    try {
      stored = Object.keys(window[kind]);
    } catch {
      // as above
    }
    return [...new Set([...stored, ...MEMORY.keys()])].filter((key) => key.startsWith(prefix));
  },
};

// What the browser keeps of a project. Another Slotlab folder may be served at the same address, with a project of the
// same name; it was not made in the same second.
function keyOf(kind, { project, created }, ...more) {
  return ["slotlab", kind, ...[project, created, ...more].map(encodeURIComponent)].join("/");
}

// Events without an answer, one storage key each: two tabs of one project then never overwrite each other's.
class Outbox {
  constructor(kind, data) {
    this.prefix = `${keyOf(kind, data)}/`;
    const stored = storage
      .keys("localStorage", this.prefix)
      .map((key) => [key, storage.read("localStorage", key)])
      .filter(([key, event]) => key === this.prefix + event?.event && event.sample && event.action)
      .map(([, event]) => event)
      .sort((a, b) => a.at - b.at);
    // With login a name inside an event proves nothing: its owner has to log in again.
    const own = (event) => !data.login || event.operator === data.operator;
    this.events = stored.filter(own);
    this.others = stored.filter((event) => !own(event));
  }

  add(event) {
    event.at = Math.max(Date.now(), (this.events.at(-1)?.at ?? 0) + 1);
    this.events.push(event);
    storage.write("localStorage", this.prefix + event.event, event);
  }

  // Returns the event, or undefined when it had been answered before.
  drop(id) {
    const event = this.events.find((each) => each.event === id);
    this.events = this.events.filter((each) => each !== event);
    storage.forget("localStorage", this.prefix + id);
    for (const each of this.unstored) storage.write("localStorage", this.prefix + each.event, each);
    return event;
  }

  // Events that end with the tab.
  get unstored() {
    return MEMORY.size ? this.events.filter((event) => MEMORY.has(this.prefix + event.event)) : [];
  }

  // Whose events wait here for another login.
  get waiting() {
    const numbers = new Map();
    for (const { operator } of this.others) numbers.set(operator, (numbers.get(operator) ?? 0) + 1);
    return [...numbers]
      .map(([name, n]) => `${count(n, "label")} of ${name ?? "nobody"} ${n === 1 ? "waits" : "wait"} for that login.`)
      .join(" ");
  }

  // What these events will add to a figure of the server: `delta` labels, `left` images that wait, `work` done.
  sum(figure) {
    return this.events.reduce((sum, event) => sum + (event[figure] ?? 0), 0);
  }

  about(sample) {
    return this.events.some((event) => event.sample === sample);
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

const BUSY_MS = 30; // between two looks at whether the page takes messages

// Whether a message can be answered now. While a server that was restarted draws the whole page, a message to the
// widget's part of it makes Streamlit (1.67) throw away what it has not sent yet, and the page stays blank.
function pageIsBusy() {
  const { testScriptState, testConnectionState } = document.querySelector("[data-testid=stApp]")?.dataset ?? {};
  return testScriptState === "running" || (testConnectionState ?? "CONNECTED") !== "CONNECTED";
}

const quoted = (char) => (char === " " ? "A space" : `“${char}”`);
const number = (n) => n.toLocaleString("en");
const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
