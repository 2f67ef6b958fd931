"""The switches and sliders of the Augment page: one card per transform."""

from typing import Any

import streamlit as st

from core.images.augment_settings import TRANSFORMS, Param, Settings, TransformInfo
from pages.components import state


def put(settings: Settings) -> None:
    """Set every switch and slider."""
    for info in TRANSFORMS:
        values = settings.get(info.key)
        st.session_state[state.transform_field(info.key)] = values is not None
        for name, value in (values or _switched_on(info)).items():
            st.session_state[state.transform_field(info.key, name)] = tuple(value) if isinstance(value, list) else value


def _switched_on(info: TransformInfo) -> dict[str, Any]:
    return info.defaults() | {"p": info.p or 0.5}


def ask_settings() -> dict[str, Any]:
    """Draw the cards and return the settings of the transforms that are on."""
    grid = st.grid("auto", min_column_width=230, row_height=30, gap="xsmall", dense=True)
    cards = {info.key: _ask(grid, info) for info in TRANSFORMS}
    return {key: values for key, values in cards.items() if values}


def _ask(grid: Any, info: TransformInfo) -> dict[str, Any] | None:
    # Grid rows are 30 pixels high with gaps of 8. A card spans as many rows as its sliders need; others fill the gaps.
    switch = state.transform_field(info.key)
    rows = 2 * len(info.params) + 4 if st.session_state[switch] else 2
    with grid.cell(row_span=rows).container(border=True, gap="xsmall", height="stretch"):
        if not st.toggle(info.title, key=switch, help=info.help, persist_state="session"):
            return None
        share = state.transform_field(info.key, "p")
        p = st.slider("Share of images", 0.0, 1.0, step=0.05, key=share, persist_state="session")
        return {"p": _rounded(p)} | {param.key: _ask_param(info, param) for param in info.params}


def _ask_param(info: TransformInfo, param: Param) -> Any:
    kind = int if param.is_whole else float
    # A pair if the session state holds a pair. Streamlit's type annotations do not cover that.
    value: Any = st.slider(
        f"{param.title}, {param.unit}" if param.unit else param.title, kind(param.low), kind(param.high),
        step=kind(param.step), key=state.transform_field(info.key, param.key), persist_state="session",
    )  # fmt: skip
    return [_rounded(end) for end in value] if param.is_range else _rounded(value)


def _rounded(value: Any) -> Any:
    """Round, because the browser may return 0.15 as 0.15000000000000002, which exceeds the bound."""
    return round(value, 6)
