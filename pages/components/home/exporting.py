"""The export of labels on Home: a file to download, in the formats of `slotlab export`."""

import streamlit as st

from db.records import Project
from pages.components import layout, state
from pages.components.exports import FORMS, TITLES, make, offer


def show_export_form(projects: list[Project]) -> None:
    """Draw the section. Its contents are drawn only while it is open."""
    with st.expander("Export labels", icon=":material/download:", key="export form", on_change="rerun") as section:
        if section.open:
            _show(projects)


def _show(projects: list[Project]) -> None:
    """Ask for project and format. The file is made on request, because a large project takes seconds."""
    known = {project.name: project for project in projects}
    current = st.session_state.get(state.PROJECT)
    left, right = st.columns(2)
    name = left.selectbox(
        "Project to export",
        list(known),
        index=list(known).index(current) if current in known else 0,
        key="export project",
        persist_state="session",
    )
    form = right.selectbox(
        "Format", FORMS, format_func=TITLES.__getitem__, key="export format", persist_state="session"
    )
    st.button("Prepare export", icon=":material/download:", on_click=_prepare, args=(known[name], form))
    layout.show_refusal("export")
    made = st.session_state.get(state.EXPORTED)
    if made and made[:2] == (name, form):
        offer(form, made[2])
    st.caption("`slotlab export` also writes folders with the images, and labels of some kinds only.")


def _prepare(project: Project, form: str) -> None:
    """Callback: make the file and keep it for the download button."""
    st.session_state.pop(state.EXPORTED, None)
    with layout.refuses("export"):
        st.session_state[state.EXPORTED] = (project.name, form, make(project, form))
