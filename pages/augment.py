"""One training image beside random variants of it, exactly as a run would draw them."""

import json
import random
from typing import Any

import streamlit as st

from core.augment import DEFAULT_AUGMENT, TRANSFORMS, Param, Settings, TransformInfo, check_augment
from core.images import decode, encode_png
from db.samples import count_samples, image_bytes, select_samples
from pages.components import layout
from pages.components.resources import training_frame

page = layout.open_page("augment")
project = page.project
handed_over: dict[str, Settings] = st.session_state.setdefault("augment", {})


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
        return {"p": p} | {param.key: ask_param(info, param) for param in info.params}


def ask_param(info: TransformInfo, param: Param) -> Any:
    kind = int if param.is_whole else float
    value = st.slider(
        f"{param.title}, {param.unit}" if param.unit else param.title,
        kind(param.low),
        kind(param.high),
        step=kind(param.step),
        key=f"{info.key} {param.key}",
        persist_state="session",
    )
    # The browser counts in binary steps: 0.15 may come back as 0.15000000000000002, beyond the bound.
    return [round(end, 6) for end in value] if param.is_range else round(value, 6)


def another_sample() -> None:
    st.session_state["pick"] = st.session_state.get("pick", 0) + 1


def hand_over(settings: Settings) -> None:
    handed_over[project.name] = settings
    st.toast("The Train page will use these settings.", icon=":material/check:")


@st.fragment
def augment() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Sample", key="search", live="300ms", placeholder="Label, name or hash", width=200).strip()
        st.button("Another", icon=":material/casino:", on_click=another_sample, help="Another training image.")
        n = st.number_input("Variants", 1, 60, 14, key="n", persist_state="session", width=110)
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="seed", persist_state="session", width=110, help="Same seed, same variants."
        )
    view = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Reset to default", icon=":material/restart_alt:", on_click=put, args=(DEFAULT_AUGMENT,))
        st.button("All off", icon=":material/toggle_off:", on_click=put, args=({},))
        actions = st.container(horizontal=True, vertical_alignment="center")
    with st.container(height=420, border=False):
        grid = st.grid("auto", min_column_width=230, row_height=30, gap="xsmall", dense=True)
        asked = {info.key: ask(grid, info) for info in TRANSFORMS}

    with layout.errors():
        settings = check_augment({key: values for key, values in asked.items() if values})
        with view:
            show_variants(text, settings, int(n), int(seed))
    with actions:
        st.button(
            "Use in the next run", type="primary", icon=":material/arrow_forward:", on_click=hand_over, args=(settings,)
        )
        with st.popover("As JSON", icon=":material/data_object:"):
            st.code(json.dumps(settings, indent=1), language="json")
        if handed_over.get(project.name) == settings:
            st.page_link("pages/train.py", label="Train with them", query_params={"project": project.name})


def show_variants(text: str, settings: Settings, n: int, seed: int) -> None:
    # Training images only: looking is the first step of choosing, and val and test are to stay unseen by it.
    with layout.database() as db:
        matches = count_samples(db, project.id, split="train", text=text)
        if not matches:
            st.info("No training image matches." if text else "This project has no training images yet.")
            return
        place = random.Random(st.session_state.get("pick", 0)).randrange(matches)
        sample = select_samples(db, project.id, split="train", text=text, limit=1, offset=place)[0]
        data = image_bytes(db, [sample.id])[sample.id]
        frame, origin = training_frame(layout.home(), db, project)
    with st.spinner("Loading the transforms", show_time=False):
        from core.transforms import variants  # 2 s at the first time; nothing else on the page needs it

    seen = frame.apply(decode(data))
    height, width = frame.size
    name = sample.label or sample.name
    with st.grid("auto", min_column_width=150, gap="xsmall"):
        st.image(encode_png(seen), caption="original", width="stretch", alt=f"{name} as the model sees it, unchanged")
        for number, variant in enumerate(variants(seen, settings, n, seed), 1):
            st.image(encode_png(variant), caption=str(number), width="stretch", alt=f"{name}, variant {number}")
    st.caption(f"{layout.plain(name)} at {width} x {height} pixels, {origin}. A run draws new variants in each epoch.")


if TRANSFORMS[0].key not in st.session_state:
    put(handed_over.get(project.name, DEFAULT_AUGMENT))
augment()
