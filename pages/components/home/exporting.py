"""The export of labels on Home: a file to download, in the formats of `slotlab export`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from core.data.export import FOLDERS, FORMATS, export
from core.words import plural
from db.records import Project
from pages.components import layout, state

TITLES = {
    "csv": "CSV",
    "jsonl": "JSON lines, unlabeled images too",
    "labelstudio": "Label Studio (JSON)",
    "paddleocr": "PaddleOCR (rec_gt.txt)",
}
FILES = {"csv": "labels.csv", "jsonl": "labels.jsonl", "labelstudio": "tasks.json", "paddleocr": "rec_gt.txt"}
"""Names of the downloads."""


def export_form(projects: list[Project]) -> None:
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
    forms = [form for form in FORMATS if form not in FOLDERS]
    form = right.selectbox(
        "Format", forms, format_func=TITLES.__getitem__, key="export format", persist_state="session"
    )
    st.button("Prepare export", icon=":material/download:", on_click=_prepare, args=(known[name], form))
    layout.show_refusal("export")
    made = st.session_state.get(state.EXPORTED)
    if made and made[:2] == (name, form):
        _, _, count, data = made
        st.download_button(
            f"Download {FILES[form]} ({plural(count, 'image')})",
            data=data,
            file_name=FILES[form],
            mime="application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
        )
    st.caption("`slotlab export` also writes folders with the images, and labels of some kinds only.")


def _prepare(project: Project, form: str) -> None:
    """Callback: make the file and keep it for the download button."""
    st.session_state.pop(state.EXPORTED, None)
    with layout.refuses("export"), layout.database() as db, TemporaryDirectory() as folder:
        out = Path(folder, "out")
        count = export(db, project, form, out)
        st.session_state[state.EXPORTED] = (project.name, form, count, out.read_bytes())
