"""The Confidence tab of Evaluate: how sure a reading must be to be accepted, and the evidence."""

import math
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from core.errors import OptionError, StorageError
from core.evaluation import calibration
from core.evaluation.acceptance import BY_READERS, Acceptance, images_of
from core.evaluation.calibration import Bools, Confidence, Threshold
from core.evaluation.evidence import DELTA, Evidence
from core.evaluation.percent import rate, share
from core.evaluation.predictions import Reading
from core.evaluation.reference import SHARED_ERRORS
from core.runs import thresholds
from core.runs.evaluated import Evaluated
from core.runs.thresholds import Judged
from core.runs.uses import use_rows, uses_text
from core.words import are, plural
from db.evaluations import list_test_uses
from db.records import Run
from pages.components import charts, layout, resources

RULES = {"wrong": "Error rate", "lockout": "Lockout rate"}
OPTIMISTIC = (
    "Validation images selected the checkpoint, so this figure is slightly optimistic. Check it on test images."
)
LATER = (
    "The run has not seen this source, so this figure shows how it reads later images. It is too low if people labeled "
    "only the hard ones, because readings were accepted for the others."
)
UNBIASED = "Test images played no part in training or selection, so this figure is unbiased while they are used rarely."


def show_evidence(shown: Evaluated) -> None:
    """Show what this many images prove, how many more would prove more, and each use of the test set."""
    st.subheader("Evidence", anchor=False)
    n, correct = shown.result["n"], shown.result["correct"]
    by_people = shown.reference == "people"
    st.markdown(layout.plain(Evidence(n=n, wrong=n - correct).sentence) if by_people else SHARED_ERRORS)
    with layout.errors(), layout.database() as db:
        uses = list_test_uses(db, shown.project.id)
    if by_people and shown.unreadable.sentence:
        st.markdown(layout.plain(shown.unreadable.sentence))
    if by_people:
        st.caption({"val": OPTIMISTIC, "test": UNBIASED}.get(shown.split, LATER))
    if not uses:
        st.caption(f"{uses_text(0)}.")
        return
    with st.expander(uses_text(len(uses))):
        st.dataframe(
            pd.DataFrame(use_rows(uses), columns=["Time (UTC)", "Operator", "Run", "TTA", "Right"]),
            hide_index=True,
            alt=f"{plural(len(uses), 'use')} of the test set",
        )


@st.fragment
def show_confidence(shown: Evaluated) -> None:
    """Choose a temperature and a threshold on val. Apply the saved ones to test."""
    predictions = shown.predictions
    st.subheader("How sure must a reading be?", anchor=False)
    saved = _saved(layout.home().run(shown.run.job.id))
    applies = saved is not None and saved.applies_to(predictions.step, tta=shown.tta, views=predictions.view_set)
    if shown.split == "val":
        _choose(shown, saved)
    elif saved is not None and applies:
        _apply(shown, saved)
    else:
        st.info(
            "This run has no threshold for these readings. Set one on val with the same views, then check it on test.",
            icon=":material/rule:",
        )


def _saved(directory: Path) -> Acceptance | None:
    try:
        return Acceptance.load(directory)
    except StorageError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return None


def _choose(shown: Evaluated, saved: Acceptance | None) -> None:
    """Choose a threshold on the validation images, or on the readings that the portal judged."""
    with layout.errors(), layout.database() as db:
        select = partial(resources.judged, layout.home())
        by_portal = thresholds.by_verdicts(db, layout.home(), shown.run, select=select)
    judged = thresholds.by_validation(shown)
    if by_portal:
        judges = {"validation": "Validation images", "portal": f"Verdicts of the portal ({len(by_portal.right_N):,})"}
        chosen = st.segmented_control(
            "Right and wrong by", list(judges), format_func=judges.__getitem__,
            default="portal" if saved and saved.reference == "portal" else "validation", required=True,
            key="threshold by", persist_state="session",
        )  # fmt: skip
        judged = by_portal if chosen == "portal" else judged
    if judged.judge == "readers":
        st.warning(f"{BY_READERS} An error that the readers share counts as right.", icon=":material/group_off:")
    right_N = judged.right_N
    try:
        max_risk, tries = _ask_for_risk()
    except OptionError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return
    threshold = judged.choose(max_risk)
    if threshold is None:
        st.info(" ".join([judged.why_none(max_risk), *judged.shown_instead()]), icon=":material/query_stats:")
    else:
        _show_sentence(threshold, plural(threshold.n, images_of(judged.judge)))
    _show_risk(judged.confidence_N, right_N, threshold.coverage if threshold else None)
    _offer(shown.run, judged, threshold, saved, max_risk, tries)
    with st.expander("Calibration and logins", key="details of confidence"):
        if judged.judge == "portal":
            st.caption(
                "These readings were submitted, so the confident ones are all that is known. They trained and selected "
                "nothing."
            )
        else:
            _show_fit(shown.reading, judged)
        if threshold:
            _show_numbers(threshold, tries)
        _show_reliability(judged.confidence_N, right_N)


def _show_fit(reading: Reading, judged: Judged) -> None:
    """Say how well the confidence predicts which validation images are right."""
    right_N, temperature = judged.right_N, judged.temperature
    before, after = (calibration.log_loss(each_N, right_N) for each_N in (reading.confidence_N, judged.confidence_N))
    if temperature == 1:
        fit = f"Confidence is not rescaled (temperature 1.00): log loss {before:.4f}. No other temperature improves it."
    else:
        fit = f"Confidence calibrated (temperature {temperature:.2f}): log loss {before:.4f} → {after:.4f}."
    st.caption(
        f"{fit} These {len(right_N):,} validation images also selected the checkpoint, so the bounds below are "
        "slightly optimistic. Check them on test."
    )


def _apply(shown: Evaluated, saved: Acceptance) -> None:
    """Show the results of the saved threshold on images that did not choose it."""
    reading = shown.reading
    right_N = reading.right_N
    confidence_N = calibration.confidence(reading.log_probs_NPC, saved.temperature)
    threshold = calibration.apply_threshold(confidence_N, right_N, saved.threshold, DELTA)
    st.caption(
        f"Temperature {saved.temperature:.2f} and threshold {saved.threshold:.4f}, set on "
        f"{plural(saved.n, saved.images)} for an error rate of at most {rate(saved.max_risk)}, applied to "
        f"{layout.plain(shown.images)}, which played no part in choosing them. {saved.caution}"
    )
    if threshold.used:
        _show_sentence(threshold, f"{threshold.n:,} {shown.images}")
    else:
        st.info("This threshold accepts no reading.", icon=":material/rule:")
    _show_risk(confidence_N, right_N, threshold.coverage)
    with st.expander("Calibration and logins", key="details of confidence"):
        if threshold.used:
            _show_numbers(threshold, saved.tries)
        _show_reliability(confidence_N, right_N)


def _show_sentence(threshold: Threshold, images: str) -> None:
    """Say what the threshold accepts, and how many of it may be wrong."""
    wrong = "none of them is" if not threshold.wrong else f"{threshold.wrong:,} of them {are(threshold.wrong)}"
    st.markdown(
        f"Accept a reading from confidence **{threshold.threshold:.4f}**: {threshold.used:,} of "
        f"{layout.plain(images)} reach it, and {wrong} wrong. At most **{rate(threshold.risk_bound)}** of what is "
        "accepted is wrong, at 95% confidence."
    )


def _show_risk(confidence_N: Confidence, right_N: Bools, coverage: float | None) -> None:
    st.plotly_chart(
        charts.risk_figure(calibration.risk_coverage(confidence_N, right_N), coverage), key="risk",
        config={"displayModeBar": False}, alt="Error rate of accepted readings by share of images accepted",
    )  # fmt: skip


def _show_reliability(confidence_N: Confidence, right_N: Bools) -> None:
    st.plotly_chart(
        charts.reliability_figure(calibration.reliability(confidence_N, right_N)), key="reliability",
        config={"displayModeBar": False}, alt="Share of right readings by confidence",
    )  # fmt: skip


def _ask_for_risk() -> tuple[float, int]:
    """Ask for the error rate to allow, and the tries per login. Raises OptionError if a number is out of range."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rule = st.segmented_control(
            "Allow", list(RULES), format_func=RULES.__getitem__, default="wrong", required=True, key="risk rule",
            persist_state="session",
        )  # fmt: skip
        if rule == "wrong":
            return 1 / _ask_number("One error in … readings", 2, 1_000_000, 100, "risk wrong", 160), 3
        tries = _ask_number("Wrong tries before lockout", 1, 20, 3, "risk tries", 190)
        logins = _ask_number("Logins per lockout", 2, 10**9, 100_000, "risk logins", 190)
    return calibration.risk_for_lockout(1 / logins, tries), tries


def _ask_number(title: str, least: int, most: int, default: int, key: str, width: int) -> int:
    """Return the number in a box. Raises OptionError if it is out of range.

    A box with bounds refuses a number, but keeps the one before, and the threshold would use that.
    """
    number = st.number_input(title, value=default, key=key, persist_state="session", width=width)
    if not least <= number <= most:
        raise OptionError(f"'{title}' must be between {least:,} and {most:,}, got {number:,}.")
    return number


def _show_numbers(threshold: Threshold, tries: int) -> None:
    expected = calibration.logins(threshold.wrong / threshold.used, threshold.coverage, tries)
    worst = calibration.logins(threshold.risk_bound, threshold.coverage, tries)
    with st.grid("auto", min_column_width=170):
        layout.number("Accepted", f"{threshold.used:,} of {threshold.n:,}", share(threshold.used, threshold.n))
        layout.number(
            "Wrong among accepted",
            f"{threshold.wrong:,} of {threshold.used:,}",
            f"at most {rate(threshold.risk_bound)}, 95% confidence",
        )
        layout.number(
            "Tries per login",
            f"{expected.submissions:.3f}",
            f"submitted readings; {worst.submissions:.3f} at the 95% bound",
        )
        layout.number(
            "Images per login",
            f"{expected.images:.2f}",
            f"{worst.images:.2f} at the 95% bound; a reading that is not accepted costs a new image",
        )
        layout.number(
            f"Lockout after {tries} {'try' if tries == 1 else 'tries'}",
            _one_in(expected.lockout),
            f"of the logins; at most {_one_in(worst.lockout)}, 95% confidence",
        )


def _one_in(chance: float) -> str:
    """Format a chance as "1 in 103,000", rounded to three digits toward the worse."""
    if not chance:
        return "none"
    one_in = 1 / chance
    step = 10 ** max(0, math.floor(math.log10(one_in)) - 2)
    return f"1 in {max(1, math.floor(one_in / step + 1e-9) * step):,}"


def _offer(
    run: Run, judged: Judged, threshold: Threshold | None, saved: Acceptance | None, max_risk: float, tries: int
) -> None:
    """Draw the button that saves the threshold with the run, and describe the saved one."""
    directory = layout.home().run(run.job.id)

    def save() -> None:
        assert threshold is not None
        with layout.errors():
            judged.acceptance(threshold, max_risk=max_risk, tries=tries).save(directory)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Use this threshold", icon=":material/verified:", type="primary", on_click=save,
            disabled=threshold is None or judged.step < 0,
            help="`slotlab predict` then marks each reading as accepted or not."
            if judged.step >= 0
            else "Evaluate again: these readings do not record their checkpoint.",
        )  # fmt: skip
        if saved is None:
            st.caption("No threshold set: no reading counts as accepted, so a retry loop submits nothing.")
        else:
            views = "with TTA" if saved.tta else "without TTA"
            differs = threshold is not None and not (
                (saved.tta, saved.reference) == (judged.tta, judged.judge)
                and math.isclose(saved.temperature, judged.temperature)
                and math.isclose(saved.threshold, threshold.threshold)
            )
            st.caption(
                f"Saved threshold: {saved.threshold:.4f} {views}. {saved.used:,} of "
                f"{plural(saved.n, images_of(saved.reference))} accepted, {saved.wrong:,} of them wrong: error rate at "
                f"most {rate(saved.risk_bound)} (95% confidence), {rate(saved.max_risk)} allowed. {saved.caution}"
                + (" It differs from the one above." if differs else "")
            )
