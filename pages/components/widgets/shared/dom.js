// Elements of a widget, and how Streamlit mounts it.

/** @typedef {import("./exchange.js").Trigger} Trigger */
/** @typedef {{ receive(data: any, trigger: Trigger): void, close(): void }} Widget */

// Returns what Streamlit calls for every new `data` and theme. Its cleanup runs once, when the widget goes. Data of
// another view get a widget of their own; data with the reply that is shown come with a change of the theme.
/** @param {(root: HTMLElement, data: any) => Widget} make @param {(data: any) => string} viewOf */
export function mount(make, viewOf = () => "") {
  /** @type {WeakMap<HTMLElement, { widget: Widget, view: string, reply?: string }>} */
  const mounted = new WeakMap();
  return (/** @type {{ data: any, parentElement: HTMLElement, setTriggerValue: Trigger }} */ streamlit) => {
    const { data, parentElement, setTriggerValue } = streamlit;
    const view = viewOf(data);
    let here = mounted.get(parentElement);
    if (here?.view !== view) {
      here?.widget.close();
      here = { widget: make(parentElement.querySelector("section"), data), view };
      mounted.set(parentElement, here);
    }
    if (data.reply === undefined || data.reply !== here.reply) {
      here.reply = data.reply;
      here.widget.receive(data, setTriggerValue);
    }
    return () => {
      mounted.get(parentElement).widget.close();
      mounted.delete(parentElement);
    };
  };
}

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} className @param {string} text */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** @param {string} text @param {() => void} act @param {string} title */
export function button(text, act, title = "") {
  const made = element("button", "", text);
  made.type = "button";
  made.title = title;
  made.onclick = act;
  return made;
}

/** @param {string} url @param {string} alt */
export function imageOf(url, alt = "") {
  const made = new Image();
  made.src = url;
  made.alt = alt;
  made.draggable = false;
  return made;
}

// A line on what the server did not take as it was meant. It stays until the operator has seen it.
/** @param {string | undefined} url @param {string} what @param {string} message */
export function notice(url, what, message) {
  const line = element("li");
  if (url) line.append(imageOf(url));
  line.append(
    element("strong", "", what),
    element("span", "", message),
    button("Dismiss", () => line.remove()),
  );
  return line;
}

/** @param {HTMLElement} root @param {number} now @param {number} max */
export function showProgress(root, now, max) {
  const bar = root.querySelector(".bar");
  bar.setAttribute("aria-valuemax", String(max));
  bar.setAttribute("aria-valuenow", String(now));
  /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${max ? (100 * now) / max : 0}%`;
}

// Returns a function that adds listeners, which end with the signal.
/** @param {AbortSignal} signal */
export function listener(signal) {
  /** @param {EventTarget} target @param {string} type @param {(event: any) => void} handle */
  return (target, type, handle, capture = false) => target.addEventListener(type, handle, { capture, signal });
}

/** @param {HTMLElement} target @param {Keyframe[]} frames @param {KeyframeAnimationOptions} options */
export function animate(target, frames, options) {
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) target.animate(frames, options);
}
