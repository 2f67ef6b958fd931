"""The button that deletes a project, a source or a run, once its name is typed."""

from collections.abc import Callable

import streamlit as st

from core.backup.removal import named
from db.removals import Counts
from pages.components import layout


def ask_deletion(kind: str, name: str, counts: Counts, note: str, delete: Callable[[str], None]) -> None:
    """Draw the button. It names what would go, and `note` what remains. `delete` is a callback with the typed name."""
    key = f"delete {kind} {name}"
    with st.popover(f"Delete {kind}", icon=":material/delete:", key=f"open {key}"):
        st.markdown(f"This deletes {layout.plain(named(kind, name, counts))}. {note}")
        typed = st.text_input(
            f"Type {layout.plain(name)} to confirm", key=f"type {key}", live="300ms", autocomplete="off"
        )
        st.button(
            f"Delete this {kind}", type="primary", key=key, disabled=typed.strip() != name, on_click=delete,
            args=(typed.strip(),),
        )  # fmt: skip
