"""Asks the newest model whether it can still read what the settings of the Augment page make of training images."""

import json
from collections.abc import Callable

import pandas as pd
import streamlit as st

from core.evaluation.percent import share
from core.images.augment_settings import TRANSFORMS, Settings
from core.images.pixels import encode_png
from core.model import readability
from core.model.readability import MAX_DROP, RECIPE, Readability, VariantReading
from db.records import Project, Run
from db.reviews import Review, select_labeled
from db.runs import list_runs
from pages.components import layout, resources
from pages.components.augment.network_input import framed_images

IMAGES = 200
TITLES = {RECIPE: "The whole recipe"} | {info.key: info.title for info in TRANSFORMS}


def show_readability(project: Project, settings: Settings, seed: int) -> None:
    """The button, and what was found for just these settings."""
    home = layout.home()
    with layout.database() as db:
        runs = list_runs(db, project.id)
    run = next((run for run in runs if (home.run(run.job.id) / "checkpoints").is_dir()), None)
    if run is None:
        st.info("No run of this project has saved a model yet that could be asked.", icon=":material/show_chart:")
        return
    st.caption(
        "A variant keeps the label of its image. Where it can no longer be read, the label is wrong, and the network "
        "learns to guess."
    )
    key = (project.id, run.job.id, json.dumps(settings), seed)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Can it still be read?", icon=":material/visibility:", disabled=not settings):
            bar = st.progress(0.0, text="Reading")
            st.session_state["readability"] = key, _read(project, run, settings, seed, bar.progress)
            bar.empty()
        if not settings:
            st.caption("All transforms are off: every image is read as it is.")
    asked, found = st.session_state.get("readability", (None, None))
    if asked == key:
        _show(found, run)
    elif asked is not None and asked[0] == project.id:
        st.caption("The settings, the seed or the run have changed since the last answer; ask again.")


def _read(
    project: Project, run: Run, settings: Settings, seed: int, on_progress: Callable[[float], object]
) -> Readability:  # fmt: skip
    predictor = resources.predictor(layout.home(), run)
    order = Review(order="random", unchecked=False, split="train")
    with layout.database() as db:
        samples = [sample for _, sample in select_labeled(db, project.id, order, limit=IMAGES)]
        images = framed_images(db, predictor.frame, samples)
    labels = [sample.label or "" for sample in samples]
    return readability.check(
        readability.reader(predictor), images, labels, settings, seed=seed, on_progress=on_progress
    )  # fmt: skip


def _show(found: Readability, run: Run) -> None:
    plain = f"{found.right:,} of {found.n:,} = {share(found.right, found.n)}"
    if not found.can_judge:
        st.info(
            f"Run {run.job.id} reads {plain} of these training images as they are. That is too few to say what a "
            "transform makes worse; ask a run that has learned more.",
            icon=":material/help:",
        )
        return
    worrying = [reading for reading in found.readings if reading.worrying]
    if worrying:
        names = "; ".join(f"**{TITLES[one.key]}** {_points(one)}" for one in worrying)
        st.warning(
            f"The model loses more than {MAX_DROP:.0%} of the images to: {names}. Look at what it misreads below. If "
            "you cannot read it either, its label is wrong: narrow the range, or lower the share. If you can, the "
            "model has not met such images yet, and the transform may stay.",
            icon=":material/warning:",
        )
    else:
        st.success(
            f"No transform takes more than {MAX_DROP:.0%} of the images from the model, nor do all together.",
            icon=":material/check:",
        )
    st.dataframe(
        pd.DataFrame(
            {
                "Variants by": [TITLES[one.key] for one in found.readings],
                "Read right": [f"{one.right:,} of {one.n:,}" for one in found.readings],
                "95% interval": [share(one.right, one.n) for one in found.readings],
                "Lost": [one.lost for one in found.readings],
                "Gained": [one.gained for one in found.readings],
                "Drop, 95% interval": [_points(one) for one in found.readings],
                "Too far": [one.worrying for one in found.readings],
            }
        ),
        column_config={
            "Lost": st.column_config.NumberColumn(help="Read right as it is, wrong as a variant."),
            "Gained": st.column_config.NumberColumn(help="Read wrong as it is, right as a variant."),
            "Drop, 95% interval": st.column_config.TextColumn(help="In points: of 100 images, how many fewer."),
            "Too far": st.column_config.CheckboxColumn(
                help=f"The drop is more than {100 * MAX_DROP:.0f} points, and its interval leaves 0 out."
            ),
        },
        hide_index=True,
        height="content",
        alt="How many variants the model reads, for the whole recipe and for each transform alone",
    )
    st.caption(
        f"Run {run.job.id} reads {plain} of them as they are. These are training images, most of which it has learned "
        "from: only the difference to their variants says something. A transform alone is applied to every image, the "
        "whole recipe as a run draws it."
    )
    for one in worrying or sorted(found.readings[1:], key=lambda one: one.drop, reverse=True)[:1]:
        if one.misread:
            st.markdown(f"**{TITLES[one.key]}**: read right as it is, wrong like this")
            with st.grid("auto", min_column_width=150, gap="xsmall"):
                for wrong in one.misread:
                    told = f"{wrong.label} read as {wrong.text}"
                    st.image(encode_png(wrong.variant), caption=layout.plain(told), width="stretch", alt=told)


def _points(one: VariantReading) -> str:
    low, high = one.drop95
    return f"{100 * one.drop:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
