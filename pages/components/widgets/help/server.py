"""Server side of the help widget, beside the title of each page: its keys, its guide, and the open project.

The browser opens the dialog, so that no field loses what is typed in it.
"""

import urllib.parse

import streamlit as st

from pages.components import guide, state
from pages.components.widgets.messages import widget_files

EVERYWHERE = guide.Keys(
    "Every page",
    (
        ("?", "show these keys; while you type in a field, it is a character"),
        ("Tab, Shift+Tab", "go to the next or the previous control"),
        ("Enter, Space", "press the button, open the list"),
        ("Escape", "close a dialog or a list"),
        ("R", "read the page again; where letters are typed, it is one"),
    ),
)
# Not in a shadow root, because the style also moves the title. An st.html of style only would replace toasts.
_WIDGET = st.components.v2.component("slotlab.help", **widget_files("help"), isolate_styles=False)


def show_help(page: str) -> None:
    """Draw the button of the keys and the link to the guide. `page`: name of the page.

    A narrow window hides the sidebar, so the name of the project stands here.
    """
    topic = page if page in guide.topics() else guide.OVERVIEW
    lists = [*(guide.keys(page) if topic == page else ()), EVERYWHERE]
    _WIDGET(
        key="help",
        data={
            "project": st.session_state.get(state.PROJECT) or "",
            "title": f"Keys of {page.capitalize()}",
            "lists": [{"title": each.title, "rows": each.rows} for each in lists],
            "guide": f"guide?{urllib.parse.urlencode({'of': topic})}",
        },
        width="content",
    )
