"""The frame that app.py draws around a page: login if configured, sidebar with project and operator, title."""

import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAuthError
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.backup import daily
from core.errors import OptionError, StorageError
from core.files import shortened
from core.home import default_operator
from db import connection, damage
from db.labels import list_operators
from pages.components import address, layout, operators, state
from pages.components.ends import announce_ends
from pages.components.widgets.cookie.server import set_cookie
from pages.components.widgets.help.server import show_help
from pages.components.widgets.sidebar.server import fold_sidebar
from pages.components.widgets.theme.server import keep_theme

_ADDRESS_COOKIE = "slotlab_address"
"""Address before the login, because the login always returns to the home page. Expires after ten minutes."""
_PAGES = Path(__file__).parents[1]
_STYLE, _DARK = (
    f"<style>{Path(__file__).with_name(name).read_text('utf-8')}</style><span hidden></span>"
    for name in ("page.css", "dark.css")
)
"""Styles of every page, and of the dark theme. Style alone would take the place of a toast of a callback."""
OF_RUNS = ("evaluate", "compare", "predict")
"""Pages that show a run with a model."""


def navigate(pages: Mapping[str, Sequence[StreamlitPage]]) -> tuple[StreamlitPage, str]:
    """Return the page of the address. If there is none, return Home and the name that the address has.

    Streamlit would open a dialog about files of the app.
    """
    context = get_script_run_ctx()
    unknown = ""
    if context and not context.pages_manager.intended_page_script_hash:
        asked = context.pages_manager.intended_page_name or ""
        if asked not in {page.url_path for group in pages.values() for page in group}:
            context.pages_manager.set_script_intent("", "")
            unknown = "" if asked == "home" else asked
    return st.navigation(pages, position="hidden"), unknown  # the links of the sidebar name the project


@contextmanager
def around_page(page: str, pages: Mapping[str, Sequence[StreamlitPage]], unknown: str) -> Iterator[None]:
    """Require the login, draw the sidebar, then run the page inside.

    `page`: name of the page. `pages`: the pages under each title of the sidebar. `unknown`: name in the address that
    no page has.
    """
    token = layout.ROUTED.set(True)
    try:
        with layout.errors(), layout.one_connection():
            daily.serve(layout.home())
            _require_login()
            if before := _address_before_login():
                st.switch_page(before[0], query_params=before[1])
            with _place(page, unknown):
                with st.sidebar:
                    links = st.container(gap="xsmall")
                    _choose_project()
                    _show_operator()
                    st.html(_STYLE)
                    if st.context.theme.type == "dark":
                        st.html(_DARK)
                _link_to(links, pages, page)
                _show_damage(page)
                _show_title(page or "home")
                layout.show_renamed()
                announce_ends()
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
        before = urllib.parse.urlsplit(urllib.parse.unquote(cookie))
    except ValueError:  # not our cookie
        return None
    page = before.path.rpartition("/")[2] or "home"
    if page not in {path.stem for path in _PAGES.glob("*.py")} or (page == "home" and not before.query):
        return None
    return f"pages/{page}.py", dict(urllib.parse.parse_qsl(before.query))


# Sidebar


@contextmanager
def _place(page: str, unknown: str) -> Iterator[None]:
    """Take over the address, and write it after the page."""
    notes = st.container()  # not in the sidebar, which a narrow window hides
    if unknown:
        sentence = f"There is no page {shortened(unknown)!r}. This is Home."
        notes.error(layout.plain(sentence), icon=":material/error:")
    address.arrive(page, lambda sentence: notes.error(layout.plain(sentence), icon=":material/error:"))
    yield
    address.leave()


def _link_to(place: DeltaGenerator, pages: Mapping[str, Sequence[StreamlitPage]], current: str) -> None:
    """Draw the links to all pages, for the current project and its run: that of the address, else the last one.

    Streamlit's own links have no query: in another tab they would open another project.
    """
    project = st.session_state.get(state.PROJECT)
    asked = address.get(state.RUN)
    # Train without a run is the form of a new one.
    last: str | None = None if current == "train" else st.session_state.get(state.RUNS_SHOWN, {}).get(project)
    run = asked if asked and Path(asked).name == asked and layout.home().run(asked).is_dir() else last
    folder = layout.home().run(run) if run else None
    exists = folder is not None and folder.is_dir()
    has_model = folder is not None and (folder / "checkpoints").is_dir()
    with place:
        for title, group in pages.items():
            if title:
                st.caption(title)
            for page in group:
                shows_run = has_model if page.url_path in OF_RUNS else exists and page.url_path == "train"
                query = ({state.PROJECT: project} if project else {}) | ({state.RUN: run} if shows_run else {})
                st.page_link(page, query_params=query)
        fold_sidebar()
        keep_theme(page.url_path for group in pages.values() for page in group)


def _choose_project() -> None:
    """Draw the box of projects. Without one in the address, it is the last one shown, else the oldest one."""
    if layout.home().db.exists():
        layout.follow_address()
    names = layout.project_names()
    if not names:
        return
    if not address.get(state.PROJECT):
        last = st.session_state.get(state.PROJECT)
        address.complete(state.PROJECT, last if last in names else names[0])
    keywords = address.widget(
        state.PROJECT, names, None, refusal="There is no project {asked!r}.", clears=address.EVERYTHING
    )
    st.selectbox("Project", names, placeholder="Choose a project", **keywords)


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


# Title


def _show_title(page: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(page.capitalize(), anchor=False, width="content")
        show_help(page)


# Damage


def _show_damage(page: str) -> None:
    """Say on every page that the database is damaged or lost. The first page also starts a check of the whole file."""
    path = layout.home().db
    if damage.has_jobs(path) and not path.exists():
        if page != "guide":  # it says how to restore one
            raise StorageError(damage.lost_sentence(path))
        st.error(layout.plain_sentence(damage.lost_sentence(path)), icon=":material/heart_broken:")
        return
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
