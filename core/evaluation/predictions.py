"""What a run read on a split, as it lies in its directory: predictions-val.npz, predictions-test.npz.

N samples, P positions, C classes, V views (view 0 is the image as it is).
"""

import mmap
import zipfile
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.charset import TextSpec
from core.errors import StorageError
from core.evaluation.calibration import confidence, fit_temperature
from core.evaluation.metrics import Evaluation, Floats, Ints, aggregate, confusion_PCC, evaluate, in_parts
from core.evaluation.views import DEFAULT, View, ViewChoice
from core.evaluation.views_worth import ViewsWorth, weigh_views
from core.files import atomic_write

T = TypeVar("T")
OPTIONAL = ("moves", "seconds", "colors")
"""Arrays that files of earlier versions do not have."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Everything that can be said about the reading of a split follows from these."""

    sha256: list[str]
    labels: list[str]
    """As they were when the run read the images."""
    views: list[str]
    """Their names."""
    log_probs_VNPC: NDArray[np.float32]
    step: int = -1
    """Of the weights that read; -1 where that was not recorded."""
    moves_V4: NDArray[np.float64] | None = None
    """What each view does: core.evaluation.views.View.geometry. None where that was not recorded."""
    seconds_V: NDArray[np.float64] | None = None
    """Measured for all images; those of view 0 hold what has to be done to an image before any view."""
    colors_N23: NDArray[np.uint8] | None = None
    """Color of background and ink of each image, as core.images.colors finds them."""

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Raises StorageError when the file is missing or damaged.

        The log-probabilities stay in the file until they are looked at: without the other views a ninth of them.
        """
        try:
            # Opened once: by its path, another evaluation could be there when the log-probabilities are looked for.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                moves_V4, seconds_V, colors_N23 = (arrays.get(name) for name in OPTIONAL)
                return cls(
                    sha256=arrays["sha256"].tolist(),
                    labels=arrays["labels"].tolist(),
                    views=arrays["views"].tolist(),
                    log_probs_VNPC=_mapped(file, "log_probs.npy"),
                    step=int(arrays["step"]) if "step" in arrays else -1,
                    moves_V4=moves_V4,
                    seconds_V=seconds_V,
                    colors_N23=colors_N23,
                )
        except Exception as error:  # zipfile, zlib, numpy and KeyError each have their own for a damaged file
            raise StorageError(f"{path.name} is missing or damaged; evaluate the run again.") from error

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        known: dict[str, Any] = dict(zip(OPTIONAL, (self.moves_V4, self.seconds_V, self.colors_N23), strict=True))
        with atomic_write(path) as file:
            np.savez(
                file,
                sha256=np.array(self.sha256, dtype=np.str_),
                labels=np.array(self.labels, dtype=np.str_),
                views=np.array(self.views, dtype=np.str_),
                log_probs=np.ascontiguousarray(self.log_probs_VNPC, dtype=np.float32),
                step=np.array(self.step),
                **{name: array for name, array in known.items() if array is not None},
            )

    @cached_property
    def view_set(self) -> tuple[View, ...] | None:
        """The views it was read with; None where nothing says what they did."""
        if self.moves_V4 is not None:
            return tuple(View(name, *moves) for name, moves in zip(self.views, self.moves_V4.tolist(), strict=True))
        # Before the moves were stored, there was one set.
        standard = DEFAULT[: len(self.views)]
        return standard if self.views == [view.name for view in standard] else None

    @cached_property
    def predicted_VNP(self) -> NDArray[np.uint16]:
        """What each view reads by itself."""
        return np.stack([log_probs_NPC.argmax(axis=2).astype(np.uint16) for log_probs_NPC in self.log_probs_VNPC])

    @cached_property
    def without_VNP(self) -> NDArray[np.uint16]:
        """What all views but one read together, for each that is left out."""
        sum_NPC = self.log_probs_VNPC.sum(axis=0)
        return np.stack([(sum_NPC - one_NPC).argmax(axis=2).astype(np.uint16) for one_NPC in self.log_probs_VNPC])

    @cached_property
    def together_NP(self) -> Ints:
        """What all views read together."""
        together_NP: Ints = self.log_probs_VNPC.mean(axis=0).argmax(axis=2)
        return together_NP

    def targets_NP(self, spec: TextSpec) -> Ints:
        """Class numbers of the labels. Raises LabelError on a label that does not fit `spec`."""
        chars_C = np.array(list(spec.charset))
        order_C = np.argsort(chars_C)
        if any(len(label) != spec.length for label in self.labels):
            chars_NP = np.empty((0, spec.length), dtype=chars_C.dtype)
        else:
            chars_NP = np.array(self.labels, dtype=f"U{spec.length}").view("U1").reshape(-1, spec.length)
        targets_NP: Ints = order_C[np.searchsorted(chars_C[order_C], chars_NP).clip(max=len(chars_C) - 1)]
        if len(chars_NP) < len(self.labels) or not (chars_C[targets_NP] == chars_NP).all():
            return np.array([spec.encode(label) for label in self.labels], dtype=np.int64)  # names the label
        return targets_NP

    def seen_N(self, strings: Collection[str]) -> NDArray[np.bool_]:
        """Tell whose label is among `strings`, those of the images that the run was trained on."""
        return self.cached("seen", lambda: np.array([label in strings for label in self.labels], dtype=bool))

    def reading(self, spec: TextSpec, *, tta: bool) -> "Reading":
        """Made once, with all that follows from it: the pages ask for the same again and again."""

        def made() -> Reading:
            log_probs_NPC = aggregate(self.log_probs_VNPC) if tta else self.log_probs_VNPC[0]
            return Reading(self.targets_NP(spec), log_probs_NPC)

        return self.cached(("reading", spec, tta), made)

    def cached(self, name: Hashable, make: Callable[[], T]) -> T:
        """What else follows from these predictions: made once, and there for as long as they are in memory."""
        if name not in self._cache:
            self._cache[name] = make()
            self.release_pages()
        found: T = self._cache[name]
        return found

    def release_pages(self) -> None:
        """Give back the memory of what was read from the file: 200 MB of 100,000 images under nine views."""
        under: Any = self.log_probs_VNPC
        while isinstance(under, np.ndarray):
            under = under.base
        if isinstance(under, mmap.mmap):
            under.madvise(mmap.MADV_DONTNEED)  # what is looked at again comes from the file again

    @cached_property
    def _cache(self) -> dict[Hashable, Any]:
        return {}

    def result(self, spec: TextSpec, *, tta: bool, seen_N: NDArray[np.bool_]) -> dict[str, Any]:
        """As core.evaluation.metrics.evaluate_views gives it, from what is known already."""
        reading, plain = self.reading(spec, tta=tta), self.reading(spec, tta=False)
        return in_parts(reading.evaluation, reading.right_N, seen_N, plain.right_N if tta else None)

    def views_worth(self, spec: TextSpec) -> ViewsWorth:
        """What each view, and all together, are worth against the images as they are."""

        def made() -> ViewsWorth:
            targets_NP = self.targets_NP(spec)
            return weigh_views(
                self.views, self.predicted_VNP, self.without_VNP, self.together_NP, targets_NP, self.seconds_V
            )

        return self.cached(("views worth", spec), made)

    def choice(self, worth: ViewsWorth, *, use: bool, by: str = "") -> ViewChoice:
        """To read with these views, or to have them and read without; with what they are worth."""
        if self.view_set is None:
            raise StorageError("These readings do not say what their views did; evaluate the run again.")
        found = worth.together
        return ViewChoice(
            views=self.view_set, use=use, by=by, n=worth.n, fixed=found.fixed, broken=found.broken, p=found.p,
            step=self.step,
        )  # fmt: skip


def step_of(path: Path) -> int:
    """Step of the weights that read what lies there, without looking at more; -1 where that is not known."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return int(arrays["step"])
    except Exception:  # noqa: BLE001 - zipfile, zlib, numpy and KeyError each have their own for a damaged file
        return -1


def _mapped(file: BinaryIO, name: str) -> NDArray[np.float32]:
    """An array of an .npz file, read from it when and where it is looked at."""
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with archive.open(member) as inside:
            major, _ = np.lib.format.read_magic(inside)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(inside)
            header = inside.tell()
    file.seek(member.header_offset + 26)  # where the zip format has the lengths of what stands before the data
    before = np.frombuffer(file.read(4), dtype="<u2").sum(dtype=int)
    offset = member.header_offset + 30 + before + header
    return np.asarray(
        np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if by_columns else "C")
    )


@dataclass(frozen=True)
class Reading:
    """One answer for each image, beside its label."""

    targets_NP: Ints
    log_probs_NPC: Floats

    @cached_property
    def predicted_NP(self) -> Ints:
        predicted_NP: Ints = self.log_probs_NPC.argmax(axis=2)
        return predicted_NP

    @cached_property
    def right_NP(self) -> NDArray[np.bool_]:
        right_NP: NDArray[np.bool_] = self.predicted_NP == self.targets_NP
        return right_NP

    @cached_property
    def right_N(self) -> NDArray[np.bool_]:
        """Whether all positions are right."""
        return np.asarray(self.right_NP.all(axis=1))

    @cached_property
    def evaluation(self) -> Evaluation:
        return evaluate(self.log_probs_NPC, self.targets_NP)

    @cached_property
    def confidence_N(self) -> NDArray[np.float64]:
        """Product over the positions: the probability that all are right, were they independent."""
        return confidence(self.log_probs_NPC)

    @cached_property
    def temperature(self) -> float:
        """Under which the confidence predicts best which images are right."""
        return fit_temperature(self.log_probs_NPC, self.right_N)

    @cached_property
    def fitted_N(self) -> NDArray[np.float64]:
        """Confidence at this temperature."""
        return confidence(self.log_probs_NPC, self.temperature)

    def at(self, places_N: Ints) -> "Reading":
        """That of the images at these places alone."""
        if np.array_equal(places_N, np.arange(len(self.targets_NP))):
            return self
        return Reading(self.targets_NP[places_N], self.log_probs_NPC[places_N])

    def confusion_PCC(self) -> Ints:
        return confusion_PCC(self.targets_NP, self.predicted_NP, self.log_probs_NPC.shape[2])

    def wrong(self) -> Ints:
        """Places of the images with an error, the surest first: a sure error is often a wrong label."""
        places = np.flatnonzero(~self.right_N)
        return places[np.argsort(self.confidence_N[places], kind="stable")[::-1]]
