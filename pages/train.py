"""Train: start a run and watch it. All data is in the run's directory, so closing the tab loses nothing."""

import streamlit as st

from db.records import Run
from db.runs import list_runs
from pages.components import address, layout, state
from pages.components.train.form import show_form
from pages.components.train.live import show_actions, show_run
from pages.components.train.managing import show_deleted, show_description, show_managing
from pages.components.train.table import show_table
from pages.components.train.waiting import show_queue

OF_RUN = ("over",)
"""Names in the address that do not hold for another run."""


def _comparable(runs: dict[str, Run], selected: str) -> list[str]:
    """Return the other runs that validate against the same labels."""
    reference = runs[selected].reference
    return [name for name, run in runs.items() if name != selected and run.reference == reference]


page = layout.open_page("train")
with layout.errors():
    with layout.database() as db:
        layout.update_jobs(db)
        runs = {run.job.id: run for run in list_runs(db, page.project.id)}
    layout.take_run(state.RUN, runs)
    selected = None
    if runs or address.get(state.RUN):
        with st.container(horizontal=True, vertical_alignment="center"):
            refusal = "This project has no run {asked!r}."
            # With the same key, the browser keeps the text of its choice. So another name makes another box.
            key = " ".join([state.RUN, *(f"{run.job.number} {run.name}" for run in runs.values() if run.name)])
            selected = st.selectbox(
                "Run", list(runs), None, placeholder="New run", width=240, label_visibility="collapsed",
                format_func=lambda name: " · ".join(filter(None, [name, runs[name].name])),
                **address.widget(state.RUN, list(runs), None, key=key, refusal=refusal, clears=OF_RUN),
            )  # fmt: skip
            if selected:
                show_actions(page, runs[selected], has_others=len(runs) > 1)
                show_managing(runs[selected])
    show_deleted()
    layout.show_refusal()
    layout.remember_run(page.project, selected)
    if selected:
        show_description(runs[selected])
        show_run(page, runs[selected], others=_comparable(runs, selected))
    elif not address.get(state.RUN):  # an unknown run is not a new one
        show_form(page, cloned=runs.get(st.session_state.get(state.CLONED, "")))
    else:
        query = {"project": page.project.name}
        st.page_link("pages/train.py", label="New run", icon=":material/add:", query_params=query)
    show_queue(page.project.name)
    if runs:
        show_table(page.project, list(runs.values()))
