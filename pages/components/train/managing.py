"""The name, the note and the tags of a run on Train, and its deletion."""

import streamlit as st

from core.backup import removal
from core.data import managing
from core.data.managing import tags_of
from db.records import Run
from pages.components import address, layout
from pages.components.deletion import ask_deletion
from pages.components.operators import current_operator

DELETED = "deleted run"
"""The outcome of a deletion, until it has been shown."""


def show_managing(run: Run) -> None:
    """Draw the buttons that open name, note and tags of a run, and its deletion."""
    with st.popover("Describe", icon=":material/edit_note:", key=f"describe {run.job.id}"):
        name = st.text_input("Run name", run.name, key=f"name of {run.job.id}", placeholder="None", autocomplete="off")
        note = st.text_area("Note", run.note, key=f"note of {run.job.id}")
        tags = st.text_input("Tags, separated by commas", ", ".join(tags_of(run)), key=f"tags of {run.job.id}")
        st.button(
            "Save description", type="primary", icon=":material/save:", on_click=_save,
            args=(run, name.strip(), note, tags),
        )  # fmt: skip
    with layout.errors(), layout.database() as db:
        counts = removal.count_run(db, layout.home(), run)
    stays = "No backup has the weights. Uses of the test set stay counted."
    ask_deletion("run", run.job.id, counts, stays, lambda typed: _delete(run, typed))


def show_description(run: Run) -> None:
    """Draw what people say about a run, if they do."""
    if texts := [text for text in (run.name, ", ".join(tags_of(run)), run.note) if text]:
        st.caption(layout.plain(" · ".join(texts)))


def show_deleted() -> None:
    """Show once what a deletion did."""
    if DELETED in st.session_state:
        st.success(layout.plain(st.session_state.pop(DELETED)))


def _save(run: Run, name: str, note: str, tags: str) -> None:
    with layout.refuses(), layout.database() as db:
        managing.describe_run(db, run, name=name, note=note, tags=tags.split(","))


def _delete(run: Run, typed: str) -> None:
    with layout.refuses(), layout.database() as db:
        done = removal.delete_run(db, layout.home(), run, typed=typed, operator=current_operator())
        st.session_state[DELETED] = removal.done_sentence(done)
        address.go(run=None)
