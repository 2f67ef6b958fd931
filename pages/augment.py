"""Augment: a training image beside random variants of it, drawn as a run draws them, and the recipes of a project."""

import json

import streamlit as st

from core.images.augment_settings import check_augment
from core.runs import recipes
from pages.components import address, layout, state
from pages.components.augment.costs import show_costs
from pages.components.augment.readability import show_readability
from pages.components.augment.recipes import (
    choose_recipe,
    open_settings,
    remember_settings,
    settings_of,
    show_changes,
    show_history,
)
from pages.components.augment.settings import ask_settings, put
from pages.components.augment.variants import pick_another, pick_sample, pin, show_variants

page = layout.open_page("augment")
project = page.project
TABS = {title.lower(): title for title in ("Transforms", "Cost", "Readability", "History")}


# A fragment, so that moving a slider reruns only this function.
@st.fragment
def augment() -> None:
    with layout.errors():
        with layout.database() as db:
            titles, default = recipes.titles(db, project), recipes.default_title(db, project)
        title, actions = choose_recipe(project, titles, default)
        base = settings_of(project, title)
    layout.show_refusal()
    changes = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Image", live="300ms", placeholder="Label, file name or pixel hash", width=230,
            **address.widget(state.SEARCH, None, ""),
        ).strip()  # fmt: skip
        st.button("Shuffle", icon=":material/casino:", on_click=pick_another, help="Show another training image.")
        beside = st.container(width="content")
        n = int(
            st.number_input(
                "Variants", 1, 60, 14, width=100, **address.widget("variants", range(1, 61), 14, key="n")
            )
        )  # fmt: skip
        seed = int(
            st.number_input(
                "Seed", 0, 2**31 - 1, 0, width=100, help="The same seed draws the same variants.",
                **address.widget("seed", range(2**31), 0),
            )
        )  # fmt: skip
        other = st.selectbox(
            "Compare with", titles, None, key=f"augment compared of {project.name}", placeholder="Nothing", width=150,
            persist_state="session", help="Shows another recipe beside this one, with the same image and random draws.",
        )  # fmt: skip
    view = st.container()
    transforms, cost, readability, history = st.tabs(
        list(TABS.values()), **address.widget(state.SECTION, TABS, "Transforms")
    )
    with transforms:  # always drawn, because its switches hold the settings
        with st.container(height=420, border=False):
            transforms_on = ask_settings()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Turn all off", icon=":material/toggle_off:", on_click=put, args=({},))
            as_json = st.popover("Show JSON", icon=":material/data_object:")

    with layout.errors():
        settings = check_augment(transforms_on)
        remember_settings(project, settings)
        as_json.code(json.dumps(settings, indent=1), language="json")
        with changes:
            show_changes(page, title, base, settings, actions, is_default=title == default)
        with view:
            if sample := pick_sample(project, text):
                beside.button(
                    "Pin", icon=":material/lock:", on_click=pin, args=(sample.sha256,),
                    disabled=text == sample.sha256, help="Keep showing this image.",
                )  # fmt: skip
                compared = {"current settings": settings} | ({other: settings_of(project, other)} if other else {})
                show_variants(project, sample, compared, n, seed)
        if cost.open:
            with cost:
                show_costs(project, settings)
        if readability.open:
            with readability:
                show_readability(project, settings, seed)
        if history.open:
            with history:
                show_history(project)


with layout.errors():
    open_settings(project)
augment()
