"""Server side of the theme widget, which keeps one theme for all pages."""

from collections.abc import Iterable

import streamlit as st

from pages.components.widgets.messages import WIDGETS, join_scripts

_WIDGET = st.components.v2.component("slotlab.theme", js=join_scripts(WIDGETS / "theme" / "theme.js"))


def keep_theme(pages: Iterable[str]) -> None:
    """Let each page have the theme that the visitor has chosen on another. `pages`: their names in the address."""
    _WIDGET(key="theme", data={"pages": [*pages]})
