"""Exports of labels as one file to download, on Home and Samples."""

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from core.data.export import FOLDERS, FORMATS, export
from core.words import plural
from db.records import Project
from pages.components import layout

TITLES = {
    "csv": "CSV",
    "jsonl": "JSON lines, unlabeled images too",
    "labelstudio": "Label Studio (JSON)",
    "paddleocr": "PaddleOCR (rec_gt.txt)",
}
FILES = {"csv": "labels.csv", "jsonl": "labels.jsonl", "labelstudio": "tasks.json", "paddleocr": "rec_gt.txt"}
"""Names of the downloads."""
FORMS = [form for form in FORMATS if form not in FOLDERS]
Made = tuple[int, bytes]
"""Number of images and the file."""


def make(project: Project, form: str, ids: Collection[int] | None = None) -> Made:
    """Return the export of a project, or of some of its images. Raises OptionError or StorageError."""
    with layout.database() as db, TemporaryDirectory() as folder:
        out = Path(folder, "out")
        return export(db, project, form, out, ids=ids), out.read_bytes()


def offer(form: str, made: Made) -> None:
    """Draw the button that downloads an export."""
    count, data = made
    st.download_button(
        f"Download {FILES[form]} ({plural(count, 'image')})",
        data=data,
        file_name=FILES[form],
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )
