// Creates the elements of a widget and mounts it in Streamlit.

/** @typedef {import("./exchange.js").Trigger} Trigger */
/** @typedef {{ receive(data: any, trigger: Trigger): void, close(): void }} Widget */

// Returns the function that Streamlit calls for new data and for a new theme. The cleanup runs once, on removal.
// Data of another view create a new widget. Data with an unchanged `reply` mean that only the theme changed.
/** @param {(root: HTMLElement, data: any) => Widget} make @param {(data: any) => string} viewOf */
export function mount(make, viewOf = () => "") {
  /** @type {WeakMap<HTMLElement, { widget: Widget, view: string, reply?: string }>} */
  const mounted = new WeakMap();
  return (/** @type {{ data: any, parentElement: HTMLElement, setTriggerValue: Trigger }} */ streamlit) => {
    const { data, parentElement, setTriggerValue } = streamlit;
    const view = viewOf(data);
    let current = mounted.get(parentElement);
    if (current?.view !== view) {
      current?.widget.close();
      current = { widget: make(parentElement.querySelector("section"), data), view };
      mounted.set(parentElement, current);
    }
    if (data.reply === undefined || data.reply !== current.reply) {
      current.reply = data.reply;
      current.widget.receive(data, setTriggerValue);
    }
    return () => {
      mounted.get(parentElement).widget.close();
      mounted.delete(parentElement);
    };
  };
}

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} className @param {string} text */
export function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** @param {string} text @param {() => void} onClick @param {string} title */
export function button(text, onClick, title = "") {
  const node = element("button", "", text);
  node.type = "button";
  node.title = title;
  node.onclick = onClick;
  return node;
}

/** @param {string} url @param {string} alt */
export function imageOf(url, alt = "") {
  const img = new Image();
  img.src = url;
  img.alt = alt;
  img.draggable = false;
  return img;
}

// Returns a list item about an event that the server did not apply as intended. It stays until dismissed.
/** @param {string | undefined} url @param {string} title @param {string} message */
export function notice(url, title, message) {
  const line = element("li");
  if (url) line.append(imageOf(url));
  line.append(
    element("strong", "", title),
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

// Returns a function that adds event listeners. The signal removes them.
/** @param {AbortSignal} signal */
export function listener(signal) {
  /** @param {EventTarget} target @param {string} type @param {(event: any) => void} handle */
  return (target, type, handle, capture = false) => target.addEventListener(type, handle, { capture, signal });
}

/** @param {HTMLElement} target @param {Keyframe[]} frames @param {KeyframeAnimationOptions} options */
export function animate(target, frames, options) {
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) target.animate(frames, options);
}
