"""Screenshots of every page for the documentation: `python -m bench.ui.screenshots`, or `make screenshots`.

The first call makes a small lab of rendered images with two short runs (minutes). Later calls reuse it. Needs Chromium
and the test extra.
"""

import argparse
import asyncio
import io
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageChops, ImageFilter
from playwright.async_api import BrowserContext, Page

from bench.cells import ROOT, CellError
from bench.ui.pages import IMAGE, MATRIX, PLOT, TABLE, TILE, WATCH, Screen, drawn, opened
from bench.ui.portal import served, slotlab
from bench.ui.typist import chromium
from core.data.import_request import Request, Upload
from core.data.importing import start_import
from core.data.labeling import apply_events
from core.home import Home
from core.images import renderer
from core.images.augment_settings import DEFAULT_AUGMENT
from core.jobs import control
from core.model.config import preset, with_options
from core.runs import recipes
from core.runs.bundles import find_bundle, start_bundle
from core.runs.drift import start_drift
from core.runs.promotions import promote
from core.runs.start import start_evaluation, start_training
from db import connection, samples
from db.projects import find_project
from db.records import Project, Run
from db.sqlite import Database
from tests.helpers.lab import Lab

OUT = ROOT / "docs" / "images"
LAB = ROOT / "build" / "screenshots"
READY = "ready"
"""File in the folder of a lab that is complete."""
PROJECT, OTHER = "portal", "intranet"
OPERATOR, SECOND = "Ann", "Ben"
LETTERS = "ABCDEFGHKMNPRSTUVWXYZ"
LABELED, UNLABELED, DISPUTED = 1500, 60, 6
STEPS = (150, 320)
"""Steps of the two runs. The first is too short, the second reads most images."""
WIDTH, HEIGHT = 1280, 860
SIDEBAR, LEAST_HEIGHT = 320, 660
"""Pixels that the sidebar takes."""
COLORS = 128
"""Colors of the palette. Screens have few gradients, and a palette takes a third of the bytes."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture of a page. A page with tabs gives one picture for each of its tabs."""

    name: str
    screen: Screen
    tabs: bool = False
    height: int = HEIGHT


def shot(name: str, shows: str, *, tabs: bool = False, height: int = HEIGHT, **query: str) -> Shot:
    path = "" if name == "home" else name.partition("-")[0]
    return Shot(
        name=name,
        screen=Screen(name=name, path=path, shows=shows, query=tuple(query.items())),
        tabs=tabs,
        height=height,
    )


SHOTS = (
    shot("home", "h1"),
    shot("label", "[data-testid=labeler][data-ready=true] img"),
    shot("samples", TABLE),
    shot("review", "[data-testid=reviewer] img"),
    shot("review-disputed", "[data-testid=reviewer] img", show="Disputed"),
    shot("augment", IMAGE, height=1000),
    shot("train", PLOT, height=1200, run="{run}"),
    shot("train-new", "h1"),
    shot("evaluate", MATRIX, tabs=True, height=1500, run="{run}"),
    shot("compare", TABLE, height=1100, run="{run}", other="{other}"),
    shot("models", TABLE, height=1700),
    shot("predict", TABLE, height=1200, run="{run}"),
)


# The lab


def make_lab(home: Home) -> None:
    """Fill the folder with two projects, labels, opinions, a recipe, two runs and a test, unless it is full."""
    if (home.root / READY).exists():
        return
    shutil.rmtree(home.root, ignore_errors=True)
    home.create()
    with connection.opened(home.db, create=True) as db:
        project = add_images(db, home)
        add_opinions(db, project)
        recipes.save(db, project, "strong", DEFAULT_AUGMENT, operator=OPERATOR, note="Default, under a name")
        for steps in STEPS:
            say(f"Training {steps} steps")
            settings = with_options(preset("fast"), {"max_steps": str(steps), "pretrained": "none"})
            run = start_training(db, home, project, settings, preset="fast", operator=OPERATOR)
            control.finish(db, home, run.job.id, lambda _: None)
        job = start_evaluation(db, home, run, "test", operator=OPERATOR)
        control.finish(db, home, job.id, lambda _: None)
        use_bundle(db, home, project, run)
    (home.root / READY).touch()


def add_images(db: Database, home: Home) -> Project:
    """Import drawn images: most with labels, some without, and a second project of letters that nobody has labeled."""
    drawn_images = list(renderer.samples(LABELED + UNLABELED, seed=7))
    letters = list(renderer.samples(40, seed=8, length=4, charset=LETTERS))
    for project, source, labeled, images in (
        (OTHER, "login page", False, letters),
        (PROJECT, "login page, June", True, drawn_images[:LABELED]),
        (PROJECT, "login page, July", False, drawn_images[LABELED:]),
    ):
        say(f"Importing {len(images)} images into {project}")
        first = images[0][1]
        request = Request(
            path=None, project=project, source=source, owner="Portal team", authorization="TICKET-17",
            length=len(first), charset=LETTERS if first.isalpha() else "0123456789",
        )  # fmt: skip
        rows = "".join(f"{index:04}.png,{text}\n" for index, (_, text, _) in enumerate(images))
        files = [(f"{index:04}.png", data) for index, (_, _, data) in enumerate(images)]
        upload = Upload(files=files, label_table=f"filename,label\n{rows}".encode() if labeled else None)
        job = start_import(db, home, request, operator=OPERATOR, upload=upload)
        control.finish(db, home, job.id, lambda _: None)
    found = find_project(db, PROJECT)
    assert found is not None
    return found


def add_opinions(db: Database, project: Project) -> None:
    """Let a second operator confirm some labels and disagree about others."""
    chosen = samples.select_samples(db, project.id, state="labeled", split="train", limit=4 * DISPUTED)
    for index, sample in enumerate(chosen):
        label = sample.label or ""
        text = label if index >= DISPUTED else label[:-1] + ("1" if label[-1] != "1" else "7")
        event = {"event": f"second {index}", "action": "second", "sample": sample.sha256, "base": sample.version}
        apply_events(db, project, SECOND, [event | {"text": text}])


def use_bundle(db: Database, home: Home, project: Project, run: Run) -> None:
    """Use a bundle of the run, import images of another style, and let the bundle notice them."""
    say("Making a bundle")
    job = control.finish(db, home, start_bundle(db, home, run, operator=OPERATOR).id, lambda _: None)
    bundle = find_bundle(db, home, job.id)
    assert bundle is not None
    promote(db, bundle, operator=OPERATOR)
    time.sleep(1)  # times are whole seconds, and drift looks at later images
    files = [(f"{index:04}.png", blurred(data)) for index, (_, _, data) in enumerate(renderer.samples(60, seed=9))]
    request = Request(
        path=None, project=PROJECT, source="login page, August", owner="Portal team", authorization="TICKET-17",
        length=project.length, charset=project.charset,
    )  # fmt: skip
    job = start_import(db, home, request, operator=OPERATOR, upload=Upload(files=files))
    control.finish(db, home, job.id, lambda _: None)
    control.finish(db, home, start_drift(db, home, project, operator=OPERATOR).id, lambda _: None)


def blurred(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).filter(ImageFilter.GaussianBlur(2)).save(file, "PNG")
    return file.getvalue()


# The pictures


async def take(home: Home, out: Path, only: str) -> list[Path]:
    """Take the pictures whose name contains `only`, light and dark."""
    paths = []
    with served(home.root) as lab:
        newest, oldest, *_ = [run["run"] for run in slotlab(lab, "runs", "--project", PROJECT, "--json")]
        async with chromium() as browser:
            for scheme in SCHEMES:
                context = await browser.new_context(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
                await context.add_cookies([{"name": "slotlab_operator", "value": OPERATOR, "url": lab.url}])
                await context.add_init_script(WATCH)
                for each in SHOTS:
                    if only in each.name:
                        paths += await take_shot(context, lab, each, out, scheme, {"run": newest, "other": oldest})
                await context.close()
    return paths


async def take_shot(
    context: BrowserContext, lab: Lab, each: Shot, out: Path, scheme: str, runs: dict[str, str]
) -> list[Path]:
    """Open a page and take its picture, or one for each tab."""
    page = await context.new_page()
    await page.set_viewport_size({"width": WIDTH, "height": each.height})
    query = tuple((key, value.format(**runs)) for key, value in each.screen.query)
    screen = Screen(name=each.name, path=each.screen.path, shows=each.screen.shows, query=query)
    await with_patience(lambda: opened(page, lab.url, screen, PROJECT))
    paths = []
    if not each.tabs:
        paths.append(await picture(page, out / f"{each.name}-{scheme}.png"))
    else:
        for tab in await page.get_by_role("tab").all():
            label = await tab.inner_text()
            await tab.click()
            shows = f"{MATRIX}, {PLOT}, {TABLE}, {TILE}, [role=tabpanel] h3"
            await with_patience(lambda: drawn(page, Screen(name=label, path=screen.path, shows=shows)))  # noqa: B023
            name = re.sub(r"\W+", "-", label.lower())
            paths.append(await picture(page, out / f"{each.name}-{name}-{scheme}.png"))
    await page.close()
    return paths


async def with_patience(draw: Callable[[], Awaitable[float]]) -> None:
    """Call `draw` up to three times. A page that loads a model takes more than a minute on a busy machine."""
    for attempt in range(3):
        try:
            await draw()
        except CellError:
            if attempt == 2:
                raise
        else:
            return


async def picture(page: Page, path: Path) -> Path:
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(400)  # fonts and transitions
    write_picture(await page.screenshot(animations="disabled"), path)
    return path


def write_picture(png: bytes, path: Path) -> None:
    """Write a screenshot as a palette PNG, without the empty rest below its content."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    main = image.crop((SIDEBAR, 0, image.width, image.height))
    background = Image.new("RGB", main.size, main.getpixel((main.width - 1, 0)))
    box = ImageChops.difference(main, background).getbbox() or (0, 0, 0, 0)
    image = image.crop((0, 0, image.width, min(image.height, max(LEAST_HEIGHT, box[3] + 32))))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLORS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    say(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def stale(out: Path, names: set[str]) -> Iterator[Path]:
    """Return the pictures that are not in `names`."""
    return (path for path in out.glob("*-*.png") if path.name not in names)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    parser.add_argument("--lab", type=Path, default=LAB, help="folder of the lab; made when it is not there")
    parser.add_argument("--only", default="", help="only pictures whose page contains this text")
    options = parser.parse_args()
    home = Home(options.lab)
    make_lab(home)
    paths = asyncio.run(take(home, options.out, options.only))
    if not options.only:
        for path in stale(options.out, {path.name for path in paths}):
            path.unlink()


if __name__ == "__main__":
    main()
