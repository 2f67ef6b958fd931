"""The recipes of a project on the Augment page: choose one, save changes, hand them to the next run, look back."""

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
    """Put what the next run will use; where nothing else was chosen for it meanwhile, what the page was left at."""
    upcoming = next_settings(project)
    then, settings = _left_at().get(project.name, (None, {}))
    if then != upcoming:
        title, settings = upcoming
        with layout.database() as db:
            title = title or recipes.default_title(db, project)
        st.session_state[state.recipe_box(project)] = title
        _name_for_saving(title)
        put(settings)
    elif st.session_state.get("augment of") != project.name:  # the sliders are those of another project
        put(settings)
    st.session_state["augment of"] = project.name


def keep_settings(project: Project, settings: Settings) -> None:
    """Remember what the page is left at."""
    _left_at()[project.name] = next_settings(project), settings


def _left_at() -> dict[str, tuple[tuple[str | None, Settings], Settings]]:
    left: dict[str, tuple[tuple[str | None, Settings], Settings]] = st.session_state.setdefault(state.LEFT_AT, {})
    return left


def settings_of(project: Project, title: str) -> Settings:
    with layout.database() as db:
        return recipes.find(db, project, title)[1]


def choose_recipe(project: Project, known: list[str], default: str) -> tuple[str, Any]:
    """Draw the box of recipes; return the chosen title, and the place beside it for what can be done with it."""
    box = state.recipe_box(project)
    if st.session_state.get(box) not in known:
        st.session_state[box] = default
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.selectbox(
            "Recipe", known, key=box, on_change=_load, args=(project,), width=240, persist_state="session",
            format_func=lambda title: f"{title} (this project's default)" if title == default else title,
            help="Settings under a name. Choosing one sets every switch and slider below.",
        )  # fmt: skip
        return title, st.container(horizontal=True, vertical_alignment="bottom", width="content")


def show_changes(
    page: Page, title: str, base: Settings, settings: Settings, actions: Any, *, is_default: bool
) -> None:  # fmt: skip
    """Draw what differs from the chosen recipe, which holds `base`, and at `actions` the buttons."""
    changed = recipe_differences(base, settings)
    with actions:
        _show_actions(page, title, settings, changed=bool(changed), is_default=is_default)
    if changed:
        listed = "; ".join(str(difference) for difference in changed[:8])
        more = f"; and {len(changed) - 8} more" if len(changed) > 8 else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Changed from {layout.plain(title)}: {layout.plain(listed)}{more}.", width="content")
            st.button("Undo changes", icon=":material/restart_alt:", on_click=put, args=(base,), type="tertiary")
    else:
        st.caption(f"Exactly {layout.plain(title)}.")


def _show_actions(page: Page, title: str, settings: Settings, *, changed: bool, is_default: bool) -> None:
    with st.popover("Save as", icon=":material/save:"):
        st.text_input("Name", key=state.RECIPE_NAME, max_chars=40, help="A name in use gets its next version.")
        st.text_input("Note", key=state.RECIPE_NOTE, max_chars=recipes.MAX_NOTE, placeholder="Why")
        st.button("Save", type="primary", on_click=_save, args=(page, settings))
    st.button(
        "Make default", icon=":material/star:", on_click=_make_default, args=(page,), disabled=changed or is_default,
        help="New runs of this project use this version, unless they are told otherwise. Save changes first.",
    )  # fmt: skip
    named = None if changed else title
    st.button(
        "Use in the next run", type="primary", icon=":material/arrow_forward:", on_click=_use,
        args=(page.project, settings, named),
    )  # fmt: skip
    if is_handed_over(page.project, settings, named):
        st.page_link("pages/train.py", label="Train with them", query_params={"project": page.project.name})


# Callbacks. What a click needs is read from the session's state where it may come right after the last key.


def _load(project: Project) -> None:
    """The sliders take the settings of the chosen recipe, and Save as its name."""
    with layout.refuses():
        title: str = st.session_state[state.recipe_box(project)]
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
        st.toast(f"{title} is the same already." if saved.id in before else f"Saved as {title}.")


def _make_default(page: Page) -> None:
    with layout.refuses():
        chosen = st.session_state[state.recipe_box(page.project)]
        with layout.database() as db:
            title = recipes.set_default(db, page.project, chosen, operator=page.operator)
        st.toast(layout.plain(f"New runs of {page.project.name} use {title}."), icon=":material/check:")


def _use(project: Project, settings: Settings, title: str | None) -> None:
    hand_over(project, settings, title)
    keep_settings(project, settings)
    st.toast("The Train page will use these settings.", icon=":material/check:")


# History


def show_history(project: Project) -> None:
    """Draw every version, the last saved first, with what it changed."""
    with layout.database() as db:
        saved = list_recipes(db, project.id)
    if not saved:
        st.caption("Nothing has been saved yet. A recipe is saved under a name, and each change is another version.")
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
                "By": recipe.operator,
                "Note": recipe.note,
                "Against the version before": changes or "nothing",
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "Saved": st.column_config.DatetimeColumn(format="distance", width=110),
            "Against the version before": st.column_config.TextColumn(
                width="large", help="The first version against Slotlab's default."
            ),
        },
        hide_index=True,
        alt="All versions of the recipes of this project, the last saved first",
    )
