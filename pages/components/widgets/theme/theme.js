// Keeps one theme for all pages. Streamlit stores the choice for the page at which the document was loaded.

/** @param {string} page path of a page */
const keyOf = (page) => `stActiveTheme-${page}-v2`;
const loaded = new URL(performance.getEntriesByType("navigation")[0].name).pathname;
const folder = loaded.slice(0, loaded.lastIndexOf("/") + 1);
/** @type {string[]} */
let pages = [];

// The menu has no event. Streamlit also stores "System" for a page without a choice, so only a change is a choice.
const setItem = Storage.prototype.setItem;
Storage.prototype.setItem = function (key, value) {
  const before = this.getItem(key);
  setItem.call(this, key, value);
  if (key !== keyOf(loaded) || before === null || before === value) return;
  for (const page of pages) setItem.call(this, keyOf(folder + page), value);
};

/** @param {{data: {pages: string[]}}} streamlit */
export default function keepTheme({ data }) {
  pages = data.pages;
}
