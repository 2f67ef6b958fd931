"""What the numbers of an evaluation show, how often the test images were opened for it, and the report to send."""

import pandas as pd
import streamlit as st

from core.evaluation.evidence import Evidence
from core.evaluation.percent import share
from core.report.document import make_report
from db.evaluations import list_test_openings
from db.records import TestOpening
from pages.components import layout
from pages.components.evaluated import Evaluated

BEFORE_TEST = (
    "No weight was fitted to these val images, but they chose which weights are kept: what they show is a little too "
    "good. The test images say by how much."
)


def show_evidence(shown: Evaluated) -> None:
    """What so many images show, how many more would show the next thing, and each opening of the test images."""
    st.subheader("What this shows", anchor=False)
    n, correct = shown.result["n"], shown.result["correct"]
    st.markdown(layout.plain(Evidence(n=n, wrong=n - correct).sentence))
    with layout.errors(), layout.database() as db:
        openings = list_test_openings(db, shown.page.project.id)
    st.caption(BEFORE_TEST if shown.split == "val" else "Test images have chosen nothing, if they are opened rarely.")
    if openings:
        times = "once" if len(openings) == 1 else f"{len(openings):,} times"
        with st.expander(f"The test images were opened {times}"):
            _show_openings(openings)
    else:
        st.caption("The test images have never been opened.")


def _show_openings(openings: list[TestOpening]) -> None:
    st.dataframe(
        pd.DataFrame(
            {
                "When (UTC)": [opening.at.replace("T", " ")[:16] for opening in openings],
                "Who": [opening.operator for opening in openings],
                "Run": [opening.run_id or "" for opening in openings],
                "Views": ["" if opening.tta is None else "on" if opening.tta else "off" for opening in openings],
                "Right": [_result(opening) for opening in openings],
            }
        ),
        hide_index=True,
        alt=f"{len(openings)} openings of the test images",
    )


def _result(opening: TestOpening) -> str:
    if opening.n is None or opening.correct is None:
        return "no result"
    return f"{opening.correct:,} of {opening.n:,}, {share(opening.correct, opening.n)}"


def show_report(shown: Evaluated) -> None:
    """The evaluation as one file."""
    st.subheader("Report", anchor=False)
    st.caption(
        "Everything about this evaluation in one HTML file: numbers with intervals, matrices, calibration, parts, "
        "images that were read wrong, settings, and the openings of the test images. It loads nothing and runs no "
        "script. It holds images of the portal and their labels: send it to those only who may see them."
    )
    with layout.errors(), layout.database() as db, st.spinner("Writing the report"):
        text = make_report(
            db, layout.home(), shown.page.project, shown.run, shown.split, tta=shown.tta, found=shown.found
        )
    st.download_button(
        f"Download ({len(text.encode('utf-8', 'replace')) / 1e6:.1f} MB)",
        text.encode("utf-8", "replace"),
        file_name=f"{shown.page.project.name}-{shown.run.job.id}-{shown.split}{'-tta' if shown.tta else ''}.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
        key="download report",
    )
    views = (" --tta" if shown.tta else " --no-tta") if len(shown.found.views) > 1 else ""
    st.caption(
        f"The same from the terminal: `slotlab report {shown.run.job.number} --split {shown.split}{views} --out FILE`"
    )
