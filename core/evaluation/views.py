"""The views of test-time augmentation (TTA): slightly shifted, scaled or turned copies of an image.

Flips and large turns are not allowed, because a 6 must not become a 9. core.model.tta applies the views,
core.bundle.reader.aggregate combines them, and core.evaluation.tta_effect measures their effect.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from core.bundle.reader import Moves, move, to_input
from core.errors import OptionError, StorageError
from core.files import atomic_write, read_small
from core.images.pixels import Pixels

FILE = "views.json"

MAX_VIEWS = 16
"""Each view costs one pass over the images."""
MAX_NAME = 40
MAX_SHIFT = 0.1
"""Fraction of the side. Of six characters, the first and the last stay in the image."""
ZOOMS = (0.8, 1.25)
MAX_DEGREES = 10.0


@dataclass(frozen=True)
class View:
    """A shift, zoom and turn of an image."""

    name: str
    shift_x: float = 0.0
    """Fraction of the width, to the right."""
    shift_y: float = 0.0
    """Fraction of the height, downwards."""
    zoom: float = 1.0
    degrees: float = 0.0
    """Clockwise."""

    @property
    def geometry(self) -> Moves:
        return self.shift_x, self.shift_y, self.zoom, self.degrees

    @property
    def is_original(self) -> bool:
        return self.geometry == ORIGINAL.geometry


ORIGINAL = View("as it is")
DEFAULT = (
    ORIGINAL,
    View("left", shift_x=-0.015),
    View("right", shift_x=0.015),
    View("up", shift_y=-0.04),
    View("down", shift_y=0.04),
    View("smaller", zoom=0.96),
    View("larger", zoom=1.04),
    View("turned left", degrees=-2.0),
    View("turned right", degrees=2.0),
)
"""The default views of a run."""


def check_views(views: Sequence[View]) -> tuple[View, ...]:
    """Return the views as a tuple. Raises OptionError if they are not allowed."""
    if not 1 <= len(views) <= MAX_VIEWS:
        raise OptionError(f"{len(views)} views are not allowed. Use 1 to {MAX_VIEWS}.")
    for number, view in enumerate(views, 1):
        _check_view(view, number)
    if not views[0].is_original:
        raise OptionError(f"The first view, {views[0].name!r}, moves the image. It must be the original image.")
    for index, view in enumerate(views):
        for other in views[:index]:
            if other.name == view.name:
                raise OptionError(f"Two views are named {view.name!r}. Rename one of them.")
            if other.geometry == view.geometry:
                raise OptionError(f"The views {other.name!r} and {view.name!r} are identical. Delete one of them.")
    return tuple(views)


def _check_view(view: View, number: int) -> None:
    name = view.name
    if not isinstance(name, str) or not name.strip():
        raise OptionError(f"View {number} has no name.")
    if len(name) > MAX_NAME or not name.isprintable():
        raise OptionError(f"The name of view {number} must be printable and have at most {MAX_NAME} characters.")
    for key, value in zip(("shift_x", "shift_y", "zoom", "degrees"), view.geometry, strict=True):
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise OptionError(f"View {name!r} needs a number for {key}, not {value!r}.")
    for side, shift in (("width", view.shift_x), ("height", view.shift_y)):
        if abs(shift) > MAX_SHIFT:
            raise OptionError(f"View {name!r} shifts by {shift:.1%} of the {side}. The limit is {MAX_SHIFT:.0%}.")
    if not ZOOMS[0] <= view.zoom <= ZOOMS[1]:
        raise OptionError(f"View {name!r} zooms to {view.zoom:.0%}. Use {ZOOMS[0]:.0%} to {ZOOMS[1]:.0%}.")
    if abs(view.degrees) > MAX_DEGREES:
        raise OptionError(
            f"View {name!r} turns by {view.degrees:g} degrees. The limit is {MAX_DEGREES:g}, so that no character "
            "looks like another."
        )


def to_dicts(views: Sequence[View]) -> list[dict[str, Any]]:
    """Return the views as JSON objects."""
    return [asdict(view) for view in views]


def from_dicts(values: Any) -> tuple[View, ...]:
    """Read the views from JSON objects. Raises OptionError if they are invalid or not allowed."""
    known = {field.name for field in fields(View)}
    if not isinstance(values, list) or not all(isinstance(value, dict) and "name" in value for value in values):
        raise OptionError("Views must be a list of objects, each with a name.")
    for value in values:
        if unknown := sorted(set(value) - known):
            raise OptionError(
                f"Unknown keys of a view: {', '.join(map(str, unknown))}. Use {', '.join(sorted(known))}."
            )
    return check_views([View(**value) for value in values])


def fingerprint(views: Sequence[View]) -> str:
    """Return a hash of the moves. Names and order do not change it."""
    moves = sorted([number + 0.0 for number in view.geometry] for view in views)  # -0.0 is 0.0
    return hashlib.sha256(json.dumps(moves).encode()).hexdigest()[:16]


def move_image(pixels_HW3: Pixels, view: View) -> Pixels:
    """Apply a view to an image, for display."""
    if view.is_original:
        return pixels_HW3
    moved_3HW = move(to_input(pixels_HW3[None]), view.geometry)[0]
    return np.ascontiguousarray((moved_3HW * 255).round().astype(np.uint8).transpose(1, 2, 0))


@dataclass(frozen=True, kw_only=True)
class ViewChoice:
    """The TTA settings of a run, stored in its directory."""

    views: tuple[View, ...] = DEFAULT
    use: bool = False
    """True if the run reads with TTA by default."""
    by: str = ""
    """Operator; empty if the rule in core.evaluation.tta_effect decided after training."""
    n: int = 0
    """Validation images that measured the effect; 0 if it was not measured."""
    fixed: int = 0
    broken: int = 0
    p: float = 1.0
    """Exact McNemar test."""
    step: int = -1
    """Step of the checkpoint."""

    def save(self, run_dir: Path) -> None:
        """Write views.json completely or not at all. Raises StorageError."""
        values = asdict(self) | {"views": to_dicts(self.views)}
        try:
            with atomic_write(run_dir / FILE) as file:
                file.write(json.dumps(values, indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"The views of the run could not be saved ({error.strerror}).") from error

    @classmethod
    def load(cls, run_dir: Path) -> "ViewChoice | None":
        """Return the TTA settings of a run, or None. Raises StorageError if the file is damaged."""
        try:
            values = json.loads(read_small(run_dir / FILE))
            choice = cls(**values | {"views": from_dicts(values["views"])})
            sound = isinstance(choice.use, bool) and isinstance(choice.by, str)
            numbers = (choice.n, choice.fixed, choice.broken, choice.p, choice.step)
            sound = sound and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, OptionError) as error:
            raise StorageError(f"{FILE} of this run is damaged. Choose its views again.") from error
        if not sound:
            raise StorageError(f"{FILE} of this run is damaged. Choose its views again.")
        return choice


WITHOUT_RUN = ViewChoice(
    views=(
        ORIGINAL,
        View("smaller", zoom=0.93),
        View("larger", zoom=1.07),
        View("turned left", degrees=-2.0),
        View("turned right", degrees=2.0),
    ),
    use=True,
)
"""TTA settings of the built-in reader.

Of 351 and 400 validation images of digits4 and the hard style, 346 and 369 are right, and with one view 342 and 361.
The nine default views read 346 and 369 as well.
"""


def choice_of(run_dir: Path | None) -> ViewChoice:
    """Return the TTA settings of a run, or of the built-in reader. A run has the default views, not used."""
    return WITHOUT_RUN if run_dir is None else ViewChoice.load(run_dir) or ViewChoice()
