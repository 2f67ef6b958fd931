"""What the server sides of the widgets share: files, whose events a message brings, errors as sentences."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import streamlit as st
from sqlite_utils import Database

from core.data.labeling import Outcome
from core.errors import OptionError, SlotlabError
from db.projects import find_project
from db.records import Project
from pages.components import layout
from pages.components.operators import current_operator, login_is_asked, name_of_event

_Answer = TypeVar("_Answer")
WIDGETS = Path(__file__).parent
_IMPORT = re.compile(r'^import [^"]+ from "(.+?)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)


def widget_files(name: str) -> dict[str, str]:
    """Return html, css and js of a widget; the style that all share comes before its own."""
    folder = WIDGETS / name
    return {
        "html": (folder / f"{name}.html").read_text("utf-8"),
        "css": "".join(path.read_text("utf-8") for path in (WIDGETS / "shared/shared.css", folder / f"{name}.css")),
        "js": joined_scripts(folder / f"{name}.js"),
    }


def joined_scripts(script: Path) -> str:
    """Join a script to those it imports: Streamlit gives the browser one module, which can import no other file."""
    texts: dict[Path, str] = {}

    def add(path: Path) -> None:
        text = path.read_text("utf-8")
        for imported in _IMPORT.findall(text):
            if (path.parent / imported).resolve() not in texts:
                add((path.parent / imported).resolve())
        texts[path] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(script.resolve())
    return "\n".join(texts.values())


def widget_message(key: str, name: str) -> Any:
    """What the widget with this key has just sent under this name; None when the session has forgotten the widget.

    A message that arrives under another page's address makes Streamlit drop the states of all widgets, but not their
    callbacks: it calls them to a KeyError, shown in place of the page (1.67). The browser sends again what it holds.
    """
    return getattr(st.session_state.get(key), name, None)


def events_by_operator(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The events in their order, in runs of one operator each: the name may have changed since they were typed.

    With login those of another name are left out. Without an answer they stay in the browser until that name logs in.
    """
    if login_is_asked():
        events = [event for event in events if event.get("operator") in (None, current_operator())]
    for name, run in groupby(events, key=lambda event: name_of_event(event.get("operator"))):
        yield name, list(run)


def project_of(db: Database, message: Mapping[str, Any]) -> Project:
    """The project that a message is about, which need not be the one on the page.

    Raises OptionError if it is not here: another Slotlab folder may be served at the address by now.
    """
    project = find_project(db, message["project"])
    if project is None:
        raise OptionError(f"There is no project {message['project']!r}.")
    if message.get("created", project.created_at) != project.created_at:
        raise OptionError(f"The project {message['project']!r} here is not the one that these labels are of.")
    return project


def apply_message(
    message: Mapping[str, Any], apply: Callable[[Database, Project, str, list[Mapping[str, Any]]], Iterable[_Answer]]
) -> tuple[list[_Answer], list[str]]:
    """Apply the events of a message, each under the name of its operator; return the answers and what went wrong."""
    answers: list[_Answer] = []
    problems: list[str] = []
    with collect_errors(problems), layout.database() as db:
        project = project_of(db, message)
        for name, events in events_by_operator(message["events"]):
            answers += apply(db, project, name, events)
    return answers, problems


def answer_data(outcome: Outcome) -> dict[str, Any]:
    """Return what the browser is told of an event."""
    return {
        "event": outcome.event_id,
        "sample": outcome.sample,
        "status": outcome.status,
        "message": outcome.message,
        "version": outcome.version,
    }


def common_data(project: Project, operator: str, problems: list[str]) -> dict[str, Any]:
    """What every widget is sent: the id of this answer, the project, and who is at work."""
    login = True  # as long as nobody can tell, no event goes under another's name
    with collect_errors(problems):
        login = login_is_asked()
    return {
        "reply": uuid4().hex,
        "project": project.name,
        "created": project.created_at,
        "length": project.length,
        "charset": project.charset,
        "operator": operator,
        "login": login,
    }


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Tell the browser of a mistake instead of ending the script: the widget would go, and the typing with it."""
    try:
        yield
    except SlotlabError as error:
        problems.append(str(error))
    except Exception:
        logging.getLogger(__name__).exception("A widget's message was not handled.")
        problems.append("The server made a mistake; its log says which. Everything is kept here and sent again.")
