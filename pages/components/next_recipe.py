"""Which augmentation a new run gets: chosen on the Augment or the Train page, kept for the session of the browser."""

from typing import Any

import streamlit as st

from core.images.augment_settings import Settings
from core.runs.recipes import BUILT_IN, default_title, find, titles
from db.records import Project
from pages.components import layout, state

OWN = "as set on the Augment page"
"""The choice of settings that have no name."""


def own_settings() -> dict[str, Settings]:
    """Settings without a name that the Augment page handed over, by project."""
    handed_over: dict[str, Settings] = st.session_state.setdefault(state.OWN_SETTINGS, {})
    return handed_over


def chosen_recipes() -> dict[str, str]:
    """Titles of the recipes chosen for the next run, by project; none where its own settings or its default apply."""
    chosen: dict[str, str] = st.session_state.setdefault(state.CHOSEN_RECIPES, {})
    return chosen


def hand_over(project: Project, settings: Settings, title: str | None) -> None:
    """Let the next run use these settings: those of a recipe, or without a name."""
    if title is None:
        own_settings()[project.name] = settings
        chosen_recipes().pop(project.name, None)
    else:
        chosen_recipes()[project.name] = title


def is_handed_over(project: Project, settings: Settings, title: str | None) -> bool:
    """Whether the next run uses these because somebody said so."""
    chosen = chosen_recipes().get(project.name)
    return chosen == title if title else chosen is None and own_settings().get(project.name) == settings


def next_augmentation(project: Project) -> dict[str, Any]:
    """`augment` or `recipe` of core.model.config.TrainConfig, as chosen; empty where the project's default applies."""
    if chosen := chosen_recipes().get(project.name):
        return {"recipe": chosen}
    own = own_settings().get(project.name)
    return {} if own is None else {"augment": own}


def next_settings(project: Project) -> tuple[str | None, Settings]:
    """What the next run will use: a recipe's title and settings, or settings without a name. Raises OptionError."""
    chosen, own = chosen_recipes().get(project.name), own_settings().get(project.name)
    if chosen is None and own is not None:
        return None, own
    with layout.database() as db:
        return find(db, project, chosen or default_title(db, project))


def ask_recipe(project: Project) -> None:
    """The form's box for the augmentation of a new run, with what it does below."""
    own, key = own_settings().get(project.name), state.next_recipe(project)
    title, settings = next_settings(project)
    shown = OWN if title is None else title
    with layout.database() as db:
        default, known = default_title(db, project), titles(db, project)

    def choose() -> None:
        choice = st.session_state[key]
        chosen_recipes().pop(project.name, None)
        if choice != OWN:
            chosen_recipes()[project.name] = choice

    st.session_state[key] = shown
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Augmentation", [*([OWN] if own is not None else []), *known], key=key, on_change=choose, width=320,
            format_func=lambda title: f"{title} (this project's default)" if title == default else title,
            help="Settings saved under a name; the run records name and version.",
        )  # fmt: skip
        st.page_link(
            "pages/augment.py", label="See and change", icon=":material/tune:", query_params={"project": project.name}
        )
    names = ", ".join(settings) or "nothing"
    version = "" if shown in (OWN, *BUILT_IN) else " Saved versions never change."
    st.caption(f"Augmentation: {layout.plain(shown)}. Applied: {layout.plain(names)}.{version}")
