"""The result on a source that a run has not seen, beside its result on held-out images of the other sources."""

from dataclasses import dataclass

from core.evaluation.metrics import difference95
from core.evaluation.percent import counted

NOTHING_BESIDE = "There is no result on test or val, read in the same way by this checkpoint, to put beside it."
WORDS = {"val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Right readings and images of a later source, and the same of val or test without that source."""

    source: str
    later: tuple[int, int]
    """Right readings and all images of the source."""
    split: str
    others: tuple[int, int]
    """Right readings and all images of this split that are of other sources."""

    @property
    def difference(self) -> float:
        """Exact match on the source minus that on the others."""
        return self.later[0] / self.later[1] - self.others[0] / self.others[1]

    @property
    def ci95(self) -> tuple[float, float]:
        return difference95(self.later, self.others)

    @property
    def sentences(self) -> tuple[str, str]:
        """The result on the others, and the difference with its interval."""
        low, high = (100 * end for end in self.ci95)
        points = 100 * self.difference
        if low <= 0 <= high:
            verdict = (
                f"The difference of {points:+.1f} points can be chance (95% interval {low:+.1f} to {high:+.1f} points)."
            )
        else:
            near, far = sorted((abs(low), abs(high)))
            verdict = (
                f"Source {self.source} is read {abs(points):.1f} points {'worse' if points < 0 else 'better'} "
                f"(95% interval {near:.1f} to {far:.1f} points)."
            )
        return f"{WORDS[self.split].capitalize()} images of other sources: {counted(*self.others)}.", verdict

    def to_dict(self) -> dict[str, object]:
        """Return a JSON object."""
        correct, n = self.others
        return {
            "split": self.split, "n": n, "correct": correct, "exact_match": correct / n, "difference": self.difference,
            "difference_ci95": list(self.ci95),
        }  # fmt: skip
