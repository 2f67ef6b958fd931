"""Predict: a run's reading of images, its confidence in each character, and the reading of every view."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.proposals import is_blind
from core.errors import ImageError
from core.evaluation.percent import percent
from core.evaluation.reference import BLIND
from core.evaluation.views import choice_of
from core.images.pixels import data_url, decode, encode_png
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import can_read, caution, shown_name
from core.words import plural
from db.samples import count_samples, image_bytes, select_samples
from pages.components import layout, resources
from pages.components.charts import confidence_figure

MAX_PROJECT_IMAGES = 24
STORED: dict[str, dict[str, Any]] = {
    "val": {"split": "val", "state": "labeled"},
    "unlabeled": {"split": "train", "state": "unlabeled"},
}
NAMES = {"val": "labeled validation", "unlabeled": "unlabeled training"}

page = layout.open_page("predict")
project, spec, home = page.project, page.spec, layout.home()

runs = layout.find_runs_with_a_model(project) if can_read(spec) else layout.runs_with_a_model(project)
with layout.errors(), layout.database() as db:
    default = next((name for name, where in STORED.items() if count_samples(db, project.id, **where)), "upload")
with st.container(horizontal=True, vertical_alignment="bottom"):
    reader = "run"
    if can_read(spec):
        reader = st.segmented_control(
            "Reader", ["run", BUILTIN] if runs else [BUILTIN], default="run" if runs else BUILTIN, required=True,
            key=f"reader of {project.id}", format_func=shown_name,
        )  # fmt: skip
    run = runs[layout.choose_run(project, list(runs))] if reader == "run" else None
    who = run.job.id if run else BUILTIN
    source = st.segmented_control(
        "Images", ["upload", *STORED], default=default, required=True, key="images", persist_state="session"
    )
    text = ""
    if source != "upload":
        text = st.text_input(
            "Search", key="search", live="300ms", placeholder="Label, file name or pixel hash", width=200
        ).strip()
    with layout.errors():
        choice = choice_of(home.run(run.job.id) if run else None)
    tta = st.toggle(
        "Test-time augmentation", value=choice.use, key=f"tta of {who}",
        help=f"Averages over these views: {layout.plain(', '.join(view.name for view in choice.views))}.",
    )  # fmt: skip

if not runs:
    advice = "The built-in reader learned from rendered text, not from this project. Its confidence is not calibrated."
    layout.say_no_model(project, advice)
if reader == BUILTIN and (sentence := caution(spec)):
    st.warning(layout.plain(sentence), icon=":material/help:")

files: list[tuple[str, str | None, bytes]] = []  # name, label, bytes
if source == "upload":
    uploads = st.file_uploader("Images", accept_multiple_files=True, label_visibility="collapsed", key="uploads")
    files = [(upload.name, None, upload.getvalue()) for upload in uploads]
else:
    with layout.errors(), layout.database() as db:
        samples = select_samples(db, project.id, **STORED[source], text=text, limit=MAX_PROJECT_IMAGES)
        stored = image_bytes(db, [sample.id for sample in samples])
    files = [(sample.name, sample.label, stored[sample.id]) for sample in samples]
    if not files:
        st.info(f"This project has no {NAMES[source]} images{' that match' if text else ''}.")

images, unreadable = [], []
with layout.errors(), layout.database() as db:
    for name, label, data in files:
        try:
            pixels = decode(data)
        except ImageError as error:
            unreadable.append((name, str(error)))
            continue
        if is_blind(db, project.id, pixels):
            st.info(layout.plain(f"{name}: {BLIND}"), icon=":material/visibility_off:")
        else:
            images.append((name, label, data, pixels))
for name, reason in unreadable:
    st.error(layout.plain(f"{name}: {reason}"), icon=":material/broken_image:")
if not images:
    st.stop()

with layout.errors():
    predictor = resources.predictor(home, run) if run else resources.builtin_predictor(home, project)
    readings = predictor.predict([pixels for *_, pixels in images], tta=tta)

labels = [label for _, label, _, _ in images]
selected = st.dataframe(
    pd.DataFrame(
        {
            "Image": [data_url(data) for _, _, data, _ in images],
            "Reading": [reading.text for reading in readings],
            "Confidence": [100 if each.confidence == 1 else min(100 * each.confidence, 99.9) for each in readings],
            "Label": labels,
            "Right": [
                None if label is None else label == reading.text
                for label, reading in zip(labels, readings, strict=True)
            ],
            "File": [name for name, *_ in images],
        }
    ),
    column_config={
        "Image": st.column_config.ImageColumn(width=170),
        "Confidence": st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100, width="small"),
        "Right": st.column_config.CheckboxColumn(width="small"),
    },
    column_order=["Image", "Reading", "Confidence", *(["Label", "Right"] if any(labels) else []), "File"],
    key=f"read {who} {source} {text} {len(images)}",
    hide_index=True,
    on_select="rerun",
    selection_mode="single-row-required",
    row_height=44,
    height=min(300, 38 + 44 * len(images)),
    alt=f"{plural(len(images), 'image')} with the readings of {who} and their confidence",
)["selection"]["rows"][0]

name, label, data, pixels = images[selected]
reading = readings[selected]
with layout.errors():
    views = predictor.predict([pixels], tta=True)[0].views
ranked_PC = np.argsort(-reading.probs_PC, axis=1)
picture, chart = st.columns([2, 3], gap="large")
with picture:
    st.image(data, width="stretch", alt=f"Image {name}")
    st.text(name)
    how = "Mean of the views' log-probabilities, normalized." if tta else "Reading of the original image."
    st.metric("Reading with TTA" if tta else "Reading", reading.text, help=how)
    st.caption(layout.plain(f"Confidence {percent(reading.confidence)}" + (f", label {label}" if label else "")))
    st.image(encode_png(predictor.preprocess(pixels)), width="stretch", alt="Network input")
    st.caption("Network input")
with chart:
    st.markdown("**Confidence per character**")
    st.plotly_chart(
        confidence_figure(
            reading.text,
            predictor.spec.decode(ranked_PC[:, 1]),
            np.take_along_axis(reading.probs_PC, ranked_PC[:, :2], axis=1),
        ),
        config={"displayModeBar": False},
        alt=f"{reading.text}: " + ", ".join(f"{char} {percent(confidence)}" for char, confidence in reading.positions),
    )
st.markdown("**Reading of each view**. Characters that differ from the reading above are red.")
with st.grid("auto", min_column_width=135):
    for view, shown in zip(views, predictor.view_images(pixels), strict=True):
        with st.container(border=True, gap="xsmall"):
            st.image(encode_png(shown), width="stretch", alt=f"View {view.name}")
            same = (char == other for char, other in zip(view.text, reading.text, strict=True))
            st.markdown(layout.marked(view.text, same))
            st.caption(layout.plain(f"{view.name}, {percent(view.confidence)}"))
