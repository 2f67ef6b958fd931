"""The views of test-time augmentation: the same image seen slightly shifted, scaled and turned.

No flips and no large turns: a 6 must not become a 9. How a network is shown them is core.model.tta, how they are
combined core.evaluation.metrics.aggregate, and what they are worth core.evaluation.views_worth.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import OptionError, StorageError
from core.files import atomic_write
from core.images.pixels import Pixels

FILE = "views.json"

MAX_VIEWS = 16
"""Each is a pass over the images."""
MAX_NAME = 40
MAX_SHIFT = 0.1
"""Fraction of the side: of six characters, the first and the last stay in the image."""
ZOOMS = (0.8, 1.25)
MAX_DEGREES = 10.0


@dataclass(frozen=True)
class View:
    """How an image is moved before it is read."""

    name: str
    shift_x: float = 0.0
    """Fraction of the width, to the right."""
    shift_y: float = 0.0
    """Fraction of the height, downwards."""
    zoom: float = 1.0
    degrees: float = 0.0
    """To the right."""

    @property
    def geometry(self) -> tuple[float, float, float, float]:
        return self.shift_x, self.shift_y, self.zoom, self.degrees

    @property
    def as_it_is(self) -> bool:
        return self.geometry == AS_IT_IS.geometry


AS_IT_IS = View("as it is")
DEFAULT = (
    AS_IT_IS,
    View("left", shift_x=-0.015),
    View("right", shift_x=0.015),
    View("up", shift_y=-0.04),
    View("down", shift_y=0.04),
    View("smaller", zoom=0.96),
    View("larger", zoom=1.04),
    View("turned left", degrees=-2.0),
    View("turned right", degrees=2.0),
)
"""What a run reads with where nobody has chosen others."""


def check_views(views: Sequence[View]) -> tuple[View, ...]:
    """The same views. Raises OptionError on a set that may not be read with."""
    if not 1 <= len(views) <= MAX_VIEWS:
        raise OptionError(f"There must be between 1 and {MAX_VIEWS} views, not {len(views)}.")
    for place, view in enumerate(views, 1):
        _check_view(view, place)
    if not views[0].as_it_is:
        raise OptionError(f"The first view must be the image as it is, but {views[0].name!r} moves it.")
    for place, view in enumerate(views):
        for other in views[:place]:
            if other.name == view.name:
                raise OptionError(f"Two views are named {view.name!r}; each needs a name of its own.")
            if other.geometry == view.geometry:
                raise OptionError(f"The views {other.name!r} and {view.name!r} are the same; one of them says it all.")
    return tuple(views)


def _check_view(view: View, place: int) -> None:
    name = view.name
    if not isinstance(name, str) or not name.strip():
        raise OptionError(f"View {place} has no name.")
    if len(name) > MAX_NAME or not name.isprintable():
        raise OptionError(f"The name of view {place} must be printable and have at most {MAX_NAME} characters.")
    for what, value in zip(("shift_x", "shift_y", "zoom", "degrees"), view.geometry, strict=True):
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise OptionError(f"View {name!r} needs a number for {what}, not {value!r}.")
    for side, shift in (("width", view.shift_x), ("height", view.shift_y)):
        if abs(shift) > MAX_SHIFT:
            raise OptionError(f"View {name!r} shifts by {shift:.1%} of the {side}; at most {MAX_SHIFT:.0%} is allowed.")
    if not ZOOMS[0] <= view.zoom <= ZOOMS[1]:
        raise OptionError(f"View {name!r} zooms to {view.zoom:.0%}; allowed are {ZOOMS[0]:.0%} to {ZOOMS[1]:.0%}.")
    if abs(view.degrees) > MAX_DEGREES:
        raise OptionError(
            f"View {name!r} turns by {view.degrees:g} degrees; more than {MAX_DEGREES:g} can make another character."
        )


def to_dicts(views: Sequence[View]) -> list[dict[str, Any]]:
    """The views as JSON holds them."""
    return [asdict(view) for view in views]


def from_dicts(values: Any) -> tuple[View, ...]:
    """The views that JSON held. Raises OptionError where it held something else, or a set that is not allowed."""
    known = {field.name for field in fields(View)}
    if not isinstance(values, list) or not all(isinstance(value, dict) and "name" in value for value in values):
        raise OptionError("Views are a list of objects, each with a name.")
    for value in values:
        if unknown := sorted(set(value) - known):
            raise OptionError(f"A view has {', '.join(sorted(known))}, but not {', '.join(map(str, unknown))}.")
    return check_views([View(**value) for value in values])


def fingerprint(views: Sequence[View]) -> str:
    """The same for sets that read alike: names and order do not matter, every move does."""
    moves = sorted([number + 0.0 for number in view.geometry] for view in views)  # -0.0 is 0.0
    return hashlib.sha256(json.dumps(moves).encode()).hexdigest()[:16]


def move_image(pixels_HW3: Pixels, view: View) -> Pixels:
    """The image under one view, as core.model.tta.apply_view shows it to the network, within one gray level."""
    if view.as_it_is:
        return pixels_HW3
    from scipy.ndimage import affine_transform

    # Each pixel of what is seen comes from matrix @ (row, column) + offset; the middle stays, but for the shift.
    height, width, _ = pixels_HW3.shape
    angle = math.radians(view.degrees)
    cos, sin = math.cos(angle) / view.zoom, math.sin(angle) / view.zoom
    matrix_22 = np.array([[cos, -sin], [sin, cos]])
    middle_2 = np.array([height - 1, width - 1]) / 2
    offset_2 = middle_2 - matrix_22 @ middle_2 - np.array([view.shift_y * height, view.shift_x * width])
    channels = [
        affine_transform(channel_HW, matrix_22, offset_2, order=1, mode="nearest", output=np.float64)
        for channel_HW in np.moveaxis(pixels_HW3, 2, 0)
    ]
    moved: Pixels = np.stack(channels, axis=2).round().clip(0, 255).astype(np.uint8)
    return moved


@dataclass(frozen=True, kw_only=True)
class ViewChoice:
    """The views of a run, and whether it reads with them where nobody says otherwise; kept in its directory."""

    views: tuple[View, ...] = DEFAULT
    use: bool = False
    by: str = ""
    """Operator; empty where it follows from the rule of core.evaluation.views_worth at the end of the training."""
    n: int = 0
    """Val images on which it was made; 0 where nobody has looked."""
    fixed: int = 0
    broken: int = 0
    p: float = 1.0
    """McNemar, exact."""
    step: int = -1
    """Of the weights that read them."""

    def save(self, run_dir: Path) -> None:
        """Write views.json whole or not at all. Raises StorageError."""
        values = asdict(self) | {"views": to_dicts(self.views)}
        try:
            with atomic_write(run_dir / FILE) as file:
                file.write(json.dumps(values, indent=1).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"The views of the run could not be written ({error.strerror}).") from error

    @classmethod
    def load(cls, run_dir: Path) -> "ViewChoice | None":
        """None where none was made yet. Raises StorageError when the file is damaged."""
        try:
            values = json.loads((run_dir / FILE).read_bytes())
            choice = cls(**values | {"views": from_dicts(values["views"])})
            sound = isinstance(choice.use, bool) and isinstance(choice.by, str)
            numbers = (choice.n, choice.fixed, choice.broken, choice.p, choice.step)
            sound = sound and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, OptionError) as error:
            raise StorageError(f"{FILE} of this run is damaged; choose its views again.") from error
        if not sound:
            raise StorageError(f"{FILE} of this run is damaged; choose its views again.")
        return choice


def choice_of(run_dir: Path | None) -> ViewChoice:
    """What a run reads with; before anything was chosen, the standard views, and those not used."""
    return (ViewChoice.load(run_dir) if run_dir else None) or ViewChoice()
