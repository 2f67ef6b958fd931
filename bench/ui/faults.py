"""Faults to inject while a typist works.

    python -m bench.ui.faults DATABASE

holds a write transaction for half a second, again and again, until killed. Every save must wait for it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cells import ROOT, CellError
from db.connection import opened, write

if TYPE_CHECKING:
    from bench.ui.portal import Portal
    from bench.ui.typist import Typist

FAULTS = {
    "none": "",
    "slow-save": ", the database held by another process for 0.5 s again and again",
    "kill": ", the server killed twice (kill -9) and started again",
    "closed-tab": ", the tab closed three times right after a last key",
    "page-switch": ", three times to another page and back right after a last key",
    "two-tabs": ", in two tabs of one operator at once",
    "two-operators": ", two operators at once in two browsers",
}
HOLD_SECONDS = 0.5
GAP_SECONDS = 0.15
"""SQLite retries for the lock at least every 0.1 s, so a waiting writer gets it in each gap."""
DOWN_SECONDS = 0.5
"""Time from killing a server to starting the next."""
PARTS = 4
"""Parts of the typing, with a fault between them."""


@asynccontextmanager
async def fault(name: str, portal: "Portal", typists: Sequence["Typist"], labels: int) -> AsyncIterator[dict[str, Any]]:
    """Inject a fault while the typists type `labels` labels each. Yields its record, complete at the end."""
    injection: Callable[..., AbstractAsyncContextManager[dict[str, Any]]] = {
        "slow-save": _slow_save,
        "kill": _kill,
    }.get(name, _nothing)
    async with injection(portal, typists, labels) as record:
        yield record


async def type_through(name: str, portal: "Portal", typist: "Typist", labels: int) -> None:
    """Type `labels` labels. Faults of the tab or page split them into four parts."""
    interrupt = {"closed-tab": _close_tab, "page-switch": _switch_page}.get(name)
    if interrupt is None:
        await typist.type_labels(labels)
        return
    for part in range(1, PARTS + 1):
        # A closed tab loses its notes, and reading them takes time, so read them one label earlier.
        await typist.type_labels(labels * part // PARTS - len(typist.typed) - 1)
        await typist.take_notes()
        await typist.type_labels(1)
        if part < PARTS:
            await interrupt(portal, typist)


@asynccontextmanager
async def _nothing(*_: Any) -> AsyncIterator[dict[str, Any]]:
    yield {}


@asynccontextmanager
async def _slow_save(portal: "Portal", *_: Any) -> AsyncIterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.ui.faults", str(portal.lab.home.db)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, start_new_session=True)
    try:
        yield {"hold_s": HOLD_SECONDS, "gap_s": GAP_SECONDS}
        if process.returncode is not None:
            raise CellError("The process that holds the database ended early.")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def _kill(portal: "Portal", typists: Sequence["Typist"], labels: int) -> AsyncIterator[dict[str, Any]]:
    """Kill the server after one third and two thirds of the labels."""
    from bench.ui.portal import start

    away_s: list[float] = []

    async def strike() -> None:
        for place in (1, 2):
            await typists[0].until_typed(labels * place // 3)
            began = time.monotonic()
            await asyncio.to_thread(portal.lab.kill)
            await asyncio.sleep(DOWN_SECONDS)
            await asyncio.to_thread(start, portal.lab)
            away_s.append(round(time.monotonic() - began, 2))

    striking = asyncio.create_task(strike())
    try:
        yield {"away_s": away_s}
        await striking
    finally:
        striking.cancel()


async def _close_tab(portal: "Portal", typist: "Typist") -> None:
    """Close it at once, and open another of the same browser."""
    from bench.ui.typist import open_label

    context = typist.page.context
    await typist.page.close()
    await typist.sit_down(await open_label(context, portal.url, portal.project))


async def _switch_page(_portal: "Portal", typist: "Typist") -> None:
    """Switch to Samples and back, with the sidebar."""
    from bench.ui.typist import READY

    await typist.page.get_by_role("link", name="Samples").click()
    await typist.page.get_by_role("heading", name="Samples").wait_for()
    await typist.page.get_by_role("link", name="Label", exact=True).click()
    await typist.page.wait_for_selector(READY)


def main() -> None:
    with opened(Path(sys.argv[1])) as db:
        while True:
            with write(db):
                time.sleep(HOLD_SECONDS)
            time.sleep(GAP_SECONDS)


if __name__ == "__main__":
    main()
