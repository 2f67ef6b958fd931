"""The predictions of a run on a split, stored in its directory as predictions-val.npz and predictions-test.npz.

N samples, P positions, C classes, V views (view 0 is the original image).
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

from core.bundle.reader import aggregate
from core.charset import TextSpec
from core.errors import StorageError
from core.evaluation.calibration import confidence, fit_temperature
from core.evaluation.metrics import Evaluation, Floats, Ints, confusion_PCC, evaluate, result_dict
from core.evaluation.reference import Reference, reference_of
from core.evaluation.tta_effect import TTAEffect, measure_tta
from core.evaluation.views import DEFAULT, View, ViewChoice
from core.files import atomic_write

T = TypeVar("T")
OPTIONAL = ("moves", "seconds", "colors")
"""Arrays that files of earlier versions lack."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of a run on one split, and values derived from them."""

    sha256: list[str]
    labels: list[str]
    """Labels at the time of the evaluation."""
    views: list[str]
    """Names of the views."""
    log_probs_VNPC: NDArray[np.float32]
    reference: Reference = "people"
    """Giver of these labels."""
    step: int = -1
    """Step of the checkpoint; -1 if not recorded."""
    moves_V4: NDArray[np.float64] | None = None
    """core.evaluation.views.View.geometry of each view; None if not recorded."""
    seconds_V: NDArray[np.float64] | None = None
    """Seconds for all images. View 0 includes the preparation of an image."""
    colors_N23: NDArray[np.uint8] | None = None
    """Colors of background and ink of each image, from core.images.colors."""

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Load the predictions. Raises StorageError if the file is missing or damaged.

        The log-probabilities are memory-mapped, so only the views in use are read.
        """
        try:
            # Open the file once, because another evaluation may replace it at this path.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                check_stored(arrays)
                moves_V4, seconds_V, colors_N23 = (arrays.get(name) for name in OPTIONAL)
                predictions = cls(
                    sha256=arrays["sha256"].tolist(),
                    labels=arrays["labels"].tolist(),
                    views=arrays["views"].tolist(),
                    log_probs_VNPC=_mapped(file, "log_probs.npy"),
                    reference=reference_of({"reference": str(arrays["reference"])} if "reference" in arrays else {}),
                    step=int(arrays["step"]) if "step" in arrays else -1,
                    moves_V4=moves_V4,
                    seconds_V=seconds_V,
                    colors_N23=colors_N23,
                )
                predictions._check_shapes()
        except Exception as error:  # a damaged file raises errors of zipfile, zlib and numpy, or KeyError
            raise StorageError(f"{path.name} is missing or damaged. Evaluate the run again.") from error
        return predictions

    def _check_shapes(self) -> None:
        """Raise ValueError if the arrays do not fit each other."""
        views, n = len(self.views), len(self.sha256)
        texts = (*self.sha256, *self.labels, *self.views)
        shapes = [
            (self.moves_V4, (views, 4)),
            (self.seconds_V, (views,)),
            (self.colors_N23, (n, 2, 3)),
        ]
        if (
            self.log_probs_VNPC.dtype != np.float32
            or self.log_probs_VNPC.ndim != 4
            or self.log_probs_VNPC.shape[:2] != (views, n)
            or len(self.labels) != n
            or not views
            or not all(isinstance(text, str) for text in texts)
            or any(
                array is not None and (array.shape != shape or array.dtype.kind not in "fiu") for array, shape in shapes
            )
        ):
            raise ValueError("the arrays do not fit each other")

    def save(self, path: Path) -> None:
        """Write the file completely or not at all."""
        optional: dict[str, Any] = dict(zip(OPTIONAL, (self.moves_V4, self.seconds_V, self.colors_N23), strict=True))
        with atomic_write(path) as file:
            np.savez(
                file,
                sha256=np.array(self.sha256, dtype=np.str_),
                labels=np.array(self.labels, dtype=np.str_),
                views=np.array(self.views, dtype=np.str_),
                log_probs=np.ascontiguousarray(self.log_probs_VNPC, dtype=np.float32),
                reference=np.array(self.reference),
                step=np.array(self.step),
                **{name: array for name, array in optional.items() if array is not None},
            )

    @cached_property
    def view_set(self) -> tuple[View, ...] | None:
        """The views of this evaluation; None if unknown."""
        if self.moves_V4 is not None:
            return tuple(View(name, *moves) for name, moves in zip(self.views, self.moves_V4.tolist(), strict=True))
        # Versions that did not store moves had only the default views.
        standard = DEFAULT[: len(self.views)]
        return standard if self.views == [view.name for view in standard] else None

    @cached_property
    def predicted_VNP(self) -> NDArray[np.uint16]:
        """Reading of each view."""
        return np.stack([log_probs_NPC.argmax(axis=2).astype(np.uint16) for log_probs_NPC in self.log_probs_VNPC])

    @cached_property
    def leave_one_out_VNP(self) -> NDArray[np.uint16]:
        """Reading of all other views together, for each view."""
        sum_NPC = self.log_probs_VNPC.sum(axis=0)
        return np.stack([(sum_NPC - one_NPC).argmax(axis=2).astype(np.uint16) for one_NPC in self.log_probs_VNPC])

    @cached_property
    def together_NP(self) -> Ints:
        """Reading of all views together."""
        together_NP: Ints = self.log_probs_VNPC.mean(axis=0).argmax(axis=2)
        return together_NP

    def targets_NP(self, spec: TextSpec) -> Ints:
        """Return the class numbers of the labels. Raises LabelError if a label does not fit `spec`."""
        chars_C = np.array(list(spec.charset))
        order_C = np.argsort(chars_C)
        if any(len(label) != spec.length for label in self.labels):
            chars_NP = np.empty((0, spec.length), dtype=chars_C.dtype)
        else:
            chars_NP = np.array(self.labels, dtype=f"U{spec.length}").view("U1").reshape(-1, spec.length)
        targets_NP: Ints = order_C[np.searchsorted(chars_C[order_C], chars_NP).clip(max=len(chars_C) - 1)]
        if len(chars_NP) < len(self.labels) or not (chars_C[targets_NP] == chars_NP).all():
            # Slower, but its error contains the label.
            return np.array([spec.encode(label) for label in self.labels], dtype=np.int64)
        return targets_NP

    def seen_N(self, strings: Collection[str]) -> NDArray[np.bool_]:
        """Mark the samples whose label is in `strings`, the labels of the training images."""
        return self.cached("seen", lambda: np.array([label in strings for label in self.labels], dtype=bool))

    def reading(self, spec: TextSpec, *, tta: bool) -> "Reading":
        """Return the readings with or without TTA, cached with everything derived from them."""

        def compute() -> Reading:
            log_probs_NPC = aggregate(self.log_probs_VNPC) if tta else self.log_probs_VNPC[0]
            return Reading(self.targets_NP(spec), log_probs_NPC)

        return self.cached(("reading", spec, tta), compute)

    def cached(self, name: Hashable, compute: Callable[[], T]) -> T:
        """Return a derived value, computed once while these predictions are in memory."""
        if name not in self._cache:
            self._cache[name] = compute()
            self.release_pages()
        value: T = self._cache[name]
        return value

    def release_pages(self) -> None:
        """Free the memory of the mapped file: 200 MB for 100,000 images and nine views."""
        base: Any = self.log_probs_VNPC
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)  # a later access reads the file again

    @cached_property
    def _cache(self) -> dict[Hashable, Any]:
        return {}

    def result(self, spec: TextSpec, *, tta: bool, seen_N: NDArray[np.bool_]) -> dict[str, Any]:
        """Return the result of core.evaluation.metrics.evaluate_views from cached values."""
        reading, plain = self.reading(spec, tta=tta), self.reading(spec, tta=False)
        return result_dict(reading.evaluation, reading.right_N, seen_N, plain.right_N if tta else None)

    def tta_effect(self, spec: TextSpec) -> TTAEffect:
        """Return the effect of each view and of TTA, compared with the original images."""

        def compute() -> TTAEffect:
            targets_NP = self.targets_NP(spec)
            return measure_tta(
                self.views, self.predicted_VNP, self.leave_one_out_VNP, self.together_NP, targets_NP, self.seconds_V
            )

        return self.cached(("TTA effect", spec), compute)

    def choice(self, effect: TTAEffect, *, use: bool, by: str = "") -> ViewChoice:
        """Return these views with their effect as a run's choice. `use` turns TTA on."""
        if self.view_set is None:
            raise StorageError("This evaluation did not record its views. Evaluate the run again.")
        together = effect.together
        return ViewChoice(
            views=self.view_set, use=use, by=by, n=effect.n, fixed=together.fixed, broken=together.broken, p=together.p,
            step=self.step,
        )  # fmt: skip


def check_stored(arrays: Any) -> None:
    """Raise ValueError if an .npz file is compressed. np.savez stores, and a small file could expand to any size."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in arrays.zip.infolist()):
        raise ValueError("a member is compressed")


def step_of(path: Path) -> int:
    """Return the checkpoint step of a predictions file without loading the rest; -1 if unknown."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return int(arrays["step"])
    except Exception:  # noqa: BLE001 - a damaged file raises errors of zipfile, zlib and numpy, or KeyError
        return -1


def _mapped(file: BinaryIO, name: str) -> NDArray[np.float32]:
    """Memory-map an array of an .npz file."""
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        with archive.open(member) as inside:
            major, _ = np.lib.format.read_magic(inside)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(inside)
            header = inside.tell()
    file.seek(member.header_offset + 26)  # lengths of the name and extra fields before the data (zip format)
    before = np.frombuffer(file.read(4), dtype="<u2").sum(dtype=int)
    offset = member.header_offset + 30 + before + header
    return np.asarray(
        np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if by_columns else "C")
    )


@dataclass(frozen=True)
class Reading:
    """The readings of a set of images, with their labels."""

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
        """True where all positions are right."""
        return np.asarray(self.right_NP.all(axis=1))

    @cached_property
    def evaluation(self) -> Evaluation:
        return evaluate(self.log_probs_NPC, self.targets_NP)

    @cached_property
    def confidence_N(self) -> NDArray[np.float64]:
        """Product over the positions, at temperature 1."""
        return confidence(self.log_probs_NPC)

    @cached_property
    def temperature(self) -> float:
        """Temperature fitted to these readings."""
        return fit_temperature(self.log_probs_NPC, self.right_N)

    @cached_property
    def fitted_N(self) -> NDArray[np.float64]:
        """Confidence at this temperature."""
        return confidence(self.log_probs_NPC, self.temperature)

    def at(self, places_N: Ints) -> "Reading":
        """Return the readings of the images at these indices."""
        if np.array_equal(places_N, np.arange(len(self.targets_NP))):
            return self
        return Reading(self.targets_NP[places_N], self.log_probs_NPC[places_N])

    def confusion_PCC(self) -> Ints:
        return confusion_PCC(self.targets_NP, self.predicted_NP, self.log_probs_NPC.shape[2])

    def wrong(self) -> Ints:
        """Return the indices of wrong readings, most confident first. Confident errors are often wrong labels."""
        places = np.flatnonzero(~self.right_N)
        return places[np.argsort(self.confidence_N[places], kind="stable")[::-1]]
