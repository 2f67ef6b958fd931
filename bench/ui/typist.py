"""A simulated person who types the true text of each image in a real browser, at a constant rate.

The text is looked up by the hash in the widget's data-sample. `check_shown` verifies the hash by the pixels shown.
Needs Chromium and the test extra.
"""

import asyncio
import base64
import math
import statistics
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, CDPSession, Page, async_playwright

from bench.cells import CellError, Interrupted
from core.images.pixels import decode, pixel_hash
from tests.helpers.lab import CHROMIUM, FLAGS

READY = "[data-testid=labeler][data-ready=true]"
PATIENCE_SECONDS = 120.0
"""Timeout for an image or an answer."""
LOOK_SECONDS = 1.0
"""If an image is still shown this long after its last key, erase the text and type again."""
POLL_SECONDS = 0.004

STATE = """() => {
  const root = document.querySelector("[data-testid=labeler]");
  const input = root?.querySelector("input");
  const typed = input ? input.value : root?.querySelector(".slots")?.textContent;
  return [root?.dataset.sample ?? "", root?.dataset.ready ?? "", Number(root?.dataset.unsaved ?? 0), typed ?? ""];
}"""

# latencies: from the time stamp of the last key to the first frame painted with the next image, and the input empty and
# focused. answers: from adding a label to the outbox to its answer, in order.
PROBE = """
window.bench = { latencies: [], answers: [], shown: {}, first: null };
(() => {
  let key = null, used = null, sample = "", unsaved = 0;
  const outbox = [];
  const widget = () => document.querySelector("[data-testid=labeler]");
  window.addEventListener("keydown", (event) => {
    if ([...event.key].length === 1) key = event.timeStamp;
  }, true);
  // A message posted in a frame is handled after that frame is painted.
  const painted = (then) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now());
    channel.port2.postMessage(0);
  };
  const ready = (root, of) => {
    const img = root?.querySelector("img"), input = root?.querySelector("input");
    if (!img?.complete || !img.naturalWidth) return false;
    if (of !== null && key !== of) return true; // the next label has begun
    const typed = input ? input.value : root.querySelector(".slots")?.textContent;
    return !typed && (!input || document.activeElement === input);
  };
  const changed = () => {
    const root = widget();
    if (!root) return;
    if ((root.dataset.sample ?? "") !== sample) {
      sample = root.dataset.sample ?? "";
      const of = key;
      if (sample) {
        const mine = sample;
        const frame = () => {
          if (widget()?.dataset.sample !== mine) return;
          if (!ready(widget(), of)) return requestAnimationFrame(frame);
          window.bench.shown[mine] ??= widget().querySelector("img").src;
          painted((now) => {
            window.bench.first ??= now;
            if (of !== null && of !== used) window.bench.latencies.push(now - of);
            used = of;
          });
        };
        requestAnimationFrame(frame);
      }
    }
    if (!sample) return; // redrawn: the widget has not read its outbox yet
    const now = Number(root.dataset.unsaved ?? 0);
    for (; unsaved < now; unsaved++) outbox.push(performance.now());
    for (; unsaved > now; unsaved--) window.bench.answers.push(performance.now() - outbox.shift());
  };
  new MutationObserver(changed).observe(document, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-sample", "data-unsaved", "data-ready"],
  });
})();
"""

# Milliseconds until the first image is painted.
FIRST = """new Promise((resolve) => {
  const look = () => window.bench.first === null ? requestAnimationFrame(look) : resolve(window.bench.first);
  look();
})"""

# Milliseconds until a page is stable: it has a title, and its script has ended and did not restart for 0.3 s.
STILL = """new Promise((resolve) => {
  let since = null;
  const look = () => {
    const ended = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning";
    if (!ended || !document.querySelector("h1")) since = null;
    else since ??= performance.now();
    if (since !== null && performance.now() - since > 300) resolve(since);
    else requestAnimationFrame(look);
  };
  look();
})"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the system's browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def new_context(browser: Browser, url: str, operator: str) -> BrowserContext:
    """Return a new browser profile for an operator."""
    context = await browser.new_context()
    await context.add_cookies([{"name": "slotlab_operator", "value": operator, "url": url}])
    await context.add_init_script(PROBE)
    return context


async def open_label(context: BrowserContext, url: str, project: str) -> Page:
    """Open the label page in a new tab and wait until it takes keys, without a click."""
    page = await context.new_page()
    await page.goto(f"{url}/label?project={project}")
    await page.wait_for_selector(READY, timeout=1000 * PATIENCE_SECONDS)
    return page


class Typist:
    """Typist who works in one tab at a time and records the label typed for each image."""

    def __init__(self, truth: Mapping[str, str], keys_per_s: float, stop: threading.Event) -> None:
        self.truth = truth
        self.interval = 1 / keys_per_s
        self.stop = stop
        self.typed: dict[str, str] = {}
        self.counted = asyncio.Condition()
        self.again = 0
        """Images shown again after they were typed."""
        self.retyped = 0
        """Labels with lost keys."""
        self.keys = 0
        self.waits: list[float] = []
        """Seconds of waiting for an image beyond the time of the next key."""
        self.late: list[float] = []
        """Delay of each key behind its schedule, in seconds."""
        self.seconds = 0.0
        """Total time of typing and waiting."""
        self.latencies: list[float] = []
        self.answers: list[float] = []
        self.shown: dict[str, str] = {}
        self.page: Page
        self._keyboard: CDPSession

    async def sit_down(self, page: Page) -> None:
        """Continue in this tab."""
        self.page = page
        self._keyboard = await page.context.new_cdp_session(page)

    async def type_labels(self, n: int) -> None:
        """Type `n` labels without pauses."""
        due = start = time.monotonic()
        for _ in range(n):
            began = time.monotonic()
            sample = await self._next_image()
            now = time.monotonic()
            if now > max(due, began) + self.interval:
                self.waits.append(now - max(due, began))
                due = now
            if sample in self.typed:
                self.again += 1
            due = await self._type(sample, due)
            async with self.counted:
                self.counted.notify_all()
        self.seconds += time.monotonic() - start

    async def until_typed(self, n: int) -> None:
        """Wait until `n` labels are typed."""
        async with self.counted:
            await self.counted.wait_for(lambda: len(self.typed) >= n)

    async def _type(self, sample: str, due: float) -> float:
        while True:
            for char in self.truth[sample]:
                await asyncio.sleep(due - time.monotonic())
                self.late.append(max(0.0, time.monotonic() - due))
                await self._press(char)
                due += self.interval
            self.typed[sample] = self.truth[sample]
            ended = time.monotonic()
            if await self._is_gone(sample):
                return due
            self.retyped += 1
            await self._erase(sample)
            due = time.monotonic()
            self.waits.append(due - ended)

    async def _press(self, char: str) -> None:
        self.keys += 1
        key = {"key": char, "code": f"Digit{char}", "windowsVirtualKeyCode": ord(char)}
        down = {**key, "type": "keyDown", "text": char, "unmodifiedText": char}
        await self._keyboard.send("Input.dispatchKeyEvent", down)
        await self._keyboard.send("Input.dispatchKeyEvent", {**key, "type": "keyUp"})

    async def _is_gone(self, sample: str) -> bool:
        """Return whether the image is gone after its last key."""
        end = time.monotonic() + LOOK_SECONDS
        while (state := await self.state())[0] == sample:
            if time.monotonic() > end:
                return False
            await self._breathe()
        return bool(state)

    async def _erase(self, sample: str) -> None:
        """Erase the input once keys work again, and no more: Backspace on an empty input is undo."""
        await self._next_image(empty=False)
        while (state := await self.state())[0] == sample and state[3]:
            await self.page.keyboard.press("Backspace")

    async def _next_image(self, *, empty: bool = True) -> str:
        began = time.monotonic()
        while True:
            sample, ready, _, typed = await self.state()
            if sample and ready == "true" and not (empty and typed):
                return sample
            # Another operator took the image meanwhile, so the rest of its keys went to the next one.
            if sample and ready == "true" and time.monotonic() > began + 2 * LOOK_SECONDS:
                await self._erase(sample)
            if time.monotonic() > began + PATIENCE_SECONDS:
                raise CellError(f"No image took keys for {PATIENCE_SECONDS:g} s, after {len(self.typed)} labels.")
            await self._breathe()

    async def _breathe(self) -> None:
        if self.stop.is_set():
            raise Interrupted
        await asyncio.sleep(POLL_SECONDS)

    async def state(self) -> tuple[str, str, int, str]:
        """Return hash of the image, readiness, number of unsaved labels, and text in the input."""
        sample, ready, unsaved, typed = await self.page.evaluate(STATE)
        return sample, ready, unsaved, typed

    async def take_notes(self) -> None:
        """Fetch the measurements of the tab, which closing it would lose."""
        notes = await self.page.evaluate("window.bench")
        self.latencies += notes["latencies"]
        self.answers += notes["answers"]
        self.shown |= notes["shown"]
        await self.page.evaluate("Object.assign(window.bench, { latencies: [], answers: [], shown: {} })")

    async def all_answered(self) -> float:
        """Return seconds until the tab has nothing unsaved. Raises CellError after PATIENCE_SECONDS.

        The widget must be ready: while the page is redrawn, it is missing or has not read its outbox.
        """
        began = time.monotonic()
        while (state := await self.state())[2] or state[1] != "true":
            unsaved = state[2]
            if time.monotonic() > began + PATIENCE_SECONDS:
                raise CellError(f"{unsaved} labels got no answer for {PATIENCE_SECONDS:g} s.")
            await self._breathe()
        return time.monotonic() - began

    def report(self) -> dict[str, Any]:
        """Return the measurements as plain values."""
        typing = self.seconds - sum(self.waits)
        return {
            "labels": len(self.typed),
            "keys": self.keys,
            "keys_per_s": round(self.keys / typing, 2) if typing else None,
            "late_ms": summary([1000 * each for each in self.late]),
            "waits": len(self.waits),
            "waited_s": round(sum(self.waits), 2),
            "longest_wait_s": round(max(self.waits, default=0.0), 2),
            "retyped": self.retyped,
            "shown_again": self.again,
            "latency_ms": summary(self.latencies),
            "answer_ms": summary(self.answers),
            "pictures": check_shown(self.shown),
        }


def check_shown(shown: Mapping[str, str]) -> dict[str, int]:
    """Return how many shown images were decoded, and how many have pixels that do not match the hash."""
    pictures = {sample: url for sample, url in shown.items() if url.startswith("data:")}
    wrong = sum(
        pixel_hash(decode(base64.b64decode(url.partition(",")[2]))) != sample for sample, url in pictures.items()
    )
    return {"n": len(pictures), "wrong": wrong}


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return number, median, 95th and 99th percentile (nearest rank), and maximum."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 1)

    median = round(statistics.median(ordered), 1)
    return {"n": len(ordered), "median": median, "p95": at(0.95), "p99": at(0.99), "max": round(ordered[-1], 1)}
