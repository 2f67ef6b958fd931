"""The TTA tab of Evaluate: the effect of each view, the set of views, and whether the run uses them."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import OptionError, StorageError
from core.evaluation.acceptance import Acceptance
from core.evaluation.metrics import Ints
from core.evaluation.percent import share
from core.evaluation.predictions import Predictions
from core.evaluation.reference import BLIND, HIDDEN, score_title
from core.evaluation.tta_effect import ALPHA, TTAEffect, ViewEffect, format_p
from core.evaluation.views import MAX_VIEWS, ORIGINAL, View, ViewChoice, check_views, choice_of, fingerprint, move_image
from core.images.pixels import Pixels, data_url, decode, encode_png
from core.jobs import control
from core.runs.evaluated import Evaluated
from core.runs.start import start_evaluation
from core.words import plural
from db.records import Run
from db.samples import find_sample, image_bytes
from pages.components import address, layout, resources, state
from pages.components.operators import current_operator

MOVES = {"Right, %": 100, "Down, %": 100, "Zoom, %": 100, "Turn, °": 1}
"""Columns of the editor in the order of View.geometry, each with the factor from stored to displayed value."""


@st.fragment
def show_tta(shown: Evaluated) -> None:
    """Show the effect of the views and the run's choice. On val also let the user edit the views."""
    predictions, run = shown.predictions, shown.run
    if st.session_state.pop(state.VIEWS_CHANGED, False):
        st.rerun()  # the rest of the page depends on the views too
    st.subheader("Effect of each view", anchor=False)
    choice = ViewChoice()
    with suppress(StorageError):  # evaluate.py has shown the error; the buttons below fix it
        choice = choice_of(layout.home().run(run.job.id))
    with layout.errors():
        worth = predictions.tta_effect(shown.spec)
    # Other images must not select anything, so they get no advice.
    st.markdown(f"**{worth.verdict if shown.split == 'val' else worth.finding}**")
    _show_worth(shown, worth)
    _show_choice(shown, worth, choice)
    if shown.split == "val":
        with st.expander("Edit views", expanded=len(predictions.views) == 1):
            _edit(shown, choice)


def _show_worth(shown: Evaluated, worth: TTAEffect) -> None:
    """Draw a row per view with its reading of one example image."""
    entries = list(worth.views)
    if len(entries) > 1:
        entries.append(worth.together)
    by_readers, score = shown.reference == "readers", score_title(shown.reference)
    if by_readers:
        st.caption(HIDDEN)
    pictures, readings = ([], []) if by_readers else _show_example(shown)
    layout.without_download("views").dataframe(
        _table(entries, pictures, readings, worth.n, score),
        column_config={
            "Image": st.column_config.ImageColumn(width=120),
            score: st.column_config.TextColumn(help="With 95% interval (Clopper-Pearson)."),
            "Fixed": st.column_config.NumberColumn(help="The unchanged image is read wrong, this view right."),
            "Broken": st.column_config.NumberColumn(help="The unchanged image is read right, this view wrong."),
            "p": st.column_config.NumberColumn(
                format="%.2g",
                help="Chance of a difference this large if neither were better (exact McNemar test).",
            ),
            "Time": st.column_config.NumberColumn(
                format="%.1f ×", help="Relative to the total time for the unchanged image."
            ),
            "Loss if removed": st.column_config.NumberColumn(
                format="%d", help="Right readings that TTA loses without this view. A negative number is a gain."
            ),
        },
        hide_index=True,
        placeholder="",
        row_height=40,
        height=38 + 40 * len(entries) + 2,
        alt=f"{plural(len(worth.views), 'view')} with the readings they fix and break",
    )  # fmt: skip


def _show_example(shown: Evaluated) -> tuple[list[str | None], list[str]]:
    """Draw the choice of an example image. Return its pictures and its readings: of each view, then with TTA."""
    predictions, charset = shown.predictions, shown.spec.charset
    order = predictions.cached("view examples", lambda: _examples(predictions, shown.reading.targets_NP))
    key = f"view example {shown.run.job.id} {shown.split} {shown.source}"
    place = int(order[st.session_state.get(key, 0) % len(order)])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Another image", icon=":material/casino:", on_click=_advance, args=(key,))
        st.caption("Images that TTA fixes or breaks come first.")
    with layout.errors(), layout.database() as db:
        sample = find_sample(db, shown.project.id, predictions.sha256[place])
    if sample is not None and sample.is_blind:
        st.caption(BLIND)
        return [], []
    pixels = _network_image(shown, predictions.sha256[place])
    if pixels is None:
        st.caption("This image is no longer in the project.")
    st.caption(f"Label: {layout.plain(predictions.labels[place])}")
    pictures = [
        None if pixels is None or predictions.view_set is None else data_url(encode_png(move_image(pixels, view)))
        for view in predictions.view_set or [ORIGINAL] * len(predictions.views)
    ]
    rows_P = list(predictions.predicted_VNP[:, place])
    if len(pictures) > 1:
        pictures.append(None)
        rows_P.append(predictions.together_NP[place])
    return pictures, ["".join(charset[char] for char in row_P) for row_P in rows_P]


def _table(
    entries: Sequence[ViewEffect], pictures: Sequence[str | None], readings: Sequence[str], n: int, score: str
) -> pd.DataFrame:
    against = [[None] * 3] + [[entry.fixed, entry.broken, entry.p] for entry in entries[1:]]
    fixed, broken, p = zip(*against, strict=True)
    return pd.DataFrame(
        ({"Image": pictures} if pictures else {})
        | {"View": [entry.name for entry in entries]}
        | ({"Reading": readings} if readings else {})
        | {
            "Right": [f"{entry.correct:,} of {n:,}" for entry in entries],
            score: [share(entry.correct, n) for entry in entries],
            "Fixed": pd.array(fixed, dtype="Int64"),
            "Broken": pd.array(broken, dtype="Int64"),
            "p": p,
            "Time": [entry.time_ratio for entry in entries],
            "Loss if removed": pd.array([entry.loss_if_removed for entry in entries], dtype="Int64"),
        }
    )


def _examples(predictions: Predictions, targets_NP: Ints) -> Ints:
    """Order all images: first those that TTA fixes or breaks, then those on which the views disagree."""
    plain_NP, together_NP = predictions.predicted_VNP[0], predictions.together_NP
    changed_N = (plain_NP == targets_NP).all(axis=1) != (together_NP == targets_NP).all(axis=1)
    agreed_N = (predictions.predicted_VNP == plain_NP).all(axis=(0, 2))
    order: Ints = np.argsort(np.where(changed_N, 0, 1 + agreed_N), kind="stable")
    return order


def _advance(key: str) -> None:
    st.session_state[key] = st.session_state.get(key, 0) + 1


def _network_image(shown: Evaluated, sha256: str) -> Pixels | None:
    """Return the network's input before any view is applied; None if the image is no longer in the project."""
    with layout.errors():
        with layout.database() as db:
            sample = find_sample(db, shown.project.id, sha256)
            if sample is None:
                return None
            pixels = decode(image_bytes(db, [sample.id])[sample.id])
        frame = resources.run_frame(layout.home(), shown.run)
        return frame.apply(pixels) if frame else pixels


def _show_choice(shown: Evaluated, worth: TTAEffect, choice: ViewChoice) -> None:
    """Show whether the run uses TTA by default. On val also draw the buttons that change it."""
    predictions = shown.predictions
    these = predictions.view_set is not None and fingerprint(predictions.view_set) == fingerprint(choice.views)
    which = f"these {plural(len(choice.views), 'view')}" if these else plural(len(choice.views), "other view")
    how = f"uses TTA with {which}" if choice.use else "does not use TTA"
    if not choice.n:
        why = "the default"
    else:
        who = f"chosen by {layout.plain(choice.by)}" if choice.by else "chosen automatically after training"
        why = f"{who}: {choice.fixed:,} fixed, {choice.broken:,} broken of {choice.n:,}, {format_p(choice.p)}"
    st.markdown(f"This run **{how}** ({why}).")
    threshold = _threshold(shown.run)
    step = control.selected_step(layout.home(), shown.run.job.id)
    if threshold is not None and not threshold.applies_to(step, tta=choice.use, views=choice.views):
        st.caption("The saved threshold was set for other readings. Set it again on the Confidence tab.")
    if shown.split != "val":
        st.caption("Views are chosen on val. This is their effect on images that played no part in that choice.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Use these views", icon=":material/done_all:", on_click=_choose, args=(shown, worth, choice, True),
            disabled=predictions.view_set is None or len(predictions.views) == 1 or (these and choice.use),
        )  # fmt: skip
        st.button(
            "Read without TTA", icon=":material/looks_one:", on_click=_choose, args=(shown, worth, choice, False),
            disabled=predictions.view_set is None or not (choice.use or not choice.n),
        )  # fmt: skip
    st.caption(
        f"By default a run uses TTA if it fixes more validation images than it breaks and p is below {ALPHA}, because "
        "TTA costs time on every image. Validation images also selected the checkpoint. If you try many sets of "
        "views, the best one looks better than it is. Check it on test images."
    )


def _threshold(run: Run) -> Acceptance | None:
    with layout.errors():
        return Acceptance.load(layout.home().run(run.job.id))


def _choose(shown: Evaluated, worth: TTAEffect, before: ViewChoice, use: bool) -> None:
    """Callback: save whether the run uses these views from now on."""
    with layout.refuses():
        choice = shown.predictions.choice(worth, use=use, by=current_operator())
        if len(choice.views) == 1:  # keep the run's views for a user who turns TTA on
            choice = replace(choice, views=before.views)
        choice.save(layout.home().run(shown.run.job.id))
        address.go(tta=None)  # now the choice of the run
    st.session_state[state.VIEWS_CHANGED] = True


def _edit(shown: Evaluated, choice: ViewChoice) -> None:
    """Draw the editable table of views, and the button that evaluates on val with them."""
    predictions = shown.predictions
    initial = predictions.view_set if predictions.view_set and len(predictions.views) > 1 else choice.views
    st.caption(
        "Shifts are in percent of width and height. The first view is the unchanged image. Flips and large turns are "
        f"not allowed: they turn one character into another. At most {MAX_VIEWS} views; each adds one pass over the "
        "images."
    )
    edited = st.data_editor(
        _as_rows(initial),
        key=f"views {shown.run.job.id} {fingerprint(initial)}",
        num_rows="dynamic",
        hide_index=True,
        width=640,
        column_config={
            "View": st.column_config.TextColumn(required=True),
            **{
                name: st.column_config.NumberColumn(
                    default=100.0 if name == "Zoom, %" else 0.0, step=0.1, required=True
                )
                for name in MOVES
            },
        },
    )
    views, refusal = initial, ""
    try:
        views = check_views(_of_rows(edited))
    except OptionError as error:
        refusal = str(error)
        st.error(layout.plain(refusal), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Evaluate with these {plural(len(views), 'view')}" if not refusal else "Evaluate with these views",
            icon=":material/play_arrow:", on_click=_start, args=(shown, views, uuid.uuid4().hex),
            disabled=bool(refusal), key="evaluate with views",
        )  # fmt: skip
        if predictions.seconds_V is not None and not refusal:
            seconds_V = predictions.seconds_V
            per_view = float(seconds_V[1:].mean() if len(predictions.views) > 1 else seconds_V[0])
            st.caption(f"Takes about {seconds_V[0] + (len(views) - 1) * per_view:,.0f} s.")


def _as_rows(views: Sequence[View]) -> pd.DataFrame:
    moves = zip(*(view.geometry for view in views), strict=True)
    columns = {
        name: [round(value * unit, 4) for value in values]
        for (name, unit), values in zip(MOVES.items(), moves, strict=True)
    }
    return pd.DataFrame({"View": [view.name for view in views]} | columns)


def _of_rows(rows: pd.DataFrame) -> list[View]:
    """Return the views in the editor. An empty name is "", an empty number is nan."""
    names = ["" if pd.isna(name) else str(name).strip() for name in rows["View"]]
    moves = zip(*(round(rows[name].astype(float) / unit, 6) for name, unit in MOVES.items()), strict=True)
    return [View(name, *map(float, move)) for name, move in zip(names, moves, strict=True)]


def _start(shown: Evaluated, views: tuple[View, ...], request_id: str) -> None:
    """Callback: start an evaluation. The request id belongs to the button on screen, so a double click starts one."""
    with layout.refuses():
        with layout.database() as db:
            job = start_evaluation(
                db, layout.home(), shown.run, "val", tta=len(views) > 1, views=views, operator=current_operator(),
                request_id=request_id,
            )  # fmt: skip
        if job.finished_at:
            st.toast("These views have already been evaluated.", icon=":material/check:")
    st.session_state[state.VIEWS_CHANGED] = True
