"""Suspected labels on the Review page: what they were compared with, and the folds that find more."""

import json

import streamlit as st

from core.jobs import control
from core.model.config import preset
from core.runs.folds import start_folds, unfinished_folds
from core.runs.suspects import Suspects
from core.words import plural
from db.jobs import find_newest
from db.records import ACTIVE, Job, Project
from pages.components import layout
from pages.components.progress import show_progress

HELP = (
    "Trains five networks, each on four fifths of the labels of train and val, and compares their readings of the "
    "other fifth with the labels. On a CPU this takes over an hour."
)


def show_folds(project: Project, operator: str, suspects: Suspects) -> None:
    """Draw the progress of the folds, or a button that starts or resumes them."""
    with layout.errors(), layout.database() as db:
        layout.update_jobs(db)
        newest = find_newest(db, project.id, "folds")
    layout.show_refusal("folds")
    if newest and newest.state in ACTIVE:
        show_progress(newest, "steps")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_compared(suspects, newest))
        stopped = newest is not None and newest.state != "finished"
        st.button(
            "Resume folds" if stopped else "Train folds", icon=":material/manage_search:", help=HELP,
            key="folds", on_click=_start, args=(project, operator),
        )  # fmt: skip


def _compared(suspects: Suspects, newest: Job | None) -> str:
    given, folded = suspects.not_from_readings, suspects.labels - suspects.without_fold
    of_readings = " that are not from readings" if given < suspects.labels else ""
    by_readers = (
        f"Compared with readers: {given - suspects.unread:,} of {plural(given, 'label')}{of_readings}."
        if given or not suspects.labels
        else "The labels left are from readings, so only folds can contradict them."
    )
    nothing = "Nothing has been compared yet. " if suspects.unread == given and not folded else ""
    text = f"{nothing}{by_readers} With folds: {folded:,} of {plural(suspects.labels, 'label')}."
    if suspects.unread:
        text += " `slotlab propose --labeled` lets the readers read the others."
    if newest and newest.state == "finished" and (result := json.loads(newest.result or "{}")):
        text += f" The networks of the folds read {result['correct']:,} of {plural(result['n'], 'label')} alike."
    elif newest and newest.reason:
        text += f" {newest.id}: {layout.plain_sentence(newest.reason)}"
    return text


def _start(project: Project, operator: str) -> None:
    with layout.refuses("folds"), layout.database() as db:
        if stopped := unfinished_folds(db, project):
            control.resume(db, layout.home(), stopped.id)
        else:
            start_folds(db, layout.home(), project, preset("fast"), operator=operator)
