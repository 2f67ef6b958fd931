"""Shared by all pages: page setup, empty states, error sentences, boxes for runs."""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

from core.charset import TextSpec, spec_of
from core.errors import SlotlabError, StorageError
from core.home import Home
from core.jobs import control
from core.model.config import with_titles
from core.runs.promotions import default_run
from db.connection import explained, opened
from db.projects import find_project, find_project_by_former_name, find_project_by_id, list_projects
from db.records import ACTIVE, NEXT, Job, Project, Run
from db.runs import list_runs
from db.sqlite import Database
from pages.components import address, state
from pages.components.operators import current_operator

OF_RUN = (state.TTA, state.OTHER_RUN, state.CELL, "show", "sort", "page")
"""Names in the address that do not hold for another run."""
ARCHIVED = "archived"
"""Home: switch that shows archived projects too."""
REFUSAL_SECONDS = 10.0
"""Time to read the error of a callback."""
ROUTED: ContextVar[bool] = ContextVar("routed", default=False)
"""True while app.py runs around this page. A ContextVar, because two script runs of one session can overlap."""

_OPEN: ContextVar["_Connection | None"] = ContextVar("open", default=None)


@dataclass
class _Connection:
    """The connection of one script run, once something has opened it."""

    closes: ExitStack
    db: Database | None = None


@dataclass(frozen=True)
class Page:
    """The project a page shows and the operator who views it."""

    project: Project
    spec: TextSpec
    operator: str


def open_page(name: str) -> Page:
    """Return the page's project, or show an empty state and stop the script. First statement of every page but Home."""
    enter(name)
    with errors():
        project = _current_project()
    if project is None:
        _say_no_project()
    return Page(project=project, spec=spec_of(project), operator=current_operator())


def follow(project: Project) -> bool:
    """Return whether the project of a page still exists; else say so. Lead on to its new name if it has another one.

    Call first in a fragment, which runs with the project as it was when the page was drawn.
    """
    now: Project | None = project
    with suppress(StorageError), database() as db:  # the widget reports it, and must stay
        now = find_project_by_id(db, project.id)
    if now is None or now.created_at != project.created_at:
        st.info(
            f"Project {plain(project.name)} has been deleted. Labels that were not saved stay in this browser. "
            "They are saved if a backup brings the project back.",
            icon=":material/delete:",
        )
        return False
    if now.name != project.name:
        address.go(project=now.name)
        st.rerun()
    return True


def follow_address() -> None:
    """Lead on to the new name of a project, if the address has its former one and no other project has that now."""
    asked = address.get(state.PROJECT)
    with database() as db:
        renamed = None if find_project(db, asked) else find_project_by_former_name(db, asked)
    if renamed:
        address.complete(state.PROJECT, renamed.name)
        st.session_state[state.RENAMED] = (asked, renamed.name, time.monotonic())


def show_renamed() -> None:
    """Say that the address had a former name of the project. It stays for REFUSAL_SECONDS, as an error does."""
    former, name, since = st.session_state.get(state.RENAMED, ("", "", 0.0))
    if name and name == st.session_state.get(state.PROJECT) and time.monotonic() - since < REFUSAL_SECONDS:
        st.caption(f"Project {plain(former)} was renamed to {plain(name)}.")


def _say_no_project() -> NoReturn:
    archived = 0
    if home().db.exists():
        with errors(), database() as db:
            archived = len(list_projects(db, archived=True))
    if archived:
        st.info(all_archived(archived), icon=":material/archive:")
        st.page_link(
            "pages/home.py", label="Show archived projects", icon=":material/inventory_2:",
            query_params={ARCHIVED: "true"},
        )  # fmt: skip
    else:
        st.info("No projects yet. Import images to create one.", icon=":material/inbox:")
        st.page_link("pages/home.py", label="Import images", icon=":material/upload:")
    stop()


def all_archived(count: int) -> str:
    """Return the sentence for a lab whose projects, at least one, are all archived."""
    return "The only project is archived." if count == 1 else f"All {count:,} projects are archived."


def enter(name: str) -> None:
    """Ensure that the router runs around pages/NAME.py, which draws the title. First statement of a page.

    Until a session has run st.navigation, Streamlit serves a deep link by running only the page's file, without app.py,
    so we rerun. st.switch_page would not do: after a server restart, a widget still on the screen can send its value
    in between, and Streamlit then clears the page (1.67: a blank page after 3 of 42 restarts under load).
    """
    if not ROUTED.get():
        PagesManager.uses_pages_directory = False  # as st.navigation does
        st.rerun()
    st.session_state[state.PAGE] = name
    st.set_page_config(page_title=f"{name.capitalize()} · Slotlab")


def stop() -> NoReturn:
    """End the page where nothing more can be shown. After st.stop() Streamlit would not even send the address."""
    address.leave()
    st.stop()


@contextmanager
def one_connection() -> Iterator[None]:
    """Let `database` open the database once for the block, as each opening takes 1 to 2 ms of every page."""
    with ExitStack() as closes:
        token = _OPEN.set(_Connection(closes))
        closes.callback(_OPEN.reset, token)
        yield


@contextmanager
def database(*, create: bool = False) -> Iterator[Database]:
    """Open the database, or take the connection of `one_connection`. Never keep it, as each rerun has its thread."""
    path, run = home().db, _OPEN.get()
    if run is None:
        with opened(path, create=create) as db:
            yield db
        return
    if run.db is None:
        run.db = run.closes.enter_context(opened(path, create=create))
    with explained(path):
        yield run.db


def home() -> Home:
    return Home.from_env()


def update_jobs(db: Database) -> None:
    """Bring the rows of jobs up to date. Warn if they cannot be saved, for example on a full disk."""
    if error := control.reconcile(db, home()):
        st.warning(plain(f"{error} The states of jobs may be out of date."), icon=":material/warning:")


@contextmanager
def errors() -> Iterator[None]:
    """Show an error as its sentence and stop the script. Elements drawn before stay on the page."""
    try:
        yield
    except SlotlabError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        stop()


@contextmanager
def refuses(place: str = "") -> Iterator[None]:
    """Save an error of a callback for show_refusal(place), because Streamlit drops the output of callbacks."""
    st.session_state.pop(_refusal(place), None)
    try:
        yield
    except SlotlabError as error:
        st.session_state[_refusal(place)] = (str(error), None)


def show_refusal(place: str = "") -> bool:
    """Show the error that a callback saved. Return whether there is one. `place`: its place on the page.

    It stays for REFUSAL_SECONDS, or until the same is tried again. A page can run again on its own at once, because a
    job has started, and the sentence would be gone before anyone read it.
    """
    sentence, since = st.session_state.get(_refusal(place), ("", None))
    if since is not None and time.monotonic() - since >= REFUSAL_SECONDS:
        sentence = ""
    if not sentence:
        st.session_state.pop(_refusal(place), None)
        return False
    if since is None:
        st.session_state[_refusal(place)] = (sentence, time.monotonic())
    st.error(plain_sentence(sentence), icon=":material/error:")
    return True


def _refusal(place: str) -> str:
    return f"refusal on {place or st.session_state[state.PAGE]}"


def plain(text: str) -> str:
    """Escape a user's text so that Markdown shows it literally: no formatting, links, images, math, icons or colors."""
    escaped = "".join(f"\\{char}" if char in "\\`*_{}[]()<>#+-.!|~$:&" else char for char in text)
    return " ".join(escaped.split())


def plain_sentence(text: str) -> str:
    """Return a sentence of the program, such as an error or a stored reason, that names the fields of its options."""
    return plain(with_titles(text))


def marked(chars: Iterable[str], right: Iterable[bool]) -> str:
    """Return a reading as Markdown, with wrong characters on red."""
    return "".join(
        plain(char) if is_right else f":red-background[:red[**{plain(char)}**]]"
        for char, is_right in zip(chars, right, strict=True)
    )


def is_recent(job: Job) -> bool:
    """Return whether a job is active or ended within the last hour, so that its outcome is news."""
    if job.finished_at is None:
        return True
    return datetime.now(UTC) - datetime.fromisoformat(job.finished_at) < timedelta(hours=1)


def find_runs_with_a_model(project: Project) -> dict[str, Run]:
    """Return the project's runs with a checkpoint, newest first."""
    with errors(), database() as db:
        runs = {run.job.id: run for run in list_runs(db, project.id)}
    return {name: run for name, run in runs.items() if (home().run(name) / "checkpoints").is_dir()}


def runs_with_a_model(project: Project) -> dict[str, Run]:
    """Return the project's runs with a checkpoint, newest first. If there are none, say so and stop the script."""
    runs = find_runs_with_a_model(project)
    if not runs:
        if asked := address.get(state.RUN):
            address.refuse(f"This project has no run {asked!r} with a model.")
        say_no_model(project)
        stop()
    return runs


def say_no_model(project: Project, note: str = "") -> None:
    """Say that the project has no trained model, with a link to the run that is making one, else to Train.

    `note`: what the page does without one.
    """
    with errors(), database() as db:
        active = next((run.job for run in list_runs(db, project.id) if run.job.state in ACTIVE), None)
    does = f"Run {active.id} is {active.state}. {note}" if active else note or "Start a run on the Train page."
    st.info(f"No trained model yet. {does.strip()}", icon=":material/show_chart:")
    label, icon = ("View run", ":material/show_chart:") if active else ("Train a model", ":material/play_arrow:")
    query = {"project": project.name} | ({state.RUN: active.id} if active else {})
    st.page_link("pages/train.py", label=label, icon=icon, query_params=query)


def choose_run(project: Project, ids: list[str]) -> str:
    """Ask for one of these runs, newest first. The address may give only its number, as ?run=7.

    Without one in the address, it is the last one shown, else the run in use, else the best one on val. Stop the script
    if there is no such run.
    """
    last = last_run(project)
    if not address.get(state.RUN) and last not in ids:
        with errors(), database() as db:
            shown = default_run(db, home(), project, ids)
        last = shown[0] if shown else ids[0]
    # Another run may have no such source. Val and test stay.
    clears = (*OF_RUN, state.SPLIT, state.NEXT_SOURCE) if address.get(state.SPLIT) == NEXT else OF_RUN
    run_id = _choose_run("Run", ids, state.RUN, last or ids[0], clears=clears)
    remember_run(project, run_id)
    return run_id


def choose_other_run(ids: list[str], run_id: str) -> str:
    """Ask for a second run other than `run_id`. Stop the script if the address names an unknown one."""
    others = [name for name in ids if name != run_id]
    if run_of(address.get(state.OTHER_RUN), ids) == run_id:
        address.complete(state.OTHER_RUN, others[0])
    return _choose_run("Compare with", others, state.OTHER_RUN, others[0])


def _choose_run(title: str, ids: list[str], name: str, default: str, clears: Collection[str] = ()) -> str:
    take_run(name, ids, default)
    refusal = "This project has no run {asked!r} with a model. Choose another one."
    keywords = address.widget(name, ids, None, refusal=refusal, clears=clears)
    chosen: str | None = st.selectbox(title, ids, placeholder="Choose a run", width=200, **keywords)
    if chosen is None:
        stop()
    return chosen


def take_run(name: str, ids: Collection[str], default: str | None = None) -> None:
    """Let the address name a run, which it may give as a number, else `default`. Call before drawing the box."""
    asked = address.get(name)
    if run_id := run_of(asked, ids) if asked else default:
        address.complete(name, run_id)


def last_run(project: Project) -> str | None:
    """Return the run of a project that this visitor has seen last."""
    shown: dict[str, str] = st.session_state.get(state.RUNS_SHOWN, {})
    return shown.get(project.name)


def remember_run(project: Project, run_id: str | None) -> None:
    """Let the links to other pages lead to this run."""
    shown: dict[str, str | None] = st.session_state.setdefault(state.RUNS_SHOWN, {})
    shown[project.name] = run_id


def run_of(asked: str, ids: Collection[str]) -> str | None:
    """Return the run with this id or number."""
    number = int(asked) if asked.isdecimal() else None
    return next((name for name in ids if name == asked or int(name.split("-")[0]) == number), None)


def without_download(name: str) -> DeltaGenerator:
    """Return the place for a table of images or labels. Only our own downloads have owner and authorization.

    `name`: unique on the page.
    """
    return st.container(key=f"no-download {name}", gap=None)


def number(title: str, value: str, note: str) -> None:
    """Draw a figure in a box, with a note below. Boxes of one row are equally high."""
    with st.container(border=True, gap=None, height="stretch"):
        st.metric(title, value)
        st.caption(note)


def project_names() -> list[str]:
    if not home().db.exists():
        return []
    with database() as db:
        # Oldest first: an address without a project means the first one, and a new project must not change that.
        listed = sorted(list_projects(db, archived=None), key=lambda project: project.id)
    # An address opens an archived project too, and the one that is open stays.
    shown = (address.get(state.PROJECT), st.session_state.get(state.PROJECT))
    return [project.name for project in listed if not project.archived_at or project.name in shown]


def _current_project() -> Project | None:
    if not project_names():
        return None
    name = st.session_state.get(state.PROJECT)
    if name is None:
        st.info("Choose a project in the sidebar.", icon=":material/arrow_back:")
        stop()
    with database() as db:
        return find_project(db, name)
