"""The state of the backups on Home: age and result of the last one, and a button to make one."""

from datetime import timedelta

import streamlit as st

from core.backup import backups, daily
from core.jobs.jobdir import duration
from core.words import plural
from pages.components import layout


def has_problem(since: str) -> bool:
    """Return whether the backups need attention. `since` is when the first project was created."""
    return backups.problem(backups.last(layout.home()), since) is not None


def show_backup(since: str) -> None:
    """Draw one line: age and contents of the last backup. Red if it failed, or is overdue and the lab older than that.

    `since` is when the first project was created.
    """
    running = backups.is_running(layout.home())
    st.fragment(_show_backup, run_every="2s" if running else None)(since, running)


def _show_backup(since: str, was_running: bool) -> None:
    running, last = backups.is_running(layout.home()), backups.last(layout.home())
    if running != was_running:  # the whole page, because a fragment cannot change how often it repeats
        st.rerun()
    has_error = layout.show_refusal("backup")
    problem = backups.problem(last, since)
    if problem and not running and not has_error:
        st.error(layout.plain(problem), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Back up now", icon=":material/backup:", on_click=_start, disabled=running, key="back up now",
            help="Copies the database to one verified file in the folder of backups. Runs are not part of it.",
        )  # fmt: skip
        st.caption("Backing up …" if running else _line(last))


def _line(last: backups.Last) -> str:
    age = last.age()
    if last.good is None or age is None:
        return "The app makes one each day." if last.good else "No backup yet. The app makes one each day."
    ago = "just now" if age < timedelta(minutes=1) else f"{duration(age.total_seconds())} ago"
    return f"Last backup {ago}: {plural(last.good.samples, 'image')}, {plural(last.good.labels, 'label')}, verified."


def _start() -> None:
    with layout.refuses("backup"), layout.database():  # a missing database is said here
        daily.start_now(layout.home())
