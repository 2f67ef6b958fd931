"""The address decides what a page shows: each widget of the visitor's place reads its value there and writes it back.

Streamlit's own way, bind="query-params", adds the values of the page being left to each link. A link to another project
would then name two projects. It also drops values that equal a default, such as the run in use.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components import state

LATE_SECONDS = 5.0
"""Time in which a widget may still send the address from before our last change."""
FRAME = (state.PROJECT, state.OPERATOR)
"""Keys of the widgets that are on every page."""
EVERYTHING = ("*",)
"""The names that a change of the project clears."""

Choices = Mapping[str, Any] | Collection[Any] | None
"""Text in the address -> value of the widget; or only the values, perhaps a range; or None if any text will do."""


class _Numbers(Mapping[str, int]):
    """The numbers of a range by their text. A range may be too long for a dictionary."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __getitem__(self, text: str) -> int:
        if text.isdecimal() and len(text) < 20 and (number := int(text)) in self._numbers:
            return number
        raise KeyError(text)

    def __iter__(self) -> Iterator[str]:
        return map(str, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


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
    held: set[str] = field(default_factory=set)
    """Keys of the widgets whose value the browser has sent since they appeared."""
    say: Callable[[str], object] | None = None
    """Shows a sentence on top of the page; None while only a fragment runs."""


def arrive(page: str, say: Callable[[str], object]) -> None:
    """Take over the browser's address, unless it is from before our last change. Call before all widgets.

    The browser may send a widget's value before it knows that change. A link may lead to that same address, but then
    the browser sends no values of the page.
    """
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    place: _Place | None = st.session_state.get(state.PLACE)
    context = get_script_run_ctx()
    is_history = context is not None and context.is_history_navigation  # the browser's Back or Forward
    in_browser = address
    if place and place.page == page and not is_history:
        is_recent = time.monotonic() - place.changed_at < LATE_SECONDS
        is_late = address == place.before and is_recent and _has_values_of_page()
        if address == place.written or is_late:
            place.say = say
            return
        in_browser = place.written  # Streamlit follows a link to the same page, but leaves the browser's address
    names = {name: values[-1] for name, values in address.items() if values and values[-1]}
    st.session_state[state.PLACE] = _Place(page, names, in_browser, say=say)


def _has_values_of_page() -> bool:
    """Return whether the browser sent values of the page's own widgets with this script run."""
    return any(not each.endswith(tuple(f"-{key}" for key in FRAME)) for each in _sent())


def _sent() -> list[str]:
    """Return the ids of the widgets whose values the browser sent with this script run. They end with the key."""
    context = get_script_run_ctx()
    return [each.id for each in context.session_state.get_widget_states()] if context is not None else []


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


def refuse(sentence: str) -> None:
    """Say on top of the page what is wrong with the address. A fragment says nothing: its page has said it."""
    if say := _place().say:
        say(sentence)


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
    elif asked:
        refuse(refusal.format(name=name, asked=asked))
    if not _is_held(place, key) or st.session_state[key] != value:
        st.session_state[key] = value
    return {"key": key, "on_change": _change, "args": (name, key, texts, default, clears)}


def _is_held(place: _Place, key: str) -> bool:
    """Return whether the browser has the widget. Until then each script run must name the value.

    Streamlit sends it only with the run that sets it. If another run begins before the browser draws the first, it
    draws the widget with its default. The next click would send that default as if it were chosen.
    """
    if key not in st.session_state:
        place.held.discard(key)
    elif key not in place.held and any(each.endswith(f"-{key}") for each in _sent()):
        place.held.add(key)
    return key in place.held


def _change(name: str, key: str, texts: Mapping[str, Any] | None, default: Any, clears: Collection[str]) -> None:
    """Callback: put the widget's value into the address."""
    value = st.session_state[key]
    if value == default:
        value = None
    elif texts is not None and not isinstance(texts, _Numbers):
        value = next((text for text, each in texts.items() if each == value), None)
    go(clears=clears, **{name: None if value in (None, "") else value})


def _texts(choices: Choices, default: Any) -> Mapping[str, Any] | None:
    if isinstance(default, bool):
        return {"true": True, "false": False}
    if choices is None or isinstance(choices, Mapping):
        return choices
    if isinstance(choices, range):
        return _Numbers(choices)
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
