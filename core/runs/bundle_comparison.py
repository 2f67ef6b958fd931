"""Comparison of two bundles on the newest images of a project, before one replaces the other."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from core.bundle.reader import BundleError, Reading, load
from core.errors import ExportError
from core.evaluation.tta_effect import mcnemar
from core.images.pixels import decode
from core.runs.bundles import Bundle
from db import samples
from db.records import Project, Sample
from db.sqlite import Database

MOST = 400
"""Images. Two bundles of preset fast read them in about four seconds."""
CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The readings of two bundles of one image."""

    sample: Sample
    first: Reading
    second: Reading

    @property
    def label(self) -> str | None:
        return self.sample.label

    @property
    def is_alike(self) -> bool:
        return self.first.text == self.second.text


@dataclass(frozen=True, kw_only=True)
class BundleComparison:
    """Readings of two bundles. Only labeled images tell which one is right."""

    pairs: list[Pair]

    @cached_property
    def labeled(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.label is not None]

    @property
    def alike(self) -> int:
        return sum(pair.is_alike for pair in self.pairs)

    @property
    def right(self) -> tuple[int, int]:
        """Labeled images that each bundle reads right."""
        return (
            sum(pair.first.text == pair.label for pair in self.labeled),
            sum(pair.second.text == pair.label for pair in self.labeled),
        )

    @property
    def fixed(self) -> int:
        """Labeled images that only the second bundle reads right."""
        return sum(pair.second.text == pair.label != pair.first.text for pair in self.labeled)

    @property
    def broken(self) -> int:
        """Labeled images that only the first bundle reads right."""
        return sum(pair.first.text == pair.label != pair.second.text for pair in self.labeled)

    @property
    def p(self) -> float:
        """Return p of the exact McNemar test."""
        return mcnemar(self.fixed, self.broken)

    @property
    def accepted(self) -> tuple[int | None, int | None]:
        """Images whose reading each bundle accepts. None without a threshold."""
        return _count_accepted(pair.first for pair in self.pairs), _count_accepted(pair.second for pair in self.pairs)

    @property
    def differing(self) -> list[Pair]:
        return [pair for pair in self.pairs if not pair.is_alike]


def _count_accepted(readings: Iterable[Reading]) -> int | None:
    accepted = [reading.accepted for reading in readings]
    return None if None in accepted else sum(map(bool, accepted))


def compare_bundles(db: Database, project: Project, first: Bundle, second: Bundle) -> BundleComparison:
    """Read the newest images with both. Raises ExportError if a bundle is damaged.

    The images are labeled ones of val and unlabeled ones of train. Those that trained a run would flatter it, the test
    set is used only where its use is recorded, and nobody sees a reading of a blind image.
    """
    try:
        readers = [load(bundle.directory) for bundle in (first, second)]
    except BundleError as error:
        raise ExportError(str(error)) from error
    chosen = samples.select_comparable(db, project.id, limit=MOST)
    pairs: list[Pair] = []
    for start in range(0, len(chosen), CHUNK):
        part = chosen[start : start + CHUNK]
        blobs = samples.image_bytes(db, [sample.id for sample in part])
        pixels = [decode(blobs[sample.id]) for sample in part]
        readings = [reader.read_all(pixels) for reader in readers]
        pairs += [
            Pair(sample=sample, first=one, second=other) for sample, one, other in zip(part, *readings, strict=True)
        ]
    return BundleComparison(pairs=pairs)
