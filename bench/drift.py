"""False alarms and delays of the rule for drift. Each cell writes a JSON file to bench/results/drift.

    python -m bench.drift --data DIR [--only 'henan*'] [--list] [--again] [--quick]

DIR has digits4/, henan4/, henan1/, portal6/ and unlabelled4/; other images are rendered. A cell learns from a third of
the images of a set. A tenth of these set the baseline, as validation images do. The other images make streams.
Unchanged streams count false alarms. Changed ones have 200 images as they are, then images of one kind, and give the
delay. No network takes part, so confidences and verdicts do not help.

The rule is of theory: one rate, one allowance. They were chosen after a look at the kinds of LOOKED. The other kinds
were made later and changed nothing.
"""

import io
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from bench import unfamiliar
from bench.cells import Bench, BenchCell, environment
from bench.grid import main
from bench.unfamiliar import ALIKE, CHANGED, DISGUISED, MANY_HUES, OTHER, SETS, disguised, encoded, images_of, learned
from core.bundle.reader import Familiar
from core.evaluation.drift import Alarm, Scores, filled, look
from core.evaluation.metrics import interval95
from core.images.colors import background_and_ink
from core.images.pixels import Pixels, decode

RENDERED = (4000, 0)
"""Rendered images of a set."""
LEAST_VAL = 30
STREAMS, LENGTH = 10, 10_000
"""Unchanged streams of a cell, drawn with replacement."""
TRIALS, BEFORE, AFTER = 40, 200, 300
"""Changed streams of each kind, with images before and after the change."""
COPIES = 100
"""Changed images of each kind, from which the streams are drawn."""
SOON = 50

Change = Callable[[Pixels, random.Random], Pixels]


@dataclass(frozen=True, kw_only=True)
class DriftCell(BenchCell):
    """The streams of one set."""

    images: str = ""
    """Name in SETS; empty for simulated scores."""
    few: int = 0
    """Images that train and set the baseline, nine to one. 0 takes a third. With few, the stream starts changed."""
    has: tuple[str, ...] = ()
    """Kinds of changes that training has too, or that change nothing there. They are counted apart."""

    def needed(self) -> str:
        return "--data with all folders" if self.group in ("drift", "few") else ""

    def missing(self, data: Path | None) -> str | None:
        absent = [name for name, made in SETS.items() if made is None and not (data and (data / name).is_dir())]
        return f"there is no --data folder with {absent[0]}/" if absent and self.needed() else None

    def changed(self, result: Mapping[str, Any]) -> bool:
        return bool(result["few"] != self.few)


CELLS = (
    *(
        DriftCell(
            name=cell.name,
            what=cell.what,
            group={"unfamiliar": "drift"}.get(cell.group, cell.group),
            images=cell.images,
            few=cell.few,
            has=cell.has,
        )
        for cell in unfamiliar.CELLS
    ),
    DriftCell(name="simulated", what="heavy tails, ties, and rare ones, after 0 to 400", group="simulated"),
)
QUICK = DriftCell(name="quick", what="rendered; shows no more than that the bench works", group="quick", images="demo")


# Changes


def noise(image: Pixels, rng: random.Random) -> Pixels:
    return _clipped(image + _numbers(rng).normal(0, 8, image.shape))


def texture(image: Pixels, rng: random.Random) -> Pixels:
    """Return the image with faint waves over all of it."""
    height, width, _ = image.shape
    y_HW, x_HW = np.mgrid[:height, :width]
    return _clipped(image + 10 * np.sin(x_HW / 3 + y_HW / 5 + 6 * rng.random())[..., None])


def dots(image: Pixels, rng: random.Random) -> Pixels:
    """Return the image with one pixel in a hundred in the color of its ink."""
    made = image.copy()
    made[_numbers(rng).random(image.shape[:2]) < 0.01] = background_and_ink(image)[1]
    return made


def one_more_line(image: Pixels, rng: random.Random) -> Pixels:
    picture, ink = Image.fromarray(image), tuple(background_and_ink(image)[1].tolist())
    height, width, _ = image.shape
    ImageDraw.Draw(picture).line((0, rng.randrange(height), width, rng.randrange(height)), fill=ink)
    return np.asarray(picture)


def slanted(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with upright lines 14 degrees to the right."""
    return _mapped(image, (1, 0.25, -0.125 * len(image), 0, 1, 0))


def narrower(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with text and spacing 13% narrower."""
    return _mapped(image, (1.15, 0, -0.075 * image.shape[1], 0, 1, 0))


def thinner(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with strokes about one pixel thinner."""
    paper, ink = background_and_ink(image).astype(int).sum(axis=1)
    thin = np.asarray(
        Image.fromarray(image).filter(ImageFilter.MaxFilter(3) if ink < paper else ImageFilter.MinFilter(3))
    )
    return _clipped((image.astype(float) + thin) / 2)


def jpeg(image: Pixels, _: random.Random) -> Pixels:
    """Return the image as a JPEG of quality 50."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=50)
    return decode(file.getvalue())


def sharpened(image: Pixels, _: random.Random) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.SHARPEN))


def wavy(image: Pixels, rng: random.Random) -> Pixels:
    """Return the image with rows that move to both sides by up to two pixels."""
    start = 6 * rng.random()
    rows = [np.roll(row, round(2 * np.sin(y / 4 + start)), axis=0) for y, row in enumerate(image)]
    return np.stack(rows)


def lower(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with the text an eighth of the height lower."""
    return _mapped(image, (1, 0, 0, 0, 1, -len(image) / 8))


def fewer_levels(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with eight levels of each channel."""
    return (image & np.uint8(0xE0)) + np.uint8(16)


def faded(image: Pixels, _: random.Random) -> Pixels:
    """Return the image with ink that is 30% closer to the paper."""
    return _clipped(0.7 * image + 0.3 * background_and_ink(image)[0])


def shaded(image: Pixels, _: random.Random) -> Pixels:
    """Return the image darker to the right."""
    return _clipped(image * np.linspace(1, 0.75, image.shape[1])[None, :, None])


def cut(image: Pixels, _: random.Random) -> Pixels:
    """Return the image without two columns on the right."""
    return np.ascontiguousarray(image[:, :-2])


def _mapped(image: Pixels, matrix: tuple[float, float, float, float, float, float]) -> Pixels:
    picture, paper = Image.fromarray(image), tuple(background_and_ink(image)[0].tolist())
    return np.asarray(
        picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=paper)
    )


def _clipped(values: NDArray[np.float64]) -> Pixels:
    return values.clip(0, 255).round().astype(np.uint8)


def _numbers(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.randrange(1 << 30))


LOOKED: dict[str, Change] = CHANGED | {
    "noise": noise, "texture": texture, "dots": dots, "one more line": one_more_line, "slanted": slanted,
    "narrower": narrower, "thinner strokes": thinner, "JPEG of quality 50": jpeg,
}  # fmt: skip
FRESH: dict[str, Change] = {
    "sharpened": sharpened, "wavy": wavy, "text lower": lower, "eight levels": fewer_levels, "faded ink": faded,
    "shaded": shaded, "two columns cut": cut,
}  # fmt: skip
OTHERS = (
    "larger canvas", "inverted", MANY_HUES, "texture", "eight levels", "faded ink", "shaded", "two columns cut", OTHER,
)  # fmt: skip
"""Kinds that change size or colors."""


def kinds_of(own: Sequence[Pixels], others: Sequence[Sequence[Pixels]], *, is_jpeg: bool) -> dict[str, list[Pixels]]:
    """Return changed images of each kind."""
    rng = random.Random(0)
    kinds = {
        kind: [encoded(change(image, rng), is_jpeg=is_jpeg) for image in own]
        for kind, change in (LOOKED | FRESH).items()
    }
    foreign = [image for images in others for image in images[: max(1, COPIES // len(others))]]
    kinds[OTHER] = foreign
    kinds[DISGUISED] = [
        encoded(disguised(image, own[index % len(own)]), is_jpeg=is_jpeg) for index, image in enumerate(foreign)
    ]
    return kinds


# Streams


@cache
def parts_of(
    name: str, data: Path | None, counts: tuple[int, int], few: int = 0
) -> tuple[list[Pixels], list[Pixels], list[Pixels]]:
    """Return images of a set that train, those that set the baseline, and those of the streams."""
    splits = images_of(name, data, counts).splits
    images = [image for split in splits.values() for image in split]
    random.Random(0).shuffle(images)
    known = few or len(images) // 3
    val = few // 10 or max(LEAST_VAL, known // 10)
    return images[: known - val], images[known - val : known], images[known:]


def scores_of(familiar: Familiar, images: Sequence[Pixels]) -> Scores:
    """Return what a stored answer says about the look of each image."""
    looks = [familiar.look(image) for image in images]
    values_N3 = np.array(
        [(*seen, familiar.reason(image, seen) is not None) for image, seen in zip(images, looks, strict=True)],
        dtype=np.float64,
    )
    return dict(zip(("distance", "surprise", "unfamiliar"), values_N3.T, strict=True))


def drawn(scores: Scores, count: int, rng: np.random.Generator) -> Scores:
    """Return the scores of random images, with replacement."""
    places_M = rng.integers(0, len(next(iter(scores.values()))), count)
    return {name: scores_N[places_M] for name, scores_N in scores.items()}


def joined(first: Scores, second: Scores) -> Scores:
    return {name: np.concatenate([scores_N, second[name]]) for name, scores_N in first.items()}


def alarms_in(stream: Scores, before: Scores) -> list[Alarm]:
    """Return all alarms of a stream. It starts again after each."""
    alarms = []
    while (alarm := look(stream, before).alarm) is not None:
        alarms.append(alarm)
        stream = {name: scores_N[alarm.noticed + 1 :] for name, scores_N in stream.items()}
    return alarms


def unchanged(streams: Sequence[tuple[Scores, Scores]]) -> dict[str, Any]:
    """Count the false alarms in streams, each with the scores before it."""
    alarms = [alarm for stream, before in streams for alarm in alarms_in(stream, before)]
    images = sum(len(next(iter(stream.values()))) for stream, _ in streams)
    low, high = interval95(len(alarms), images)
    return {
        "images": images,
        "alarms": len(alarms),
        "in_10000": round(1e4 * len(alarms) / images, 3),
        "ci95": [round(1e4 * low, 3), round(1e4 * high, 3)],
        "scores": dict(Counter(alarm.score for alarm in alarms).most_common()),
    }


def delays(
    usual: Scores, changed: Scores, before: Scores, rng: np.random.Generator, *, trials: int, start: int
) -> dict[str, Any]:
    """Return how many images after a change it is noticed: the first one counts as 1. `start` images are as usual."""
    found: list[int] = []
    early = 0
    for _ in range(trials):
        alarm = look(joined(drawn(usual, start, rng), drawn(changed, AFTER, rng)), before).alarm
        if alarm is not None and alarm.noticed < start:
            early += 1
        else:
            found.append(AFTER + 1 if alarm is None else alarm.noticed - start + 1)
    soon = sum(delay <= SOON for delay in found)
    return {
        "n": len(found),
        "early": early,
        "soon": soon,
        "median": statistics.median(found),
        "p90": float(np.percentile(found, 90)),
        "most": AFTER,
    }


def measure(cell: DriftCell, bench: Bench) -> dict[str, Any]:
    """Count the false alarms and the delays of a cell."""
    rng = np.random.default_rng(0)
    about = {"cell": cell.name, "what": cell.what, "few": cell.few, **environment(bench.threads)}
    if not cell.images:
        return about | {"false": unchanged(simulated(rng))}
    is_quick = cell.group == "quick"
    counts, streams, trials = ((180, 0), 1, 2) if is_quick else (RENDERED, STREAMS, TRIALS)
    data = bench.data and bench.data.resolve()
    train, val, held_out = parts_of(cell.images, data, counts, cell.few)
    familiar = learned(train, val)
    names = [] if is_quick else [name for name in SETS if name != cell.images and {name, cell.images} not in ALIKE]
    others = [parts_of(name, data, counts)[2] for name in names] or [held_out]
    is_jpeg = images_of(cell.images, data, counts).is_jpeg
    before, usual = filled(scores_of(familiar, val), familiar.expected), scores_of(familiar, held_out)
    kinds = kinds_of(held_out[:COPIES], others, is_jpeg=is_jpeg)
    return about | {
        "n": {"train": len(train), "val": len(val), "streams": len(held_out)},
        "false": unchanged([(drawn(usual, LENGTH, rng), before) for _ in range(streams)]),
        "kinds": {
            kind: delays(
                usual, scores_of(familiar, images), before, rng, trials=trials, start=0 if cell.few else BEFORE
            )
            | {"has": kind in cell.has, "keeps": kind not in OTHERS, "fresh": kind in FRESH}
            for kind, images in kinds.items()
        },
    }


def simulated(rng: np.random.Generator) -> list[tuple[Scores, Scores]]:
    """Return unchanged streams of scores that are far from normal, each with a baseline of 0 to 400 images."""
    streams: list[tuple[Scores, Scores]] = []
    for known in (0, 30, 100, 400):
        for _ in range(STREAMS):
            scores = {
                "distance": rng.standard_cauchy(known + LENGTH),
                "surprise": rng.exponential(size=known + LENGTH) ** 3,
                "confidence": np.where(rng.random(known + LENGTH) < 0.9, 1.0, rng.random(known + LENGTH)),
                "unfamiliar": (rng.random(known + LENGTH) < 0.003).astype(np.float64),
                "rejected": np.where(
                    rng.random(known + LENGTH) < 0.5, np.nan, (rng.random(known + LENGTH) < 0.02).astype(np.float64)
                ),
            }
            stream = {name: scores_N[known:] for name, scores_N in scores.items()}
            streams.append((stream, {name: scores_N[:known] for name, scores_N in scores.items()}))
    return streams


def command() -> int:
    return main("drift", __doc__ or "", CELLS, (QUICK,), measure)


if __name__ == "__main__":
    sys.exit(command())
