"""The page shows the error of a callback in its place, long enough to be read."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.components import layout


def page() -> None:
    """Draw two buttons whose callbacks raise errors, and the two places of their sentences."""
    import streamlit as st

    from core.errors import OptionError
    from pages.components import layout, state

    st.session_state[state.PAGE] = "train"

    def refuse(sentence: str, place: str) -> None:
        with layout.refuses(place):
            raise OptionError(sentence)

    st.button("page", on_click=refuse, args=("No *run*.", ""))
    st.button("queue", on_click=refuse, args=("No turn.", "queue"))
    st.text(f"page {layout.show_refusal()}")
    st.text(f"queue {layout.show_refusal('queue')}")


def shown(app: AppTest) -> list[str]:
    """Return the displayed sentences, and whether each place has one."""
    assert not app.exception
    return [element.value for element in [*app.error, *app.text]]


def test_a_refusal_stays_at_its_place_until_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is not interpreted as Markdown. A page that runs again on its own keeps it."""
    app = AppTest.from_function(page, default_timeout=30).run()
    assert shown(app) == ["page False", "queue False"]

    assert shown(app.button[0].click().run()) == [r"No \*run\*\.", "page True", "queue False"]
    assert shown(app.run()) == [r"No \*run\*\.", "page True", "queue False"]
    both = [r"No \*run\*\.", r"No turn\.", "page True", "queue True"]
    assert shown(app.button[1].click().run()) == both
    monkeypatch.setattr(layout, "REFUSAL_SECONDS", 0.0)
    assert shown(app.run()) == ["page False", "queue False"]
