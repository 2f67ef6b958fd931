import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { browser } from "./browser.js";

const { keyOf, storage } = await import("../../pages/components/widgets/shared/storage.js");

beforeEach(() => browser.reset());

test("A written value can be read, also on the next visit.", () => {
  storage.write("localStorage", "a", { n: 1 });
  assert.deepEqual(storage.read("localStorage", "a"), { n: 1 });
  assert.deepEqual(browser.stored(), { a: '{"n":1}' });
});

test("A missing or damaged value is undefined.", () => {
  localStorage.setItem("damaged", "{");
  assert.equal(storage.read("localStorage", "damaged"), undefined);
  assert.equal(storage.read("localStorage", "missing"), undefined);
});

test("With full storage, a value lasts as long as the tab.", () => {
  browser.isFull = true;
  storage.write("localStorage", "a", 1);
  assert.equal(storage.read("localStorage", "a"), 1);
  assert.equal(storage.endsWithTab("a"), true);
  assert.deepEqual(browser.stored(), {});
});

test("A value that fits later is stored and outlives the tab.", () => {
  browser.isFull = true;
  storage.write("localStorage", "a", 1);
  browser.isFull = false;
  storage.write("localStorage", "a", 2);
  assert.equal(storage.endsWithTab("a"), false);
  assert.deepEqual(browser.stored(), { a: "2" });
});

test("With blocked storage, values last while the tab is open.", () => {
  browser.isForbidden = true;
  storage.write("localStorage", "a/1", 1);
  assert.equal(storage.read("localStorage", "a/1"), 1);
  assert.deepEqual(storage.keys("localStorage", "a/"), ["a/1"]);
  storage.remove("localStorage", "a/1");
  assert.equal(storage.read("localStorage", "a/1"), undefined);
});

test("The keys with a prefix come from both the browser and the tab, each once.", () => {
  browser.reset({ "a/1": 1, "b/1": 1 });
  browser.isFull = true;
  storage.write("localStorage", "a/1", 2);
  storage.write("localStorage", "a/2", 2);
  assert.deepEqual(storage.keys("localStorage", "a/").sort(), ["a/1", "a/2"]);
});

test("A project's key has its id and creation time, and all parts are escaped.", () => {
  const project = { id: 7, created: "01:00" };
  assert.equal(keyOf("outbox", project), "slotlab/outbox/7/01%3A00");
  assert.equal(keyOf("marks", project, "Ann B"), "slotlab/marks/7/01%3A00/Ann%20B");
});
