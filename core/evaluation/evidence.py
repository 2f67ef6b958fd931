"""The accuracy that k errors in n images prove, and the images needed to prove the next level."""

from dataclasses import dataclass

from core.evaluation.calibration import samples_needed, upper_bound
from core.evaluation.metrics import interval95
from core.evaluation.percent import at_least

DELTA = 0.05
GOALS = (0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The number of errors in n images that were not in training."""

    n: int
    wrong: int

    @property
    def at_least(self) -> float:
        """Minimum accuracy at 95% confidence: the one-sided Clopper-Pearson bound.

        The two-sided interval spends only 2.5% on each side. For 0 errors in 610 it begins at 99.40%, and this bound is
        99.51%.
        """
        return 1 - upper_bound(self.wrong, self.n, DELTA)

    @property
    def interval(self) -> tuple[float, float]:
        """Two-sided 95% interval of the accuracy."""
        return interval95(self.n - self.wrong, self.n)

    def more_for(self, goal: float) -> int:
        """Return the number of further images, all read right, needed to show `goal`; 0 if it is shown."""
        return max(0, samples_needed(1 - goal, DELTA, self.wrong) - self.n)

    @property
    def next_goals(self) -> list[tuple[float, int]]:
        """The next two goals, each with the images needed."""
        return [(goal, self.more_for(goal)) for goal in GOALS if goal > self.at_least][:2]

    @property
    def sentence(self) -> str:
        low, high = self.interval
        evidence = (
            f"With {self.wrong:,} wrong of {self.n:,}, at least {at_least(self.at_least)} are right at 95% confidence "
            f"(one-sided; the two-sided interval is {at_least(low)} to {at_least(high)})."
        )
        goals = " and ".join(f"{more:,} for {at_least(goal)}" for goal, more in self.next_goals)
        return f"{evidence} To prove more, you need further images without an error: {goals}." if goals else evidence
