"""Label: an image, its characters typed, the next image."""

import streamlit as st

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
    labeler(page.project, page.operator, queue, queue_key="queue")


label()
