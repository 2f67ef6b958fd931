"""Recipes on the Augment page: choose, save, use in the next run, history."""

import json
from typing import Any

import pandas as pd
import streamlit as st

from core.images.augment_settings import Settings
from core.runs import recipes
from core.runs.recipes import recipe_differences
from db.recipes import list_recipes
from db.records import Project
from pages.components import layout, state
from pages.components.augment.settings import put
from pages.components.layout import Page
from pages.components.next_recipe import hand_over, is_handed_over, next_settings


def open_settings(project: Project) -> None:
    """Load the settings of the next run, or the last settings of this page if the next run's have not changed."""
    upcoming = next_settings(project)
    then, settings = _last_settings().get(project.id, (None, {}))
    if then != upcoming:
        title, settings = upcoming
        with layout.database() as db:
            title = title or recipes.default_title(db, project)
        st.session_state[state.recipe_box(project)] = title
        _name_for_saving(title)
        put(settings)
    elif st.session_state.get("augment of") != project.id:  # the sliders still show another project
        put(settings)
    st.session_state["augment of"] = project.id


def remember_settings(project: Project, settings: Settings) -> None:
    """Remember the settings for the next visit of the page."""
    _last_settings()[project.id] = next_settings(project), settings


def _last_settings() -> dict[int, tuple[tuple[str | None, Settings], Settings]]:
    remembered: dict[int, tuple[tuple[str | None, Settings], Settings]]
    remembered = st.session_state.setdefault(state.LAST_SETTINGS, {})
    return remembered


def settings_of(project: Project, title: str) -> Settings:
    with layout.database() as db:
        return recipes.find(db, project, title)[1]


def choose_recipe(project: Project, titles: list[str], default: str) -> tuple[str, Any]:
    """Draw the box of recipes. Return the chosen title and the container beside it for its buttons."""
    box = state.recipe_box(project)
    if st.session_state.get(box) not in titles:
        st.session_state[box] = default
    # With the same key, the browser keeps the text of its choice. So another default makes another box.
    key = f"{box}, default {default}"
    st.session_state[key] = st.session_state[box]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.selectbox(
            "Recipe", titles, key=key, on_change=_load, args=(project, key), width=240,
            format_func=lambda title: f"{title} (project default)" if title == default else title,
            help="Named settings. Choosing a recipe sets all switches and sliders below.",
        )  # fmt: skip
        return title, st.container(horizontal=True, vertical_alignment="bottom", width="content")


def show_changes(
    page: Page, title: str, base: Settings, settings: Settings, actions: Any, *, is_default: bool
) -> None:  # fmt: skip
    """Draw the differences from the chosen recipe, whose settings are `base`, and the buttons inside `actions`."""
    differences = recipe_differences(base, settings)
    with actions:
        _show_actions(page, title, settings, changed=bool(differences), is_default=is_default)
    if differences:
        listed = "; ".join(str(difference) for difference in differences[:8])
        more = f"; and {len(differences) - 8} more" if len(differences) > 8 else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Changes to {layout.plain(title)}: {layout.plain(listed)}{more}.", width="content")
            st.button("Undo changes", icon=":material/restart_alt:", on_click=put, args=(base,), type="tertiary")
    else:
        st.caption(f"Same as the {layout.plain(title)} recipe.")


def _show_actions(page: Page, title: str, settings: Settings, *, changed: bool, is_default: bool) -> None:
    with st.popover("Save as", icon=":material/save:"):
        st.text_input("Name", key=state.RECIPE_NAME, max_chars=40, help="An existing name gets a new version.")
        st.text_input("Note", key=state.RECIPE_NOTE, max_chars=recipes.MAX_NOTE, placeholder="Reason for the change")
        st.button("Save", type="primary", on_click=_save, args=(page, settings))
    st.button(
        "Make default", icon=":material/star:", on_click=_make_default, args=(page,), disabled=changed or is_default,
        help="New runs of this project use this version by default. Save changes first.",
    )  # fmt: skip
    chosen = None if changed else title
    st.button(
        "Use for training", type="primary", icon=":material/arrow_forward:", on_click=_use,
        args=(page.project, settings, chosen),
    )  # fmt: skip
    if is_handed_over(page.project, settings, chosen):
        st.page_link("pages/train.py", label="Go to Train", query_params={"project": page.project.name})


# Callbacks. They read fields from the session state, because a click may come right after the last key.


def _load(project: Project, key: str) -> None:
    """Load the chosen recipe into the sliders, and its name into Save as."""
    with layout.refuses():
        title: str = st.session_state[key]
        st.session_state[state.recipe_box(project)] = title
        put(settings_of(project, title))
        _name_for_saving(title)


def _name_for_saving(title: str) -> None:
    st.session_state[state.RECIPE_NAME] = "" if title in recipes.BUILT_IN else title.partition("@")[0]


def _save(page: Page, settings: Settings) -> None:
    with layout.refuses():
        with layout.database() as db:
            before = {recipe.id for recipe in list_recipes(db, page.project.id)}
            saved = recipes.save(
                db, page.project, st.session_state[state.RECIPE_NAME], settings, operator=page.operator,
                note=st.session_state[state.RECIPE_NOTE],
            )  # fmt: skip
        st.session_state[state.recipe_box(page.project)] = recipes.title(saved)
        st.session_state[state.RECIPE_NOTE] = ""
        title = layout.plain(recipes.title(saved))
        st.toast(f"{title} already has these settings." if saved.id in before else f"Saved as {title}.")


def _make_default(page: Page) -> None:
    with layout.refuses():
        chosen = st.session_state[state.recipe_box(page.project)]
        with layout.database() as db:
            title = recipes.set_default(db, page.project, chosen, operator=page.operator)
        st.toast(
            layout.plain(f"{title} is now the default for new runs of {page.project.name}."), icon=":material/check:"
        )


def _use(project: Project, settings: Settings, title: str | None) -> None:
    hand_over(project, settings, title)
    remember_settings(project, settings)
    st.toast("The next run will use these settings.", icon=":material/check:")


# History


def show_history(project: Project) -> None:
    """Draw all versions with their changes, newest first."""
    with layout.database() as db:
        saved = list_recipes(db, project.id)
    if not saved:
        st.caption("No recipes yet. Save settings under a name to create one. Saving again adds a version.")
        return
    by_title = {recipes.title(recipe): json.loads(recipe.settings) for recipe in saved}
    rows = []
    for recipe in saved:
        before = by_title.get(f"{recipe.name}@{recipe.version - 1}", recipes.BUILT_IN[recipes.DEFAULT])
        changes = "; ".join(str(difference) for difference in recipe_differences(before, json.loads(recipe.settings)))
        rows.append(
            {
                "Recipe": recipes.title(recipe),
                "Saved": pd.to_datetime(recipe.created_at, utc=True),
                "Operator": recipe.operator,
                "Note": recipe.note,
                "Changes": changes or "none",
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "Saved": st.column_config.DatetimeColumn(format="distance", width=110),
            "Changes": st.column_config.TextColumn(
                width="large", help="Compared with the previous version. Version 1 is compared with Slotlab's default."
            ),
        },
        hide_index=True,
        alt="All versions of the recipes of this project, newest first",
    )
