"""The import form of the home page, and what becomes of an import."""

import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import SlotlabError
from core.ingest import DEFAULT_SPEC, Report, Request, Upload, start_import
from db.jobs import ACTIVE
from db.projects import list_sources
from db.records import Job, Project
from pages.components import layout
from pages.components.progress import show_progress

IMAGE_TYPES = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "zip"]
LABEL_RULES = {"none": "None, they are typed here", "filename": "In the file names", "csv": "In a CSV file"}


def import_form(projects: list[Project]) -> None:
    """Ask for images, project and permission; start the job. No st.form, because its parts depend on each other."""
    left, right = st.columns(2, gap="large")
    with left:
        images = _ask_for_images()
    with right:
        target = _ask_for_target({project.name: project for project in projects})
    # Kept until the import has started, so that a second press is the same request.
    request_id = st.session_state.setdefault("import request", uuid.uuid4().hex)
    if not st.button("Import", type="primary", icon=":material/upload:"):
        return
    upload = images.pop("upload")
    try:
        with layout.database(create=True) as db:
            start_import(
                db, layout.home().create(), Request(**images, **target), operator=layout.operator(), upload=upload,
                request_id=request_id,
            )  # fmt: skip
    except SlotlabError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return
    del st.session_state["import request"]
    st.session_state["project"] = target["project"]
    st.rerun()


def _ask_for_images() -> dict[str, Any]:
    on_server = st.segmented_control(
        "Images", ["Upload", "Folder on the server"], default="Upload", required=True, wrap=True
    ).startswith("Folder")  # fmt: skip
    files, path, labels_csv = [], None, None
    if on_server:
        folder = st.text_input("Folder or zip", placeholder="/data/portal/captchas").strip()
        path = Path(folder) if folder else None
    else:
        files = st.file_uploader("Image files, or one zip", type=IMAGE_TYPES, accept_multiple_files=True)
    rule = st.selectbox("Labels", list(LABEL_RULES), format_func=LABEL_RULES.get)
    if rule == "filename":
        st.caption("The name up to its extension, or up to its first underscore: 004420.png, 004420_2.png.")
    elif rule == "csv":
        st.caption("The first line is filename,label; then one line for each image.")
        if on_server:
            rule = st.text_input("Label file", placeholder="/data/portal/labels.csv").strip() or "labels.csv"
        else:
            labels_csv = st.file_uploader("Label file", type="csv")
    upload = Upload(
        files=[(file.name, file.getvalue()) for file in files],
        labels_csv=labels_csv.getvalue() if labels_csv else None,
    )
    return {"path": path, "labels": "none" if rule == "csv" else rule, "upload": None if on_server else upload}


def _ask_for_target(projects: dict[str, Project]) -> dict[str, Any]:
    names = list(projects)
    name = st.selectbox(
        "Project", names, index=0 if names else None, accept_new_options=True, placeholder="Type a name",
        help="One portal. Type a new name to make a new project.",
    )  # fmt: skip
    length, charset, sources = None, None, {}
    if name in projects:
        with layout.database() as db:
            sources = {source.name: source for source in list_sources(db, projects[name].id)}
    else:
        size, chars = st.columns([1, 2])
        length = size.number_input("Characters", min_value=1, max_value=32, value=DEFAULT_SPEC.length)
        charset = chars.text_input("Which may occur", value=DEFAULT_SPEC.charset)
    source = st.selectbox(
        "Source", list(sources), index=0 if sources else None, accept_new_options=True, key=f"source of {name}",
        placeholder="Type a name, for example: login page", help="Where these images come from.",
    )  # fmt: skip
    known = sources.get(source or "")
    owner = st.text_input(
        "Owner of the portal", value=known.owner if known else "", disabled=known is not None, key=f"owner of {source}"
    )
    authorization = st.text_input(
        "Authorization reference", value=known.authorization if known else "", disabled=known is not None,
        key=f"authorization of {source}", placeholder="Ticket, contract or mail",
        help="Who allowed you to automate this portal, and where that is written.",
    )  # fmt: skip
    return {
        "project": name or "",
        "length": length,
        "charset": charset,
        "source": source or "",
        "owner": owner.strip(),
        "authorization": authorization.strip(),
    }


def show_import(job: Job) -> None:
    """Progress of an import while it runs, its report afterwards."""
    if job.state in ACTIVE:
        show_progress(job, "files")
    elif job.result is not None:
        show_report(Report(**json.loads(job.result)))
    else:
        st.error(layout.plain(job.reason or f"The import is {job.state}."), icon=":material/error:")
        st.caption("What was imported by then is kept. Run the same import again to finish it; nothing is doubled.")


def show_report(report: Report) -> None:
    with st.grid("auto", min_column_width=110):
        st.metric("Files", f"{report.files:,}")
        st.metric("Imported", f"{report.imported:,}")
        st.metric("Known already", f"{report.duplicates:,}", help="The project held the same pixels before.")
        st.metric("Labels taken", f"{report.labelled:,}")
        st.metric("Rejected", f"{report.rejected:,}")
        st.metric("Label problems", f"{report.label_problems:,}", help="The image is imported, its label is not.")
    if report.reasons:
        reasons = pd.DataFrame(report.reasons)[["name", "reason"]]
        st.dataframe(
            reasons, column_config={"name": "File", "reason": "Why"}, hide_index=True, width="stretch",
            height=min(350, 38 + 35 * len(reasons)), alt="Files that were rejected or whose label was not taken",
        )  # fmt: skip
        left_out = report.rejected + report.label_problems - len(report.reasons)
        if left_out > 0:
            st.caption(f"And {left_out:,} more.")
