"""The filters of Samples. All are in the address, and a team can save them under a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.data.kinds import WORDS, is_mixed
from core.data.saved_filters import delete_filters, filters_of, save_filters
from core.data.selection import STATES
from core.names import MAX_TAG
from db.records import SPLITS, Project, Source
from db.samples import ORDERS
from db.saved_filters import list_filters
from pages.components import address, layout, state
from pages.components.tags import tag_filter

NAMES = (state.SEARCH, "state", "split", "sort", "source", "kind", state.TAG)
"""Names in the address that are filters or the order."""


@dataclass(frozen=True)
class Filters:
    """The filters of the list, and its order."""

    where: dict[str, Any]
    """Filters of db.samples."""
    order: str
    place: str
    """Text that stands for the list, whatever is in it now."""

    @property
    def choice(self) -> str:
        """Return the text that stands for what is selected. A filter of the address that has vanished changes it."""
        return f"{self.place} {self.where}"


def choose_filters(project: Project, operator: str, sources: Mapping[str, Source], kinds: Mapping[str, int]) -> Filters:
    """Draw the filters. `kinds` are the numbers of labels by kind."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Search", live="300ms", icon=":material/search:", width=230, placeholder="Label, file name or pixel hash",
            **_choice(state.SEARCH, None, ""),
        )  # fmt: skip
        state_filter = st.selectbox("State", list(STATES), width=150, **_choice("state", list(STATES), "all"))
        splits = ("all", *SPLITS)
        split = st.selectbox("Split", splits, width=95, **_choice("split", splits, "all"))
        order = st.selectbox("Sort by", list(ORDERS), width=115, **_choice("sort", list(ORDERS), next(iter(ORDERS))))
        source = kind = None
        if len(sources) > 1 or address.get("source"):
            source = st.selectbox(
                "Source", list(sources), index=None, width=165, placeholder="All sources",
                **_choice("source", list(sources), None),
            )  # fmt: skip
        if is_mixed(kinds) or address.get("kind"):
            kind = st.selectbox(
                "Kind", list(WORDS), index=None, format_func=WORDS.__getitem__, width=120, placeholder="All kinds",
                **_choice("kind", {word: kind for kind, word in WORDS.items()}, None),
            )  # fmt: skip
        tag = tag_filter(project, clears=(state.SAMPLES_PAGE,))
        _saved_filters(project, operator, _asked())
    where = {
        **STATES[state_filter],
        "split": None if split == "all" else split,
        "source_id": sources[source].id if source else None,
        "kind": kind,
        "tag_id": tag.id if tag else None,
        "text": search.strip(),
    }
    return Filters(where, order, place_of(project))


def place_of(project: Project) -> str:
    """Return the text that stands for the list that the address names."""
    return f"{project.id} {_asked()}"


def _asked() -> dict[str, str]:
    """Return the filters and the order that stand in the address."""
    return {name: text for name in NAMES if (text := address.get(name))}


def _choice(name: str, choices: address.Choices, default: str | None) -> dict[str, Any]:
    """Return the keywords of a filter. Another list starts at its first page."""
    return address.widget(name, choices, default, clears=(state.SAMPLES_PAGE,))


def _saved_filters(project: Project, operator: str, here: Mapping[str, str]) -> None:
    """Draw the box of saved filters, and the button that saves or deletes some. `here` are those of the address."""
    with layout.errors(), layout.database() as db:
        saved = {each.name: filters_of(each) for each in list_filters(db, project.id)}
    name = next((name for name, filters in saved.items() if filters == here), None)
    if saved:
        st.session_state[state.SAVED_FILTERS] = name
        st.selectbox(
            "Saved filters", list(saved), index=None, width=150, placeholder="None of them", key=state.SAVED_FILTERS,
            on_change=_pick, args=(saved,),
        )  # fmt: skip
    if name is None and not here:
        return
    with st.popover("Save filters" if name is None else "Saved", icon=":material/bookmark:"):
        if name is not None:
            st.markdown(f"These filters are saved as **{layout.plain(name)}**. Everyone in the project can pick them.")
            st.button("Delete filters", icon=":material/delete:", on_click=_delete, args=(project, name))
        else:
            st.text_input(
                "Name", max_chars=MAX_TAG, key=state.FILTERS_NAME, live="300ms", autocomplete="off",
                help="Saves search, filters and order. Everyone in the project can pick them.",
            )  # fmt: skip
            st.button(
                "Save", type="primary", on_click=_save, args=(project, operator, here),
                disabled=not st.session_state[state.FILTERS_NAME].strip(),
            )  # fmt: skip
        layout.show_refusal("filters")  # where the button is: the open popover covers the page


def _pick(saved: Mapping[str, Mapping[str, str]]) -> None:
    """Callback: go where the chosen filters lead; without any, to the whole list."""
    name = st.session_state[state.SAVED_FILTERS]
    address.go(clears=(*NAMES, state.SAMPLES_PAGE), **(saved[name] if name else {}))


def _save(project: Project, operator: str, filters: Mapping[str, str]) -> None:
    """Callback: save the filters of the page under the typed name."""
    with layout.refuses("filters"), layout.database() as db:
        save_filters(db, project, st.session_state[state.FILTERS_NAME], filters, operator=operator)
        st.session_state[state.FILTERS_NAME] = ""


def _delete(project: Project, name: str) -> None:
    """Callback: delete saved filters. The page keeps showing what they showed."""
    with layout.refuses("filters"), layout.database() as db:
        delete_filters(db, project, name)
