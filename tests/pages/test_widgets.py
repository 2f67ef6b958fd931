"""What the server sides of the widgets share."""

from pages.components.widgets.messages import widget_message


def test_a_widget_that_the_session_has_forgotten_has_sent_nothing() -> None:
    """Its callback can still be called, after a restart of the server."""
    assert widget_message("a widget of the session before", "outbox") is None
