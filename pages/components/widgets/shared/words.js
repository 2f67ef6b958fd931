// Numbers and characters in sentences.

/** @param {number} n */
export const number = (n) => n.toLocaleString("en");

/** @param {number} n @param {string} noun */
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

/** @param {string} char */
export const quoted = (char) => (char === " " ? "A space" : `“${char}”`);
