// Numbers, characters and flags in sentences.

/** @param {number} n */
export const number = (n) => n.toLocaleString("en");

/** @param {number} n @param {string} noun */
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

/** @param {string} char */
export const quoted = (char) => (char === " " ? "A space" : `“${char}”`);

// The line while no image is shown, although there are more.
/** @param {string | null | undefined} error of the server */
export const loadingText = (error) => (error ? "The images cannot be loaded." : "Loading images…");

/** @type {Record<string, string>} */
const FLAG_TEXTS = { unreadable: "unreadable", not_ours: "not from this portal" };

/** @param {string | null | undefined} flag */
export const flagText = (flag) => FLAG_TEXTS[flag];
