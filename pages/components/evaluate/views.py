"""What each view of test-time augmentation is worth, which views there are, and whether the run reads with them."""

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
from core.evaluation.tta_effect import ALPHA, TTAEffect, ViewEffect, format_p
from core.evaluation.views import MAX_VIEWS, ORIGINAL, View, ViewChoice, check_views, choice_of, fingerprint, move_image
from core.images.pixels import Pixels, data_url, decode, encode_png
from core.jobs import control
from core.runs.evaluated import Evaluated
from core.runs.start import start_evaluation
from db.records import Run
from db.samples import find_sample, image_bytes
from pages.components import layout, resources, state
from pages.components.operators import current_operator

MOVES = {"Right, %": 100, "Down, %": 100, "Zoom, %": 100, "Turn, °": 1}
"""Columns of the editor, in the order of View.geometry, and what the numbers of a view are multiplied by there."""


@st.fragment
def show_views(shown: Evaluated) -> None:
    """What the views are worth, the run's choice, and on val the way to another set."""
    found, run = shown.predictions, shown.run
    if st.session_state.pop(state.VIEWS_CHANGED, False):
        st.rerun()  # the rest of the page speaks of them too
    st.subheader("What the views are worth", anchor=False)
    choice = ViewChoice()
    with suppress(StorageError):  # the page has said so; here it can be mended
        choice = choice_of(layout.home().run(run.job.id))
    with layout.errors():
        worth = found.tta_effect(shown.spec)
    # On test nothing is chosen, so nothing is advised.
    st.markdown(f"**{worth.verdict if shown.split == 'val' else worth.finding}**")
    _show_worth(shown, worth)
    _show_choice(shown, worth, choice)
    if shown.split == "val":
        with st.expander("Change the views", expanded=len(found.views) == 1):
            _edit(shown, choice)


def _show_worth(shown: Evaluated, worth: TTAEffect) -> None:
    """A row for each view, with what it makes of one image; those images come first whose answer the views change."""
    found, charset = shown.predictions, shown.spec.charset
    order = found.cached("view examples", lambda: _examples(found, shown.reading.targets_NP))
    key = f"view example {shown.run.job.id} {shown.split}"
    place = int(order[st.session_state.get(key, 0) % len(order)])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Another image", icon=":material/casino:", on_click=_advance, args=(key,))
        st.caption(f"Labeled {layout.plain(found.labels[place])}; first come those whose answer the views change.")
    pixels = _network_image(shown, found.sha256[place])
    if pixels is None:
        st.caption("This image is no longer in the project.")
    pictures = [
        None if pixels is None or found.view_set is None else data_url(encode_png(move_image(pixels, view)))
        for view in found.view_set or [ORIGINAL] * len(found.views)
    ]
    reads = ["".join(charset[char] for char in row_P) for row_P in found.predicted_VNP[:, place]]
    entries = list(worth.views)
    if len(entries) > 1:
        entries.append(worth.together)
        pictures.append(None)
        reads.append("".join(charset[char] for char in found.together_NP[place]))
    st.dataframe(
        _table(entries, pictures, reads, worth.n),
        column_config={
            "Image": st.column_config.ImageColumn(width=120),
            "Exact match": st.column_config.TextColumn(help="With its 95% interval (Clopper-Pearson)"),
            "Mends": st.column_config.NumberColumn(help="Wrong as it is, right in this view"),
            "Breaks": st.column_config.NumberColumn(help="Right as it is, wrong in this view"),
            "p": st.column_config.NumberColumn(
                format="%.2g", help="Chance of a difference at least so large if neither were better: McNemar, exact"
            ),
            "Time": st.column_config.NumberColumn(format="%.1f ×", help="Against the image as it is, all its work"),
            "Lost without": st.column_config.NumberColumn(
                format="%d", help="Right answers that all together lose without this view; below 0 they gain"
            ),
        },
        hide_index=True,
        placeholder="",
        row_height=40,
        height=38 + 40 * len(entries) + 2,
        alt=f"{len(worth.views)} views with what they mend and break",
    )


def _table(entries: Sequence[ViewEffect], pictures: Sequence[str | None], reads: Sequence[str], n: int) -> pd.DataFrame:
    against = [[None] * 3] + [[entry.fixed, entry.broken, entry.p] for entry in entries[1:]]
    fixed, broken, p = zip(*against, strict=True)
    return pd.DataFrame(
        {
            "Image": pictures,
            "View": [entry.name for entry in entries],
            "Reads": reads,
            "Right": [f"{entry.correct:,} of {n:,}" for entry in entries],
            "Exact match": [share(entry.correct, n) for entry in entries],
            "Mends": pd.array(fixed, dtype="Int64"),
            "Breaks": pd.array(broken, dtype="Int64"),
            "p": p,
            "Time": [entry.time_ratio for entry in entries],
            "Lost without": pd.array([entry.loss_if_removed for entry in entries], dtype="Int64"),
        }
    )


def _examples(found: Predictions, targets_NP: Ints) -> Ints:
    """Places of all images: first those the views mend or break, then those they do not agree on."""
    plain_NP, together_NP = found.predicted_VNP[0], found.together_NP
    changed_N = (plain_NP == targets_NP).all(axis=1) != (together_NP == targets_NP).all(axis=1)
    agreed_N = (found.predicted_VNP == plain_NP).all(axis=(0, 2))
    order: Ints = np.argsort(np.where(changed_N, 0, 1 + agreed_N), kind="stable")
    return order


def _advance(key: str) -> None:
    st.session_state[key] = st.session_state.get(key, 0) + 1


def _network_image(shown: Evaluated, sha256: str) -> Pixels | None:
    """An image as it comes to the network, before any view; None where it is gone."""
    with layout.errors():
        with layout.database() as db:
            sample = find_sample(db, shown.project.id, sha256)
            if sample is None:
                return None
            pixels = decode(image_bytes(db, [sample.id])[sample.id])
        frame = resources.run_frame(layout.home(), shown.run)
        return frame.apply(pixels) if frame else pixels


def _show_choice(shown: Evaluated, worth: TTAEffect, choice: ViewChoice) -> None:
    """How the run reads where nobody says otherwise; on val, the buttons that change it."""
    found = shown.predictions
    these = found.view_set is not None and fingerprint(found.view_set) == fingerprint(choice.views)
    which = f"these {len(choice.views)} views" if these else f"{len(choice.views)} other views"
    how = f"with {which}" if choice.use else "without views"
    if not choice.n:
        why = "nothing has been chosen yet"
    else:
        who = f"chosen by {layout.plain(choice.by)}" if choice.by else "by the rule at the end of its training"
        why = f"{who}: {choice.fixed:,} mended, {choice.broken:,} broken of {choice.n:,}, {format_p(choice.p)}"
    st.markdown(f"This run reads **{how}** ({why}).")
    kept = _threshold(shown.run)
    step = control.selected_step(layout.home(), shown.run.job.id)
    if kept is not None and not kept.applies_to(step, tta=choice.use, views=choice.views):
        st.caption("The threshold kept with it was chosen for other readings: choose it again under Trust.")
    if shown.split != "val":
        st.caption("Views are chosen on val; here stands what they are worth on images that have chosen nothing.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Use these views", icon=":material/done_all:", on_click=_choose, args=(shown, worth, choice, True),
            disabled=found.view_set is None or len(found.views) == 1 or (these and choice.use),
        )  # fmt: skip
        st.button(
            "Read without views", icon=":material/looks_one:", on_click=_choose, args=(shown, worth, choice, False),
            disabled=found.view_set is None or not (choice.use or not choice.n),
        )  # fmt: skip
    st.caption(
        f"A run reads with its views if on val they mend more than they break and p is below {ALPHA}: their time is "
        "spent on every image, so their gain has to be more than chance. These images have also chosen the weights, "
        "and of many sets tried here the best looks better than it is; the test images show by how much."
    )


def _threshold(run: Run) -> Acceptance | None:
    with layout.errors():
        return Acceptance.load(layout.home().run(run.job.id))


def _choose(shown: Evaluated, worth: TTAEffect, before: ViewChoice, use: bool) -> None:
    """Callback: what the run reads with from now on."""
    with layout.refuses():
        choice = shown.predictions.choice(worth, use=use, by=current_operator())
        if len(choice.views) == 1:  # read without views: those that the run has stay for who asks for them
            choice = replace(choice, views=before.views)
        choice.save(layout.home().run(shown.run.job.id))
        st.session_state[state.TTA] = use
    st.session_state[state.VIEWS_CHANGED] = True


def _edit(shown: Evaluated, choice: ViewChoice) -> None:
    """The views as rows to change, and the button that reads the val images with them."""
    found = shown.predictions
    start = found.view_set if found.view_set and len(found.views) > 1 else choice.views
    st.caption(
        "Moves are in percent of the width and the height. The first view is the image as it is. No flips, no large "
        f"turns: they make other characters. At most {MAX_VIEWS} views; each is one more pass over the images."
    )
    edited = st.data_editor(
        _as_rows(start),
        key=f"views {shown.run.job.id} {fingerprint(start)}",
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
    views, refused = start, ""
    try:
        views = check_views(_of_rows(edited))
    except OptionError as error:
        refused = str(error)
        st.error(layout.plain(refused), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Evaluate with these {len(views)} views" if not refused else "Evaluate with these views",
            icon=":material/play_arrow:", on_click=_start, args=(shown, views, uuid.uuid4().hex),
            disabled=bool(refused), key="evaluate with views",
        )  # fmt: skip
        if found.seconds_V is not None and not refused:
            each = float(found.seconds_V[1:].mean() if len(found.views) > 1 else found.seconds_V[0])
            st.caption(f"About {found.seconds_V[0] + (len(views) - 1) * each:,.0f} s of reading.")


def _as_rows(views: Sequence[View]) -> pd.DataFrame:
    moves = zip(*(view.geometry for view in views), strict=True)
    columns = {
        name: [round(value * unit, 4) for value in values]
        for (name, unit), values in zip(MOVES.items(), moves, strict=True)
    }
    return pd.DataFrame({"View": [view.name for view in views]} | columns)


def _of_rows(rows: pd.DataFrame) -> list[View]:
    """What stands in the editor, a cell left empty being none."""
    names = ["" if pd.isna(name) else str(name).strip() for name in rows["View"]]
    moves = zip(*(round(rows[name].astype(float) / unit, 6) for name, unit in MOVES.items()), strict=True)
    return [View(name, *map(float, move)) for name, move in zip(names, moves, strict=True)]


def _start(shown: Evaluated, views: tuple[View, ...], request_id: str) -> None:
    """Callback; the request id is that of the button on screen, so a double click is one evaluation."""
    with layout.refuses():
        with layout.database() as db:
            job = start_evaluation(
                db, layout.home(), shown.run, "val", tta=len(views) > 1, views=views, operator=current_operator(),
                request_id=request_id,
            )  # fmt: skip
        if job.finished_at:
            st.toast("The numbers on this page are those of these views already.", icon=":material/check:")
    st.session_state[state.VIEWS_CHANGED] = True
