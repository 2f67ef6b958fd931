"""The section of Home that renames, describes, archives and deletes projects, and manages their sources."""

import uuid

import streamlit as st

from core.backup import removal
from core.data import copying, managing
from core.data.managing import tags_of
from core.errors import OptionError
from core.model.config import OPTIONS
from core.runs.promotions import run_to_begin_from
from core.words import plural
from db import projects, removals
from db.records import Project, Source
from pages.components import address, layout, state
from pages.components.deletion import ask_deletion, delete_once
from pages.components.operators import current_operator

PLACE = "managing"
"""Place of refusals."""
OUTCOME = "managed"
"""The outcome of a click, until it has been shown."""
COPIED = "copied project"
"""Name of the copy that the last click made, until it has been shown."""
MOVED = "moved source"
"""Request id and outcome of the last move. A double click brings the id again."""
MANAGED = "project to manage"
"""Box: id of the project."""
FOLLOWS = "manages after"
"""Id of the sidebar's project that the box has last taken over."""
BACKED_UP = "The database is backed up first. Earlier backups keep the rows too."


def show_managing() -> None:
    """Draw the section. Its contents are computed only while it is open."""
    with st.expander("Manage projects", icon=":material/tune:", key="manage projects", on_change="rerun") as section:
        if section.open:
            _show()


def show_description(project: Project) -> None:
    """Draw the tags and the note of a project on its card."""
    if texts := [*[", ".join(tags_of(project))] * (project.tags != "[]"), *[project.note] * bool(project.note)]:
        st.caption(layout.plain(" · ".join(texts)))


def _show() -> None:
    _show_outcome()
    layout.show_refusal(PLACE)
    with layout.errors(), layout.database() as db:
        listed = {project.id: project for project in projects.list_projects(db, archived=None)}
    if not listed:
        st.caption("There is no project.")
        return
    current = next((key for key, each in listed.items() if each.name == st.session_state.get(state.PROJECT)), None)
    if current != st.session_state.get(FOLLOWS):
        st.session_state.pop(MANAGED, None)
        st.session_state[FOLLOWS] = current
    _keep_choice(MANAGED, list(listed), current)
    chosen = st.selectbox(
        "Project to manage", list(listed), key=MANAGED,
        format_func=lambda key: listed[key].name + " (archived)" * bool(listed[key].archived_at),
    )  # fmt: skip
    project = listed[chosen]
    _show_project(project)
    with layout.errors(), layout.database() as db:
        sources = {source.id: source for source in projects.list_sources(db, project.id)}
    if sources:
        st.subheader("Sources", anchor=False)
        key = f"source of {project.id}"
        _keep_choice(key, list(sources))
        source = st.selectbox("Source to manage", list(sources), key=key, format_func=lambda key: sources[key].name)
        _show_source(project, sources[source], [each for each in listed.values() if _fits(project, each)])


def _keep_choice(key: str, ids: list[int], default: int | None = None) -> None:
    """Keep the choice of a box of ids. A changed name makes it a new box, which would choose the first one."""
    chosen = st.session_state.get(key, default)
    st.session_state[key] = chosen if chosen in ids else ids[0]


def _show_outcome() -> None:
    """Show once what the last click did."""
    if OUTCOME in st.session_state:
        st.success(layout.plain(st.session_state.pop(OUTCOME)))
    if COPIED in st.session_state:
        name = st.session_state.pop(COPIED)
        st.page_link(
            "pages/train.py", label=f"Train {layout.plain(name)}", icon=":material/play_arrow:",
            query_params={"project": name},
        )  # fmt: skip


def _show_project(project: Project) -> None:
    key = f"{project.id} {project.name}"
    st.text_input("Name", project.name, key=f"name of {key}", autocomplete="off")
    st.text_area("Note", project.note, key=f"note of {key}")
    st.text_input("Tags, separated by commas", ", ".join(tags_of(project)), key=f"tags of {key}")
    with st.container(horizontal=True):
        st.button(
            "Save project", type="primary", icon=":material/save:", on_click=_save_project,
            args=(project, key),
        )  # fmt: skip
        archived = project.archived_at is not None
        st.button(
            "Unarchive" if archived else "Archive", icon=":material/archive:", on_click=_archive,
            args=(project, not archived), help="An archived project is not in lists. Nothing is lost.",
        )  # fmt: skip
        copies = _ask_copy(project)
        with layout.errors(), layout.database() as db:
            counts = removals.count_project(db, project)
        ask_deletion(
            "project", project.id, project.name, counts, BACKED_UP, lambda typed: _delete_project(project, typed)
        )
    if copies:
        _copy(project, *copies)


def _ask_copy(project: Project) -> tuple[str, int, str] | None:
    """Draw the form of a copy. Return its name, length and charset after a click."""
    key = f"of copy of {project.id}"
    with st.popover("Copy project", icon=":material/content_copy:", key=f"open {key}"):
        st.markdown(
            "A new project with the images, the recipes, the skips and the labels that fit. Length and characters can "
            "differ. Runs stay: the copy can begin from the weights of one."
        )
        name = st.text_input("New name", key=f"name {key}", live="300ms", autocomplete="off")
        length = st.number_input("Text length", value=project.length, key=f"length {key}")
        charset = st.text_input("Allowed characters", project.charset, key=f"charset {key}", autocomplete="off")
        is_asked = st.button("Make copy", type="primary", key=f"make {key}", disabled=not name.strip())
    return (name.strip(), length, charset) if is_asked else None


def _copy(project: Project, name: str, length: int, charset: str) -> None:
    """Copy the project now, with its progress. An interrupted copy is finished by another click."""
    bar = st.progress(0.0, f"Copying {layout.plain(project.name)}")

    def show(done: int, total: int) -> None:
        bar.progress(done / max(total, 1))

    with layout.errors(), layout.database() as db:
        new, copied = copying.copy_project(
            db, project, name, length=length, charset=charset, operator=current_operator(),
            on_progress=show,
        )  # fmt: skip
        run = run_to_begin_from(db, layout.home(), project)
    weights = f" On Train, {OPTIONS['init'].title} {run} begins from the weights of {project.name}." if run else ""
    st.session_state[OUTCOME] = f"{new.name}: {copied.sentence}{weights}"
    st.session_state[COPIED] = new.name
    st.rerun()


# Callbacks. They read fields from the session state, because a click may come right after the last key.


def _save_project(project: Project, key: str) -> None:
    name, note, tags = (st.session_state[f"{field} of {key}"] for field in ("name", "note", "tags"))
    name = name.strip()
    with layout.refuses(PLACE), layout.database() as db:
        managing.describe_project(db, project, note=note, tags=tags.split(","))
        if name != project.name:
            managing.rename_project(db, project, name)
            _show_instead(project, name)
        st.session_state[OUTCOME] = "Saved."


def _archive(project: Project, archived: bool) -> None:
    with layout.refuses(PLACE), layout.database() as db:
        managing.archive_project(db, project, archived=archived)
        st.session_state[OUTCOME] = f"{project.name} is {'archived' if archived else 'listed again'}."


def _delete_project(project: Project, typed: str) -> None:
    with layout.refuses(PLACE), layout.database() as db:
        st.session_state[OUTCOME] = delete_once(
            db, "project", project.id, project.name,
            lambda: removal.delete_project(db, layout.home(), project, typed=typed, operator=current_operator()),
            exists=project.id in {each.id for each in projects.list_projects(db, archived=None)},
        )  # fmt: skip
        _show_instead(project, None)


def _show_instead(project: Project, name: str | None) -> None:
    """Let the page show another project, if it shows this one. None is the first one of the list.

    The last run is forgotten, because a new project may get the old name.
    """
    st.session_state.get(state.RUNS_SHOWN, {}).pop(project.name, None)
    if st.session_state.get(state.PROJECT) != project.name:
        return
    address.go(project=name, clears=address.EVERYTHING)


# Sources


def _fits(project: Project, other: Project) -> bool:
    same = (other.length, set(other.charset)) == (project.length, set(project.charset))
    return same and other.id != project.id


def _show_source(project: Project, source: Source, targets: list[Project]) -> None:
    key = f"{source.id} {source.name}"
    st.caption(layout.plain(f"Owner {source.owner}, authorization {source.authorization}."))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name_key = f"name of source {key}"
        st.text_input("Source name", source.name, key=name_key, autocomplete="off", width=240)
        st.button("Rename source", icon=":material/edit:", on_click=_rename_source, args=(project, source, name_key))
        with layout.errors(), layout.database() as db:
            counts = removals.count_source(db, source)
        if targets:
            _ask_move(project, source, targets, counts.images)
        note = f"{BACKED_UP} Runs keep the images they were trained on."
        ask_deletion(
            "source", source.id, source.name, counts, note, lambda typed: _delete_source(project, source, typed)
        )


def _ask_move(project: Project, source: Source, targets: list[Project], images: int) -> None:
    """Draw the button that moves a source, once its target is chosen."""
    key = f"target of {source.id} {source.name}"
    names = {target.name: target for target in targets}
    with st.popover("Move source", icon=":material/drive_file_move:", key=f"open {key}"):
        chosen = st.selectbox("Move to", list(names), index=None, placeholder="Choose a project", key=key)
        if chosen:
            with layout.errors(), layout.database() as db:
                warning = managing.move_warning(db, source, names[chosen])
            st.markdown(layout.plain(f"This moves {plural(images, 'image')} of {source.name} to {chosen}."))
            if warning:
                st.warning(layout.plain(warning), icon=":material/warning:")
        st.button(
            "Move this source", type="primary", key=f"move to {key}", disabled=chosen is None, on_click=_move_source,
            args=(project, source, names.get(chosen or ""), key, uuid.uuid4().hex),
        )  # fmt: skip


def _rename_source(project: Project, source: Source, key: str) -> None:
    name = st.session_state[key].strip()
    with layout.refuses(PLACE), layout.database() as db:
        managing.rename_source(db, layout.home(), project, source, name)
        st.session_state[OUTCOME] = f"Source {source.name} is now {name}."


def _move_source(project: Project, source: Source, target: Project | None, key: str, request_id: str) -> None:
    """Callback: move a source to the target on screen. The request id belongs to the button there.

    It moves nothing if the box `key` has just got another target, whose warning nobody has read.
    """
    done, text = st.session_state.get(MOVED, ("", ""))
    if done == request_id:
        st.session_state[OUTCOME] = text
        return
    with layout.refuses(PLACE), layout.database() as db:
        if target is None or st.session_state[key] != target.name:
            raise OptionError("Nothing was moved, because the target has just changed. Confirm it again.")
        moved = managing.move_source(db, layout.home(), project, source, target)
        stay = f" {plural(moved.stay, 'image')} that it had already stay." if moved.stay else ""
        text = f"Moved {plural(moved.images, 'image')} of {source.name} to {target.name}.{stay}"
        st.session_state[OUTCOME] = text
        st.session_state[MOVED] = request_id, text


def _delete_source(project: Project, source: Source, typed: str) -> None:
    with layout.refuses(PLACE), layout.database() as db:
        st.session_state[OUTCOME] = delete_once(
            db, "source", source.id, source.name,
            lambda: removal.delete_source(db, layout.home(), project, source, typed=typed, operator=current_operator()),
            exists=source.id in {each.id for each in projects.list_sources(db, project.id)},
        )  # fmt: skip
