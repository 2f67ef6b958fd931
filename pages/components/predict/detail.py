"""The reading of one image: its characters, and the reading of each view."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.evaluation.percent import percent
from core.images.pixels import decode, encode_png
from pages.components import layout
from pages.components.charts import confidence_figure
from pages.components.predict.images import Picture, bytes_of

if TYPE_CHECKING:
    from core.model.predictor import Prediction, Predictor


def show_reading(picture: Picture, reading: "Prediction", predictor: "Predictor", *, tta: bool) -> None:
    """Draw the image, the reading of the table, and its views at the temperature of that reading."""
    with layout.errors(), layout.database() as db:
        (data,) = bytes_of(db, [picture])
        pixels = decode(data)
        views = predictor.predict_views(pixels, tta=tta)
    ranked_PC = np.argsort(-reading.probs_PC, axis=1)
    left, chart = st.columns([2, 3], gap="large")
    with left:
        st.image(data, width="stretch", alt=f"Image {picture.name}")
        st.text(picture.name)
        how = "Mean of the views' log-probabilities, normalized." if tta else "Reading of the original image."
        st.metric("Reading with TTA" if tta else "Reading", reading.text, help=how)
        label = f", label {picture.label}" if picture.label else ""
        st.caption(layout.plain(f"Confidence {percent(reading.confidence)}{label}"))
        if reading.unfamiliar:
            st.warning(layout.plain(reading.unfamiliar), icon=":material/help:")
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
            alt=f"{reading.text}: "
            + ", ".join(f"{char} {percent(confidence)}" for char, confidence in reading.positions),
        )
    st.markdown("**Reading of each view**. Characters that differ from the reading above are red.")
    with st.grid("auto", min_column_width=135):
        for view, shown in zip(views, predictor.view_images(pixels), strict=True):
            with st.container(border=True, gap="xsmall"):
                st.image(encode_png(shown), width="stretch", alt=f"View {view.name}")
                same = (char == other for char, other in zip(view.text, reading.text, strict=True))
                st.markdown(layout.marked(view.text, same))
                st.caption(layout.plain(f"{view.name}, {percent(view.confidence)}"))
