"""The current operator: a name remembered by the browser, or the logged-in identity."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from core.errors import OptionError
from core.home import Home, default_operator
from db.records import Project
from pages.components.operators import MAX_OPERATOR, check_name
from tests.helpers.repository import APP, PAGES

OpenPage = Callable[..., AppTest]
ANN = {"is_logged_in": True, "email": "ann@portal.example", "name": "Ann", "sub": "1"}


def who() -> None:
    """Show the current operator and the name of an event."""
    import streamlit as st

    from core.errors import SlotlabError
    from pages.components import operators

    try:
        st.text(operators.current_operator())
        st.text(operators.name_of_event(st.session_state.get("claimed")))
    except SlotlabError as error:
        st.error(str(error))


def ask(user: dict[str, Any] | None = None, claimed: object = None) -> list[str]:
    """Return the current operator, and the name for an event that claims to be by `claimed`."""
    app = AppTest.from_function(who, default_timeout=30)
    if user is not None:
        app.user = user
    app.session_state["claimed"] = claimed
    app.session_state["operator name"] = "dana"
    app.run()
    assert not app.exception
    return [element.value for element in [*app.text, *app.error]]


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [("Ann", "Ann"), ("  Ann   Lee ", "Ann Lee"), ("Jose\N{COMBINING ACUTE ACCENT}", "Jos\xe9"), ("李雷", "李雷"),
     ("x" * MAX_OPERATOR, "x" * MAX_OPERATOR), ("<b>", "<b>")],
)  # fmt: skip
def test_a_name_is_kept_in_one_spelling(text: str, name: str) -> None:
    """Different spellings of a name are the same operator."""
    assert check_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "  ", "\t", "a\nb", "x" * (MAX_OPERATOR + 1), "a\x00", "\u200b", "a\u202eb", "\ud800"]
)  # fmt: skip
def test_an_invalid_name_is_refused(text: str) -> None:
    """An invalid name gives one sentence."""
    with pytest.raises(OptionError, match=r"is not a valid operator name\. Use 1 to 60 visible characters\.$"):
        check_name(text)


def test_the_name_of_the_portal_is_refused() -> None:
    """Its verdicts are events of this name."""
    with pytest.raises(OptionError, match="Choose another name"):
        check_name(" portal ")


# Without login


def test_a_first_visitor_is_asked_once_and_can_work_at_once(open_page: OpenPage, portal: Project) -> None:
    """The box lists all operators with labels. The default is the user of this machine."""
    app = open_page("samples", project=portal.name)

    picker = app.sidebar.selectbox(key="operator")
    assert picker.value == default_operator()
    assert picker.options == sorted({"import", default_operator()})
    assert any("If it is not yours" in caption.value for caption in app.sidebar.caption)

    picker.select("import").run()

    assert app.sidebar.selectbox(key="operator").value == "import"
    assert not any("If it is not yours" in caption.value for caption in app.sidebar.caption)


def test_the_claimed_name_counts_without_login() -> None:
    """The claimed name counts if it is valid, even if another operator is chosen now."""
    assert ask(claimed="Bo") == ["dana", "Bo"]
    for claimed in (None, "", 7, ["Bo"], "x" * 61, "\ud800"):
        assert ask(claimed=claimed) == ["dana", "dana"]


# With login


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "ann@portal.example", "name": "Ann", "sub": "1"}, "ann@portal.example"),
        ({"email": "boss@portal.example", "email_verified": False, "name": "Eve", "sub": "2"}, "Eve (2)"),
        ({"email": "boss@portal.example", "email_verified": "false", "name": "Eve", "sub": "2"}, "Eve (2)"),
        ({"name": "Ann", "sub": "1"}, "Ann (1)"),
        ({"sub": "auth|1"}, "auth|1"),
        ({"name": "Ann\n\x1b", "sub": "1"}, "Ann (1)"),
    ],
)
def test_the_identity_cannot_belong_to_someone_else(claims: dict[str, Any], name: str) -> None:
    """A verified email address, or the name with the provider's subject, but never the claimed name."""
    assert ask({"is_logged_in": True} | claims, claimed="Bo") == [name, name]


def test_an_identity_without_anything_is_refused() -> None:
    """Labels must have an operator."""
    (sentence,) = ask({"is_logged_in": True, "name": "Ann"})

    assert sentence.startswith("The login provider sent neither")


@pytest.mark.parametrize("name", PAGES)
def test_no_page_shows_anything_before_the_login(home: Home, portal: Project, name: str) -> None:
    """Projects and operators stay hidden, also on a new server, where Streamlit first runs only the page's file."""
    app = AppTest.from_file(APP, default_timeout=30).switch_page(f"pages/{name}.py")
    app.user = {"is_logged_in": False}
    app.secrets["auth"] = {"client_id": "slotlab"}
    app.query_params["project"] = portal.name
    app.run()

    assert not app.exception
    assert [button.label for button in app.button] == ["Log in"]
    assert not app.selectbox
    assert not app.metric
    assert not app.dataframe
    assert [widget.key for widget in app.get("bidi_component")] == ["cookie slotlab_address"]
    assert portal.name not in " ".join(element.value for element in [*app.markdown, *app.title, *app.caption])


def test_secrets_that_cannot_be_read_open_nothing(
    open_page: OpenPage, portal: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A syntax error in the secrets must not disable the login."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("[auth\nredirect_uri")
    get_option = config.get_option
    monkeypatch.setattr(
        config, "get_option", lambda name: [str(secrets)] if name == "secrets.files" else get_option(name)
    )
    monkeypatch.setattr(st, "get_option", config.get_option)
    monkeypatch.setattr(st, "secrets", Secrets())

    app = open_page("samples", project=portal.name)

    assert app.error[0].value.endswith("cannot be read, so login does not work\\. Fix the file\\.")
    assert not app.dataframe


def test_a_logged_in_operator_is_shown_and_cannot_choose(home: Home, portal: Project) -> None:
    """The sidebar shows the identity and Log out instead of the box."""
    app = AppTest.from_file(APP, default_timeout=30)
    app.user = ANN
    app.run()

    assert not app.exception
    assert [text.value for text in app.sidebar.text] == ["ann@portal.example"]
    assert "Log out" in [button.label for button in app.sidebar.button]
    assert "Operator" not in [box.label for box in app.sidebar.selectbox]
