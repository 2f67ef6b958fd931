"""Server side of the gallery widget: images with label, reading, probabilities, attention and a correction field.

As with the labeling widget, each correction is an event that the browser keeps until it is answered (gallery.js). Each
message contains all unanswered events. Lists are ordered by the stored predictions alone, so a corrected image keeps
its place.
"""

import base64
import re
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
from core.evaluation.calibration import confidence
from core.evaluation.metrics import Ints
from core.evaluation.offers import deserves_trust, is_offered
from core.evaluation.percent import percent
from core.evaluation.predictions import Reading
from core.evaluation.ranking import Order, agreeing_views_N, in_cell, losses_N, min_margins_N, nearest, ranked
from core.evaluation.reference import HIDDEN
from core.evaluation.temperatures import fitted_temperature
from core.images.pixels import data_url, decode
from core.runs.evaluated import Evaluated
from core.words import plural
from db.labels import events_of
from db.records import Sample
from db.samples import find_sample, image_bytes
from db.sqlite import Database
from pages.components import address, layout, resources, state
from pages.components.changes import FRAGMENT as CHANGED_LABELS
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
ORIGIN = "evaluate"
"""Page of the actions, in the ledger."""
_KEY = "gallery"
_LISTED = "listed in the gallery"
# Not in a shadow root, so that browser tests and benchmarks find it by its data attributes.
_WIDGET = st.components.v2.component("slotlab.gallery", **widget_files("gallery"), isolate_styles=False)

DEFAULT_SORT: dict[str, str] = {"wrong": "confidence", "near misses": "margin", "least confident": "confidence"}
"""The default order of each list."""
SORTS = {
    "confidence": "Probability of the whole reading.",
    "loss": "Negative log-likelihood of the label over all positions, in nats.",
    "margin": "Smallest lead of the true character over the next best, in nats.",
    "disagreement": "Number of views with another reading.",
    "closeness": "Probability of the wrong character of the cell.",
}


@dataclass(frozen=True)
class Cell:
    """The clicked cell of a confusion matrix."""

    position: int | None
    """None: any position."""
    true: int
    read: int
    soft: bool
    """True: clicked in the matrix of probabilities."""

    def name(self, charset: str) -> str:
        """Return the cell as the address names it: 2-47 is 4 read as 7 at the second position."""
        place = "all" if self.position is None else str(self.position + 1)
        return f"{place}-{charset[self.true]}{charset[self.read]}{'-probable' * self.soft}"

    def is_close(self, reading: Reading) -> bool:
        """Return whether to list the images closest to the cell: it was clicked by probability, or it is empty."""
        return self.soft or not len(in_cell(reading, self.position, self.true, self.read))


def identity_of(shown: Evaluated) -> str:
    """Return an id of the evaluation, which separates late clicks on another one."""
    return f"{shown.run.job.id} {shown.split} {shown.source} {shown.tta}"


def chosen_cell(shown: Evaluated) -> Cell | None:
    """Return the cell that the address names. Say if the evaluation has none of this name."""
    asked, spec = address.get(state.CELL), shown.spec
    match = re.fullmatch(r"(all|[1-9][0-9]{0,3})-(.)(.)(-probable)?", asked, re.DOTALL)
    if match and {match[2], match[3]} <= {*spec.charset} and (match[1] == "all" or int(match[1]) <= spec.length):
        position = None if match[1] == "all" else int(match[1]) - 1
        return Cell(position, spec.charset.index(match[2]), spec.charset.index(match[3]), bool(match[4]))
    if asked:
        address.refuse(f"There is no cell {asked!r} here.")
        address.forget(state.CELL)
    return None


@st.fragment(key="images")
def show_images(shown: Evaluated) -> None:
    """Draw the images of one matrix cell, or the wrong, nearly wrong or least confident ones."""
    st.subheader("Images", anchor=False)
    if shown.reference == "readers":
        st.caption(HIDDEN)
        return
    n, correct = shown.result["n"], shown.result["correct"]
    cell = chosen_cell(shown)
    choices = ["wrong"] * (correct < n) + ["near misses"] * (correct > 0) + ["least confident", "one cell"]
    # Each click gets a new key: when a single fragment reruns, a value set by a callback does not reach the browser
    # (Streamlit 1.67).
    key = f"show {identity_of(shown)} {st.session_state.get(state.CLICKS, 0)}"
    shown_first = "one cell" if cell else choices[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Show", choices, default=shown_first, required=True, label_visibility="collapsed",
            **address.widget("show", choices, shown_first, key=key, clears=("sort", "page")),
        )  # fmt: skip
        if kind != "one cell":
            cell = None
        elif cell is None:
            st.caption("Click a cell in a matrix.")
            return
        close = cell is not None and cell.is_close(shown.reading)
        first = "closeness" if close else DEFAULT_SORT.get(kind, "confidence")
        others = [order for order in get_args(Order) if order != first]
        sorts = [first, *(order for order in others if order != "disagreement" or len(shown.predictions.views) > 1)]
        keywords = address.widget("sort", sorts, first, key=f"sort {kind} {first}", clears=("page",))
        sort = st.selectbox("Sort by", sorts, width=160, help=_sort_help(sorts), **keywords)
    if correct == n:
        st.success(f"There is no error in {plural(n, 'image')}. Check the near misses.", icon=":material/check_circle:")
    places, note = _select_images(shown, kind, cell, sort)
    st.caption(note)
    show_gallery(shown, places, f"{kind} {sort} {cell or ''}", "images", clicked=st.session_state.pop(state.CLICKED, 0))


def _sort_help(sorts: Iterable[str]) -> str:
    """Return the help text of the sort box."""
    return " ".join(f"{sort}: {SORTS[sort][0].lower()}{SORTS[sort][1:]}" for sort in sorts)


def _select_images(shown: Evaluated, kind: str, cell: Cell | None, sort: str) -> tuple[Ints, str]:
    """Return the places of the images of a list, in order, and a caption."""
    reading, charset = shown.reading, shown.spec.charset
    n, right_N = shown.result["n"], reading.right_N
    if cell:
        true, read = layout.plain(charset[cell.true]), layout.plain(charset[cell.read])
        where = "at any position" if cell.position is None else f"at position {cell.position + 1}"
        close = cell.is_close(reading)
        places = (nearest if close else in_cell)(reading, cell.position, cell.true, cell.read)
        images = plural(len(places), "image")
        if close:
            empty = "" if cell.soft else f"No {true} is read as {read} {where}. "
            end = f", closest to {read} first" if sort == "closeness" else ""
            note = f"{empty}{images} with {true} {where}{end}."
        else:
            note = f"{images} with {true} read as {read} {where}."
    elif kind == "wrong":
        places = np.flatnonzero(~right_N)
        order = ", most confident first" if sort == "confidence" else ""
        # Those of a run that reads most images wrong are mostly its own.
        advice = " Confident errors are often wrong labels." if order and 2 * len(places) < n else ""
        note = f"{len(places):,} of {n:,} wrong{order}.{advice}"
    elif kind == "near misses":
        places = np.flatnonzero(right_N)
        order = ", closest to an error first" if sort == "margin" else ""
        note = f"{len(places):,} read correctly{order}."
    else:
        places = np.arange(n)
        note = f"All {n:,} images, right or wrong."
        if sort == "confidence":
            note = f"All {n:,} images, right or wrong, least confident first. Label more images like these."
    if sort == "closeness":
        return places, note
    by: Any = sort
    return ranked(places, reading, shown.predictions.log_probs_VNPC, by, most_confident_first=kind == "wrong"), note


def show_gallery(shown: Evaluated, places: Ints, name: str, fragment: str, *, clicked: int = 0) -> None:
    """Draw the images at these places of the evaluation, one page at a time. Call it inside the fragment of this key.

    `name` identifies the list. Another list starts at its first page. `clicked` is the number of a click elsewhere on
    the page that asked for this list, so that the browser shows its images; else 0.
    """
    if shown.reference == "readers":
        st.caption(HIDDEN)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        probabilities = st.toggle(
            "Probabilities", key="probabilities", persist_state="session",
            help="The two most probable characters of each position.",
        )  # fmt: skip
        show_attention = st.toggle(
            "Attention", key="attention", persist_state="session",
            help="Where each position looked in the image, without test-time augmentation. Point at a character to "
            "see its position only.",
        )  # fmt: skip
        pages = -(-len(places) // PER_PAGE)
        number, key = 1, f"page of {shown.run.job.id} {shown.split} {shown.source} {name}"
        if st.session_state.get(_LISTED, key) != key:
            address.forget("page")
        st.session_state[_LISTED] = key
        if pages > 1:
            number = st.pagination(pages, **address.widget("page", range(1, pages + 1), 1, key=key))
    places = places[(number - 1) * PER_PAGE : number * PER_PAGE]
    project = shown.project
    problems: list[str] = []
    reply: dict[str, Any] = st.session_state.pop(f"{_KEY} reply", {"answers": [], "problems": []})
    with layout.errors(), layout.database() as db:
        samples = [find_sample(db, project.id, shown.predictions.sha256[place]) for place in places]
        hidden_N = np.array([sample is not None and sample.is_blind for sample in samples], dtype=bool)
        places = places[~hidden_N]
        samples = [sample for sample, is_hidden in zip(samples, hidden_N, strict=True) if not is_hidden]
        images = image_bytes(db, [sample.id for sample in samples if sample])
    if hidden_N.any():
        st.caption(f"{plural(int(hidden_N.sum()), 'image')} lost the label since. {HIDDEN}")
    maps = _attention_maps(shown, [images[sample.id] for sample in samples if sample]) if show_attention else []
    with layout.errors():
        offers_N = _offers_N(shown, places, samples)
    tiles = _tiles(shown, places, samples, images, offers_N, probabilities=probabilities)
    for tile, attention in zip((tile for tile in tiles if not tile["deleted"]), maps, strict=False):
        tile["attention"] = attention
    operator = ""
    with collect_errors(problems):
        operator = current_operator()
        with layout.database() as db:
            for tile, sample in zip(tiles, samples, strict=True):
                tile["undo"] = sample is not None and _can_undo(db, sample, operator)
    data = common_data(project, operator, problems)
    data |= {"tiles": tiles, "answers": reply["answers"], "clicked": clicked}
    _WIDGET(
        key=_KEY,
        data=data | {"error": next(iter([*reply["problems"], *problems]), None)},
        on_outbox_change=partial(_receive, fragment),
    )


def _receive(fragment: str) -> None:
    """Store the events of a message under their operators' names (callback). Then redraw what depends on them."""
    message: Mapping[str, Any] | None = widget_message(_KEY, "outbox")
    if not message:
        return
    outcomes, problems = apply_message(message, partial(apply_events, origin=ORIGIN))
    answers = [answer_data(outcome) for outcome in outcomes]
    st.session_state[f"{_KEY} reply"] = {"answers": answers, "problems": problems}
    st.rerun(scope=[fragment, CHANGED_LABELS])


def _offers_N(shown: Evaluated, places: Ints, samples: list[Sample | None]) -> list[bool]:
    """Return which readings one click may make a label. Raises StorageError if the run's temperatures are damaged."""
    run, predictions = shown.run, shown.predictions
    temperature = None
    if predictions.view_set and run.reference == "people":
        views = predictions.view_set if shown.tta else predictions.view_set[:1]
        temperature = fitted_temperature(layout.home().run(run.job.id), predictions.step, views)
    trusted = run.score is not None and deserves_trust(temperature, run.score.correct, run.score.n)
    confidence_N = confidence(shown.reading.log_probs_NPC[places], temperature or 1.0).tolist()
    return [
        sample is not None and is_offered(sample.split, sure, trusted=trusted)
        for sample, sure in zip(samples, confidence_N, strict=True)
    ]


def _can_undo(db: Database, sample: Sample, operator: str) -> bool:
    """Return whether the operator gave the current content here, also before a reload."""
    last = events_of(db, sample.id)[-1:] if sample.operator == operator else []
    return any(
        (event.version, event.operator, event.origin) == (sample.version, operator, ORIGIN) and event.action != "undo"
        for event in last
    )


def _tiles(
    shown: Evaluated,
    places: Ints,
    samples: list[Sample | None],
    images: Mapping[int, bytes],
    offers_N: list[bool],
    *,
    probabilities: bool,
) -> list[dict[str, Any]]:
    """Return the tiles, in JSON types only: Streamlit silently converts others to strings."""
    predictions, reading, charset = shown.predictions, shown.reading, shown.spec.charset
    log_probs_NPC, targets_NP = reading.log_probs_NPC[places], reading.targets_NP[places]
    predicted_NP, confidence_N = reading.predicted_NP[places], reading.confidence_N[places]
    loss_N, margin_N = losses_N(log_probs_NPC, targets_NP), min_margins_N(log_probs_NPC, targets_NP)
    agree_N = agreeing_views_N(predictions.log_probs_VNPC[:, places], predicted_NP)
    best_NP2 = np.argsort(-log_probs_NPC, axis=2)[:, :, :2]
    share_NP2 = np.exp(np.take_along_axis(log_probs_NPC, best_NP2, axis=2))
    views = len(predictions.views)
    tiles: list[dict[str, Any]] = []
    for index, (place, sample) in enumerate(zip(places.tolist(), samples, strict=True)):
        if sample is None:
            tiles.append({"sample": predictions.sha256[place], "deleted": True, "version": 0})
            continue
        label = predictions.labels[place]
        read = "".join(charset[char] for char in predicted_NP[index])
        figures = [f"confidence {percent(confidence_N[index])}, loss {loss_N[index]:.2g}"]
        figures.append(f"margin {margin_N[index]:.1f}".replace("-", "−"))
        if views > 1:
            figures[1] += f", {agree_N[index]} of {views} views agree"
        tiles.append(
            {
                "sample": sample.sha256,
                "deleted": False,
                "url": data_url(images[sample.id]),
                "width": sample.width,
                "height": sample.height,
                "label": label,
                "read": read,
                "offered": offers_N[index],
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
                "attention": None,
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


def _attention_maps(shown: Evaluated, images: list[bytes]) -> list[dict[str, Any]]:
    """Return the attention of each position in these images, scaled to a maximum of 255; empty on error."""
    try:
        predictor = resources.predictor(layout.home(), shown.run)
    except SlotlabError as error:
        st.error(layout.plain(str(error)), icon=":material/error:")
        return []
    if shown.predictions.step not in (-1, predictor.step):
        st.caption("The run has newer weights than this evaluation. Attention uses the newer weights.")
    key = (shown.run.job.id, predictor.step, [hash(data) for data in images])
    if st.session_state.get("attention maps", (None,))[0] == key:  # saving a label redraws the same images
        stored: list[dict[str, Any]] = st.session_state["attention maps"][1]
        return stored
    from core.model.attention import attention_of  # imports torch, so only on demand

    maps = []
    for each in attention_of(predictor, [decode(data) for data in images]):
        peak_P11 = each.weights_PHW.max(axis=(1, 2), keepdims=True)
        cells_PHW = (255 * each.weights_PHW / np.maximum(peak_P11, 1e-12)).round().astype(np.uint8)
        _, rows, columns = cells_PHW.shape
        cells = base64.b64encode(cells_PHW.tobytes()).decode("ascii")
        maps.append({"rows": rows, "columns": columns, "box": list(each.box), "cells": cells})
    st.session_state["attention maps"] = (key, maps)
    return maps
