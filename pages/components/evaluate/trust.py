"""Section of Evaluate: how well a run's confidence is calibrated, and the threshold for its answers."""

import math
from pathlib import Path

import streamlit as st

from core.errors import StorageError
from core.evaluation import calibration
from core.evaluation.acceptance import Acceptance
from core.evaluation.calibration import Bools, Confidence, Threshold
from core.evaluation.evidence import DELTA
from core.evaluation.percent import share
from core.evaluation.predictions import Predictions, Reading
from core.evaluation.views import fingerprint
from core.runs.evaluated import Evaluated
from db.records import Run
from pages.components import charts, layout

RULES = {"wrong": "At most 1 wrong in", "lockout": "Lockout"}


@st.fragment
def show_trust(shown: Evaluated) -> None:
    """Choose a temperature and a threshold on val; try the kept ones on test."""
    run, found, reading, split, tta = shown.run, shown.predictions, shown.reading, shown.split, shown.tta
    st.subheader("When to trust an answer", anchor=False)
    kept = _kept(layout.home().run(run.job.id))
    holds = kept is not None and kept.applies_to(found.step, tta=tta, views=found.view_set)
    if split == "val":
        _choose(run, found, reading, kept, tta=tta)
    elif kept is not None and holds:
        _try_out(reading, kept)
    else:
        st.info(
            "No threshold is kept for such readings. Choose one on val, with the same views; test images show what it "
            "is worth.",
            icon=":material/rule:",
        )


def _kept(directory: Path) -> Acceptance | None:
    try:
        return Acceptance.load(directory)
    except StorageError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return None


def _choose(run: Run, found: Predictions, reading: Reading, kept: Acceptance | None, *, tta: bool) -> None:
    right_N, temperature, fitted_N = reading.right_N, reading.temperature, reading.fitted_N
    before, after = (calibration.log_loss(sure_N, right_N) for sure_N in (reading.confidence_N, fitted_N))
    if temperature == 1:
        fit = (
            f"The confidence in the whole text keeps its temperature, 1.00, and its log loss, {before:.4f}: the one "
            f"that was fitted predicts no better which of these {len(right_N):,} val images are right."
        )
    else:
        fit = (
            f"At one temperature, {temperature:.2f}, the confidence in the whole text predicts better which of "
            f"{len(right_N):,} val images are right: its log loss goes from {before:.4f} to {after:.4f}."
        )
    st.caption(
        f"{fit} These images have also chosen the weights, so the bounds below are a little too good; the test images "
        "show by how much."
    )
    max_risk, tries = _ask_for_risk()
    chosen = calibration.choose_threshold(fitted_N, right_N, max_risk, DELTA)
    _show_curves(fitted_N, right_N, chosen.coverage if chosen else None)
    if chosen is None:
        st.info(_why_none(fitted_N, right_N, max_risk), icon=":material/query_stats:")
    else:
        _show_numbers(chosen, tries)
    _offer(run, found, chosen, kept, temperature, max_risk, tries, tta=tta)


def _try_out(reading: Reading, kept: Acceptance) -> None:
    """Show what the kept threshold does on images that did not choose it."""
    right_N = reading.right_N
    sure_N = calibration.confidence(reading.log_probs_NPC, kept.temperature)
    tried = calibration.apply_threshold(sure_N, right_N, kept.threshold, DELTA)
    st.caption(
        f"The kept temperature {kept.temperature:.2f} and threshold {kept.threshold:.4f}, chosen on val for at most "
        f"{kept.max_risk:.3%} wrong answers, on test images that have chosen nothing."
    )
    _show_curves(sure_N, right_N, tried.coverage)
    if tried.used:
        _show_numbers(tried, kept.tries)
    else:
        st.info("It answers none of them.", icon=":material/rule:")


def _show_curves(sure_N: Confidence, right_N: Bools, coverage: float | None) -> None:
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            charts.reliability_figure(calibration.reliability(sure_N, right_N)), key="reliability",
            config={"displayModeBar": False}, alt="Share of right answers against confidence",
        )  # fmt: skip
    with right:
        st.plotly_chart(
            charts.risk_figure(calibration.risk_coverage(sure_N, right_N), coverage), key="risk",
            config={"displayModeBar": False},
            alt="Wrong answers among those used, against the share of images answered",
        )  # fmt: skip


def _ask_for_risk() -> tuple[float, int]:
    """Ask for the share of wrong answers to allow, and the tries of a login."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rule = st.segmented_control(
            "Allow", list(RULES), format_func=RULES.__getitem__, default="wrong", required=True, key="risk rule",
            persist_state="session",
        )  # fmt: skip
        if rule == "wrong":
            allowed = st.number_input(
                "answers", 2, 1_000_000, 100, key="risk wrong", persist_state="session", width=160
            )
            return 1 / allowed, 3
        tries = st.number_input(
            "after wrong tries in a row", 1, 20, 3, key="risk tries", persist_state="session", width=190
        )
        logins = st.number_input(
            "in at most one login of", 2, 10**9, 100_000, key="risk logins", persist_state="session", width=190
        )
    return calibration.risk_for_lockout(1 / logins, tries), tries


def _show_numbers(chosen: Threshold, tries: int) -> None:
    expected = calibration.logins(chosen.wrong / chosen.used, chosen.coverage, tries)
    at_worst = calibration.logins(chosen.risk_bound, chosen.coverage, tries)
    with st.grid("auto", min_column_width=170):
        layout.number("Threshold", f"{chosen.threshold:.4f}", "confidence at this temperature")
        layout.number("Answered", f"{chosen.used:,} of {chosen.n:,}", share(chosen.used, chosen.n))
        layout.number(
            "Wrong among them",
            f"{chosen.wrong:,} of {chosen.used:,}",
            f"at most {chosen.risk_bound:.3%}, 95% confidence",
        )
        layout.number(
            "Tries for one login",
            f"{expected.submissions:.3f}",
            f"answers submitted; {at_worst.submissions:.3f} at that bound",
        )
        layout.number(
            "Images for one login",
            f"{expected.images:.2f}",
            f"{at_worst.images:.2f} at that bound; one not answered costs a new one",
        )
        layout.number(
            f"Lockout after {tries} {'try' if tries == 1 else 'tries'}",
            _one_in(expected.lockout),
            f"of the logins; at most {_one_in(at_worst.lockout)}, 95% confidence",
        )


def _why_none(sure_N: Confidence, right_N: Bools, max_risk: float) -> str:
    """Say why no threshold holds: too few images, too few before the first error, or errors of high confidence."""
    n, delta = len(right_N), DELTA / len(calibration.STARTS)
    needed = calibration.samples_needed(max_risk, delta)
    if needed > n:
        return (
            f"These {n:,} images cannot show that at most {max_risk:.3%} of the answers are wrong: even without a "
            f"single error it takes {needed:,}."
        )
    curve = calibration.risk_coverage(sure_N, right_N)
    starts = [(int(curve.wrong_N[end]), int(end) + 1) for end in curve.ends[curve.starts]]
    bound, wrong, surest = min((calibration.upper_bound(*start, delta), *start) for start in starts)
    none = f"No threshold is shown to let at most {max_risk:.3%} wrong answers through"
    if not wrong:
        return (
            f"{none}: the {surest:,} surest answers are all right, but these are too few: {bound:.3%} may still be "
            f"wrong. It takes {needed:,} without an error: more val images, or fewer errors among the next surest."
        )
    return (
        f"{none}: of the {surest:,} surest answers {wrong:,} {'is' if wrong == 1 else 'are'} wrong, so it may be "
        f"{bound:.3%}. Look at the surest errors first, under Errors: they are often wrong labels."
    )


def _one_in(chance: float) -> str:
    """Format a chance as "1 in 103,000", rounded to three digits toward the worse."""
    if not chance:
        return "none"
    one_in = 1 / chance
    step = 10 ** max(0, math.floor(math.log10(one_in)) - 2)
    return f"1 in {max(1, math.floor(one_in / step + 1e-9) * step):,}"


def _offer(
    run: Run,
    found: Predictions,
    chosen: Threshold | None,
    kept: Acceptance | None,
    temperature: float,
    max_risk: float,
    tries: int,
    *,
    tta: bool,
) -> None:
    """Keep the threshold with the run; say which one is kept."""
    directory = layout.home().run(run.job.id)

    def keep() -> None:
        assert chosen is not None
        with layout.errors():
            Acceptance(
                step=found.step, tta=tta, views=fingerprint(found.view_set or ()), temperature=temperature,
                threshold=chosen.threshold, max_risk=max_risk, tries=tries, n=chosen.n, used=chosen.used,
                wrong=chosen.wrong, risk_bound=chosen.risk_bound,
            ).save(directory)  # fmt: skip

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Use this threshold", icon=":material/verified:", on_click=keep, disabled=chosen is None or found.step < 0,
            help="`slotlab predict` then says of each answer whether it is accepted."
            if found.step >= 0
            else "Evaluate again: these readings do not say which weights they are of.",
        )  # fmt: skip
        if kept is None:
            st.caption("No threshold is kept with this run: nothing says whether an answer is sure enough.")
        else:
            views = "with views" if kept.tta else "without views"
            same = (
                chosen is not None
                and kept.tta == tta
                and math.isclose(kept.temperature, temperature)
                and math.isclose(kept.threshold, chosen.threshold)
            )
            st.caption(
                f"Kept with this run: {kept.threshold:.4f} {views}, {kept.used:,} of {kept.n:,} val images answered, "
                f"{kept.wrong:,} of them wrong, for at most {kept.max_risk:.3%} wrong answers."
                + ("" if same else " It is not the one above.")
            )
