import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { label, opposite, skip, takeOut } from "../../pages/components/widgets/labeler/decision.js";
import { emptyMessage, remaining } from "../../pages/components/widgets/labeler/waiting.js";
import { browser } from "./browser.js";

const { Pace } = await import("../../pages/components/widgets/labeler/pace.js");
const { Zoom, changed, fittedScale } = await import("../../pages/components/widgets/labeler/zoom.js");
const { Supply } = await import("../../pages/components/widgets/labeler/supply.js");
const { Outbox } = await import("../../pages/components/widgets/shared/outbox.js");

const QUEUE = { kind: "unlabeled", source_id: null, day: null, flag: null };
const COUNTS = { labeled: 5, skipped: 2, total: 10, disputed: 0 };

beforeEach(() => browser.reset());

// ---- what becomes of an image -------------------------------------------------------------------------------------

test("A label takes the image out of the queue; a second look leaves the figures of the project.", () => {
  assert.deepEqual(label("unlabeled", "123").change, { delta: 1, left: -1, work: 1 });
  assert.deepEqual(label("second", "123").change, { delta: 0, left: 0, work: 1 });
  assert.deepEqual(
    ["unlabeled", "skipped", "second"].map((kind) => label(kind, "1").action),
    ["label", "label", "second"],
  );
});

test("Only an unlabeled image is skipped; the others are passed, and nothing is stored.", () => {
  assert.deepEqual([skip("unlabeled").action, skip("unlabeled").isPassed], ["skip", false]);
  for (const kind of ["skipped", "second"]) assert.deepEqual([skip(kind).action, skip(kind).isPassed], [null, true]);
});

test("An image that nobody can read leaves its queue, and stays among the skipped ones.", () => {
  assert.deepEqual(takeOut("unlabeled", "unreadable").change, { delta: 0, left: -1, work: 0 });
  assert.deepEqual(takeOut("skipped", "notOurs").change, { delta: 0, left: 0, work: 0 });
  assert.equal(takeOut("skipped", "notOurs").isPassed, true);
  assert.deepEqual(takeOut("second", "notOurs").what, { flag: "not_ours" });
});

test("An undo takes back exactly what was added.", () => {
  const { change } = label("unlabeled", "123");
  assert.deepEqual(opposite(change), { delta: -1, left: 1, work: -1 });
});

// ---- what waits ---------------------------------------------------------------------------------------------------

test("What is left is counted with what has no answer yet, where the server counts it at all.", () => {
  assert.equal(remaining(QUEUE, COUNTS, -1), 2);
  assert.equal(remaining({ ...QUEUE, kind: "skipped" }, COUNTS, 0), 2);
  assert.equal(remaining(QUEUE, COUNTS, -9), 0);
  assert.equal(remaining({ ...QUEUE, kind: "second" }, COUNTS, 0), null);
  assert.equal(remaining({ ...QUEUE, day: "2026-01-01" }, COUNTS, 0), null);
});

test("Without an image the widget says why, and leads to the queue that has some.", () => {
  const state = { more: false, elsewhere: false, counts: COUNTS, queue: QUEUE, hasPassed: false };
  /** @param {object} more */
  const said = (more) => emptyMessage({ ...state, ...more }).lines[0];
  assert.equal(said({ more: true }), "Waiting for images…");
  assert.equal(said({ more: true, elsewhere: true }), "The other images are on other screens.");
  assert.equal(said({ counts: { ...COUNTS, total: 0 } }), "This project has no images yet.");
  assert.equal(said({ queue: { ...QUEUE, flag: "passed" } }), "No more images match the filter.");
  assert.deepEqual(
    emptyMessage(state).buttons.map(([, kind]) => kind),
    ["skipped", "second"],
  );
  assert.deepEqual(emptyMessage({ ...state, counts: { ...COUNTS, skipped: 0 } }).buttons.length, 1);
});

// ---- images at hand -----------------------------------------------------------------------------------------------

/** @param {string[]} samples @param {object} more */
const answer = (samples, more = {}) => ({
  images: samples.map((sample) => ({ sample, version: 0, url: "" })),
  lost: [],
  more: true,
  low: 2,
  elsewhere: false,
  ...more,
});

function supplyOf() {
  const tab = { id: "t", held: [], passed: new Set(), kept: [], keep: (held) => (tab.kept = held) };
  const outbox = new Outbox("outbox", { project: "p", created: "c", operator: "Ann", login: false });
  return { tab, outbox, supply: new Supply(/** @type {any} */ (tab), outbox, 3) };
}

/** @param {any} supply */
const atHand = (supply) => supply.pictures.map(({ sample }) => sample);

test("An image comes once, and never again when it has been dealt with.", () => {
  const { supply, tab, outbox } = supplyOf();
  tab.passed.add("c");
  outbox.add({ event: "1", sample: "b", action: "label", operator: "Ann" });
  supply.receive(answer(["a", "b", "c"]));
  supply.receive(answer(["a", "d"]));
  assert.deepEqual(atHand(supply), ["a", "d"]);
});

test("An image that another has got goes, unless something has been typed on it.", () => {
  const { supply } = supplyOf();
  supply.receive(answer(["a", "b", "c"]));
  supply.pictures[1].entry.put("1");
  assert.equal(supply.receive(answer([], { lost: ["a", "b"] })), true);
  assert.deepEqual(atHand(supply), ["b", "c"]);
  assert.equal(supply.receive(answer([], { lost: ["c"] })), false);
});

test("More images are wanted when few are left and the server has some.", () => {
  const { supply } = supplyOf();
  assert.equal(supply.isHungry, true);
  supply.receive(answer(["a", "b"]));
  assert.equal(supply.isHungry, false);
  supply.receive(answer([], { more: false, low: 9 }));
  assert.equal(supply.isHungry, false);
});

test("The server hears which images the tab has; a reload keeps the first of them.", () => {
  const { supply, tab } = supplyOf();
  supply.receive(answer(Array.from({ length: 20 }, (_, n) => `s${n}`)));
  const { have, wants } = supply.message();
  assert.deepEqual([have.length, wants, tab.kept.length], [20, false, 12]);
});

test("An undone image is the first again, and there once.", () => {
  const { supply } = supplyOf();
  supply.receive(answer(["a", "b"]));
  const [, second] = supply.pictures;
  supply.putBack(second);
  assert.deepEqual(atHand(supply), ["b", "a"]);
});

// ---- zoom and pace ------------------------------------------------------------------------------------------------

test("Zoom goes twice, three times and back; invert and contrast are switched on and off.", () => {
  let settings = { zoom: 1, invert: false, contrast: false };
  const zooms = [1, 2, 3].map(() => (settings = changed(settings, "zoom")).zoom);
  assert.deepEqual(zooms, [2, 3, 1]);
  settings = changed(changed(settings, "invert"), "contrast");
  assert.deepEqual(settings, { zoom: 1, invert: true, contrast: true });
});

test("The settings of the image are kept, and a zoom that does not exist is none.", () => {
  const zoom = new Zoom(null);
  zoom.change("zoom");
  assert.equal(new Zoom(null).settings.zoom, 2);
  browser.reset({ "slotlab/view": { zoom: 7, invert: true } });
  assert.deepEqual(new Zoom(null).settings, { zoom: 1, invert: true, contrast: false });
});

test("An image fills its room by the side that is shorter of it, up to six times its size.", () => {
  assert.equal(fittedScale({ width: 600, height: 300 }, { width: 200, height: 60 }), 3);
  assert.equal(fittedScale({ width: 600, height: 120 }, { width: 200, height: 60 }), 2);
  assert.equal(fittedScale({ width: 6000, height: 3000 }, { width: 20, height: 10 }), 6);
});

test("The pace is told after five labels without a pause, with what it means for the rest.", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const pace = new Pace("p");
  assert.equal(pace.text(100), "");
  for (let n = 0; n < 6; n++) {
    pace.count(1);
    t.mock.timers.tick(3000);
  }
  assert.equal(pace.text(100), "6 this session, 20 per minute, about 5 min left");
  assert.equal(pace.text(null), "6 this session, 20 per minute");
  t.mock.timers.tick(60_000);
  pace.count(1);
  assert.equal(pace.text(null), "7 this session, 20 per minute");
  pace.keep();
  assert.equal(new Pace("p").stats.labels, 7);
});
