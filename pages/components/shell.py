"""The frame that app.py draws around a page: login if configured, and the sidebar with project and operator."""

import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAuthError

from core.backup import daily
from core.errors import OptionError, StorageError
from core.home import default_operator
from db import connection, damage
from db.labels import list_operators
from pages.components import layout, operators, state
from pages.components.widgets.cookie.server import set_cookie

_ADDRESS_COOKIE = "slotlab_address"
"""Address before the login, because the login always returns to the home page. Expires after ten minutes."""
_PAGES = Path(__file__).parents[1]


@contextmanager
def around_page() -> Iterator[None]:
    """Require the login, draw the sidebar, then run the page inside."""
    token = layout.ROUTED.set(True)
    try:
        with layout.errors():
            daily.serve(layout.home())
            _require_login()
            if address := _address_before_login():
                st.switch_page(address[0], query_params=address[1])
            with st.sidebar:
                unknown = _choose_project()
                _show_operator()
            if unknown:  # not in the sidebar, which a narrow window hides
                st.error(layout.plain(f"There is no project {unknown!r}."), icon=":material/error:")
            _show_damage()
            yield
    finally:
        layout.ROUTED.reset(token)


# Login


def _require_login() -> None:
    """If login is configured, show only the login until the user has logged in."""
    if not operators.login_required() or st.user.is_logged_in:
        return
    st.title("Slotlab", anchor=False)
    st.markdown("Log in to see the projects of this lab.")
    layout.show_refusal("login")
    for provider in _providers():
        label = "Log in" if provider is None else f"Log in with {provider}"
        st.button(label, type="primary", icon=":material/login:", on_click=_log_in, args=(provider,))
    set_cookie(_ADDRESS_COOKIE, None, seconds=600)
    st.stop()


def _providers() -> list[str | None]:
    """Return the sections of [auth] that are providers; None is the provider in [auth] itself."""
    auth = st.secrets.get("auth", {})
    named = [name for name, section in auth.items() if isinstance(section, Mapping) and "client_id" in section]
    return [*([None] if "client_id" in auth or not named else []), *named]


def _log_in(provider: str | None) -> None:
    with layout.refuses("login"):
        try:
            st.login(provider)
        except StreamlitAuthError as error:
            raise OptionError(f"Login is not configured correctly: {error}") from error


def _address_before_login() -> tuple[str, dict[str, str]] | None:
    """Return page and query from before the login, once, in the first run after it."""
    cookie = st.context.cookies.to_dict().get(_ADDRESS_COOKIE)
    if not cookie or "logged in before" in st.session_state or not operators.login_required():
        return None
    st.session_state["logged in before"] = True
    try:
        address = urllib.parse.urlsplit(urllib.parse.unquote(cookie))
    except ValueError:  # not our cookie
        return None
    page = address.path.rpartition("/")[2] or "home"
    if page not in {path.stem for path in _PAGES.glob("*.py")} or (page == "home" and not address.query):
        return None
    return f"pages/{page}.py", dict(urllib.parse.parse_qsl(address.query))


# Sidebar


def _choose_project() -> str | None:
    """Draw the box of projects. Return the name in the address if there is no such project."""
    names = layout.project_names()
    if not names:
        return None
    name = st.query_params.get(state.PROJECT)
    is_unknown = name is not None and name not in names
    if is_unknown:
        st.session_state[state.PROJECT] = None
    st.selectbox("Project", names, key=state.PROJECT, bind="query-params", placeholder="Choose a project")
    return name if is_unknown else None


def _show_operator() -> None:
    """Show the operator, and let the user log out or choose another name."""
    if not operators.login_required():
        _choose_operator()
        return
    st.text(operators.identity(), help="Saved with every label you give.")
    st.button("Log out", icon=":material/logout:", on_click=st.logout)
    if _ADDRESS_COOKIE in st.context.cookies:
        set_cookie(_ADDRESS_COOKIE, "", seconds=0)


def _choose_operator() -> None:
    name = operators.chosen_name()
    names = {name, default_operator()}
    if layout.home().db.exists():
        with suppress(StorageError), layout.database() as db:  # a damaged table of labels stops only the pages it is on
            names.update(list_operators(db))
    st.session_state[state.OPERATOR] = name
    st.selectbox(
        "Operator",
        sorted(names, key=str.casefold),
        key=state.OPERATOR,
        accept_new_options=True,
        on_change=_change_operator,
        placeholder="Type your name",
        help="Saved with every label you give. Choose your name or type a new one.",
    )
    has_error = layout.show_refusal("operator")
    if not has_error and operators.remembered_name() is None and state.OPERATOR_NAME not in st.session_state:
        st.caption("Labels are saved under this name. If it is not yours, choose or type your own.")
    set_cookie(operators.COOKIE, name, seconds=365 * 24 * 3600)


def _change_operator() -> None:
    """Callback: change the operator's name. An invalid name changes nothing."""
    with layout.refuses("operator"):
        st.session_state[state.OPERATOR_NAME] = operators.check_name(st.session_state[state.OPERATOR] or "")


# Damage


def _show_damage() -> None:
    """Say on every page that the database is damaged or lost. The first page also starts a check of the whole file."""
    path = layout.home().db
    if damage.has_jobs(path) and not path.exists():
        raise StorageError(damage.lost_sentence(path))
    _check_in_background(str(path))
    if found := damage.find(path):
        st.error(layout.plain(found.sentence), icon=":material/heart_broken:")


@st.cache_resource(show_spinner=False)
def _check_in_background(path: str) -> None:
    """Check the file once per server, because the images are too many for the check when it is opened."""

    def check() -> None:
        with suppress(StorageError, OSError):  # recorded if it is damage; else the page says so
            connection.check(Path(path))

    threading.Thread(target=check, daemon=True).start()
