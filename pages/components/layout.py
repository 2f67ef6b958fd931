"""What every page shares: the way in, the empty states, one sentence for each error, the boxes for runs."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import streamlit as st
from sqlite_utils import Database
from streamlit.runtime.pages_manager import PagesManager

from core.charset import TextSpec, spec_of
from core.errors import SlotlabError
from core.home import Home
from db.connection import opened
from db.projects import find_project, list_projects
from db.records import Job, Project, Run
from db.runs import list_runs
from pages.components import state
from pages.components.operators import current_operator

ROUTED: ContextVar[bool] = ContextVar("routed", default=False)
"""Whether app.py runs around this page. Set per script thread: two runs of one session can overlap."""


@dataclass(frozen=True)
class Page:
    """Whose data a page shows, and who looks at it."""

    project: Project
    spec: TextSpec
    operator: str


def open_page(name: str) -> Page:
    """First statement of every page but home: returns its project, or shows what is missing and stops the script."""
    enter(name)
    with errors():
        project = _current_project()
    if project is None:
        st.info("There is no project yet. Import images first; a project is made on the way.", icon=":material/inbox:")
        st.page_link("pages/home.py", label="Import images", icon=":material/upload:")
        st.stop()
    st.session_state[state.PROJECT_ID_BEFORE] = st.session_state.get(state.PROJECT_ID)
    st.session_state[state.PROJECT_ID] = project.id
    return Page(project=project, spec=spec_of(project), operator=current_operator())


def enter(name: str) -> None:
    """Make sure that the router runs around pages/NAME.py, and draw the title.

    Until some session has run st.navigation, Streamlit serves a deep link by running the page's file alone, without
    app.py. The same request runs again with app.py, not by way of st.switch_page: a widget still on the screen from
    before a restart of the server would send what it holds in between, under the other page's address, and Streamlit
    would clear this page for it (1.67: a blank page after 3 of 42 restarts under load).
    """
    if not ROUTED.get():
        PagesManager.uses_pages_directory = False  # as st.navigation does
        st.rerun()
    st.session_state[state.PAGE_BEFORE] = st.session_state.get(state.PAGE)
    st.session_state[state.PAGE] = name
    st.set_page_config(page_title=f"{name.capitalize()} · Slotlab")
    st.title(name.capitalize(), anchor=False)


@contextmanager
def database(*, create: bool = False) -> Iterator[Database]:
    """One short-lived connection; never keep one over reruns, each of which may run in another thread."""
    with opened(home().db, create=create) as db:
        yield db


def home() -> Home:
    return Home.from_env()


@contextmanager
def errors() -> Iterator[None]:
    """Show a mistake as its sentence and stop the script there; whatever was drawn before stays."""
    try:
        yield
    except SlotlabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()


@contextmanager
def refuses(place: str = "") -> Iterator[None]:
    """In a callback, whose own output is lost: keep the sentence of a mistake for show_refusal of the same place."""
    try:
        yield
    except SlotlabError as error:
        st.session_state[_refusal(place)] = str(error)


def show_refusal(place: str = "") -> bool:
    """Show what a callback refused, once, and return whether it did; a page with several places names them."""
    sentence = st.session_state.pop(_refusal(place), None)
    if sentence:
        st.error(plain(sentence), icon=":material/error:")
    return sentence is not None


def _refusal(place: str) -> str:
    return f"refusal on {place or st.session_state[state.PAGE]}"


def plain(text: str) -> str:
    """User's text as Markdown that shows it as it is: no formatting, links, images, math, icons or colors."""
    escaped = "".join(f"\\{char}" if char in "\\`*_{}[]()<>#+-.!|~$:&" else char for char in text)
    return " ".join(escaped.split())


def marked(chars: Iterable[str], right: Iterable[bool]) -> str:
    """Return what was read as Markdown, with the wrong characters on red."""
    return "".join(
        plain(char) if is_right else f":red-background[:red[**{plain(char)}**]]"
        for char, is_right in zip(chars, right, strict=True)
    )


def is_recent(job: Job) -> bool:
    """Whether a job is active, or ended in the last hour: then its outcome is news."""
    if job.finished_at is None:
        return True
    return datetime.now(UTC) - datetime.fromisoformat(job.finished_at) < timedelta(hours=1)


def keep_run(ids: Collection[str]) -> None:
    """Call before a box for runs: on the way from another page with such a box, its run stays the chosen one.

    Streamlit takes ?run= out of a link between two pages that both bind it: it belongs to the page that is left.
    """
    came = st.session_state.get(state.PAGE_BEFORE) not in (None, st.session_state[state.PAGE])
    if came and state.RUN not in st.query_params and st.session_state.get(state.RUN) in ids:
        st.query_params[state.RUN] = st.session_state[state.RUN]
        st.session_state[state.RUN] = st.session_state[state.RUN]  # else the new box starts with its default


def runs_with_a_model(project: Project) -> dict[str, Run]:
    """The project's runs that can read images, newest first; where there is none, says so and stops the script."""
    with errors(), database() as db:
        runs = {run.job.id: run for run in list_runs(db, project.id)}
    usable = {name: run for name, run in runs.items() if (home().run(name) / "checkpoints").is_dir()}
    if not usable:
        st.info("No run of this project has saved a model yet.", icon=":material/show_chart:")
        st.page_link(
            "pages/train.py", label="Train", icon=":material/play_arrow:", query_params={"project": project.name}
        )
        st.stop()
    return usable


def choose_run(ids: list[str]) -> str:
    """Ask for one of these runs, newest first; the address may name it by its number alone, as ?run=7."""
    keep_run(ids)
    return _choose_run("Run", ids, state.RUN, ids)


def choose_other_run(ids: list[str], run_id: str) -> str:
    """Ask for a second run, which is never the first one."""
    if run_id in (st.session_state.get(state.OTHER_RUN), _named(st.query_params.get(state.OTHER_RUN, ""), ids)):
        st.session_state[state.OTHER_RUN] = next(name for name in ids if name != run_id)
    return _choose_run("With", [name for name in ids if name != run_id], state.OTHER_RUN, ids)


def _choose_run(title: str, ids: list[str], key: str, known: list[str]) -> str:
    take_run_asked_for(key, known, "This project has no run {} to show; here is its newest.")
    # Set, not forgotten: of a box that falls back to its default the browser would go on showing the former run.
    if key in st.session_state and st.session_state[key] not in ids:
        st.session_state[key] = ids[0]
    return st.selectbox(title, ids, key=key, bind="query-params", width=200)


def take_run_asked_for(key: str, known: Collection[str], refusal: str) -> None:
    """Before a box for runs: the address may name one by its number; one that is not known is refused.

    Whoever has just chosen another project did not ask for the run that is still in the address.
    """
    asked = st.query_params.get(key, "")
    if not asked or asked in known:
        return
    if name := _named(asked, known):
        st.session_state[key] = name
    elif st.session_state[state.PROJECT_ID_BEFORE] in (None, st.session_state[state.PROJECT_ID]):
        st.error(plain(refusal.format(repr(asked))), icon=":material/error:")


def _named(asked: str, ids: Collection[str]) -> str | None:
    """The run of this id, or of this number."""
    number = int(asked) if asked.isdecimal() else None
    return next((name for name in ids if name == asked or int(name.split("-")[0]) == number), None)


def number(title: str, value: str, note: str) -> None:
    """One figure in a box, with what it rests on below it."""
    with st.container(border=True, gap=None):
        st.metric(title, value)
        st.caption(note)


def project_names() -> list[str]:
    if not home().db.exists():
        return []
    with database() as db:
        # Oldest first: the first one is what an address without a project means, and a new project must not change it.
        return [project.name for project in sorted(list_projects(db), key=lambda project: project.id)]


def _current_project() -> Project | None:
    if not project_names():
        return None
    name = st.session_state.get(state.PROJECT)
    if name is None:
        st.info("Choose a project in the sidebar.", icon=":material/arrow_back:")
        st.stop()
    with database() as db:
        return find_project(db, name)
