"""Server side of the sidebar widget, which folds the sidebar of a narrow screen."""

import streamlit as st

from pages.components.widgets.messages import WIDGETS, join_scripts

_WIDGET = st.components.v2.component("slotlab.sidebar", js=join_scripts(WIDGETS / "sidebar" / "sidebar.js"))


def fold_sidebar() -> None:
    """Fold the sidebar after a click on one of its links, where it covers the page."""
    _WIDGET(key="sidebar")
