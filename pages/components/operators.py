"""The current operator: the logged-in identity if login is configured, otherwise a name remembered by the browser.

With `[auth]` in Streamlit's secrets, every page needs a login with an OpenID Connect provider, and operators cannot use
another name. Without it, people who share a server trust each other's names.
"""

import unicodedata
import urllib.parse
from pathlib import Path

import streamlit as st

from core import names
from core.errors import OptionError
from core.home import default_operator
from core.names import MAX_OPERATOR
from db.records import PORTAL
from pages.components import state

COOKIE = "slotlab_operator"


def current_operator() -> str:
    """Return the name under which labels are stored and jobs started."""
    return identity() if login_required() else chosen_name()


def name_of_event(claimed: object) -> str:
    """Return the name for an event that claims to be by `claimed`.

    Without login the claim counts, because the chosen name may have changed since. With login only the identity counts.
    """
    if not login_required() and isinstance(claimed, str):
        try:
            return check_name(claimed)
        except OptionError:
            pass
    return current_operator()


def check_name(text: str) -> str:
    """Normalize a name: NFC, single spaces. Raises OptionError if it is not a valid name."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part)
    names.check_name("operator name", name, MAX_OPERATOR)
    if name == PORTAL:
        raise OptionError(f"{PORTAL!r} stands for the portal in the history of images. Choose another name.")
    return name


# With login


def login_required() -> bool:
    """Return whether login is configured. Raises OptionError for unreadable secrets, which must not skip login."""
    if st.user.get("is_logged_in") is not None:
        return True
    for path in st.get_option("secrets.files"):
        if Path(path).exists():
            try:
                st.secrets.to_dict()
            except Exception as error:
                raise OptionError(
                    f"The secrets in {path} cannot be read, so login does not work. Fix the file."
                ) from error
    return False


def identity() -> str:
    """Return the email address, or name and subject if the provider says that the address is not verified."""
    user = st.user.to_dict()
    email, name, sub = (str(user.get(key) or "").strip() for key in ("email", "name", "sub"))
    # Some providers send the string "false" instead of the value, and some send nothing (see docs/operating.md).
    if email and str(user.get("email_verified", True)).lower() == "true":
        who = email
    elif name and sub:
        who = f"{name} ({sub})"  # names are not unique, and some providers let people choose them
    else:
        who = sub
    who = "".join(char for char in who if char.isprintable())
    if not who:
        raise OptionError("The login provider sent neither an email address nor a subject. Ask its administrator.")
    return who


# Without login


def chosen_name() -> str:
    """Return the name chosen in this session, else in an earlier one, else the user who started the server."""
    return st.session_state.get(state.OPERATOR_NAME) or remembered_name() or default_operator()


def remembered_name() -> str | None:
    """Return the name in this browser's cookie. A cookie, because people share addresses."""
    try:
        return check_name(urllib.parse.unquote(st.context.cookies.to_dict().get(COOKIE, "")))
    except OptionError:
        return None
