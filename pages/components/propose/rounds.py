"""Rounds on the Propose page: start one, and see what each gained."""

import json

import pandas as pd
import streamlit as st

from core.evaluation.percent import percent
from core.runs.rounds import Line, best_run, list_rounds, start_round
from db import jobs, samples
from db.records import ACTIVE, Job, Run
from pages.components import layout
from pages.components.layout import Page
from pages.components.progress import show_progress


def show_rounds(page: Page) -> None:
    """Draw the rounds of the project and the button for the next one. The readers can be used here."""
    st.subheader("Rounds", anchor=False)
    with layout.errors(), layout.database() as db:
        newest = jobs.find_newest(db, page.project.id, "round")
        run, lines = best_run(db, page.project), list_rounds(db, page.project)
        unlabeled = samples.count_samples(db, page.project.id, split="train", state="unlabeled")
    st.caption(
        "A run reads the unlabeled images. Where it is confident and a reader agrees, its reading becomes a label. "
        "Then the next run trains on more."
    )
    if newest and newest.state in ACTIVE:
        show_progress(newest, "readings")
    elif newest and newest.state in ("failed", "lost"):
        st.error(layout.plain_sentence(newest.reason or f"The round is {newest.state}."), icon=":material/error:")
    layout.show_refusal("rounds")
    if run is None:
        st.markdown("Train a run on the accepted readings first.")
    elif not (newest and newest.state in ACTIVE):
        _offer(page, run, newest, lines, unlabeled)
    if lines:
        _show_lines(page, lines)
        rare = json.loads(newest.result or "{}").get("rare", []) if newest and newest.state == "finished" else []
        if rare:
            listed = ", ".join(f"{each['char']} ({each['labels']} of about {each['expected']})" for each in rare)
            st.markdown(
                layout.plain(f"Rare among the labels: {listed}. The readers cannot tell these apart. Label some.")
            )


def _offer(page: Page, run: Run, newest: Job | None, lines: list[Line], unlabeled: int) -> None:
    """Draw the button for the next round with a run, if it can label anything or continue."""
    last = lines[0] if newest and newest.state == "finished" else None
    if last and last.run == run.job.id and last.next_state in ACTIVE:
        return
    if last and last.run == run.job.id and last.is_stopped:
        st.button(f"Resume {last.next_run}", icon=":material/sync:", on_click=_start, args=(page,))
    elif unlabeled or (newest and newest.state != "finished"):
        st.button(
            f"Start a round with {run.job.id}", icon=":material/sync:", on_click=_start, args=(page,),
            help="The best run on val reads what is unlabeled.",
        )  # fmt: skip
    else:
        st.markdown("No training image is unlabeled, so a round has nothing to read.")


def _start(page: Page) -> None:
    with layout.refuses("rounds"), layout.database() as db:
        run = best_run(db, page.project)
        if run is not None:
            start_round(db, layout.home(), page.project, run, operator=page.operator)


def _show_lines(page: Page, lines: list[Line]) -> None:
    rows = [
        {
            "Run": line.run,
            "New labels": line.accepted + line.proved,
            "Next run": line.next_run or "too few labels",
            "Before": _share(line.before),
            "After": _share(line.after),
            "Measured": "exact match on val" if line.reference == "people" else "agreement with readers on val",
        }
        for line in lines
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Rounds", height=min(300, 38 + 35 * len(rows)))
    newest = lines[0]
    text = newest.sentence()
    if newest.after is not None and newest.before is not None and not newest.helped:
        text += " The last round did not help. Label images on which the readers disagree."
    st.info(layout.plain(text), icon=":material/info:")
    if newest.after is not None:
        return
    if newest.next_run and newest.next_state:
        st.page_link(
            "pages/train.py", label=f"View {newest.next_run}", icon=":material/show_chart:",
            query_params={"project": page.project.name, "run": newest.next_run},
        )  # fmt: skip


def _share(counted: tuple[int, int] | None) -> str:
    if counted is None:
        return "–"
    right, n = counted
    return f"{right:,} of {n:,} ({percent(right / n)})"
