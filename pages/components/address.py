"""The address decides what a page shows: each widget of the visitor's place reads its value there and writes it back.

Streamlit's own way, bind="query-params", adds the values of the page being left to each link. A link to another project
would then name two projects. It also drops values that equal a default, such as the run in use.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components import state

LATE_SECONDS = 5.0
"""Time in which the browser may still send the address from before our last change."""
EVERYTHING = ("*",)
"""The names that a change of the project clears."""

Choices = Mapping[str, Any] | Collection[Any] | None
"""Text in the address -> value of the widget; or only the values; or None if any text will do."""


@dataclass
class _Place:
    """The visitor's place. Each session has one."""

    page: str
    names: dict[str, str]
    """Names and values of the address. A script run writes them at its end."""
    written: dict[str, list[str]]
    """The address in the browser, as far as we know."""
    before: dict[str, list[str]] = field(default_factory=dict)
    """The address before our last change."""
    changed_at: float = 0.0
    say: Callable[[str], object] | None = None
    """Shows a sentence on top of the page; None while only a fragment runs."""


def arrive(page: str, say: Callable[[str], object]) -> None:
    """Take over the browser's address, unless it is from before our last change. Call before all widgets."""
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    place: _Place | None = st.session_state.get(state.PLACE)
    context = get_script_run_ctx()
    is_history = context is not None and context.is_history_navigation  # the browser's Back or Forward
    if place and place.page == page and not is_history:
        is_late = address == place.before and time.monotonic() - place.changed_at < LATE_SECONDS
        if address == place.written or is_late:
            place.say = say
            return
    names = {name: values[-1] for name, values in address.items() if values and values[-1]}
    st.session_state[state.PLACE] = _Place(page, names, address, say=say)


def leave() -> None:
    """Write the address at the end of a script run. Each writing is an entry in the browser's history."""
    place: _Place | None = st.session_state.get(state.PLACE)
    if place:  # an error before the sidebar leaves none
        place.say = None
        _write(place)


def get(name: str) -> str:
    """Return what the address says about a name; empty if nothing."""
    return _place().names.get(name, "")


def complete(name: str, text: str) -> None:
    """Add or correct what the address says, before the widget is drawn."""
    _place().names[name] = text


def forget(name: str) -> None:
    """Remove a name, before the widget is drawn."""
    _place().names.pop(name, None)


def go(*, clears: Collection[str] = (), **values: Any) -> None:
    """Change the place in a callback. None removes a name, and `clears` further ones.

    The script run that follows writes the address, complete with what a page adds. That of a fragment would not.
    """
    place = _place()
    place.names = {name: text for name, text in place.names.items() if clears != EVERYTHING and name not in clears}
    for name, value in values.items():
        place.names.pop(name, None)
        if value is not None:
            place.names[name] = _text(value)
    context = get_script_run_ctx()
    if context is not None and context.fragment_ids_this_run:
        _write(place)


def widget(
    name: str,
    choices: Choices,
    default: Any,
    *,
    key: str = "",
    refusal: str = "There is no {name} {asked!r} here.",
    clears: Collection[str] = (),
) -> dict[str, Any]:
    """Return the keywords of a widget whose value is in the address, unless it equals `default`.

    `key`: the widget's key, if it is not `name`. `refusal` is said on top of the page about a value that is not among
    the choices. `clears`: names that a change of this one removes.
    """
    place, key = _place(), key or name
    asked, texts = place.names.get(name, ""), _texts(choices, default)
    value = default
    if asked and texts is None:
        value = asked
    elif asked and texts is not None and asked in texts:
        value = texts[asked]
    elif asked and place.say:
        place.say(refusal.format(name=name, asked=asked))
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return {"key": key, "on_change": _change, "args": (name, key, texts, default, clears)}


def _change(name: str, key: str, texts: Mapping[str, Any] | None, default: Any, clears: Collection[str]) -> None:
    """Callback: put the widget's value into the address."""
    value = st.session_state[key]
    if value == default:
        value = None
    elif texts is not None:
        value = next((text for text, each in texts.items() if each == value), None)
    go(clears=clears, **{name: value or None})


def _texts(choices: Choices, default: Any) -> Mapping[str, Any] | None:
    if isinstance(default, bool):
        return {"true": True, "false": False}
    if choices is None or isinstance(choices, Mapping):
        return choices
    return {_text(value): value for value in choices}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place() -> _Place:
    place: _Place = st.session_state[state.PLACE]
    return place


def _write(place: _Place) -> None:
    address = {name: [text] for name, text in place.names.items()}
    if address != place.written or address != {name: st.query_params.get_all(name) for name in st.query_params}:
        place.before, place.written, place.changed_at = place.written, address, time.monotonic()
        st.query_params.from_dict(place.names)
