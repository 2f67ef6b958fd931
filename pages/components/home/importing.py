"""The import form on Home, and the progress and report of an import."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.import_checks import misfit, preview_of, problems
from core.data.import_request import DEFAULT_SPEC, Request, Upload, new_spec
from core.data.importing import Report, current_report, start_import
from core.data.label_book import LabelOptions, Preview
from core.data.sources import is_other
from core.data.tables import formats
from core.errors import SlotlabError
from core.jobs.jobdir import JobStatus
from core.words import plural
from db.projects import get_project, list_sources
from db.records import ACTIVE, Job, Project
from pages.components import address, layout, state
from pages.components.operators import current_operator
from pages.components.progress import cancel_button, follow, show_progress

TABLE_TYPES = ["csv", "tsv", "txt", "json", "jsonl", "ndjson", "py"]
IMAGE_TYPES = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "zip"]
MAY_MOVE = (".gif", ".webp", ".png", ".zip")
"""Ends of the names of files in which there can be an animation."""
ON_SERVER = "Folder on the server"
LABEL_RULES = {
    "auto": "Tables beside the images",
    "none": "No labels yet",
    "csv": "Label table",
    "filename": "Names of the files",
    "start": "Start of the file names",
    "end": "End of the file names",
    "folder": "Names of the folders",
}
SEPARATORS = [None, *formats.SEPARATORS]
PREVIEW_TABLE_BYTES = 8 * 1024**2
"""Size of a label table above which this process does not read it. The job does."""
PREVIEW_FILES = 50_000
PREVIEW_BYTES = 256 * 1024**2
"""Size of an upload or zip above which there is no preview."""


def show_import_form(projects: list[Project], *, is_open: bool) -> None:
    """Draw the section, open or folded at first. Its contents are drawn from its first opening on."""
    key = f"import form, {'open' if is_open else 'folded'}"  # so that `is_open` has an effect when it changes
    with st.expander("Import images", icon=":material/upload:", expanded=is_open, key=key, on_change="rerun") as form:
        # A form that is not drawn loses its chosen files.
        if form.open or st.session_state.get(state.IMPORT_SHOWN):
            st.session_state[state.IMPORT_SHOWN] = True
            _show(projects)


def _show(projects: list[Project]) -> None:
    """Ask for images, project and authorization, and start the job. Not an st.form, because fields depend on others."""
    known = {project.name: project for project in projects}
    places: dict[str, DeltaGenerator] = {}
    left, right = st.columns(2, gap="large")
    with left:
        _ask_for_images(places)
    with right:
        target, keys = _ask_for_target(known, places)
    request = Request(**_entered_images(), **target)
    if st.session_state.get(state.IMPORT_REFUSED):
        _show_problems(request, places)
    count = _show_preview(request, known.get(request.project))
    layout.show_refusal()
    target_name = f" into {layout.plain(request.project)}" if request.project else ""
    st.button(
        f"Import {plural(count, 'file') if count else 'images'}{target_name}",
        key="import start",
        type="primary",
        icon=":material/upload:",
        on_click=_start,
        args=(request, keys, uuid.uuid4().hex),
    )


def _start(request: Request, keys: dict[str, str], request_id: str) -> None:
    """Callback: start an import. The request id belongs to the button on screen, so a double click starts one.

    `request` has the values at the time the form was drawn. A click right after the last key brings newer ones, which
    are in the session state under `keys` (field -> widget key), and those of the images under fixed ones.
    """
    newest = {field: st.session_state[key] for field, key in keys.items() if key in st.session_state}
    stripped: dict[str, Any] = {
        field: value.strip() if isinstance(value, str) else value for field, value in newest.items()
    }
    request = replace(request, **stripped, **_entered_images())
    upload = _upload()
    st.session_state[state.IMPORT_REFUSED] = False
    with layout.refuses():
        home = layout.home().create()
        with layout.database(create=True) as db:
            if problems(db, request, upload):
                st.session_state[state.IMPORT_REFUSED] = True
                return
            start_import(db, home, request, operator=current_operator(), upload=upload, request_id=request_id)
        address.go(project=request.project, clears=address.EVERYTHING)


def _upload() -> Upload | None:
    """Return the uploaded files; None if the images are in a folder on the server."""
    if _is_on_server():
        return None
    table = st.session_state.get(state.IMPORT_LABEL_FILE)
    return Upload(
        files=[(file.name, file.getvalue()) for file in st.session_state.get(state.IMPORT_FILES) or []],
        label_table=table.getvalue() if table else None,
    )


def _show_problems(request: Request, places: dict[str, DeltaGenerator]) -> None:
    """Show what is missing or wrong beside its field, until it is right."""
    with layout.database() as db:
        found = problems(db, request, _upload())
    for field, sentence in found.items():
        places.get(field, places["images"]).error(layout.plain(sentence), icon=":material/error:")
    st.session_state[state.IMPORT_REFUSED] = bool(found)


def _show_preview(request: Request, project: Project | None) -> int:
    """Show the first labels as an import would read them, and what speaks against the project.

    Return the number of files that the import reads, 0 if it is not known. Some may not be images.
    """
    files = st.session_state.get(state.IMPORT_FILES) or []
    table = st.session_state.get(state.IMPORT_LABEL_FILE)
    if not _is_on_server():
        if not files or sum(file.size for file in files) > PREVIEW_BYTES:
            names = [file.name for file in files if not is_other(file.name)]
            return 0 if any(name.lower().endswith(".zip") for name in names) else len(names)
        seen: tuple[object, ...] = (*(file.file_id for file in files), table and table.file_id)
    elif request.path is None:
        return 0
    else:
        try:
            stat = request.path.stat()
        except (OSError, ValueError, RuntimeError):
            return 0
        if request.path.is_file() and stat.st_size > PREVIEW_BYTES:
            return 0
        seen = (stat.st_mtime_ns,)
    text = (project.length, project.charset) if project else (request.length, request.charset)
    found = _preview(
        (request.path, request.labels, request.options, request.watch, request.frame), text, seen,
        None if _is_on_server() else _upload,
    )  # fmt: skip
    if isinstance(found, str):
        st.warning(layout.plain(found), icon=":material/help:")
        return 0
    if found.labels or found.refused:
        _draw_preview(found)
    against = found.length_note
    if project:
        with layout.database() as db:
            against = misfit(db, project, found)
    for warning in filter(None, [*found.warnings, against]):
        st.warning(layout.plain(warning), icon=":material/warning:")
    return 0 if request.watch else found.files


@st.cache_data(ttl=30, max_entries=20, show_spinner="Reading the labels")
def _preview(
    reading: tuple[Path | None, str, LabelOptions, bool, str],
    text: tuple[int | None, str | None],
    seen: tuple[object, ...],  # noqa: ARG001 - part of the key: other files have other labels
    _files: Callable[[], Upload | None] | None,
) -> Preview | str:
    """Return the labels as an import would read them, or the sentence that says why it could not."""
    path, labels, options, watch, frame = reading
    request = Request(
        path=path, labels=labels, options=options, watch=watch, frame=frame, project="", source="", owner="",
        authorization="",
    )  # fmt: skip
    try:
        upload = _files() if _files else None
        return preview_of(request, new_spec(*text), upload, most_files=PREVIEW_FILES, table_bytes=PREVIEW_TABLE_BYTES)
    except SlotlabError as error:
        return str(error)


def _draw_preview(preview: Preview) -> None:
    st.caption(
        f"{layout.plain(preview.origin)} {plural(preview.labels, 'file')} of {preview.files:,} will be labeled, "
        f"and {plural(preview.refused, 'label')} refused."
    )
    rows = pd.DataFrame(preview.rows, columns=["File", "Label", "Problem"])
    if rows["Problem"].isna().all():
        rows = rows.drop(columns="Problem")
    layout.without_download("preview").dataframe(
        rows, hide_index=True, width="stretch", placeholder="–", alt="The first labels as they would be imported"
    )
    refused = [(name, reason) for name, reason in preview.reasons if name not in {row[0] for row in preview.rows}]
    for name, reason in refused:
        st.caption(f"{layout.plain(name)}: {layout.plain(reason)}")


def _ask_for_images(places: dict[str, DeltaGenerator]) -> None:
    """Draw the fields of images and labels. `places` gets a place for the problem of each field, below it."""
    st.segmented_control(
        "Images",
        ["Upload", ON_SERVER],
        default="Upload",
        required=True,
        wrap=True,
        **_persistent("import way"),
    )
    on_server = _is_on_server()
    if on_server:
        st.text_input("Folder or zip", placeholder="/data/portal/captchas", **_persistent("import folder"))
        st.checkbox(
            "Keep watching this folder", **_persistent("import watch"),
            help="Imports new files as they appear, until you cancel it. It continues when the app is closed.",
        )  # fmt: skip
    else:
        st.file_uploader(
            "Image files or a zip file",
            type=IMAGE_TYPES + TABLE_TYPES,
            accept_multiple_files=True,
            key=state.IMPORT_FILES,
            help="A table with their labels may be among them.",
        )
    places["images"] = st.empty()
    names = [file.name.lower() for file in st.session_state.get(state.IMPORT_FILES) or []]
    if on_server or any(name.endswith(MAY_MOVE) for name in names):
        st.text_input(
            "Frame of animations", placeholder="Refuse animations", **_persistent("import frame"),
            help="The number of the frame to import, counted from 1, or: last.",
        )  # fmt: skip
    places["frame"] = st.empty()
    rule = st.selectbox(
        "Labels", list(LABEL_RULES), format_func=LABEL_RULES.__getitem__, **_persistent("import labels")
    )
    if rule == "csv":
        st.caption("Any table that names files and labels: CSV, JSON, Label Studio, PaddleOCR and others.")
        if on_server:
            st.text_input("Label table", placeholder="/data/portal/labels.csv", **_persistent("import csv"))
        else:
            st.file_uploader("Label table", type=TABLE_TYPES, key=state.IMPORT_LABEL_FILE)
    places["labels"] = st.empty()
    if rule != "none" or not on_server:
        _ask_for_options()


def _is_on_server() -> bool:
    """Return whether the images are in a folder on the server, not uploaded."""
    return bool(st.session_state.get("import way") == ON_SERVER)


def _entered_images() -> dict[str, Any]:
    """Return the values of the fields that `_ask_for_images` draws, also those entered since it drew them."""
    entered = st.session_state
    on_server = _is_on_server()
    folder = _text("import folder") if on_server else None
    rule = entered.get("import labels") or "auto"
    if rule == "csv":
        rule = (_text("import csv") or "") if on_server else "none"  # the uploaded file takes precedence
    options, corrects = LabelOptions(), False
    if rule != "none" or not on_server:
        options = LabelOptions(
            pattern=_text("import pattern"), file_column=_text("import file column"),
            label_column=_text("import label column"), separator=entered.get("import separator"),
            fold_case=entered.get("import fold case", False),
        )  # fmt: skip
        corrects = entered.get("import replace", False)
    return {
        "path": Path(folder) if folder else None, "labels": rule, "options": options, "replace": corrects,
        "watch": on_server and entered.get("import watch", False), "frame": _text("import frame") or "",
    }  # fmt: skip


def _text(key: str) -> str | None:
    """Return what was typed into a field, or None if it is empty."""
    return st.session_state.get(key, "").strip() or None


def _ask_for_options() -> None:
    """Ask how labels are read where that is not clear, and whether they correct others."""
    with st.expander("How labels are read"):
        st.text_input(
            "Pattern of the file names", placeholder="meter-*_{label}", **_persistent("import pattern"),
            help="`{label}` is the label and `*` any text. Takes the place of a table.",
        )  # fmt: skip
        file, label = st.columns(2)
        file.text_input("Column of the files", **_persistent("import file column"))
        label.text_input(
            "Column of the labels",
            help="Several, for one character each: d1,d2,d3",
            **_persistent("import label column"),
        )
        st.selectbox(
            "Separator",
            SEPARATORS,
            format_func=lambda word: word or "Found by itself",
            **_persistent("import separator"),
        )
        st.checkbox("Ignore the case of letters", **_persistent("import fold case"))
        st.checkbox(
            "Correct labels that exist", **_persistent("import replace"),
            help="Also those of validation and test images. Each correction is in the history of its image.",
        )  # fmt: skip


def _ask_for_target(
    projects: dict[str, Project], places: dict[str, DeltaGenerator]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entered values, and the widget keys of the fields. `places`: see `_ask_for_images`."""
    keys: dict[str, str] = {}
    _follow_sidebar(projects)
    name, keys["project"] = _choose_or_name(
        "Project", list(projects), "import project", "For example, the portal's name"
    )
    places["project"] = st.empty()
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
        places["text"] = st.empty()
    # One key for all new projects: a key with the name would clear this field while the name is being typed.
    source_key = f"import source of {name}" if name in projects else "import source"
    source, keys["source"] = _choose_or_name("Source", list(sources), source_key, "For example, login page, March")
    places["source"] = st.empty()
    if source in sources:
        owner, authorization = sources[source].owner, sources[source].authorization
        st.caption(f"Owner: {layout.plain(owner)}. Authorization: {layout.plain(authorization)}.")
    else:
        owner = st.text_input("Portal owner", **_persistent("import owner"))
        places["owner"] = st.empty()
        authorization = st.text_input(
            "Authorization reference", placeholder="Ticket, contract or email", **_persistent("import authorization"),
            help="Proof that you are allowed to automate this portal: who gave permission, and where it is documented.",
        )  # fmt: skip
        keys |= {"owner": "import owner", "authorization": "import authorization"}
        places["authorization"] = st.empty()
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
