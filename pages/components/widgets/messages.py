"""Shared by the server sides of all widgets: loading files, handling messages, and reporting errors."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import streamlit as st

from core.data.labeling import Outcome
from core.errors import OptionError, SlotlabError
from db.projects import find_project_by_id, find_twins
from db.records import Project
from db.sqlite import Database
from pages.components import layout
from pages.components.operators import current_operator, login_required, name_of_event

_Answer = TypeVar("_Answer")
WIDGETS = Path(__file__).parent
_IMPORT = re.compile(r'^import [^"]+ from "(.+?)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)


def widget_files(name: str) -> dict[str, str]:
    """Return the HTML, CSS and JavaScript of a widget. The shared style comes before its own."""
    folder = WIDGETS / name
    return {
        "html": (folder / f"{name}.html").read_text("utf-8"),
        "css": "".join(path.read_text("utf-8") for path in (WIDGETS / "shared/shared.css", folder / f"{name}.css")),
        "js": join_scripts(folder / f"{name}.js"),
    }


def join_scripts(script: Path) -> str:
    """Return a script joined with its imports: Streamlit serves one module, which cannot import other files."""
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
    """Return the value that the widget just sent under this name, or None if the session has lost the widget.

    A message that arrives under another page's address makes Streamlit (1.67) drop all widget states but still run
    their callbacks. Reading the state would raise KeyError and replace the page. The browser resends its events.
    """
    return getattr(st.session_state.get(key), name, None)


def events_by_operator(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield the events in order, grouped by operator: the name may have changed since they were typed.

    With login, skip events of other operators. Unanswered events stay in the browser until their operator logs in.
    """
    if login_required():
        events = [event for event in events if event.get("operator") in (None, current_operator())]
    for name, run in groupby(events, key=lambda event: name_of_event(event.get("operator"))):
        yield name, list(run)


def project_of(db: Database, message: Mapping[str, Any]) -> Project:
    """Return the project of a message by its id, because its name may have changed. The page may show another one.

    Raises OptionError if it does not exist here: another Slotlab folder may now be served at this address.
    """
    project = find_project_by_id(db, message["id"])
    if project is None:
        raise OptionError(f"There is no project {message['project']!r}.")
    if message.get("created", project.created_at) != project.created_at:
        raise OptionError(f"These labels belong to a different project named {message['project']!r}.")
    return project


def apply_message(
    message: Mapping[str, Any], apply: Callable[[Database, Project, str, list[Mapping[str, Any]]], Iterable[_Answer]]
) -> tuple[list[_Answer], list[str]]:
    """Apply the events of a message under their operators' names. Return the answers and the error sentences."""
    answers: list[_Answer] = []
    problems: list[str] = []
    with collect_errors(problems), layout.database() as db:
        project = project_of(db, message)
        for name, events in events_by_operator(message["events"]):
            answers += apply(db, project, name, events)
    return answers, problems


def answer_data(outcome: Outcome) -> dict[str, Any]:
    """Return the answer to one event, as JSON data."""
    return {
        "event": outcome.event_id,
        "sample": outcome.sample,
        "status": outcome.status,
        "message": outcome.message,
        "version": outcome.version,
    }


def common_data(project: Project, operator: str, problems: list[str]) -> dict[str, Any]:
    """Return the data that every widget gets: the id of this answer, the project and the operator."""
    login = True  # if the check fails, send no event under another operator's name
    with collect_errors(problems):
        login = login_required()
    twins: list[str] = []
    with collect_errors(problems), layout.database() as db:
        twins = find_twins(db, project)
    return {
        "reply": uuid4().hex,
        "id": project.id,
        "project": project.name,
        "created": project.created_at,
        "twins": twins,
        "length": project.length,
        "charset": project.charset,
        "operator": operator,
        "login": login,
    }


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Report errors to the browser. Stopping the script would remove the widget and lose what is being typed."""
    try:
        yield
    except SlotlabError as error:
        problems.append(str(error))
    except Exception:
        logging.getLogger(__name__).exception("A message from a widget could not be handled.")
        problems.append(
            "Server error; see the server log. Your labels are stored in this browser and will be sent again."
        )
