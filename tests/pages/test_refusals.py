"""What a callback refuses is shown by the run of the page that follows, once, where it belongs."""

from streamlit.testing.v1 import AppTest


def page() -> None:
    """Two buttons whose callbacks refuse, and the two places of their sentences."""
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
    """The sentences that are shown, and whether each place has one."""
    assert not app.exception
    return [element.value for element in [*app.error, *app.text]]


def test_a_refusal_is_shown_once_at_its_place() -> None:
    """As its sentence, which is no Markdown; the next run has forgotten it."""
    app = AppTest.from_function(page, default_timeout=30).run()
    assert shown(app) == ["page False", "queue False"]

    assert shown(app.button[0].click().run()) == [r"No \*run\*\.", "page True", "queue False"]
    assert shown(app.button[1].click().run()) == [r"No turn\.", "page False", "queue True"]
    assert shown(app.run()) == ["page False", "queue False"]
