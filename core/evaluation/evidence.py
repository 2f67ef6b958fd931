"""Say what k wrong of n images prove, and how many more right ones would prove the next level."""

from dataclasses import dataclass

from core.evaluation.calibration import samples_needed, upper_bound
from core.evaluation.metrics import interval95
from core.evaluation.percent import at_least

DELTA = 0.05
GOALS = (0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """So many of n images, none of which the run was trained on, were read wrong."""

    n: int
    wrong: int

    @property
    def at_least(self) -> float:
        """Share that is right at least, with 95% confidence: the one-sided Clopper-Pearson bound.

        "At least" errs to one side only, so all of the 5% stand there: without an error in 610, 99.51%. The interval
        beside it errs to both, 2.5% each, and begins at 99.40%.
        """
        return 1 - upper_bound(self.wrong, self.n, DELTA)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share that is right, two-sided."""
        return interval95(self.n - self.wrong, self.n)

    def more_for(self, goal: float) -> int:
        """How many more images, all of them read right, would show at least `goal`; 0 where these do."""
        return max(0, samples_needed(1 - goal, DELTA, self.wrong) - self.n)

    @property
    def next_goals(self) -> list[tuple[float, int]]:
        """The next two goals, each with the images it takes."""
        return [(goal, self.more_for(goal)) for goal in GOALS if goal > self.at_least][:2]

    @property
    def sentence(self) -> str:
        low, high = self.interval
        evidence = (
            f"{self.wrong:,} wrong of {self.n:,} shows with 95% confidence that at least {at_least(self.at_least)} are "
            f"right (one-sided; the two-sided interval is {at_least(low)} to {at_least(high)})."
        )
        goals = " and ".join(f"{more:,} more would show {at_least(goal)}" for goal, more in self.next_goals)
        return f"{evidence} If all are read right, {goals}." if goals else evidence
