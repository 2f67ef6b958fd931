"""The augmentation of the next run, chosen on Augment or Train and remembered for the browser session."""

from typing import Any

import streamlit as st

from core.images.augment_settings import Settings
from core.runs.recipes import BUILT_IN, default_title, find, titles
from db.records import Project
from pages.components import layout, state

OWN = "settings of the Augment page"
"""The choice of unnamed settings."""


def own_settings() -> dict[int, Settings]:
    """Return unnamed settings handed over by the Augment page, by project id."""
    handed_over: dict[int, Settings] = st.session_state.setdefault(state.OWN_SETTINGS, {})
    return handed_over


def chosen_recipes() -> dict[int, str]:
    """Return the recipes chosen for the next run, by project id; absent if unnamed settings or the default apply."""
    chosen: dict[int, str] = st.session_state.setdefault(state.CHOSEN_RECIPES, {})
    return chosen


def hand_over(project: Project, settings: Settings, title: str | None) -> None:
    """Let the next run use these settings: a recipe, or unnamed settings if `title` is None."""
    if title is None:
        own_settings()[project.id] = settings
        chosen_recipes().pop(project.id, None)
    else:
        chosen_recipes()[project.id] = title


def is_handed_over(project: Project, settings: Settings, title: str | None) -> bool:
    """Return whether these settings were explicitly chosen for the next run."""
    chosen = chosen_recipes().get(project.id)
    return chosen == title if title else chosen is None and own_settings().get(project.id) == settings


def next_augmentation(project: Project) -> dict[str, Any]:
    """Return `augment` or `recipe` for core.model.config.TrainConfig; empty if the project's default applies."""
    if chosen := chosen_recipes().get(project.id):
        return {"recipe": chosen}
    own = own_settings().get(project.id)
    return {} if own is None else {"augment": own}


def next_settings(project: Project) -> tuple[str | None, Settings]:
    """Return title (None if unnamed) and settings that the next run will use. Raises OptionError."""
    chosen, own = chosen_recipes().get(project.id), own_settings().get(project.id)
    if chosen is None and own is not None:
        return None, own
    with layout.database() as db:
        return find(db, project, chosen or default_title(db, project))


def ask_recipe(project: Project) -> None:
    """Draw the form's box for the augmentation of a new run, with a summary below."""
    own, key = own_settings().get(project.id), state.next_recipe(project)
    title, settings = next_settings(project)
    current = OWN if title is None else title
    with layout.database() as db:
        default, saved = default_title(db, project), titles(db, project)

    def choose() -> None:
        choice = st.session_state[key]
        chosen_recipes().pop(project.id, None)
        if choice != OWN:
            chosen_recipes()[project.id] = choice

    st.session_state[key] = current
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Augmentation", [*([OWN] if own is not None else []), *saved], key=key, on_change=choose, width=320,
            format_func=lambda title: f"{title} (project default)" if title == default else title,
            help="Named settings. The run records name and version.",
        )  # fmt: skip
        st.page_link(
            "pages/augment.py",
            label="Edit augmentation",
            icon=":material/tune:",
            query_params={"project": project.name},
        )
    names = ", ".join(settings) or "none"
    version = "" if current in (OWN, *BUILT_IN) else " Saved versions never change."
    st.caption(f"Augmentation: {layout.plain(current)}. Transforms: {layout.plain(names)}.{version}")
