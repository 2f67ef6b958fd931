"""Cells that each change one part of preset `fast`, and what this costs beside the unchanged preset."""

import json
import math
from collections.abc import Mapping
from typing import Any

from bench.accuracy.cell import Cell
from bench.accuracy.scores import differing
from core.images.augment_settings import DEFAULT_AUGMENT

SEEDS = (0, 1)
WORKER = "bench.accuracy.ablated"
GROUPS = {
    "shape": ("affine", "perspective", "stretch", "elastic"),
    "light": ("brightness", "gamma", "color"),
    "damage": ("lines", "holes", "blur", "downscale", "noise", "speckle", "compression"),
}
"""All default transforms: what moves the text, what changes its light, and what covers or blurs it."""


def without(*names: str) -> str:
    """Return the default augmentation without these transforms, as an option."""
    return json.dumps({name: values for name, values in DEFAULT_AUGMENT.items() if name not in names})


CHANGES: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("head-flatten", "dense layer over the map", {"head": "flatten"}, ""),
    ("head-pool", "average of the map", {"head": "pool"}, ""),
    ("pos-sinusoidal", "sinusoidal position embedding", {}, "pos-sinusoidal"),
    ("pos-none", "no position embedding; the prior stays", {}, "pos-none"),
    ("prior-columns", "prior over columns, not text", {}, "prior-columns"),
    ("prior-none", "no prior", {}, "prior-none"),
    ("heads-own", "heads without shared weights", {"tied_heads": "false"}, ""),
    ("ink-only", "no colors", {"ink": "true"}, ""),
    *((f"no-{name}", f"no transforms of {name}", {"augment": without(*names)}, "") for name, names in GROUPS.items()),
    ("no-ema", "no average of the weights", {}, "no-ema"),
    ("no-columns", "no loss over the columns", {"column_loss": "0"}, ""),
)
"""Name, what is changed, options, and variant."""

ABLATIONS: tuple[Cell, ...] = (
    *(
        Cell(
            name=f"ablation-{name}-seed{seed}",
            what=what,
            group="ablations",
            images="hard4000",
            options={"seed": str(seed)} | options,
            variant=variant,
            worker=WORKER if variant else Cell.worker,
        )
        for name, what, options, variant in CHANGES
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"ablation-portal6-{name}-seed{seed}",
            what=f"portal6, fold 0, {what}",
            group="ablations",
            images="portal6-fold0",
            options={"seed": str(seed)} | options,
        )
        for name, what, options in (
            ("base", "as preset fast", {}),
            ("no-crop", "the whole image, not the text box", {"crop": "false"}),
        )
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"ablation-200-no-columns-seed{seed}",
            what="200 labels, no loss over the columns",
            group="ablations",
            images=f"hard4000-200-draw{seed}",
            options={"seed": str(seed), "column_loss": "0"},
        )
        for seed in SEEDS
    ),
)


def base_of(cell: str) -> str | None:
    """Return the name of the unchanged cell with the same images and seed. None for an unchanged one."""
    change, seed = cell.removeprefix("ablation-").rsplit("-", 1)
    if change.startswith("200-"):
        return f"hard4000-200-scratch-{seed}"
    if not change.startswith("portal6-"):
        return f"hard4000-fast-{seed}"
    return None if change == "portal6-base" else f"ablation-portal6-base-{seed}"


def paired95(fixed: int, broken: int, n: int) -> tuple[float, float]:
    """Return a 95% interval of the difference of two shares of the same n images.

    `fixed` and `broken` images are right in one of both only. This is the interval of Agresti and Min (2005): Wald's,
    after half an image was added to each of the four outcomes.
    """
    fixed_, broken_, n_ = fixed + 0.5, broken + 0.5, n + 2.0
    difference = (fixed_ - broken_) / n_
    spread = 1.959964 * math.sqrt(max(0.0, (fixed_ + broken_) / n_ - difference**2) / n_)
    return difference - spread, difference + spread


def changed(base: Mapping[str, Any], result: Mapping[str, Any], way: str = "tta") -> tuple[int, int, int] | None:
    """Return how many test images a change fixes and breaks, and n. None if a list of wrong images is not complete.

    `way` is `tta`, or `plain` for a single view.
    """
    key = "wrong" if way == "tta" else "wrong_plain"
    first, second = (each["splits"]["test"]["audited"] for each in (base, result))
    found = differing((first[key], first[way]), (second[key], second[way]))
    return (*found, first[way]["n"]) if found else None
