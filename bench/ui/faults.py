"""What goes wrong while somebody types, and the neighbor who makes saves slow.

    python -m bench.ui.faults DATABASE

begins a write transaction and keeps it for half a second, again and again, until it is ended; every save waits for it.
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
"""SQLite asks for the lock at most 0.1 s apart, so that whoever waits gets it in each gap."""
DOWN_SECONDS = 0.5
"""From the death of a server to the start of the next."""
PARTS = 4
"""Typed with a break after each but the last."""


@asynccontextmanager
async def fault(name: str, portal: "Portal", typists: Sequence["Typist"], labels: int) -> AsyncIterator[dict[str, Any]]:
    """Let it happen while the typists type `labels` labels each; yields what happened, complete at the end."""
    happening: Callable[..., AbstractAsyncContextManager[dict[str, Any]]] = {
        "slow-save": _slow_save,
        "kill": _kill,
    }.get(name, _nothing)
    async with happening(portal, typists, labels) as happened:
        yield happened


async def type_through(name: str, portal: "Portal", typist: "Typist", labels: int) -> None:
    """Type so many labels; with a closed tab or a switch of pages in four parts."""
    breaks = {"closed-tab": _close_tab, "page-switch": _switch_page}.get(name)
    if breaks is None:
        await typist.type_labels(labels)
        return
    for part in range(1, PARTS + 1):
        # The notes of a tab go with it; they are taken a label earlier, because taking them takes time.
        await typist.type_labels(labels * part // PARTS - len(typist.typed) - 1)
        await typist.take_notes()
        await typist.type_labels(1)
        if part < PARTS:
            await breaks(portal, typist)


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
            raise CellError("The process that holds the database has ended early.")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def _kill(portal: "Portal", typists: Sequence["Typist"], labels: int) -> AsyncIterator[dict[str, Any]]:
    """After a third and after two thirds of the labels."""
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
    """To the samples and back, by the sidebar."""
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
