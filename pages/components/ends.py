"""The note that a run has ended. It appears on any page, for the visitors who have seen the run at work."""

from typing import Literal

import streamlit as st

from core.jobs import control
from pages.components import layout, state

ICONS: dict[str, tuple[str, Literal["gray", "blue", "green", "red", "orange"]]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "starting": (":material/hourglass_top:", "blue"),
    "running": (":material/play_arrow:", "blue"),
    "finished": (":material/check:", "green"),
    "failed": (":material/error:", "red"),
    "canceled": (":material/block:", "gray"),
    "lost": (":material/link_off:", "orange"),
}


def announce_end_of(run_id: str) -> None:
    """Let the pages that this visitor opens say when the run has ended."""
    st.session_state.setdefault(state.WATCHED_RUNS, set()).add(run_id)


def announce_ends() -> None:
    """Say in the corner of the page which runs have ended since the last look, now and every five seconds."""
    if st.session_state.get(state.WATCHED_RUNS):
        st.fragment(_announce_ends, run_every="5s")()


def _announce_ends() -> None:
    watched: set[str] = st.session_state[state.WATCHED_RUNS]
    for run_id in sorted(watched):
        status = control.observe(layout.home(), run_id)
        if status.active:
            continue
        watched.discard(run_id)
        if layout.home().run(run_id).is_dir():  # else it has been deleted
            icon, _ = ICONS[status.state]
            st.toast(layout.plain(f"Run {run_id} is {status.state}."), icon=icon, duration="infinite")
