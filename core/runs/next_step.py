"""The next step with a run, from its files, its evaluation and its bundle."""

from statistics import fmean

from core.data.kinds import trained_on
from core.errors import SlotlabError
from core.evaluation.conclusion import Conclusion, Facts, conclude, most_confused, sure_errors
from core.home import Home
from core.jobs import control
from core.runs.bundles import bundle_of, newest_job, settings_of
from core.runs.evaluated import Evaluated
from core.runs.watch import watch
from core.training.doctor import WINDOW, Line, lines_of_kind
from db.samples import counts
from db.sqlite import Database

LEARNED = 0.9
"""Share of the training characters that a network reads once it has learned them. Augmentation hides some."""


def next_step(db: Database, home: Home, shown: Evaluated) -> Conclusion:
    """Return what to do next with a run whose evaluation is `shown`."""
    run, seen = shown.run, watch(home, shown.run.job.id)
    threshold, bundle = _handed_out(db, home, shown)
    count = counts(db, shown.project.id)
    unlabeled, skipped = (
        {split: n for (split, sample), n in count.items() if sample == wanted} for wanted in ("unlabeled", "skipped")
    )
    sick = seen.diagnosis and seen.diagnosis.worrying and not seen.diagnosis.poor
    return conclude(
        Facts(
            split=shown.split,
            reference=shown.reference,
            correct=shown.result["correct"],
            n=shown.result["n"],
            sure_errors=sure_errors(shown.reading),
            pair=most_confused(shown.reading, shown.spec),
            typed=trained_on(control.spec(home, run.job.id), run.train_n)["person"],
            unlabeled=sum(unlabeled.values()),
            unlabeled_measured=sum(n for split, n in unlabeled.items() if split != "train"),
            skipped=sum(skipped.values()),
            skipped_measured=sum(n for split, n in skipped.items() if split != "train"),
            underfitted=_training_accuracy(seen.metrics) < LEARNED,
            worry=seen.diagnosis.text if seen.diagnosis and sick else "",
            has_threshold=threshold is not None,
            bundle=bundle,
        )
    )


def _training_accuracy(lines: list[Line]) -> float:
    """Return the share of right characters in the last training steps, or 1 if it is unknown."""
    known = [line["accuracy"] for line in lines_of_kind(lines, "step")[-WINDOW:] if "accuracy" in line]
    return fmean(known) if known else 1.0


def _handed_out(db: Database, home: Home, shown: Evaluated) -> tuple[float | None, str]:
    """Return the run's threshold and its newest bundle, if that is current."""
    job = newest_job(db, home, shown.run)
    try:
        made = bundle_of(home, shown.run, job) if job else None
        settings = settings_of(home.run(shown.run.job.id), control.selected_step(home, shown.run.job.id))
    except SlotlabError:  # a damaged file; the tab of each file says so
        return None, ""
    return settings["threshold"], made.job.id if made and made.is_current else ""
