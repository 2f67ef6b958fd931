"""The button that deletes a project, a source or a run, once its name is typed."""

from collections.abc import Callable

import streamlit as st

from core.backup.removal import done_sentence, named
from core.errors import OptionError
from db import removals
from db.records import Removal
from db.removals import Counts
from db.sqlite import Database
from pages.components import layout


def ask_deletion(
    kind: str, row_id: int, name: str, counts: Counts, note: str, delete: Callable[[str], None], *, asks: str = ""
) -> None:  # fmt: skip
    """Draw the button. It names what would go, and `note` what remains. `delete` is a callback with the typed text.

    `asks` is the text to type: the number of a run. Without one, it is the name.
    `row_id` is the id of what would go, or the number of a run: a confirmation must not count for another one's name.
    """
    asks = asks or name
    key = f"delete {kind} {row_id} {name}"
    with st.popover(f"Delete {kind}", icon=":material/delete:", key=f"open {key}"):
        st.markdown(f"This deletes {layout.plain(named(kind, name, counts))}. {note}")
        typed = st.text_input(
            f"Type {layout.plain(asks)} to confirm", key=f"type {key}", live="300ms", autocomplete="off"
        )
        st.button(
            f"Delete this {kind}", type="primary", key=key, disabled=typed.strip() != asks,
            on_click=lambda: delete(st.session_state[f"type {key}"].strip()),
        )  # fmt: skip


def delete_once(
    db: Database, kind: str, row_id: int, name: str, delete: Callable[[], Removal], *, exists: bool
) -> str:  # fmt: skip
    """Delete what exists, and return what that did. A double click gets the sentence of the first one.

    Raises what `delete` raises, and OptionError if it is gone without a deletion under this name.
    """
    if exists:
        return done_sentence(delete())
    for removal in removals.list_removals(db):
        if removal.kind == kind and removal.name == name and removals.last_id(removal) >= row_id:
            return done_sentence(removal)
    raise OptionError(f"Nothing was deleted. There is no {kind} {name} here any more.")
