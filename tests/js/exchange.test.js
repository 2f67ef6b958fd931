import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { browser } from "./browser.js";

const { Exchange } = await import("../../pages/components/widgets/shared/exchange.js");
const { Outbox } = await import("../../pages/components/widgets/shared/outbox.js");

const DATA = { id: 7, project: "p", created: "c", twins: [], operator: "Ann", login: false, answers: [], error: null };

beforeEach(() => browser.reset());

/** @param {import("node:test").TestContext} t @param {object} options */
function exchangeOf(t, options = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 100_000 });
  t.mock.method(performance, "now", () => Date.now());
  /** @type {any[]} */
  const sent = [];
  const exchange = new Exchange(new Outbox("outbox", DATA), options);
  exchange.receive(DATA, (name, value) => sent.push([name, value]));
  /** @param {number} ms */
  const after = (ms) => {
    t.mock.timers.tick(ms);
    return sent.length;
  };
  const enter = () => {
    const id = exchange.emit({ sample: "s", action: "label" });
    exchange.pump();
    return id;
  };
  return { exchange, sent, after, enter };
}

test("An event is sent immediately, with its operator and project.", (t) => {
  const { sent, enter } = exchangeOf(t, { message: () => ({ tab: "t" }) });
  const id = enter();
  const [[name, message]] = sent;
  assert.equal(name, "outbox");
  assert.deepEqual({ ...message, events: message.events.length }, { id: 7, project: "p", created: "c", tab: "t", events: 1 });
  assert.deepEqual([message.events[0].event, message.events[0].operator], [id, "Ann"]);
});

test("The next message waits briefly and includes everything entered meanwhile.", (t) => {
  const { sent, enter, after } = exchangeOf(t);
  enter();
  enter();
  enter();
  assert.equal(after(149), 1);
  assert.equal(after(1), 2);
  assert.equal(sent[1][1].events.length, 3);
});

test("An unanswered message is resent every three seconds.", (t) => {
  const { exchange, enter, after } = exchangeOf(t);
  const id = enter();
  assert.equal(after(2999), 1);
  assert.equal(after(1), 2);
  assert.equal(after(3000), 3);
  exchange.outbox.drop(id);
  assert.equal(after(30_000), 3);
});

test("Without events nothing is sent.", (t) => {
  const { exchange, after } = exchangeOf(t);
  exchange.pump();
  assert.equal(after(60_000), 0);
});

test("A widget that needs more images asks until it has them.", (t) => {
  let wants = true;
  const { exchange, after } = exchangeOf(t, { wants: () => wants });
  exchange.pump();
  assert.equal(after(3000), 2);
  wants = false;
  assert.equal(after(60_000), 2);
});

test("A widget with a heartbeat sends a message at each interval.", (t) => {
  const { exchange, after } = exchangeOf(t, { idleMs: () => 20_000 });
  exchange.pump();
  assert.equal(after(0), 1);
  assert.equal(after(19_999), 1);
  assert.equal(after(1), 2);
});

test("A widget can wait longer for an answer before it sends more.", (t) => {
  const { exchange, enter, after } = exchangeOf(t, { unansweredMs: 1500 });
  enter();
  enter();
  assert.equal(after(1499), 1);
  assert.equal(after(1), 2);
  exchange.isUnanswered = false;
  enter();
  assert.equal(after(150), 3);
});

test("Nothing is sent while the page runs or the server is down.", (t) => {
  const { enter, after } = exchangeOf(t);
  browser.app = { testScriptState: "running" };
  enter();
  assert.equal(after(300), 0);
  browser.app = { testScriptState: "notRunning", testConnectionState: "PINGING_SERVER" };
  assert.equal(after(300), 0);
  browser.app = { testScriptState: "notRunning", testConnectionState: "CONNECTED" };
  assert.equal(after(30), 1);
});

test("A restarted server, which answers nothing, gets the outbox immediately.", (t) => {
  const { exchange, enter, after } = exchangeOf(t);
  enter();
  after(1000);
  exchange.resendToNewSession();
  exchange.pump();
  assert.equal(after(0), 2);
});

test("A server that could not store the events gets them again only after a delay.", (t) => {
  const { exchange, enter, after } = exchangeOf(t);
  enter();
  exchange.receive({ ...DATA, error: "The disk is full." }, exchange.trigger);
  after(1000);
  exchange.resendToNewSession();
  exchange.pump();
  assert.equal(after(0), 1);
});

test("Nothing is sent before the widget is ready or after it is closed.", (t) => {
  let isReady = false;
  const { exchange, enter, after } = exchangeOf(t, { isReady: () => isReady });
  enter();
  assert.equal(after(5000), 0);
  isReady = true;
  exchange.pump();
  assert.equal(after(0), 1);
  exchange.close();
  assert.equal(after(60_000), 1);
});

test("A request for another view is repeated until the widget is closed.", (t) => {
  const { exchange, sent, after } = exchangeOf(t);
  exchange.insist("show", "disputed");
  assert.equal(after(3000), 2);
  exchange.close();
  assert.equal(after(60_000), 2);
  assert.deepEqual(sent[1], ["show", "disputed"]);
});

test("A widget shows the number of unsaved events and the reason.", (t) => {
  const { exchange, enter } = exchangeOf(t);
  const classes = new Set();
  /** @type {any} */
  const root = {
    dataset: {},
    classList: { toggle: (name, isOn) => (isOn ? classes.add(name) : classes.delete(name)) },
  };
  browser.isFull = true;
  enter();
  exchange.receive({ ...DATA, error: "The disk is full." }, exchange.trigger);
  assert.equal(exchange.showUnsaved(root), "The disk is full. This browser cannot store labels. Keep this tab open.");
  assert.deepEqual([root.dataset.unsaved, [...classes]], ["1", ["failing"]]);
  exchange.receive(DATA, exchange.trigger);
  exchange.outbox.drop(exchange.outbox.events[0].event);
  assert.equal(exchange.showUnsaved(root), "");
  assert.deepEqual([root.dataset.unsaved, [...classes]], ["0", []]);
});
