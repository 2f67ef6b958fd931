"""Confusion matrices, one per position and one for all. A click on a cell shows its images in the gallery."""

import math
from typing import Any

import numpy as np
import streamlit as st

from core.evaluation.confusion import confusion, soft_confusion
from core.evaluation.percent import percent
from core.evaluation.reference import target_name
from core.runs.evaluated import Evaluated
from pages.components import address, state
from pages.components.widgets.gallery.server import Cell, chosen_cell, identity_of
from pages.components.widgets.messages import widget_files, widget_message

_KEY = "matrices"
# Not in a shadow root, so that browser tests and benchmarks find it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.matrices", **widget_files("matrices"), isolate_styles=False)
MIN_CONFUSION = 1e-3
"""Two characters count as confused from this mean probability of the wrong one."""


@st.fragment
def show_matrices(shown: Evaluated) -> None:
    """Draw the confusion matrices of an evaluation."""
    st.subheader("Confusion matrices", anchor=False)
    perfect = shown.result["correct"] == shown.result["n"]
    kinds, first = ["counts", "rates", "probability"], "probability" if perfect else "counts"
    kind = st.segmented_control(
        "Matrix", kinds, default=first, required=True, label_visibility="collapsed",
        **address.widget("matrix", kinds, first),
    )  # fmt: skip
    legend = {
        "counts": "Blue: right. Red: wrong.",
        "rates": "Share of each row. Blue: right. Red: wrong.",
        "probability": "Red: mean probability of a wrong character, which shows where errors are likely.",
    }[kind]
    target = target_name(shown.reference)
    click = " Click it to see its images below." if shown.reference == "people" else ""
    st.caption(
        f"Rows: characters of the {target}. Columns: characters read. {legend} Point at a cell to see its values in "
        f"every matrix.{click} Drag over cells to zoom."
    )
    view = identity_of(shown)

    def pick_cell() -> None:
        cell = widget_message(_KEY, "cell")
        if cell and cell["view"] == view:
            soft = kind == "probability"
            chosen = Cell(cell["position"], cell["true"], cell["read"], soft)
            st.session_state[state.CLICKS] = st.session_state.get(state.CLICKS, 0) + 1
            st.session_state[state.CLICKED] = st.session_state[state.CLICKS]
            address.go(clears=("show", "sort", "page"), **{state.CELL: chosen.name(shown.spec.charset)})
            st.rerun(scope="images")

    chosen = chosen_cell(shown)
    _WIDGET(
        key=_KEY,
        data={
            "view": view,
            "kind": kind,
            "target": target,
            "charset": shown.spec.charset,
            "chosen": {"position": chosen.position, "row": chosen.true, "column": chosen.read} if chosen else None,
            **(_probability_data(shown) if kind == "probability" else _count_data(shown, rates=kind == "rates")),
        },
        on_cell_change=pick_cell,
    )


def _count_data(shown: Evaluated, *, rates: bool) -> dict[str, Any]:
    """Return the matrices of counts or rates, in JSON types only: Streamlit silently converts others to strings."""
    counts = confusion(shown.reading)
    matrices = []
    for place, (counts_CC, support_C) in enumerate(zip(counts.counts_MCC, counts.support_MC, strict=True)):
        low_CC, high_CC = counts.low_MCC[place], counts.high_MCC[place]
        cells_CC = counts_CC / np.maximum(support_C, 1)[:, None]
        filled = np.flatnonzero(counts_CC).tolist()
        # All empty cells of a row have the same upper bound.
        zeros_C = np.nan_to_num(np.where(counts_CC == 0, high_CC, 0)).max(axis=1)
        matrices.append(
            {
                **_head(shown, place, int(np.trace(counts_CC)), int(support_C.sum())),
                "cells": (cells_CC.round(6) if rates else counts_CC).ravel().tolist(),
                "rows": support_C.tolist(),
                "shares": {
                    str(at): f"{_share(cells_CC.flat[at])} ({_share(low_CC.flat[at])} to {_share(high_CC.flat[at])})"
                    for at in filled
                },
                "bounds": [f"at most {_share(high)}" for high in zeros_C],
                "labels": {str(at): _in_cell(cells_CC.flat[at]) for at in filled} if rates else None,
            }
        )
    wrong_CC = counts.counts_MCC[-1] - np.diag(np.diag(counts.counts_MCC[-1]))
    return {"matrices": _all_first(matrices), "confused": np.flatnonzero(wrong_CC.sum(0) + wrong_CC.sum(1)).tolist()}


def _probability_data(shown: Evaluated) -> dict[str, Any]:
    """Return the matrices of mean probabilities, in JSON types only."""
    soft = shown.predictions.cached(("soft confusion", shown.tta), lambda: soft_confusion(shown.reading))
    mass_MCC = np.nan_to_num(soft.mass_MCC)
    right_P, n = shown.result["per_position_correct"], shown.result["n"]
    heads = [(right, n) for right in right_P] + [(sum(right_P), n * len(right_P))]
    matrices = [
        {
            **_head(shown, place, *heads[place]),
            "cells": [float(f"{value:.3g}") for value in mass_CC.ravel().tolist()],
            "shares": [_share(value, 2) for value in mass_CC.ravel().tolist()],
            "rows": support_C.tolist(),
            "margins": np.nan_to_num(margin_C).round(2).tolist(),
        }
        for place, (mass_CC, support_C, margin_C) in enumerate(
            zip(mass_MCC, soft.support_MC, soft.margin_MC, strict=True)
        )
    ]
    wrong_CC = (mass_MCC >= MIN_CONFUSION).any(axis=0) & ~np.eye(mass_MCC.shape[1], dtype=bool)
    return {"matrices": _all_first(matrices), "confused": np.flatnonzero(wrong_CC.any(0) | wrong_CC.any(1)).tolist()}


def _share(value: float, places: int = 1) -> str:
    """Return the percentage with at least `places` decimals, and enough to show its first nonzero digit."""
    return percent(value, places if value <= 0 else min(9, max(places, -math.floor(math.log10(100 * value)))))


def _in_cell(value: float) -> str:
    """Return the percentage without the percent sign, which does not fit into a cell."""
    return percent(value, 1 if value < 0.01 else 0).removesuffix("%")


def _head(shown: Evaluated, place: int, right: int, n: int) -> dict[str, Any]:
    positions = shown.reading.targets_NP.shape[1]
    return {"position": None if place == positions else place, "right": right, "n": n}


def _all_first(matrices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [matrices[-1], *matrices[:-1]]
