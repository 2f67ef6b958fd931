"""Images of a split or source that were skipped as unreadable, and the exact match if they count as wrong.

A result is measured on labeled images only. Skipping the hardest images as unreadable therefore raises it.
"""

from dataclasses import dataclass

from core.evaluation.percent import counted
from core.evaluation.reference import Reference
from core.words import plural


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A result on the n labeled images of a split or a later source, and the count of its unreadable images."""

    split: str
    source: str = ""
    """Name of the later source; empty for val and test."""
    count: int
    correct: int
    n: int
    reference: Reference = "people"

    @property
    def total(self) -> int:
        """Labeled and unreadable images."""
        return self.n + self.count

    @property
    def exact_match(self) -> float | None:
        """Exact match with unreadable images counted as wrong. None for an agreement with readers."""
        return self.correct / self.total if self.reference == "people" else None

    @property
    def sentence(self) -> str:
        """Count and exact match. Empty if no image is unreadable."""
        if not self.count:
            return ""
        images = plural(self.count, f"{self.split} image")
        if self.source:
            images = f"{plural(self.count, 'image')} of source {self.source}"
        text = f"{images} {'was' if self.count == 1 else 'were'} skipped as unreadable."
        if self.reference == "people":
            text += f" Counted as wrong: {counted(self.correct, self.total)}."
        return text
