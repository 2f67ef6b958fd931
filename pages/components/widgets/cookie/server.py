"""Server side of the cookie widget. The content security policy forbids the inline script of an st.html."""

import streamlit as st

from pages.components.widgets.messages import WIDGETS, join_scripts

_WIDGET = st.components.v2.component("slotlab.cookie", js=join_scripts(WIDGETS / "cookie" / "cookie.js"))


def set_cookie(name: str, value: str | None, *, seconds: int) -> None:
    """Set a percent-encoded cookie. None stores path and query of the page; zero seconds delete the cookie."""
    _WIDGET(data={"name": name, "value": value, "seconds": seconds}, key=f"cookie {name}")
