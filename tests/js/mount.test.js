import assert from "node:assert/strict";
import test from "node:test";

import "./browser.js";

const { mount } = await import("../../pages/components/widgets/shared/dom.js");
const { Settling } = await import("../../pages/components/widgets/shared/settling.js");

function mountRecorder() {
  /** @type {string[]} */
  const log = [];
  const draw = mount(
    (_, { view }) => ({
      receive: (data) => log.push(`${view} receives ${data.reply}`),
      close: () => log.push(`${view} closes`),
    }),
    ({ view }) => view,
  );
  const parentElement = /** @type {any} */ ({ querySelector: () => null });
  /** @param {object} data */
  const show = (data) => draw({ data, parentElement, setTriggerValue: () => {} });
  return { log, show };
}

test("A widget persists for all data of its view.", () => {
  const { log, show } = mountRecorder();
  show({ view: "a", reply: "1" });
  show({ view: "a", reply: "2" });
  assert.deepEqual(log, ["a receives 1", "a receives 2"]);
});

test("A theme change is not an answer.", () => {
  const { log, show } = mountRecorder();
  show({ view: "a", reply: "1" });
  show({ view: "a", reply: "1" });
  assert.deepEqual(log, ["a receives 1"]);
});

test("A widget without an exchange is redrawn on a theme change.", () => {
  const { log, show } = mountRecorder();
  show({ view: "a" });
  show({ view: "a" });
  assert.equal(log.length, 2);
});

test("Another view closes the widget and creates a new one.", () => {
  const { log, show } = mountRecorder();
  show({ view: "a", reply: "1" });
  show({ view: "b", reply: "2" });
  assert.deepEqual(log, ["a receives 1", "a closes", "b receives 2"]);
});

test("The last cleanup closes the current widget.", () => {
  const { log, show } = mountRecorder();
  show({ view: "a", reply: "1" });
  show({ view: "b", reply: "2" })();
  assert.equal(log.at(-1), "b closes");
});

test("A screen settles once nothing has changed for a while.", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let ends = 0;
  const settling = new Settling(400, () => (ends += 1));
  settling.start();
  t.mock.timers.tick(300);
  settling.start();
  t.mock.timers.tick(300);
  assert.deepEqual([settling.isOn, ends], [true, 0]);
  t.mock.timers.tick(100);
  assert.deepEqual([settling.isOn, ends], [false, 1]);
});
