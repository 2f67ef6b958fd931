"""Who acts: the identity that has logged in where the lab asks for it, else a name that this browser remembers.

With `[auth]` in Streamlit's secrets nobody sees or does anything before an OpenID Connect provider has said who it is,
and nobody acts under another's name. Without, a name is a matter of trust among people who share a server.
"""

import unicodedata
import urllib.parse
from pathlib import Path

import streamlit as st

from core.errors import OptionError
from core.home import default_operator
from pages.components import state

MAX_NAME = 60
COOKIE = "slotlab_operator"


def current_operator() -> str:
    """Under whose name labels are stored and jobs started."""
    return identity() if login_is_asked() else chosen_name()


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


def identity() -> str:
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


def chosen_name() -> str:
    """The name chosen in this session, else in an earlier one, else that of whoever started the server."""
    return st.session_state.get(state.OPERATOR_NAME) or remembered_name() or default_operator()


def remembered_name() -> str | None:
    """The name in this browser's cookie. It is not in the address: links are passed on to other people."""
    try:
        return check_name(urllib.parse.unquote(st.context.cookies.to_dict().get(COOKIE, "")))
    except OptionError:
        return None
