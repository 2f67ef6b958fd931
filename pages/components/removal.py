"""Removal of all labels of a kind that people did not give, on Propose and Samples."""

import streamlit as st

from core.data import priorities
from core.data.accepting import retract
from core.data.kinds import WORDS, confirmed, removal
from db.records import Project
from db.samples import count_samples
from pages.components import layout, state
from pages.components.operators import current_operator


def ask_removal(project: Project, kind: str) -> None:
    """Draw the button that takes back all labels of a kind. The operator must type their number."""
    with layout.errors(), layout.database() as db:
        removable = count_samples(db, project.id, kind=kind, checked=False)
        checked = count_samples(db, project.id, kind=kind, checked=True)
    with st.popover(f"Remove {WORDS[kind]}' labels", icon=":material/layers_clear:", disabled=not removable):
        st.markdown(
            f"**{removable:,}** labels of {WORDS[kind]} become unlabeled. The history keeps them.{confirmed(checked)}"
        )
        typed = st.text_input(
            f"Type {removable} to confirm", key=state.removal_field(kind), live="300ms", autocomplete="off"
        )
        st.button(
            "Remove labels", type="primary", key=f"remove {kind}", on_click=_remove, args=(project, kind),
            disabled=typed.strip().replace(",", "") != str(removable),
        )  # fmt: skip


def show_removed() -> None:
    """Show the outcome of a removal once."""
    if state.REMOVED in st.session_state:
        st.success(st.session_state.pop(state.REMOVED))


def _remove(project: Project, kind: str) -> None:
    """Callback: take back all labels of a kind."""
    with layout.refuses(), layout.database() as db:
        st.session_state[state.REMOVED] = removal(kind, *retract(db, project, kind, current_operator()))
        priorities.update(db, project)  # accepting deleted their ranks
    st.session_state[state.removal_field(kind)] = ""
