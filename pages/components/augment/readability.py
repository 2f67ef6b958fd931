"""The Readability tab of Augment: a check that the newest model still reads augmented training images."""

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
    """Draw the button, and the result if it belongs to the current settings."""
    home = layout.home()
    with layout.database() as db:
        runs = list_runs(db, project.id)
    run = next((run for run in runs if (home.run(run.job.id) / "checkpoints").is_dir()), None)
    if run is None:
        st.info("No trained model yet. This check needs one.", icon=":material/show_chart:")
        return
    st.caption(
        "A variant keeps the label of its image. If a variant is unreadable, its label is wrong and the network learns "
        "to guess."
    )
    key = (project.id, run.job.id, json.dumps(settings), seed)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Check readability", icon=":material/visibility:", disabled=not settings):
            bar = st.progress(0.0, text="Reading")
            st.session_state["readability"] = key, _read(project, run, settings, seed, bar.progress)
            bar.empty()
        if not settings:
            st.caption("All transforms are off.")
    checked, result = st.session_state.get("readability", (None, None))
    if checked == key:
        _show(result, run)
    elif checked is not None and checked[0] == project.id:
        st.caption("The settings, the seed or the run have changed since the last check. Check again.")


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


def _show(result: Readability, run: Run) -> None:
    plain = f"{result.right:,} of {result.n:,} = {share(result.right, result.n)}"
    if not result.can_judge:
        st.info(
            f"Run {run.job.id} reads {plain} of these training images without augmentation. That is too few to judge a "
            "transform. Check again with a better model.",
            icon=":material/help:",
        )
        return
    worrying = [reading for reading in result.readings if reading.worrying]
    if worrying:
        names = "; ".join(f"**{TITLES[one.key]}** {_points(one)}" for one in worrying)
        st.warning(
            f"The model misreads over {MAX_DROP:.0%} more images with: {names}. Look at the misread variants below. "
            "If you cannot read them either, narrow the range or lower the share. If you can, the model has not "
            "learned such images yet, and the transform can stay.",
            icon=":material/warning:",
        )
    else:
        st.success(
            f"No transform, nor all of them together, makes the model misread over {MAX_DROP:.0%} more images.",
            icon=":material/check:",
        )
    st.dataframe(
        pd.DataFrame(
            {
                "Transform": [TITLES[one.key] for one in result.readings],
                "Right": [f"{one.right:,} of {one.n:,}" for one in result.readings],
                "95% interval": [share(one.right, one.n) for one in result.readings],
                "Lost": [one.lost for one in result.readings],
                "Gained": [one.gained for one in result.readings],
                "Drop, 95% interval": [_points(one) for one in result.readings],
                "Too strong": [one.worrying for one in result.readings],
            }
        ),
        column_config={
            "Lost": st.column_config.NumberColumn(help="The original is read right, the variant wrong."),
            "Gained": st.column_config.NumberColumn(help="The original is read wrong, the variant right."),
            "Drop, 95% interval": st.column_config.TextColumn(help="Decrease in right readings, in percentage points."),
            "Too strong": st.column_config.CheckboxColumn(
                help=f"The drop is over {100 * MAX_DROP:.0f} points and its interval excludes 0."
            ),
        },
        hide_index=True,
        height="content",
        alt="Variants the model reads right, for the whole recipe and for each transform alone",
    )
    st.caption(
        f"Run {run.job.id} reads {plain} of the originals. It was trained on most of them, so only the difference "
        "between originals and variants counts. A single transform is applied to every image, the whole recipe as in "
        "training."
    )
    for one in worrying or sorted(result.readings[1:], key=lambda one: one.drop, reverse=True)[:1]:
        if one.misread:
            st.markdown(f"**{TITLES[one.key]}**: original read right, variant read wrong")
            with st.grid("auto", min_column_width=150, gap="xsmall"):
                for wrong in one.misread:
                    caption = f"{wrong.label} read as {wrong.text}"
                    st.image(encode_png(wrong.variant), caption=layout.plain(caption), width="stretch", alt=caption)


def _points(one: VariantReading) -> str:
    low, high = one.drop95
    return f"{100 * one.drop:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
