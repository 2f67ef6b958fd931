import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { browser } from "./browser.js";

const { Outbox } = await import("../../pages/components/widgets/shared/outbox.js");

const DATA = { id: 7, project: "p", created: "c", twins: [], operator: "Ann", login: false };
const PREFIX = "slotlab/outbox/7/c/";

/** @param {string} event @param {object} more */
const eventOf = (event, more = {}) => ({ event, sample: `s${event}`, action: "label", operator: "Ann", ...more });

/** @param {any} outbox */
const ids = (outbox) => outbox.events.map(({ event }) => event);

beforeEach(() => browser.reset());

test("The next tab resumes with the unanswered events, in order of entry.", () => {
  browser.reset({
    [`${PREFIX}a`]: eventOf("a", { at: 2 }),
    [`${PREFIX}b`]: eventOf("b", { at: 1 }),
  });
  const next = new Outbox("outbox", DATA);
  next.add(eventOf("c"));
  assert.deepEqual(ids(next), ["b", "a", "c"]);
  assert.deepEqual(ids(new Outbox("outbox", DATA)), ["b", "a", "c"]);
});

test("Events from the same millisecond keep their order.", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1000 });
  const outbox = new Outbox("outbox", DATA);
  for (const id of ["z", "y"]) outbox.add(eventOf(id));
  assert.deepEqual(
    outbox.events.map(({ at }) => at),
    [1000, 1001],
  );
});

test("Two tabs of a project never overwrite each other's events.", () => {
  const [one, other] = [new Outbox("outbox", DATA), new Outbox("outbox", DATA)];
  one.add(eventOf("1"));
  other.add(eventOf("2"));
  assert.deepEqual(ids(new Outbox("outbox", DATA)).sort(), ["1", "2"]);
});

test("Events of another project with the same name are left alone.", () => {
  new Outbox("outbox", { ...DATA, created: "earlier" }).add(eventOf("1"));
  assert.deepEqual(ids(new Outbox("outbox", DATA)), []);
  assert.equal(Object.keys(browser.stored()).length, 1);
});

test("Events that an earlier version stored under any name of the project become its own, once.", () => {
  browser.reset({
    "slotlab/outbox/First%20portal/c/1": eventOf("1"),
    "slotlab/outbox/twin/c/2": eventOf("2"),
    "slotlab/outbox/First%20portal/earlier/3": eventOf("3"),
    "slotlab/review/First%20portal/c/4": eventOf("4"),
  });
  const outbox = new Outbox("outbox", { ...DATA, project: "Main portal", twins: ["twin"] });
  assert.deepEqual(ids(outbox), ["1"]);
  outbox.drop("1");
  assert.deepEqual(ids(new Outbox("outbox", { ...DATA, twins: ["twin"] })), []);
  assert.equal(Object.keys(browser.stored()).length, 3);
});

test("A rename leaves the events of a project in its outbox.", () => {
  new Outbox("outbox", DATA).add(eventOf("1"));
  assert.deepEqual(ids(new Outbox("outbox", { ...DATA, project: "q" })), ["1"]);
});

test("Other values under the key are ignored.", () => {
  browser.reset({ [`${PREFIX}1`]: eventOf("2"), [`${PREFIX}3`]: "text", [`${PREFIX}4`]: { event: "4" } });
  assert.deepEqual(ids(new Outbox("outbox", DATA)), []);
});

test("Dropping an answered event returns it once and removes it from the browser.", () => {
  const outbox = new Outbox("outbox", DATA);
  outbox.add(eventOf("1"));
  assert.equal(outbox.drop("1").event, "1");
  assert.equal(outbox.drop("1"), undefined);
  assert.deepEqual(browser.stored(), {});
});

test("With login, events of another operator wait, and a sentence says so.", () => {
  browser.reset({
    [`${PREFIX}1`]: eventOf("1", { operator: "Ben" }),
    [`${PREFIX}2`]: eventOf("2", { operator: "Ben" }),
    [`${PREFIX}3`]: eventOf("3"),
    [`${PREFIX}4`]: eventOf("4", { operator: undefined }),
  });
  const outbox = new Outbox("outbox", { ...DATA, login: true });
  assert.deepEqual(ids(outbox), ["3"]);
  assert.equal(outbox.waitingText, "2 labels by Ben will be saved when Ben logs in. 1 label without an operator stays in this browser.");
});

test("Without login, the events of every operator are sent.", () => {
  browser.reset({ [`${PREFIX}1`]: eventOf("1", { operator: "Ben" }) });
  assert.deepEqual(ids(new Outbox("outbox", DATA)), ["1"]);
});

test("An event that did not fit is stored once an answer makes room.", () => {
  const outbox = new Outbox("outbox", DATA);
  outbox.add(eventOf("1"));
  browser.isFull = true;
  outbox.add(eventOf("2"));
  assert.deepEqual(
    outbox.unstored.map(({ event }) => event),
    ["2"],
  );
  browser.isFull = false;
  outbox.drop("1");
  assert.deepEqual(outbox.unstored, []);
  assert.deepEqual(Object.keys(browser.stored()), [`${PREFIX}2`]);
});

test("The waiting events add up per figure and per image.", () => {
  const outbox = new Outbox("outbox", DATA);
  outbox.add(eventOf("1", { delta: 1, left: -1 }));
  outbox.add(eventOf("2", { left: -1 }));
  assert.deepEqual([outbox.sum("delta"), outbox.sum("left"), outbox.sum("work")], [1, -2, 0]);
  assert.deepEqual([outbox.isAbout("s1"), outbox.isAbout("s3")], [true, false]);
});
