import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { exclude, label, opposite, skip } from "../../pages/components/widgets/labeler/decision.js";
import { emptyMessage, remaining } from "../../pages/components/widgets/labeler/waiting.js";
import { browser } from "./browser.js";

const { Pace } = await import("../../pages/components/widgets/labeler/pace.js");
const { Zoom, fitScale, toggleSetting } = await import("../../pages/components/widgets/labeler/zoom.js");
const { Charset } = await import("../../pages/components/widgets/shared/charset.js");
const { Picture } = await import("../../pages/components/widgets/labeler/picture.js");
const { Typing } = await import("../../pages/components/widgets/labeler/typing.js");
const { Supply } = await import("../../pages/components/widgets/labeler/supply.js");
const { Outbox } = await import("../../pages/components/widgets/shared/outbox.js");

const QUEUE = { kind: "unlabeled", source_id: null, day: null, flag: null, blind: false };
const COUNTS = { labeled: 5, skipped: 2, total: 10, disputed: 0, second: true };

beforeEach(() => browser.reset());

// ---- decisions ----------------------------------------------------------------------------------------------------

test("A label removes the image from the queue; a second opinion leaves the project figures unchanged.", () => {
  assert.deepEqual(label("unlabeled", "123").change, { delta: 1, left: -1, work: 1 });
  assert.deepEqual(label("second", "123").change, { delta: 0, left: 0, work: 1 });
  assert.deepEqual(
    ["unlabeled", "skipped", "second"].map((kind) => label(kind, "1").action),
    ["label", "label", "second"],
  );
});

test("A label reports whether a suggestion was on the screen.", () => {
  assert.deepEqual(label("unlabeled", "123", true).content, { text: "123", suggested: true });
  assert.deepEqual(label("unlabeled", "123").content, { text: "123", suggested: false });
});

test("Only an unlabeled image is skipped; others are passed, and nothing is stored.", () => {
  assert.deepEqual([skip("unlabeled").action, skip("unlabeled").isPassed], ["skip", false]);
  for (const kind of ["skipped", "second"]) assert.deepEqual([skip(kind).action, skip(kind).isPassed], [null, true]);
});

test("An excluded image leaves the unlabeled queue and stays in the skipped queue.", () => {
  assert.deepEqual(exclude("unlabeled", "unreadable").change, { delta: 0, left: -1, work: 0 });
  assert.deepEqual(exclude("skipped", "otherPortal").change, { delta: 0, left: 0, work: 0 });
  assert.equal(exclude("skipped", "otherPortal").isPassed, true);
  assert.deepEqual(exclude("second", "otherPortal").content, { flag: "not_ours" });
});

test("An undo reverses the change exactly.", () => {
  const { change } = label("unlabeled", "123");
  assert.deepEqual(opposite(change), { delta: -1, left: 1, work: -1 });
});

// ---- empty queues -------------------------------------------------------------------------------------------------

test("The images left include unanswered events, if the server counts them.", () => {
  assert.equal(remaining(QUEUE, COUNTS, -1), 2);
  assert.equal(remaining({ ...QUEUE, kind: "skipped" }, COUNTS, 0), 2);
  assert.equal(remaining(QUEUE, COUNTS, -9), 0);
  assert.equal(remaining({ ...QUEUE, kind: "second" }, COUNTS, 0), null);
  assert.equal(remaining({ ...QUEUE, day: "2026-01-01" }, COUNTS, 0), null);
});

test("Without an image, the widget gives the reason and offers other queues.", () => {
  const state = { more: false, elsewhere: false, counts: COUNTS, queue: QUEUE, hasPassed: false };
  /** @param {object} more */
  const firstLine = (more) => emptyMessage({ ...state, ...more }).lines[0];
  assert.equal(firstLine({ more: true }), "Loading images…");
  assert.equal(firstLine({ more: true, error: "The database is damaged." }), "The images cannot be loaded.");
  assert.equal(firstLine({ more: true, elsewhere: true }), "The remaining images are open on other screens.");
  assert.equal(firstLine({ counts: { ...COUNTS, total: 0 } }), "This project has no images yet.");
  assert.equal(firstLine({ queue: { ...QUEUE, flag: "passed" } }), "No more images match the filter.");
  assert.deepEqual(
    emptyMessage(state).buttons.map(([, kind]) => kind),
    ["skipped", "second"],
  );
  assert.deepEqual(emptyMessage({ ...state, counts: { ...COUNTS, skipped: 0, second: false } }).buttons.length, 0);
  const next = { text: "Train a model", link: "train?project=portal" };
  assert.equal(emptyMessage({ ...state, next }).next, next);
  assert.equal(emptyMessage({ ...state, next, queue: { ...QUEUE, kind: "second" } }).next, undefined);
});

// ---- supply of images ---------------------------------------------------------------------------------------------

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
  const tab = { id: "t", held: [], passed: new Set(), stored: [], save: (held) => (tab.stored = held) };
  const outbox = new Outbox("outbox", { id: 7, project: "p", created: "c", twins: [], operator: "Ann", login: false });
  return { tab, outbox, supply: new Supply(/** @type {any} */ (tab), outbox, 3) };
}

/** @param {any} supply */
const atHand = (supply) => supply.pictures.map(({ sample }) => sample);

test("An image is added once, and never after it was handled.", () => {
  const { supply, tab, outbox } = supplyOf();
  tab.passed.add("c");
  outbox.add({ event: "1", sample: "b", action: "label", operator: "Ann" });
  supply.receive(answer(["a", "b", "c"]));
  supply.receive(answer(["a", "d"]));
  assert.deepEqual(atHand(supply), ["a", "d"]);
});

test("An image leased to someone else is removed, unless something is typed for it.", () => {
  const { supply } = supplyOf();
  supply.receive(answer(["a", "b", "c"]));
  supply.pictures[1].entry.put("1");
  assert.equal(supply.receive(answer([], { lost: ["a", "b"] })), true);
  assert.deepEqual(atHand(supply), ["b", "c"]);
  assert.equal(supply.receive(answer([], { lost: ["c"] })), false);
});

test("More images are requested if few are left and the server has more.", () => {
  const { supply } = supplyOf();
  assert.equal(supply.isHungry, true);
  supply.receive(answer(["a", "b"]));
  assert.equal(supply.isHungry, false);
  supply.receive(answer([], { more: false, low: 9 }));
  assert.equal(supply.isHungry, false);
});

test("The message lists all images of the tab; the first ones are stored for a reload.", () => {
  const { supply, tab } = supplyOf();
  supply.receive(answer(Array.from({ length: 20 }, (_, n) => `s${n}`)));
  const { have, wants } = supply.message();
  assert.deepEqual([have.length, wants, tab.stored.length], [20, false, 12]);
});

test("An undone image moves to the front and is not duplicated.", () => {
  const { supply } = supplyOf();
  supply.receive(answer(["a", "b"]));
  const [, second] = supply.pictures;
  supply.putBack(second);
  assert.deepEqual(atHand(supply), ["b", "a"]);
});

// ---- suggestions --------------------------------------------------------------------------------------------------

/** @param {{ suggestion: any, read?: number, isReplaced?: boolean }} state */
function typingOf({ suggestion, read = 1000, isReplaced = false }) {
  const picture = new Picture({ sample: "a", version: 0, url: "", suggestion }, 3);
  picture.isDecoded = true;
  const nothing = () => {};
  const screen = { picture, refuse: nothing, hint: nothing, clearRefusal: nothing, showTyped: nothing };
  /** @type {string[]} */
  const saved = [];
  const labeler = {
    clock: { read: () => read },
    submit: () => saved.push(picture.entry.text),
    undo: nothing,
    refuseAfterReplacement: () => isReplaced,
  };
  return { picture, saved, typing: new Typing(/** @type {any} */ (screen), new Charset("0123456789"), labeler) };
}

const SUGGESTION = { text: "123", unsure: 1 };

test("Enter accepts the suggestion, and does nothing where there is none.", () => {
  for (const [suggestion, expected] of /** @type {[any, string[]][]} */ ([
    [SUGGESTION, ["123"]],
    [null, []],
  ])) {
    const { typing, saved } = typingOf({ suggestion });
    typing.enter();
    assert.deepEqual(saved, expected);
  }
});

test("Typing hides the suggestion, and erasing all shows it again.", () => {
  const { typing, picture, saved } = typingOf({ suggestion: SUGGESTION });
  typing.type("9");
  assert.equal(picture.ghost, null);
  typing.enter();
  typing.back();
  assert.equal(picture.ghost, SUGGESTION);
  for (const key of "987") typing.type(key);
  assert.deepEqual(saved, ["987"]);
});

test("An Enter meant for the image before accepts nothing.", () => {
  for (const state of [{ read: 299 }, { isReplaced: true }]) {
    const { typing, saved, picture } = typingOf({ suggestion: SUGGESTION, ...state });
    typing.enter();
    assert.deepEqual([saved, picture.entry.isEmpty], [[], true]);
  }
});

// ---- zoom and pace ------------------------------------------------------------------------------------------------

test("Zoom cycles through 2x, 3x and off; invert and contrast toggle.", () => {
  let settings = { zoom: 1, invert: false, contrast: false };
  const zooms = [1, 2, 3].map(() => (settings = toggleSetting(settings, "zoom")).zoom);
  assert.deepEqual(zooms, [2, 3, 1]);
  settings = toggleSetting(toggleSetting(settings, "invert"), "contrast");
  assert.deepEqual(settings, { zoom: 1, invert: true, contrast: true });
});

test("View settings persist, and an invalid zoom is reset.", () => {
  const zoom = new Zoom(null);
  zoom.change("zoom");
  assert.equal(new Zoom(null).settings.zoom, 2);
  browser.reset({ "slotlab/view": { zoom: 7, invert: true } });
  assert.deepEqual(new Zoom(null).settings, { zoom: 1, invert: true, contrast: false });
});

test("An image is scaled to fit its room, up to six times its size.", () => {
  assert.equal(fitScale({ width: 600, height: 300 }, { width: 200, height: 60 }), 3);
  assert.equal(fitScale({ width: 600, height: 120 }, { width: 200, height: 60 }), 2);
  assert.equal(fitScale({ width: 6000, height: 3000 }, { width: 20, height: 10 }), 6);
});

test("The pace and the time left appear after five labels without a pause.", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const pace = new Pace("p");
  assert.equal(pace.text(100), "");
  for (let n = 0; n < 6; n++) {
    pace.add(1);
    t.mock.timers.tick(3000);
  }
  assert.equal(pace.text(100), "6 this session, 20 per minute, about 5 min left");
  assert.equal(pace.text(null), "6 this session, 20 per minute");
  t.mock.timers.tick(60_000);
  pace.add(1);
  assert.equal(pace.text(null), "7 this session, 20 per minute");
  pace.save();
  assert.equal(new Pace("p").stats.labels, 7);
});
