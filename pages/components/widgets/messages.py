"""What the server sides of the widgets share: files, whose events a message brings, errors as sentences."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st
from sqlite_utils import Database

from core.errors import OptionError, SlotlabError
from db.projects import find_project
from db.records import Project
from pages.components.operators import current_operator, login_is_asked, name_of_event

WIDGETS = Path(__file__).parent


def widget_files(name: str) -> dict[str, str]:
    """html, css and js of a widget; what all share comes before its own style, and its own script, in one module."""

    def text(file: str) -> str:
        return (WIDGETS / file).read_text("utf-8")

    return {"html": text(f"{name}/{name}.html")} | {
        kind: text(f"shared.{kind}") + text(f"{name}/{name}.{kind}") for kind in ("css", "js")
    }


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
