"""One training image beside random variants of it, exactly as a run would draw them, and the recipes that say how."""

import json

import streamlit as st

from core.images.augment_settings import check_augment
from core.runs import recipes
from pages.components import layout, state
from pages.components.augment.costs import show_costs
from pages.components.augment.readability import show_readability
from pages.components.augment.recipes import (
    choose_recipe,
    keep_settings,
    open_settings,
    settings_of,
    show_changes,
    show_history,
)
from pages.components.augment.settings import ask_settings, put
from pages.components.augment.variants import keep, pick_another, pick_sample, show_variants

page = layout.open_page("augment")
project = page.project


# A fragment: a moved slider reruns this and nothing else of the app.
@st.fragment
def augment() -> None:
    with layout.errors():
        with layout.database() as db:
            known, default = recipes.titles(db, project), recipes.default_title(db, project)
        title, actions = choose_recipe(project, known, default)
        base = settings_of(project, title)
    layout.show_refusal()
    changes = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Sample", key=state.SEARCH, live="300ms", placeholder="Label, name or hash", width=170
        ).strip()
        st.button("Another", icon=":material/casino:", on_click=pick_another, help="Another training image.")
        beside = st.container(width="content")
        n = int(st.number_input("Variants", 1, 60, 14, key="n", persist_state="session", width=100))
        seed = int(
            st.number_input(
                "Seed", 0, 2**31 - 1, 0, key="seed", persist_state="session", width=100,
                help="Same seed, same variants.",
            )
        )  # fmt: skip
        other = st.selectbox(
            "Compare with", known, None, key=f"augment compared of {project.name}", placeholder="Nothing", width=150,
            persist_state="session", help="The same image under the same draws of another recipe, side by side.",
        )  # fmt: skip
    view = st.container()
    transforms, cost, readable, history = st.tabs(
        ["Transforms", "Cost", "Readable", "History"], key="augment tab", bind="query-params"
    )
    with transforms:  # always drawn: its switches are the settings
        with st.container(height=420, border=False):
            asked = ask_settings()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("All off", icon=":material/toggle_off:", on_click=put, args=({},))
            as_json = st.popover("As JSON", icon=":material/data_object:")

    with layout.errors():
        settings = check_augment(asked)
        keep_settings(project, settings)
        as_json.code(json.dumps(settings, indent=1), language="json")
        with changes:
            show_changes(page, title, base, settings, actions, is_default=title == default)
        with view:
            if sample := pick_sample(project, text):
                beside.button(
                    "Keep", icon=":material/lock:", on_click=keep, args=(sample.sha256,),
                    disabled=text == sample.sha256, help="Stay with this image, whatever is imported or pressed.",
                )  # fmt: skip
                compared = {"these settings": settings} | ({other: settings_of(project, other)} if other else {})
                show_variants(project, sample, compared, n, seed)
        if cost.open:
            with cost:
                show_costs(project, settings)
        if readable.open:
            with readable:
                show_readability(project, settings, seed)
        if history.open:
            with history:
                show_history(project)


with layout.errors():
    open_settings(project)
augment()
