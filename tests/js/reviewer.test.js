import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { layoutOf } from "../../pages/components/widgets/reviewer/layout.js";
import { browser } from "./browser.js";

const { Marks } = await import("../../pages/components/widgets/reviewer/marks.js");
const { ago } = await import("../../pages/components/widgets/reviewer/history.js");
const { isDecided, stateOf } = await import("../../pages/components/widgets/reviewer/tile.js");

const IMAGE = { width: 150, height: 50 };

beforeEach(() => browser.reset());

test("All tiles fit the window, and the last row is full.", () => {
  const { columns, tiles, imageHeight } = layoutOf({ width: 800, height: 500 }, IMAGE, 6);
  const rows = tiles / columns;
  assert.equal(rows, Math.floor(rows));
  assert.ok(rows * (imageHeight + 50 + 10) - 10 + 8 <= 500);
  assert.ok((rows + 1) * (imageHeight + 50 + 10) - 10 + 8 > 500);
});

test("A low window has one row, a narrow one two columns, and a large one at most 60 tiles.", () => {
  const low = layoutOf({ width: 800, height: 10 }, IMAGE, 6);
  assert.equal(low.tiles, low.columns);
  assert.equal(layoutOf({ width: 300, height: 500 }, IMAGE, 6).columns, 2);
  const large = layoutOf({ width: 3000, height: 3000 }, IMAGE, 6);
  assert.ok(large.tiles <= 60);
  assert.equal(large.tiles % large.columns, 0);
});

test("Tiles are wide enough for a long label.", () => {
  const long = layoutOf({ width: 1000, height: 500 }, IMAGE, 30);
  assert.ok(1000 / long.columns >= 30 * 13);
});

test("A mark belongs to one operator and one version of the image.", () => {
  const marks = new Marks({ id: 7, project: "p", created: "c", twins: [], operator: "Ann" });
  marks.set({ sample: "a", version: 2 }, true);
  const again = new Marks({ id: 7, project: "p", created: "c", twins: [], operator: "Ann" });
  assert.deepEqual([again.has({ sample: "a", version: 2 }), again.has({ sample: "a", version: 3 })], [true, false]);
  assert.equal(new Marks({ id: 7, project: "p", created: "c", twins: [], operator: "Ben" }).has({ sample: "a", version: 2 }), false);
  marks.set({ sample: "a", version: 2 }, false);
  assert.deepEqual(again.read(), {});
});

test("A mark overrides every state except the reviewer's own decision.", () => {
  const tile = { isMarked: true, isExcluded: false, status: "", disputed: true, checked: true };
  /** @param {object} more @returns {any} */
  const like = (more) => ({ ...tile, ...more });
  assert.equal(stateOf(like({})), "marked");
  assert.equal(stateOf(like({ status: "resolved" })), "resolved");
  assert.equal(isDecided(like({ isExcluded: true, status: "unreadable" })), true);
  assert.equal(stateOf(like({ isMarked: false })), "disputed");
  assert.equal(stateOf(like({ isMarked: false, disputed: false })), "checked");
});

test("An age is given in its largest full unit.", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: new Date("2026-01-10T12:00:00Z") });
  const times = ["2026-01-10T11:59:30Z", "2026-01-10T11:57:00Z", "2026-01-09T11:00:00Z", "2024-01-01T00:00:00Z"];
  assert.deepEqual(times.map(ago), ["just now", "3 minutes ago", "yesterday", "2 years ago"]);
});
