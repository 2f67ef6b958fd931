"""One training image beside random variants of it, exactly as a run would draw them, and the recipes that say how."""

import json
import random
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import SlotlabError
from core.images.augment import TRANSFORMS, Param, Settings, TransformInfo, check_augment
from core.images.pixels import Pixels, encode_png
from core.runs import recipes
from core.runs.recipes import recipe_differences
from db.recipes import list_recipes
from db.records import Sample
from db.samples import count_samples, select_samples
from pages.components import layout
from pages.components.augment.costs import show_costs
from pages.components.augment.network_input import Network, framed_images, network
from pages.components.augment.readability import show_readability
from pages.components.augment.recipes import hand_over, is_handed_over, next_settings

page = layout.open_page("augment")
project = page.project
RECIPE, COMPARED = f"augment recipe of {project.name}", f"augment compared of {project.name}"
"""Keys of boxes whose choices belong to one project."""


def put(settings: Settings) -> None:
    """Set every switch and slider."""
    for info in TRANSFORMS:
        values = settings.get(info.key)
        st.session_state[info.key] = values is not None
        for name, value in (values or switched_on(info)).items():
            st.session_state[f"{info.key} {name}"] = tuple(value) if isinstance(value, list) else value


def switched_on(info: TransformInfo) -> dict[str, Any]:
    return info.defaults() | {"p": info.p or 0.5}


def ask(grid: Any, info: TransformInfo) -> dict[str, Any] | None:
    """Settings of one transform, None while its switch is off."""
    # The grid's rows are 30 pixels and 8 between; a card takes as many as its sliders need, and others fill the gaps.
    rows = 2 * len(info.params) + 4 if st.session_state[info.key] else 2
    with grid.cell(row_span=rows).container(border=True, gap="xsmall", height="stretch"):
        if not st.toggle(info.title, key=info.key, help=info.help, persist_state="session"):
            return None
        p = st.slider("Share of images", 0.0, 1.0, step=0.05, key=f"{info.key} p", persist_state="session")
        return {"p": rounded(p)} | {param.key: ask_param(info, param) for param in info.params}


def ask_param(info: TransformInfo, param: Param) -> Any:
    kind = int if param.is_whole else float
    # A pair where the session's state holds one; Streamlit's types do not look there.
    value: Any = st.slider(
        f"{param.title}, {param.unit}" if param.unit else param.title,
        kind(param.low),
        kind(param.high),
        step=kind(param.step),
        key=f"{info.key} {param.key}",
        persist_state="session",
    )
    return [rounded(end) for end in value] if param.is_range else rounded(value)


def rounded(value: Any) -> Any:
    """The browser counts in binary steps: 0.15 may come back as 0.15000000000000002, beyond the bound."""
    return round(value, 6)


# Recipes


def settings_of(title: str) -> Settings:
    with layout.database() as db:
        return recipes.find(db, project, title)[1]


def load() -> None:
    """Callback: the sliders take the settings of the chosen recipe, and Save as its name."""
    title: str = st.session_state[RECIPE]
    try:
        put(settings_of(title))
        name_for_saving(title)
    except SlotlabError as error:
        refuse(error)


def name_for_saving(title: str) -> None:
    st.session_state["recipe name"] = "" if title in recipes.BUILT_IN else title.partition("@")[0]


def left_at() -> dict[str, tuple[tuple[str | None, Settings], Settings]]:
    """What the next run was to use when this page was left, and the settings it was left at, by project."""
    left: dict[str, tuple[tuple[str | None, Settings], Settings]] = st.session_state.setdefault("augment left at", {})
    return left


def open_settings() -> None:
    """What the next run will use; where nothing else was chosen for it meanwhile, what this page was left at."""
    upcoming = next_settings(project)
    then, settings = left_at().get(project.name, (None, {}))
    if then != upcoming:
        title, settings = upcoming
        with layout.database() as db:
            st.session_state[RECIPE] = title or recipes.default_title(db, project)
        name_for_saving(st.session_state[RECIPE])
        put(settings)
    elif st.session_state.get("augment of") != project.name:  # the sliders are those of another project
        put(settings)
    st.session_state["augment of"] = project.name


def refuse(error: SlotlabError) -> None:
    st.session_state["augment refusal"] = str(error)


def save(settings: Settings) -> None:
    """Callback of Save: the name and note are read here, for a click may come right after the last key."""
    try:
        with layout.database() as db:
            before = {recipe.id for recipe in list_recipes(db, project.id)}
            saved = recipes.save(
                db, project, st.session_state["recipe name"], settings, operator=page.operator,
                note=st.session_state["recipe note"],
            )  # fmt: skip
    except SlotlabError as error:
        refuse(error)
        return
    st.session_state[RECIPE] = recipes.title(saved)
    st.session_state["recipe note"] = ""
    fresh = saved.id not in before
    title = layout.plain(recipes.title(saved))
    st.toast(f"Saved as {title}." if fresh else f"{title} is the same already.")


def make_default() -> None:
    try:
        with layout.database() as db:
            title = recipes.set_default(db, project, st.session_state[RECIPE], operator=page.operator)
    except SlotlabError as error:
        refuse(error)
        return
    st.toast(layout.plain(f"New runs of {project.name} use {title}."), icon=":material/check:")


def use(settings: Settings, title: str | None) -> None:
    hand_over(project, settings, title)
    left_at()[project.name] = next_settings(project), settings
    st.toast("The Train page will use these settings.", icon=":material/check:")


def choose_recipe(known: list[str], default: str) -> Any:
    """The box of recipes, and the place beside it for what can be done with the settings."""
    if st.session_state.get(RECIPE) not in known:
        st.session_state[RECIPE] = default
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Recipe", known, key=RECIPE, on_change=load, width=240, persist_state="session",
            format_func=lambda title: f"{title} (this project's default)" if title == default else title,
            help="Settings under a name. Choosing one sets every switch and slider below.",
        )  # fmt: skip
        return st.container(horizontal=True, vertical_alignment="bottom", width="content")


def show_changes(base: Settings, settings: Settings, actions: Any, default: str) -> None:
    """What differs from the chosen recipe, and the buttons that go with it."""
    title: str = st.session_state[RECIPE]
    changed = recipe_differences(base, settings)
    with actions:
        with st.popover("Save as", icon=":material/save:"):
            st.text_input("Name", key="recipe name", max_chars=40, help="A name in use gets its next version.")
            st.text_input("Note", key="recipe note", max_chars=recipes.MAX_NOTE, placeholder="Why")
            st.button("Save", type="primary", on_click=save, args=(settings,))
        st.button(
            "Make default", icon=":material/star:", on_click=make_default, disabled=bool(changed) or title == default,
            help="New runs of this project use this version, unless they are told otherwise. Save changes first.",
        )  # fmt: skip
        st.button(
            "Use in the next run", type="primary", icon=":material/arrow_forward:", on_click=use,
            args=(settings, None if changed else title),
        )  # fmt: skip
        if is_handed_over(project, settings, None if changed else title):
            st.page_link("pages/train.py", label="Train with them", query_params={"project": project.name})
    if changed:
        told = "; ".join(str(difference) for difference in changed[:8])
        more = f"; and {len(changed) - 8} more" if len(changed) > 8 else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Changed from {layout.plain(title)}: {layout.plain(told)}{more}.", width="content")
            st.button("Undo changes", icon=":material/restart_alt:", on_click=put, args=(base,), type="tertiary")
    else:
        st.caption(f"Exactly {layout.plain(title)}.")


def show_history() -> None:
    """Every version, the last saved first, with what it changed."""
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


# Images


def another_sample() -> None:
    st.session_state["pick"] = st.session_state.get("pick", 0) + 1


def keep_sample(sha256: str) -> None:
    """Callback: the hash finds this image again, whatever is imported meanwhile."""
    st.session_state["search"] = sha256


def choose_sample(text: str) -> Sample | None:
    # Training images only: looking is the first step of choosing, and val and test are to stay unseen by it.
    with layout.database() as db:
        matches = count_samples(db, project.id, split="train", text=text)
        if not matches:
            st.info("No training image matches." if text else "This project has no training images yet.")
            return None
        place = random.Random(st.session_state.get("pick", 0)).randrange(matches)
        return select_samples(db, project.id, split="train", text=text, limit=1, offset=place)[0]


def show_variants(sample: Sample, compared: dict[str, Settings], n: int, seed: int) -> None:
    """The original, and variants under each of the compared settings; the same number is the same draw."""
    with layout.database() as db:
        seen = network(layout.home(), db, project)
        framed = framed_images(db, seen.frame, [sample])[0]
    with st.spinner("Loading the transforms", show_time=False):
        from core.images.transforms import variants  # a second at the first time; nothing else on the page needs it

    name = sample.label or sample.name
    for place, (column, (title, settings)) in enumerate(
        zip(st.columns(len(compared)), compared.items(), strict=True)
    ):  # fmt: skip
        with column:
            if len(compared) > 1:
                st.markdown(f"**{'AB'[place]}** · {layout.plain(title)}")
            with st.grid("auto", min_column_width=150, gap="xsmall"):
                show(seen, framed, "original", f"{name} as the model sees it, unchanged")
                for number, variant in enumerate(variants(framed, settings, n, seed), 1):
                    show(seen, variant, str(number), f"{name}, variant {number}")
    height, width = seen.frame.size
    st.caption(
        f"{layout.plain(name)} at {width} x {height} pixels, {seen.origin}. A run draws new variants each epoch."
    )
    st.caption(seen.in_words)


def show(seen: Network, drawn: Pixels, caption: str, told: str) -> None:
    """An image as it is drawn, and below it what the network gets, where that is not the same."""
    told += ", and below it normalised" if seen.ink else ""
    st.image(encode_png(seen.pair(drawn)), caption=caption, width="stretch", alt=told)


@st.fragment
def augment() -> None:
    with layout.errors():
        with layout.database() as db:
            known, default = recipes.titles(db, project), recipes.default_title(db, project)
        recipe_actions = choose_recipe(known, default)
        base = settings_of(st.session_state[RECIPE])
    if refusal := st.session_state.pop("augment refusal", None):
        st.error(layout.plain(refusal), icon=":material/error:")
    changes = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Sample", key="search", live="300ms", placeholder="Label, name or hash", width=170).strip()
        st.button("Another", icon=":material/casino:", on_click=another_sample, help="Another training image.")
        keep = st.container(width="content")
        n = st.number_input("Variants", 1, 60, 14, key="n", persist_state="session", width=100)
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="seed", persist_state="session", width=100, help="Same seed, same variants."
        )
        other = st.selectbox(
            "Compare with", known, None, key=COMPARED, placeholder="Nothing", width=150, persist_state="session",
            help="The same image under the same draws of another recipe, side by side.",
        )  # fmt: skip
    view = st.container()
    tabs = st.tabs(["Transforms", "Cost", "Readable", "History"], key="augment tab", bind="query-params")
    with tabs[0]:  # always drawn: its switches are the settings
        with st.container(height=420, border=False):
            grid = st.grid("auto", min_column_width=230, row_height=30, gap="xsmall", dense=True)
            asked = {info.key: ask(grid, info) for info in TRANSFORMS}
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("All off", icon=":material/toggle_off:", on_click=put, args=({},))
            as_json = st.popover("As JSON", icon=":material/data_object:")

    with layout.errors():
        settings = check_augment({key: values for key, values in asked.items() if values})
        left_at()[project.name] = next_settings(project), settings
        as_json.code(json.dumps(settings, indent=1), language="json")
        with changes:
            show_changes(base, settings, recipe_actions, default)
        with view:
            sample = choose_sample(text)
            if sample:
                keep.button(
                    "Keep", icon=":material/lock:", on_click=keep_sample, args=(sample.sha256,),
                    disabled=text == sample.sha256, help="Stay with this image, whatever is imported or pressed.",
                )  # fmt: skip
                compared = {"these settings": settings} | ({other: settings_of(other)} if other else {})
                show_variants(sample, compared, int(n), int(seed))
        if tabs[1].open:
            with tabs[1]:
                show_costs(project, settings)
        if tabs[2].open:
            with tabs[2]:
                show_readability(project, settings, int(seed))
        if tabs[3].open:
            with tabs[3]:
                show_history()


with layout.errors():
    open_settings()
augment()
