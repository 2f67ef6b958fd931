"""Images beside their label and what a run read: probabilities, where each position looked, and a field to mend it.

As with the labeling widget, what is entered is an event that the browser keeps until it is answered (gallery.js); each
message brings all that wait. The order of a list follows from the stored predictions alone: a mended image keeps its
place.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from core.data.labeling import apply_events
from core.data.reviewing import words
from core.errors import SlotlabError
from core.evaluation.evidence import Evidence
from core.evaluation.metrics import Ints
from core.evaluation.percent import at_least, percent
from core.evaluation.predictions import Reading
from core.evaluation.ranking import Order, agreeing_N, losses_N, narrowest_N, nearest, of_cell, ranked
from core.images.pixels import data_url, decode
from core.runs.evaluated import Evaluated
from db.records import Sample
from db.samples import find_sample, image_bytes
from pages.components import layout, resources, state
from pages.components.operators import current_operator
from pages.components.widgets.messages import (
    answer_data,
    apply_message,
    collect_errors,
    common_data,
    widget_files,
    widget_message,
)

PER_PAGE = 24
_KEY = "gallery"
# In the document, not in a shadow root, so that any driver finds it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.gallery", **widget_files("gallery"), isolate_styles=False)

FIRST: dict[str, str] = {"wrong": "confidence", "near misses": "margin", "least sure": "confidence"}
"""How a list is sorted unless asked otherwise."""
SORTS = {
    "confidence": "The probability of the whole answer.",
    "loss": "How improbable the label is, in nats over all positions.",
    "margin": "Lead of the true character over the next at the position where it is smallest, in nats.",
    "disagreement": "How many of the views read something else.",
    "closeness": "The probability of the cell's wrong character.",
}


@dataclass(frozen=True)
class Cell:
    """What was clicked in a matrix."""

    view: str
    """What the matrix was of, as `identity_of` names it."""
    position: int | None
    """None: any."""
    true: int
    read: int
    soft: bool
    """Whether it was asked for by its probability."""

    def is_close(self, reading: Reading) -> bool:
        """Whether it is about the images that come closest to it: it was asked for by probability, or holds none."""
        return self.soft or not len(of_cell(reading, self.position, self.true, self.read))


def identity_of(shown: Evaluated) -> str:
    """A name of what is shown: a click that comes late is told from one on this."""
    return f"{shown.run.job.id} {shown.split} {shown.tta}"


@st.fragment(key="images")
def show_images(shown: Evaluated) -> None:
    """The images of one cell of a matrix, or those that are wrong, nearly wrong, or least sure."""
    st.subheader("Images", anchor=False)
    n, correct = shown.result["n"], shown.result["correct"]
    cell: Cell | None = st.session_state.get(state.CELL)
    if cell and cell.view != identity_of(shown):
        cell = None  # of another run
    choices = ["wrong"] * (correct < n) + ["near misses"] * (correct > 0) + ["least sure", "one cell"]
    # Each click begins the choice anew: what a callback puts into it does not reach the browser with a rerun of one
    # fragment (Streamlit 1.67).
    key = f"show {identity_of(shown)} {st.session_state.get(state.CLICKS, 0)}"
    if st.session_state.get(key) not in choices:
        st.session_state.pop(key, None)  # of an evaluation with other errors
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Show", choices, default="one cell" if cell else choices[0], required=True, key=key,
            label_visibility="collapsed",
        )  # fmt: skip
        if kind != "one cell":
            cell = None
        elif cell is None:
            st.caption("Click a cell of a matrix.")
            return
        close = cell is not None and cell.is_close(shown.reading)
        first = "closeness" if close else FIRST.get(kind, "confidence")
        others = [order for order in get_args(Order) if order != first]
        sorts = [first, *(order for order in others if order != "disagreement" or len(shown.predictions.views) > 1)]
        sort = st.selectbox("Sort by", sorts, key=f"sort {kind} {first}", width=160, help=_explained(sorts))
    if correct == n:
        least = at_least(Evidence(n=n, wrong=0).at_least)
        st.success(
            f"All {n:,} are read right, which shows with 95% confidence that at least {least} are. Nothing is wrong "
            "yet: look at the near misses.",
            icon=":material/check_circle:",
        )
    places, note = _listed(shown, kind, cell, sort)
    st.caption(note)
    show_gallery(shown, places, f"{kind} {sort} {cell or ''}")


def _explained(sorts: Iterable[str]) -> str:
    return " ".join(f"{sort}: {SORTS[sort][0].lower()}{SORTS[sort][1:]}" for sort in sorts)


def _listed(shown: Evaluated, kind: str, cell: Cell | None, sort: str) -> tuple[Ints, str]:
    """Places of the images of a list in their order, and what they are."""
    reading, charset = shown.reading, shown.spec.charset
    n, right_N = shown.result["n"], reading.right_N
    if cell:
        true, read = layout.plain(charset[cell.true]), layout.plain(charset[cell.read])
        where = "at any position" if cell.position is None else f"at position {cell.position + 1}"
        close = cell.is_close(reading)
        places = (nearest if close else of_cell)(reading, cell.position, cell.true, cell.read)
        if close:
            none = "" if cell.soft else f"No {true} is read as {read} {where}. "
            end = f", those closest to {read} first" if sort == "closeness" else ""
            note = f"{none}{len(places):,} with {true} {where}{end}."
        else:
            note = f"{len(places):,} with {true} read as {read} {where}."
    elif kind == "wrong":
        places = np.flatnonzero(~right_N)
        sure = ", the surest first: among those are the wrong labels" if sort == "confidence" else ""
        note = f"{len(places):,} of {n:,} wrong{sure}."
    elif kind == "near misses":
        places = np.flatnonzero(right_N)
        order = "; those that came closest to an error stand first" if sort == "margin" else ""
        note = f"{len(places):,} read right{order}."
    else:
        places = np.arange(n)
        note = f"All {n:,}, right or wrong."
        if sort == "confidence":
            note = "Right or wrong, what the run was least sure of stands first. Label more like these."
    if sort == "closeness":
        return places, note
    by: Any = sort
    return ranked(places, reading, shown.predictions.log_probs_VNPC, by, surest_first=kind == "wrong"), note


def show_gallery(shown: Evaluated, places: Ints, name: str) -> None:
    """The images at these places of the evaluation, a page at a time; call it inside a fragment.

    `name` is that of the list; another list begins at its first page.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        probabilities = st.toggle(
            "Probabilities", key="probabilities", persist_state="session",
            help="The two best characters of each position.",
        )  # fmt: skip
        looked = st.toggle(
            "Where it looked", key="looked", persist_state="session",
            help="Each position in its color, over the image as it is, without other views. Point at a character to "
            "see where that one looked.",
        )  # fmt: skip
        pages = -(-len(places) // PER_PAGE)
        number = st.pagination(pages, key=f"page of {shown.run.job.id} {shown.split} {name}") if pages > 1 else 1
    places = places[(number - 1) * PER_PAGE : number * PER_PAGE]
    project = shown.project
    problems: list[str] = []
    reply: dict[str, Any] = st.session_state.pop(f"{_KEY} reply", {"answers": [], "problems": []})
    with layout.errors(), layout.database() as db:
        hashes = [shown.predictions.sha256[place] for place in places]
        samples = [find_sample(db, project.id, sha256) for sha256 in hashes]
        images = image_bytes(db, [sample.id for sample in samples if sample])
    looks = _looks(shown, [images[sample.id] for sample in samples if sample]) if looked else []
    tiles = _tiles(shown, places, samples, images, probabilities=probabilities)
    for tile, look in zip((tile for tile in tiles if not tile["gone"]), looks, strict=False):
        tile["look"] = look
    operator = ""
    with collect_errors(problems):
        operator = current_operator()
    data = common_data(project, operator, problems) | {"tiles": tiles, "answers": reply["answers"]}
    _WIDGET(
        key=_KEY,
        data=data | {"error": next(iter([*reply["problems"], *problems]), None)},
        on_outbox_change=_receive,
    )


def _receive() -> None:
    """Callback: store what was entered, each event under the name of its operator."""
    message: Mapping[str, Any] | None = widget_message(_KEY, "outbox")
    if not message:
        return
    outcomes, problems = apply_message(message, partial(apply_events, origin="evaluate"))
    answers = [answer_data(outcome) for outcome in outcomes]
    st.session_state[f"{_KEY} reply"] = {"answers": answers, "problems": problems}


def _tiles(
    shown: Evaluated, places: Ints, samples: list[Sample | None], images: Mapping[int, bytes], *, probabilities: bool
) -> list[dict[str, Any]]:
    """JSON types only, anything else would silently arrive as a string."""
    found, reading, charset = shown.predictions, shown.reading, shown.spec.charset
    log_probs_NPC, targets_NP = reading.log_probs_NPC[places], reading.targets_NP[places]
    predicted_NP, confidence_N = reading.predicted_NP[places], reading.confidence_N[places]
    loss_N, margin_N = losses_N(log_probs_NPC, targets_NP), narrowest_N(log_probs_NPC, targets_NP)
    agree_N = agreeing_N(found.log_probs_VNPC[:, places], predicted_NP)
    best_NP2 = np.argsort(-log_probs_NPC, axis=2)[:, :, :2]
    share_NP2 = np.exp(np.take_along_axis(log_probs_NPC, best_NP2, axis=2))
    views = len(found.views)
    tiles: list[dict[str, Any]] = []
    for index, (place, sample) in enumerate(zip(places.tolist(), samples, strict=True)):
        if sample is None:
            tiles.append({"sample": found.sha256[place], "gone": True, "version": 0})
            continue
        label = found.labels[place]
        read = "".join(charset[char] for char in predicted_NP[index])
        figures = [f"{percent(confidence_N[index])} sure, loss {loss_N[index]:.2g}"]
        figures.append(f"margin {margin_N[index]:.1f}".replace("-", "−"))
        if views > 1:
            figures[1] += f", {agree_N[index]} of {views} views agree"
        tiles.append(
            {
                "sample": sample.sha256,
                "gone": False,
                "url": data_url(images[sample.id]),
                "width": sample.width,
                "height": sample.height,
                "label": label,
                "read": read,
                "figures": figures,
                "positions": [
                    {
                        "read": read[position],
                        "label": label[position],
                        "best": [
                            [charset[char], percent(share), percent(share, 0).removesuffix("%")]
                            for char, share in zip(best_NP2[index, position], share_NP2[index, position], strict=True)
                        ],
                    }
                    for position in range(len(label))
                ],
                "probabilities": probabilities,
                "look": None,
                "version": sample.version,
                "now": {
                    "label": sample.label,
                    "shown": words(sample.state, sample.label, sample.flag),
                    "operator": sample.operator,
                    "disputed": bool(sample.disputed),
                },
                "link": f"samples?{urlencode({'project': shown.project.name, 'search': sample.sha256})}",
            }
        )
    return tiles


def _looks(shown: Evaluated, images: list[bytes]) -> list[dict[str, Any]]:
    """Where each position looked in these images, brightest cell of each at 255; nothing where the run cannot say."""
    try:
        predictor = resources.predictor(layout.home(), shown.run)
    except SlotlabError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return []
    if shown.predictions.step not in (-1, predictor.step):
        st.caption("The run has newer weights than those that read these images; where it looked is of the newer.")
    key = (shown.run.job.id, predictor.step, [hash(data) for data in images])
    if st.session_state.get("looks", (None,))[0] == key:  # a saved label draws the same images again
        kept: list[dict[str, Any]] = st.session_state["looks"][1]
        return kept
    from core.model.attention import attention_of  # torch: loaded on this wish only

    looks = []
    for each in attention_of(predictor, [decode(data) for data in images]):
        peak_P11 = each.weights_PHW.max(axis=(1, 2), keepdims=True)
        cells_PHW = (255 * each.weights_PHW / np.maximum(peak_P11, 1e-12)).round().astype(np.uint8)
        _, rows, columns = cells_PHW.shape
        cells = base64.b64encode(cells_PHW.tobytes()).decode("ascii")
        looks.append({"rows": rows, "columns": columns, "box": list(each.box), "cells": cells})
    st.session_state["looks"] = (key, looks)
    return looks
