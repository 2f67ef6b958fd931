"""Time until a page is completely drawn, and peak memory of the server.

A page is drawn when its script has ended, nothing is stale or a placeholder, its main element is visible and its
images are decoded. This state must last for a while.
"""

import ast
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import BrowserContext, Page
from playwright.async_api import Error as BrowserError

from bench.cells import CellError, Interrupted
from bench.ui.portal import served
from bench.ui.typist import chromium, new_context, summary

PATIENCE_MS = 60_000
HOLDS_MS = 250
"""Time a page must be stable to count as drawn. It is not part of the measured time."""
CELLS = ((0, 0, 5), (1, 3, 8), (2, 7, 7), ("all", 2, 7))
"""Matrix, true character and read character of the cells to click."""
MATRIX = "[data-testid=matrix]"
PLOT = "[data-testid=stPlotlyChart] .main-svg"
TABLE = "[data-testid=stDataFrame] canvas"
IMAGE = "[data-testid=stImage] img"
TILE = "[data-testid=tile] img"
SECTION = "[role=tabpanel] h3"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A page, or a section of a page, with its address."""

    name: str
    path: str
    shows: str
    """CSS selector of what must be visible."""
    query: tuple[tuple[str, str], ...] = ()
    tab: str | None = None
    """Value of `section` in the address: a tab of Evaluate, which leads there from another tab."""

    @property
    def page(self) -> str:
        return self.path or "home"

    def address(self, project: str) -> str:
        return f"/{self.path}?{urlencode([('project', project), *self.query])}"


def evaluate(name: str, tab: str, shows: str = SECTION, **query: str) -> Screen:
    return Screen(
        name=f"evaluate, {name}", path="evaluate", shows=shows, query=(("section", tab), *query.items()), tab=tab
    )


SCREENS: tuple[Screen, ...] = (
    Screen(name="home", path="", shows="h1"),
    Screen(name="guide", path="guide", shows="h2"),
    Screen(name="propose", path="propose", shows="h1"),
    Screen(name="label", path="label", shows="[data-testid=labeler]"),
    Screen(name="samples", path="samples", shows=TABLE),
    Screen(name="review", path="review", shows="[data-testid=reviewer]"),
    Screen(name="augment", path="augment", shows=IMAGE),
    Screen(name="train", path="train", shows="h1"),
    Screen(name="compare", path="compare", shows=TABLE),
    *(
        evaluate(f"{name}{views}", tab, shows, **query, **view)
        for views, view in (("", {"tta": "false"}), (", views", {"tta": "true"}))
        for name, tab, shows, query in (
            ("errors, counts", "errors", MATRIX, {"matrix": "counts"}),
            ("errors, rates", "errors", MATRIX, {"matrix": "rates"}),
            ("errors, probability", "errors", MATRIX, {"matrix": "probability"}),
            ("slices", "slices", ".st-key-all-slices", {}),
            ("tta", "tta", TABLE, {}),
            ("confidence", "confidence", PLOT, {}),
            ("report", "report", SECTION, {}),
            ("bundle", "bundle", SECTION, {}),
        )
    ),
    Screen(name="models", path="models", shows="h1"),
    Screen(name="predict", path="predict", shows=TABLE),
)
"""Every page and section. `known` drops those that the app does not have."""


def sections(pages: Path) -> list[str]:
    """Return the sections of Evaluate as its script names them in the address."""
    tree = ast.parse((pages / "evaluate.py").read_text(encoding="utf-8"))
    (titles,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and [ast.unparse(target) for target in node.targets] == ["SECTIONS"]
    )
    return [ast.literal_eval(key) for key in titles.keys if key]


def known(pages: Path) -> list[Screen]:
    """Return the screens of this version of the app."""
    tabs = {None, *sections(pages)}
    return [screen for screen in SCREENS if (pages / f"{screen.page}.py").exists() and screen.tab in tabs]


WATCH = """
window.drawn = { clicked: null, ran: null };
addEventListener("pointerdown", (event) => { window.drawn = { clicked: event.timeStamp, ran: null }; }, true);
new MutationObserver((records) => {
  const app = document.querySelector("[data-testid=stApp]");
  const now = app && app.dataset.testScriptState !== "notRunning";
  // A short script run may have ended before this callback.
  if (now || records.some((each) => each.oldValue && each.oldValue !== "notRunning")) {
    window.drawn.ran = performance.now();
  }
}).observe(document, {
  subtree: true, childList: true, attributeFilter: ["data-test-script-state"], attributeOldValue: true,
});
"""
# Milliseconds from the address or the last click until the page is drawn, or null on timeout.
# A very short script run may go unnoticed. Then the page must be stable for longer.
DRAWN = """([shows, holds, patience]) => new Promise((resolve) => {
  const begun = performance.now();
  let since = null;
  const all = (selector, sound) => [...document.querySelectorAll(selector)].every(sound);
  const look = () => {
    const now = performance.now();
    const drawn = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning"
      && [...document.querySelectorAll(shows)].some((found) => found.getClientRects().length)
      && !document.querySelector("[data-testid=stSkeleton], [data-testid=stSpinner], [data-stale=true]")
      && all("img", (image) => image.complete)
      && all("[data-testid=stPlotlyChart]", (plot) => plot.querySelector(".main-svg"));
    since = drawn ? Math.max(since ?? now, window.drawn.ran ?? 0) : null;
    const enough = window.drawn.ran === null ? 8 * holds : holds;
    if (since !== null && now - since > enough) resolve(since - (window.drawn.clicked ?? 0));
    else if (now - begun > patience) resolve(null);
    else requestAnimationFrame(look);
  };
  look();
})"""


async def opened(page: Page, url: str, screen: Screen, project: str) -> float:
    """Return milliseconds from the address to the drawn page. Raises CellError."""
    await page.goto(url + screen.address(project), wait_until="commit")
    return await drawn(page, screen)


async def drawn(page: Page, screen: Screen) -> float:
    """Return milliseconds from the address or the last click to the drawn page. Raises CellError after a minute."""
    # A redirect interrupts the wait, so try again.
    for _ in range(3):
        try:
            took = await page.evaluate(DRAWN, [screen.shows, HOLDS_MS, PATIENCE_MS])
        except BrowserError:
            continue
        if took is None:
            break
        return float(took)
    raise CellError(f"{screen.name} was not drawn within {PATIENCE_MS // 1000} s.")


async def chosen(page: Page, screen: Screen, elsewhere: Screen) -> float:
    """Return milliseconds from clicking the screen's tab or link, coming from `elsewhere`. Raises CellError."""
    for each in (elsewhere, screen):
        if each.tab:
            await page.get_by_role("tab", name=re.compile(f"^{each.tab}$", re.IGNORECASE)).click()
        else:
            await page.get_by_test_id("stSidebar").get_by_role("link", name=each.page.capitalize()).click()
        took = await drawn(page, each)
    return took


async def cell_clicked(page: Page, position: int | str, true: int, read: int) -> float:
    """Return milliseconds from a click on a matrix cell to its images. Raises CellError."""
    matrix = page.locator(f"{MATRIX}[data-position='{position}']")
    await matrix.scroll_into_view_if_needed()
    box = await matrix.bounding_box()
    if box is None:
        raise CellError(f"There is no matrix for position {position}.")
    at = {name: float(await matrix.get_attribute(f"data-{name}") or 0) for name in ("size", "axis", "top", "left")}
    x = box["x"] + at["axis"] + at["size"] * (read - at["left"] + 0.5)
    await page.mouse.click(x, box["y"] + at["size"] * (true - at["top"] + 0.5))
    return await drawn(page, Screen(name="the images of a cell", path="evaluate", shows=f"{TILE}, .gallery .waiting"))


async def measured(
    home: Path, screens: Sequence[Screen], project: str, n: int, stop: threading.Event
) -> dict[str, Any]:
    """Measure each screen with a fresh server and browser: cold, then by address and by click, n times each.

    Then measure the peak memory of one server for all screens, before and after those that load the model.
    """
    rows, log = [], home / "server.log"
    before = log.stat().st_size if log.exists() else 0
    for screen in screens:
        if stop.is_set():
            raise Interrupted
        rows.append(await _screen_measured(home, screen, project, n))
    without_model = [screen for screen in screens if screen.page not in ("augment", "predict")]
    with served(home) as lab:
        assert lab.process is not None
        async with chromium() as browser:
            context = await _context(await new_context(browser, lab.url, "Ann"))
            page = await context.new_page()
            for screen in without_model:
                await opened(page, lab.url, screen, project)
            memory = {"without_model": peak_mb(lab.process.pid)}
            for screen in screens:
                await opened(page, lab.url, screen, project)
            memory["all"] = peak_mb(lab.process.pid)
    tracebacks = log.read_bytes()[before:].count(b"Traceback")
    return {"screens": rows, "peak_mb": memory, "tracebacks": tracebacks}


async def _screen_measured(home: Path, screen: Screen, project: str, n: int) -> dict[str, Any]:
    elsewhere = next(each for each in SCREENS if (each.tab is None) == (screen.tab is None) and _apart(each, screen))
    with served(home) as lab:
        assert lab.process is not None
        async with chromium() as browser:
            context = await _context(await new_context(browser, lab.url, "Ann"))
            page = await context.new_page()
            cold = await opened(page, lab.url, screen, project)
            times = [await opened(page, lab.url, screen, project) for _ in range(n)]
            clicks = [await chosen(page, screen, elsewhere) for _ in range(n)]
            row = {
                "screen": screen.name,
                "cold_ms": round(cold),
                "open_ms": summary(times),
                "click_ms": summary(clicks),
            }
            if screen.tab == "errors":
                cells = [await cell_clicked(page, *CELLS[index % len(CELLS)]) for index in range(n)]
                row["cell_ms"] = summary(cells)
        return row | {"peak_mb": peak_mb(lab.process.pid)}


def _apart(one: Screen, other: Screen) -> bool:
    return one.tab != other.tab if one.tab else one.page != other.page


async def _context(context: BrowserContext) -> BrowserContext:
    await context.add_init_script(WATCH)
    return context


def peak_mb(pid: int) -> float:
    """Return the sum of peak resident memory of a process and its children, in MB."""
    tree, total = [pid], 0.0
    while tree:
        process = Path(f"/proc/{tree.pop()}")
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            children = [each.read_text().split() for each in process.glob("task/*/children")]
        except OSError:  # the process has ended
            continue
        total += int(status.get("VmHWM", "0 kB").split()[0]) / 1000
        tree += [int(child) for each in children for child in each]
    return round(total, 1)
