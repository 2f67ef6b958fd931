"""Thresholds of a run: the confidence from which its readings are accepted, chosen on readings known as right or wrong.

Validation images have labels. Of an image that was submitted, the portal said whether the text was right.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from core.errors import SlotlabError
from core.evaluation import calibration
from core.evaluation.acceptance import Acceptance, Judge, images_of
from core.evaluation.calibration import Bools, Confidence, Threshold
from core.evaluation.evidence import DELTA
from core.evaluation.percent import rate
from core.evaluation.views import fingerprint, from_dicts
from core.home import Home
from core.jobs import control
from core.runs.bundles import list_bundles, manifest_of, names_in_logs
from core.runs.evaluated import Evaluated
from core.words import plural
from db import answers
from db.projects import get_project
from db.records import Run
from db.sqlite import Database

ONE_IN = (1000, 500, 200, 100, 50, 20, 10, 5)
"""Error rates that are tried where a lower one cannot be shown: one wrong reading in so many."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Readings of a run, and which of them are right."""

    judge: Judge
    """Giver of the right texts."""
    confidence_N: Confidence
    """Confidence of each text, at `temperature`."""
    right_N: Bools
    temperature: float
    step: int
    """Step of the checkpoint; negative if the readings do not record it."""
    tta: bool
    views: str
    """Fingerprint of the views (core.evaluation.views)."""

    def choose(self, max_risk: float) -> Threshold | None:
        """Return the lowest threshold whose error rate is at most `max_risk`, at 95% confidence.

        Nobody knows how many readings are right that were never submitted, so none of their confidences is accepted.
        """
        least = float(self.confidence_N.min()) if self.judge == "portal" else 0.0
        return calibration.choose_threshold(self.confidence_N, self.right_N, max_risk, DELTA, least=least)

    def acceptance(self, threshold: Threshold, *, max_risk: float, tries: int) -> Acceptance:
        """Return a threshold as the run's directory stores it."""
        return Acceptance(
            step=self.step, tta=self.tta, views=self.views, temperature=self.temperature,
            threshold=threshold.threshold, max_risk=max_risk, tries=tries, reference=self.judge,
            n=threshold.n, used=threshold.used, wrong=threshold.wrong, risk_bound=threshold.risk_bound,
        )  # fmt: skip

    def shown_instead(self) -> list[str]:
        """Return in one sentence which error rate these readings do show, if any does."""
        one_in = next((wrong for wrong in ONE_IN if self.choose(1 / wrong)), None)
        return [f"They show that at most one reading in {one_in} is wrong."] if one_in else []

    def why_none(self, max_risk: float) -> str:
        """Explain why no threshold holds: too few images, too few before the first error, or confident errors."""
        n, delta = len(self.right_N), DELTA / len(calibration.STARTS)
        more = "collect more verdicts" if self.judge == "portal" else "label more validation images"
        allow = "allow a higher error rate"
        needed = calibration.samples_needed(max_risk, delta)
        if needed > n:
            images = plural(needed, images_of(self.judge))
            return (
                f"You need at least {images} to show an error rate of at most {rate(max_risk)}. "
                f"You have {n:,}: {more}, or {allow}."
            )
        curve = calibration.risk_coverage(self.confidence_N, self.right_N)
        starts = [(int(curve.wrong_N[end]), int(end) + 1) for end in curve.ends[curve.starts]]
        bound, wrong, count = min((calibration.upper_bound(*start, delta), *start) for start in starts)
        none = f"No threshold guarantees an error rate of at most {rate(max_risk)}."
        if not wrong:
            return (
                f"{none} The {count:,} most confident readings are all right, but this only shows an error rate of at "
                f"most {rate(bound)}. You need {needed:,} without an error: {more}, or {allow}."
            )
        advice = {
            "people": f"Check these errors on the Errors tab: they are often wrong labels. Else {allow}.",
            "readers": f"Label validation images, or {allow}.",
            "portal": f"Train again with the verdicts, or {allow}.",
        }
        return (
            f"{none} Of the {count:,} most confident readings {wrong:,} {'is' if wrong == 1 else 'are'} wrong, so the "
            f"error rate could be {rate(bound)}. {advice[self.judge]}"
        )


def by_validation(shown: Evaluated) -> Judged:
    """Return the readings of validation images, at the temperature that fits them."""
    predictions, reading = shown.predictions, shown.reading
    return Judged(
        judge=predictions.reference,
        confidence_N=reading.fitted_N,
        right_N=reading.right_N,
        temperature=reading.temperature,
        step=predictions.step,
        tta=shown.tta,
        views=fingerprint(predictions.view_set or ()),
    )


Select = Callable[[Database, int, Sequence[str]], list[tuple[float, bool]]]


def by_verdicts(db: Database, home: Home, run: Run, *, select: Select = answers.select_judged) -> Judged | None:
    """Return the readings of a run's bundles that the portal judged, at their temperature; None without any.

    `select` returns what the portal judged of some readers of a project.
    Bundles of another checkpoint or other views have other confidences. Of those that are left, the newest
    one with verdicts sets the temperature.
    """
    step = control.selected_step(home, run.job.id)
    readers: dict[tuple[str, float, bool], list[str]] = defaultdict(list)
    for bundle in list_bundles(db, home, get_project(db, run.job.project_id)):
        with suppress(SlotlabError):  # a damaged bundle reads nothing
            manifest = manifest_of(bundle)
            if bundle.run_id == run.job.id and manifest["step"] == step:
                views = from_dicts(manifest["views"])
                names = names_in_logs(bundle.directory)
                readers[fingerprint(views), manifest["temperature"], len(views) > 1] += names
    for (views_of, temperature, tta), names in readers.items():
        if judged := select(db, run.job.project_id, names):
            return Judged(
                judge="portal",
                confidence_N=np.array([confidence for confidence, _ in judged]),
                right_N=np.array([right for _, right in judged]),
                temperature=temperature, step=step, tta=tta, views=views_of,
            )  # fmt: skip
    return None
