"""Who acts: the identity that has logged in where the lab asks for it, else a name that this browser remembers.

With `[auth]` in Streamlit's secrets nobody sees or does anything before an OpenID Connect provider has said who it is,
and nobody acts under another's name. Without, a name is a matter of trust among people who share a server.
"""

import unicodedata
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAuthError

from core.errors import OptionError
from core.home import Home, default_operator
from db.connection import opened
from db.labels import list_operators

MAX_NAME = 60
_COOKIE = "slotlab_operator"
_ADDRESS_COOKIE = "slotlab_address"
"""Where a visitor wanted to go before the login, which leads back to the home page; kept for ten minutes."""
_PAGES = Path(__file__).parents[1]


def current_operator() -> str:
    """Under whose name labels are stored and jobs started."""
    return _identity() if login_is_asked() else _chosen()


def name_of_event(claimed: object) -> str:
    """Under whose name an event is stored that says it was typed by `claimed`.

    Without login that counts, because the name may have been changed since. With login only the identity does.
    """
    if not login_is_asked() and isinstance(claimed, str):
        try:
            return check_name(claimed)
        except OptionError:
            pass
    return current_operator()


def check_name(text: str) -> str:
    """The name as it is stored: one spelling of each letter, single blanks. Raises OptionError if it is none."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part)
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise OptionError(f"A name has 1 to {MAX_NAME} visible characters.")
    return name


# With login


def login_is_asked() -> bool:
    """Whether this lab has a provider. Raises OptionError where the secrets cannot be read: that must not open it."""
    if st.user.get("is_logged_in") is not None:
        return True
    for path in st.get_option("secrets.files"):
        if Path(path).exists():
            try:
                st.secrets.to_dict()
            except Exception as error:  # whatever is wrong with it
                raise OptionError(f"The secrets in {path} cannot be read, so nobody can log in.") from error
    return False


def demand_login() -> None:
    """Router's part: where the lab asks for it, show the login and nothing else until somebody has logged in."""
    if not login_is_asked() or st.user.is_logged_in:
        return
    st.title("Slotlab", anchor=False)
    st.markdown("Log in to see the projects of this lab.")
    if "login refused" in st.session_state:
        st.error(st.session_state.pop("login refused"), icon=":material/error:")
    for provider in _providers():
        label = "Log in" if provider is None else f"Log in with {provider}"
        st.button(label, type="primary", icon=":material/login:", on_click=_log_in, args=(provider,))
    address = f"{_ADDRESS_COOKIE}=' + encodeURIComponent(location.pathname + location.search) + '"
    _set_cookie(address, seconds=600)
    st.stop()


def address_before_login() -> tuple[str, dict[str, str]] | None:
    """Page and query that a visitor had asked for when the login came between; told at the first run after it."""
    kept = st.context.cookies.to_dict().get(_ADDRESS_COOKIE)
    if not kept or "logged in before" in st.session_state or not login_is_asked():
        return None
    st.session_state["logged in before"] = True
    try:
        address = urllib.parse.urlsplit(urllib.parse.unquote(kept))
    except ValueError:  # not a cookie of ours
        return None
    page = address.path.rpartition("/")[2] or "home"
    if page not in {path.stem for path in _PAGES.glob("*.py")} or (page == "home" and not address.query):
        return None
    return f"pages/{page}.py", dict(urllib.parse.parse_qsl(address.query))


def _providers() -> list[str | None]:
    """Names of the sections of [auth] that are providers; None is the one described by [auth] itself."""
    auth = st.secrets.get("auth", {})
    named = [name for name, section in auth.items() if isinstance(section, Mapping) and "client_id" in section]
    return [*([None] if "client_id" in auth or not named else []), *named]


def _log_in(provider: str | None) -> None:
    try:
        st.login(provider)
    except StreamlitAuthError as error:
        st.session_state["login refused"] = f"The login is not set up: {error}"


def _identity() -> str:
    """The e-mail address, unless the provider says that it is not verified; else what cannot be another's."""
    user = st.user.to_dict()
    email, name, sub = (str(user.get(key) or "").strip() for key in ("email", "name", "sub"))
    # Some providers send the word instead of the value, and some nothing: see the README about those.
    if email and str(user.get("email_verified", True)).lower() == "true":
        found = email
    elif name and sub:
        found = f"{name} ({sub})"  # two people may have one name, and some providers let them choose it
    else:
        found = sub
    found = "".join(char for char in found if char.isprintable())
    if not found:
        raise OptionError("The provider has not said who you are: it gave neither an e-mail address nor a subject.")
    return found


# Without login


def sidebar() -> None:
    """Who acts, and how to change that."""
    if login_is_asked():
        st.text(_identity(), help="Written beside every label you give.")
        st.button("Log out", icon=":material/logout:", on_click=st.logout)
        if _ADDRESS_COOKIE in st.context.cookies:
            _set_cookie(f"{_ADDRESS_COOKIE}=", seconds=0)
    else:
        _pick()


def _chosen() -> str:
    return st.session_state.get("operator name") or _kept() or default_operator()


def _kept() -> str | None:
    """The name in this browser's cookie. It is not in the address: links are passed on to other people."""
    try:
        return check_name(urllib.parse.unquote(st.context.cookies.to_dict().get(_COOKIE, "")))
    except OptionError:
        return None


def _pick() -> None:
    name = _chosen()
    names = {name, default_operator()}
    home = Home.from_env()
    if home.db.exists():
        with opened(home.db) as db:
            names.update(list_operators(db))
    st.session_state["operator"] = name
    st.selectbox(
        "Operator",
        sorted(names, key=str.casefold),
        key="operator",
        accept_new_options=True,
        on_change=_change,
        placeholder="Type your name",
        help="Written beside every label you give. Choose your name or type a new one.",
    )
    if "operator refused" in st.session_state:
        st.error(st.session_state.pop("operator refused"), icon=":material/error:")
    elif _kept() is None and "operator name" not in st.session_state:
        st.caption("Your labels are signed with this name. If it is not yours, choose or type your own.")
    _set_cookie(f"{_COOKIE}={urllib.parse.quote(name, safe='')}", seconds=365 * 24 * 3600)


def _change() -> None:
    """Callback; a name that cannot be one leaves the former."""
    try:
        st.session_state["operator name"] = check_name(st.session_state["operator"] or "")
    except OptionError as error:
        st.session_state["operator refused"] = str(error)


def _set_cookie(assignment: str, seconds: int) -> None:
    """`assignment` goes into a JavaScript string as it is."""
    st.html(
        f"<script>document.cookie = '{assignment}; path=/; max-age={seconds}; samesite=strict'</script>",
        unsafe_allow_javascript=True,
    )
