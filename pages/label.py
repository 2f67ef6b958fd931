"""Label: an image, its characters typed, the next image."""

import streamlit as st

from db.queues import Queue
from pages.components import layout
from pages.components.labeler import labeler

page = layout.open_page("label")


# A fragment: what the widget sends reruns these lines and nothing else of the app.
@st.fragment
def label() -> None:
    queue = st.segmented_control(
        "Queue",
        ["unlabelled", "skipped"],
        format_func=str.capitalize,
        default="unlabelled",
        required=True,
        key="queue",
        bind="query-params",
        label_visibility="collapsed",
    )
    labeler(page.project, page.operator, Queue(kind=queue), kind_key="queue")


# After a restart of the server the browser asks for the whole page again only if something on it repeats. Otherwise it
# goes on calling the fragment above, which the new session does not know, and no label is answered (Streamlit 1.67).
@st.fragment(run_every=60)
def repeat() -> None:
    pass


label()
repeat()
