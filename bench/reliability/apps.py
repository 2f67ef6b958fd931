"""Two apps on one folder. An operator types in a real browser at each, while the apps are killed and started again."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, Error

from bench.reliability.scene import PATIENCE_SECONDS, Scene
from bench.reliability.writers import Acknowledgment
from bench.ui.portal import start
from bench.ui.typist import Typist, chromium, new_context, open_label
from tests.helpers.lab import Lab

OPERATORS = ("Ann", "Ben")
"""One for each app."""
KEYS_PER_SECOND = 9.0
QUIET_SECONDS = (1.0, 12.0)
DOWN_SECONDS = (0.0, 1.5)
"""Shortest and longest time between two kills, and from a kill to the next start."""
PAGES = ("", "train", "evaluate", "compare", "review", "samples", "augment", "predict")


@dataclass
class Seat:
    """An app with the operator who types there."""

    lab: Lab
    operator: str
    typist: Typist
    context: BrowserContext
    acknowledged: set[str] = field(default_factory=set)
    """Images whose label the widget showed as saved."""

    async def work(self, scene: Scene) -> None:
        """Type until all kills are done. Images are acknowledged when the widget shows nothing unsaved."""
        while not scene.done.is_set():
            await self.typist.type_labels(1)
            _, ready, unsaved, _ = await self.typist.state()
            if ready == "true" and not unsaved:
                self.acknowledged |= self.typist.typed.keys()
        await self.typist.all_answered()
        self.acknowledged |= self.typist.typed.keys()

    def acknowledgments(self) -> list[Acknowledgment]:
        return [
            Acknowledgment(
                event="", sample=sample, text=self.typist.typed[sample], operator=self.operator, status="saved"
            )
            for sample in self.acknowledged
        ]


async def typing(
    scene: Scene, project: str, truth: Mapping[str, str], kills: int, killed: threading.Event
) -> list[Acknowledgment]:
    """Type until the scene is done. Sets `killed` after the planned kills."""
    rng = scene.rng("apps")
    labs = []
    try:
        for number, _ in enumerate(OPERATORS, 1):
            labs.append(lab := Lab(scene.home.root))
            lab.log = scene.home.root / f"server-{number}.log"
            await asyncio.to_thread(start, lab)
        async with chromium() as browser:
            seats = [
                await sit_down(browser, lab, name, project, truth) for lab, name in zip(labs, OPERATORS, strict=True)
            ]
            work = [asyncio.create_task(seat.work(scene)) for seat in seats]
            attack = asyncio.create_task(kill_apps(scene, seats, kills, rng, killed))
            try:
                await asyncio.gather(attack, *work)
            finally:
                for task in (attack, *work):
                    task.cancel()
            for seat, visited in zip(seats, ((project,), ("trained", "folder")), strict=True):
                await visit_pages(scene, seat, visited)
        return [each for seat in seats for each in seat.acknowledgments()]
    finally:
        for lab in labs:
            lab.kill()
            scene.wrong += tracebacks(lab)


async def sit_down(browser: Browser, lab: Lab, operator: str, project: str, truth: Mapping[str, str]) -> Seat:
    typist = Typist(truth, KEYS_PER_SECOND, threading.Event())
    context = await new_context(browser, lab.url, operator)
    await typist.sit_down(await open_label(context, lab.url, project))
    return Seat(lab, operator, typist, context)


async def kill_apps(scene: Scene, seats: list[Seat], kills: int, rng: random.Random, killed: threading.Event) -> None:
    """Kill one of the apps at a random moment. The browser reconnects without help."""
    for _ in range(kills):
        seat = rng.choice(seats)
        await asyncio.wait_for(seat.typist.until_typed(len(seat.typist.typed) + 3), PATIENCE_SECONDS)
        await asyncio.sleep(rng.uniform(*QUIET_SECONDS))
        await asyncio.to_thread(seat.lab.kill)
        scene.count("app")
        await asyncio.sleep(rng.uniform(*DOWN_SECONDS))
        await asyncio.to_thread(start, seat.lab)
    killed.set()


async def visit_pages(scene: Scene, seat: Seat, projects: Sequence[str]) -> None:
    """Open every page of the projects under attack. An exception on screen is wrong."""
    page = await seat.context.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    for project in projects:
        for path in PAGES:
            try:
                await page.goto(f"{seat.lab.url}/{path}?project={project}")
                await page.wait_for_selector("h1")
                await page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
            except Error as error:
                scene.record(f"page {path or 'home'} of {project}: {error.message.splitlines()[0]}")
                continue
            text = await page.inner_text("body")
            if "Traceback" in text or await page.locator("[data-testid=stException]").count():
                scene.record(f"page {path or 'home'} of {project} shows an exception: {text}")
    await page.close()


def tracebacks(lab: Lab) -> list[str]:
    """Return the last line of each kind of traceback in a server's log, with their number."""
    lines = lab.log.read_text(encoding="utf-8", errors="replace").splitlines()
    found: Counter[str] = Counter()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("Traceback"):
            found[next((each for each in lines[number + 1 :] if each and not each[0].isspace()), "")] += 1
    return [f"{lab.log.name}: {n} tracebacks, {line}" for line, n in found.items()]
