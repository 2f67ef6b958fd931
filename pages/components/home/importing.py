"""The import form on Home, and the progress and report of an import."""

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.data.importing import DEFAULT_SPEC, Report, Request, Upload, current_report, start_import
from core.jobs.jobdir import JobStatus
from core.words import plural
from db.projects import get_project, list_sources
from db.records import ACTIVE, Job, Project
from pages.components import layout, state
from pages.components.operators import current_operator
from pages.components.progress import cancel_button, follow, show_progress

IMAGE_TYPES = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "zip"]
LABEL_RULES = {"none": "No labels yet", "filename": "File names", "csv": "CSV file"}


def import_form(projects: list[Project]) -> None:
    """Ask for images, project and authorization, and start the job. Not an st.form, because fields depend on others."""
    known = {project.name: project for project in projects}
    left, right = st.columns(2, gap="large")
    with left:
        images = _ask_for_images()
    with right:
        target, keys = _ask_for_target(known)
    layout.show_refusal()
    request = Request(**images, **target)
    st.button(
        f"Import into {layout.plain(request.project)}" if request.project in known else "Import images",
        type="primary",
        icon=":material/upload:",
        on_click=_start,
        args=(request, keys, uuid.uuid4().hex),
    )


def _start(request: Request, keys: dict[str, str], request_id: str) -> None:
    """Callback: start an import. The request id belongs to the button on screen, so a double click starts one.

    `request` has the values at the time the form was drawn. A click right after the last key brings newer ones, which
    are in the session state under `keys` (field -> widget key).
    """
    newest = {field: st.session_state[key] for field, key in keys.items() if key in st.session_state}
    stripped: dict[str, Any] = {
        field: value.strip() if isinstance(value, str) else value for field, value in newest.items()
    }
    request = replace(request, **stripped)
    upload = None
    if request.path is None:
        table = st.session_state.get(state.IMPORT_LABEL_FILE)
        upload = Upload(
            files=[(file.name, file.getvalue()) for file in st.session_state.get(state.IMPORT_FILES) or []],
            label_table=table.getvalue() if table else None,
        )
    with layout.refuses():
        home = layout.home().create()
        with layout.database(create=True) as db:
            start_import(db, home, request, operator=current_operator(), upload=upload, request_id=request_id)
        st.session_state[state.PROJECT] = request.project


def _ask_for_images() -> dict[str, Any]:
    way = st.segmented_control(
        "Images",
        ["Upload", "Folder on the server"],
        default="Upload",
        required=True,
        wrap=True,
        **_persistent("import way"),
    )
    on_server = way != "Upload"
    path, watch = None, False
    if on_server:
        folder = st.text_input(
            "Folder or zip", placeholder="/data/portal/captchas", **_persistent("import folder")
        ).strip()
        path = Path(folder) if folder else None
        watch = st.checkbox(
            "Keep watching this folder", **_persistent("import watch"),
            help="Imports new files as they appear, until you cancel it. It continues when the app is closed.",
        )  # fmt: skip
    else:
        st.file_uploader(
            "Image files or a zip file", type=IMAGE_TYPES, accept_multiple_files=True, key=state.IMPORT_FILES
        )
    rule = st.selectbox(
        "Labels", list(LABEL_RULES), format_func=LABEL_RULES.__getitem__, **_persistent("import labels")
    )
    if rule == "filename":
        st.caption(
            "The label ends at the first underscore or at the extension: 004420.png, 004420_2.png. All count as labels "
            "of people, unless the folder or zip also has the sources.csv of an export."
        )
    elif rule == "csv":
        st.caption("First line: filename,label. Then one line per image.")
        if on_server:
            csv_path = st.text_input("CSV file", placeholder="/data/portal/labels.csv", **_persistent("import csv"))
            rule = csv_path.strip() or "labels.csv"
        else:
            st.file_uploader("CSV file", type="csv", key=state.IMPORT_LABEL_FILE)
            rule = "none"  # the uploaded file takes precedence
    return {"path": path, "labels": rule, "watch": watch}


def _ask_for_target(projects: dict[str, Project]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entered values, and the widget keys of the fields."""
    keys: dict[str, str] = {}
    _follow_sidebar(projects)
    name, keys["project"] = _choose_or_name(
        "Project", list(projects), "import project", "For example, the portal's name"
    )
    length, charset, sources = None, None, {}
    if name in projects:
        with layout.database() as db:
            sources = {source.name: source for source in list_sources(db, projects[name].id)}
    else:
        size, chars = st.columns([1, 2])
        fixed = "Cannot be changed later."
        # No bounds: a box with bounds refuses a number, but keeps the one before, and the import would use that.
        length = size.number_input("Text length", value=DEFAULT_SPEC.length, help=fixed, **_persistent("import length"))
        charset = chars.text_input(
            "Allowed characters", DEFAULT_SPEC.charset, help=fixed, **_persistent("import charset")
        )
        keys |= {"length": "import length", "charset": "import charset"}
    # One key for all new projects: a key with the name would clear this field while the name is being typed.
    source_key = f"import source of {name}" if name in projects else "import source"
    source, keys["source"] = _choose_or_name("Source", list(sources), source_key, "For example, login page, March")
    if source in sources:
        owner, authorization = sources[source].owner, sources[source].authorization
        st.caption(f"Owner: {layout.plain(owner)}. Authorization: {layout.plain(authorization)}.")
    else:
        owner = st.text_input("Portal owner", **_persistent("import owner"))
        authorization = st.text_input(
            "Authorization reference", placeholder="Ticket, contract or email", **_persistent("import authorization"),
            help="Proof that you are allowed to automate this portal: who gave permission, and where it is documented.",
        )  # fmt: skip
        keys |= {"owner": "import owner", "authorization": "import authorization"}
    return {
        "project": name,
        "length": length,
        "charset": charset,
        "source": source,
        "owner": owner.strip(),
        "authorization": authorization.strip(),
    }, keys


def _follow_sidebar(projects: dict[str, Project]) -> None:
    """Select the project of the sidebar, and again whenever it changes there."""
    chosen = st.session_state.get(state.PROJECT)
    if chosen in projects and chosen != st.session_state.get(state.IMPORT_FOLLOWS):
        st.session_state["import project"] = chosen
        st.session_state["import project new"] = False
        st.session_state[state.IMPORT_FOLLOWS] = chosen


def _choose_or_name(kind: str, names: list[str], key: str, example: str) -> tuple[str, str]:
    """Return one of `names` or a new name, and the widget key of the field."""
    if names:
        name = st.selectbox(kind, names, **_persistent(key))
        if not st.checkbox(f"New {kind.lower()}", **_persistent(f"{key} new")):
            return name, key
    field = f"{key} name"
    return st.text_input(f"{kind} name", placeholder=example, **_persistent(field)).strip(), field


def _persistent(key: str) -> dict[str, Any]:
    """Return keywords for a widget that keeps its value while another page is open."""
    return {"key": key, "persist_state": "session"}


def show_import(job: Job) -> None:
    """Show the progress of an active import, or the report of a finished one."""
    if job.state in ACTIVE:
        show_progress(job, "files")
    elif job.result is not None:
        show_report(Report(**json.loads(job.result)))
    else:
        st.error(layout.plain(job.reason or f"The import is {job.state}."), icon=":material/error:")
        st.caption("Images imported so far are kept. Run the import again to finish; duplicates are skipped.")


def show_watch(job: Job, folder: str) -> None:
    """Show the live report of an import that watches a folder, with its Cancel button."""
    st.fragment(_show_watch, run_every="2s")(job.id, folder)


def _show_watch(job_id: str, folder: str) -> None:
    job, view = follow(job_id)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(gap=None, width="stretch"):
            st.markdown(layout.plain(folder))
            st.caption(f"Project {layout.plain(project_of(job))}. {_watch_status(view)}")
        cancel_button(job_id, view)
    show_report(current_report(layout.home(), job))


def project_of(job: Job) -> str:
    with layout.database() as db:
        return get_project(db, job.project_id).name


def _watch_status(view: JobStatus) -> str:
    if view.steps:
        return f"Importing: {view.step:,} of {plural(view.steps, 'file')}."
    if view.idle:  # the report is below
        return "Waiting for new files."
    return layout.plain(view.message)


def show_report(report: Report) -> None:
    with st.grid("auto", min_column_width=110):
        st.metric("Files", f"{report.files:,}")
        st.metric("Imported", f"{report.imported:,}")
        st.metric("Duplicates", f"{report.duplicates:,}", help="Images whose pixels were already in the project.")
        st.metric("Labels imported", f"{report.labeled:,}")
        st.metric("Rejected", f"{report.rejected:,}")
        st.metric("Labels ignored", f"{report.label_problems:,}", help="The image was imported without its label.")
    if report.reasons:
        reasons = pd.DataFrame(report.reasons)[["name", "reason"]]
        st.dataframe(
            reasons, column_config={"name": "File", "reason": "Reason"}, hide_index=True, width="stretch",
            height=min(350, 38 + 35 * len(reasons)), alt="Rejected files and files with ignored labels",
        )  # fmt: skip
        omitted = report.rejected + report.label_problems - len(report.reasons)
        if omitted > 0:
            st.caption(f"{omitted:,} more are not listed.")
