"""The import form of the home page, and what becomes of an import."""

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.charset import MAX_LENGTH
from core.data.importing import DEFAULT_SPEC, Report, Request, Upload, current_report, start_import
from core.jobs.jobdir import JobStatus
from db.projects import get_project, list_sources
from db.records import ACTIVE, Job, Project
from pages.components import layout, state
from pages.components.operators import current_operator
from pages.components.progress import follow, show_progress, stop_button

IMAGE_TYPES = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "zip"]
LABEL_RULES = {"none": "None, they are typed here", "filename": "In the file names", "csv": "In a CSV file"}


def import_form(projects: list[Project]) -> None:
    """Ask for images, project and permission; start the job. No st.form, because its parts depend on each other."""
    left, right = st.columns(2, gap="large")
    with left:
        images = _ask_for_images()
    with right:
        target, typed = _ask_for_target({project.name: project for project in projects})
    layout.show_refusal()
    request = Request(**images, **target)
    st.button(
        "Import", type="primary", icon=":material/upload:", on_click=_start, args=(request, typed, uuid.uuid4().hex)
    )


def _start(request: Request, typed: dict[str, str], request_id: str) -> None:
    """Callback; the request id is that of the button on screen, so a double click is one import.

    `request` is as the form was drawn; what has been typed since, by a quick click after the last field, is in the
    session's state under the keys of `typed`.
    """
    since = {field: st.session_state[key] for field, key in typed.items() if key in st.session_state}
    stripped: dict[str, Any] = {
        field: value.strip() if isinstance(value, str) else value for field, value in since.items()
    }
    request = replace(request, **stripped)
    upload = None
    if request.path is None:
        labels_csv = st.session_state.get(state.IMPORT_LABEL_FILE)
        upload = Upload(
            files=[(file.name, file.getvalue()) for file in st.session_state.get(state.IMPORT_FILES) or []],
            labels_csv=labels_csv.getvalue() if labels_csv else None,
        )
    with layout.refuses():
        home = layout.home().create()
        with layout.database(create=True) as db:
            start_import(db, home, request, operator=current_operator(), upload=upload, request_id=request_id)
        st.session_state[state.PROJECT] = request.project


def _ask_for_images() -> dict[str, Any]:
    way = st.segmented_control(
        "Images", ["Upload", "Folder on the server"], default="Upload", required=True, wrap=True, **_kept("import way")
    )
    on_server = way != "Upload"
    path, watch = None, False
    if on_server:
        folder = st.text_input("Folder or zip", placeholder="/data/portal/captchas", **_kept("import folder")).strip()
        path = Path(folder) if folder else None
        watch = st.checkbox(
            "Keep watching this folder", **_kept("import watch"),
            help="Takes what is new there, as it comes, until you stop it. The app need not stay open.",
        )  # fmt: skip
    else:
        st.file_uploader(
            "Image files, or one zip", type=IMAGE_TYPES, accept_multiple_files=True, key=state.IMPORT_FILES
        )
    rule = st.selectbox("Labels", list(LABEL_RULES), format_func=LABEL_RULES.__getitem__, **_kept("import labels"))
    if rule == "filename":
        st.caption("The name up to its extension, or up to its first underscore: 004420.png, 004420_2.png.")
    elif rule == "csv":
        st.caption("The first line is filename,label; then one line for each image.")
        if on_server:
            typed = st.text_input("Label file", placeholder="/data/portal/labels.csv", **_kept("import csv"))
            rule = typed.strip() or "labels.csv"
        else:
            st.file_uploader("Label file", type="csv", key=state.IMPORT_LABEL_FILE)
            rule = "none"  # the uploaded file is what counts
    return {"path": path, "labels": rule, "watch": watch}


def _ask_for_target(projects: dict[str, Project]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was entered, and the keys of the fields that were typed into."""
    typed: dict[str, str] = {}
    name, typed["project"] = _choose_or_name(
        "Project", list(projects), "import project", "For example the portal's name"
    )
    length, charset, sources = None, None, {}
    if name in projects:
        with layout.database() as db:
            sources = {source.name: source for source in list_sources(db, projects[name].id)}
    else:
        size, chars = st.columns([1, 2])
        length = size.number_input("Characters", 1, MAX_LENGTH, DEFAULT_SPEC.length, **_kept("import length"))
        charset = chars.text_input("Which may occur", DEFAULT_SPEC.charset, **_kept("import charset"))
        typed |= {"length": "import length", "charset": "import charset"}
    # While a new project's name is typed, the field keeps its key: a new field would drop what is entered meanwhile.
    whose = f"import source of {name}" if name in projects else "import source"
    source, typed["source"] = _choose_or_name("Source", list(sources), whose, "For example login page, March")
    if source in sources:
        owner, authorization = sources[source].owner, sources[source].authorization
        st.caption(f"Owner: {layout.plain(owner)}. Authorization: {layout.plain(authorization)}.")
    else:
        owner = st.text_input("Owner of the portal", **_kept("import owner"))
        authorization = st.text_input(
            "Authorization reference", placeholder="Ticket, contract or mail", **_kept("import authorization"),
            help="Who allowed you to automate this portal, and where that is written.",
        )  # fmt: skip
        typed |= {"owner": "import owner", "authorization": "import authorization"}
    return {
        "project": name,
        "length": length,
        "charset": charset,
        "source": source,
        "owner": owner.strip(),
        "authorization": authorization.strip(),
    }, typed


def _choose_or_name(what: str, names: list[str], key: str, example: str) -> tuple[str, str]:
    """One of `names`, or a new name; and the key of the field that it comes from."""
    if names:
        name = st.selectbox(what, names, **_kept(key))
        if not st.checkbox(f"A new {what.lower()}", **_kept(f"{key} new")):
            return name, key
    field = f"{key} name"
    return st.text_input(f"Name of the {what.lower()}", placeholder=example, **_kept(field)).strip(), field


def _kept(key: str) -> dict[str, Any]:
    """What was entered is still there after a look at another page."""
    return {"key": key, "persist_state": "session"}


def show_import(job: Job) -> None:
    """Progress of an import while it runs, its report afterwards."""
    if job.state in ACTIVE:
        show_progress(job, "files")
    elif job.result is not None:
        show_report(Report(**json.loads(job.result)))
    else:
        st.error(layout.plain(job.reason or f"The import is {job.state}."), icon=":material/error:")
        st.caption("What was imported by then is kept. Run the same import again to finish it; nothing is doubled.")


def show_watch(job: Job, folder: str) -> None:
    """An import that watches its folder: what it has taken so far, kept up to date, and the button that ends it."""
    st.fragment(_show_watch, run_every="2s")(job.id, folder)


def _show_watch(job_id: str, folder: str) -> None:
    job, view = follow(job_id)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(gap=None, width="stretch"):
            st.markdown(layout.plain(folder))
            st.caption(f"Into {layout.plain(project_of(job))}. {_what_a_watch_does(view)}")
        stop_button(job_id, view)
    show_report(current_report(layout.home(), job))


def project_of(job: Job) -> str:
    with layout.database() as db:
        return get_project(db, job.project_id).name


def _what_a_watch_does(view: JobStatus) -> str:
    if view.steps:
        return f"Importing: {view.step:,} of {view.steps:,} files."
    if view.idle:  # with the numbers below
        return "Waiting for new files."
    return layout.plain(view.message)


def show_report(report: Report) -> None:
    with st.grid("auto", min_column_width=110):
        st.metric("Files", f"{report.files:,}")
        st.metric("Imported", f"{report.imported:,}")
        st.metric("Known already", f"{report.duplicates:,}", help="The project held the same pixels before.")
        st.metric("Labels taken", f"{report.labeled:,}")
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
