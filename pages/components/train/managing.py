"""The name, the note and the tags of a run on Train, and its deletion."""

import streamlit as st

from core.backup import removal
from core.data import managing
from core.data.managing import tags_of
from db.records import Run
from db.runs import find_run
from pages.components import address, layout
from pages.components.deletion import ask_deletion, delete_once
from pages.components.operators import current_operator

DELETED = "deleted run"
"""The outcome of a deletion, until it has been shown."""


def show_managing(run: Run) -> None:
    """Draw the buttons that open name, note and tags of a run, and its deletion."""
    with st.popover("Describe", icon=":material/edit_note:", key=f"describe {run.job.id}"):
        st.text_input("Run name", run.name, key=f"name of {run.job.id}", placeholder="None", autocomplete="off")
        st.text_area("Note", run.note, key=f"note of {run.job.id}")
        st.text_input("Tags, separated by commas", ", ".join(tags_of(run)), key=f"tags of {run.job.id}")
        st.button("Save description", type="primary", icon=":material/save:", on_click=_save, args=(run,))
    with layout.errors(), layout.database() as db:
        counts = removal.count_run(db, layout.home(), run)
    stays = "No backup has the weights. Uses of the test set stay counted."
    number = run.job.number
    ask_deletion("run", number, run.job.id, counts, stays, lambda typed: _delete(run, typed), asks=str(number))


def show_description(run: Run) -> None:
    """Draw what people say about a run, if they do."""
    if texts := [text for text in (run.name, ", ".join(tags_of(run)), run.note) if text]:
        st.caption(layout.plain(" · ".join(texts)))


def show_deleted() -> None:
    """Show once what a deletion did."""
    if DELETED in st.session_state:
        st.success(layout.plain(st.session_state.pop(DELETED)))


def _save(run: Run) -> None:
    """Callback: save the fields as they are now, because a click may come right after the last key."""
    name, note, tags = (st.session_state[f"{field} of {run.job.id}"] for field in ("name", "note", "tags"))
    with layout.refuses(), layout.database() as db:
        managing.describe_run(db, run, name=name.strip(), note=note, tags=tags.split(","))


def _delete(run: Run, typed: str) -> None:
    with layout.refuses(), layout.database() as db:
        st.session_state[DELETED] = delete_once(
            db, "run", run.job.number, run.job.id,
            lambda: removal.delete_run(db, layout.home(), run, typed=typed, operator=current_operator()),
            exists=find_run(db, run.job.id) is not None,
        )  # fmt: skip
        address.go(run=None)
