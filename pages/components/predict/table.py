"""The readings of many images: a table, from which one is chosen, and its download."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.images.pixels import data_url
from core.runs.inputs import Record
from core.runs.readings_file import COLUMNS, csv_header, csv_line
from core.words import plural
from db.projects import list_sources
from db.records import Project
from pages.components import layout
from pages.components.predict.images import Picture, bytes_of

WITH_IMAGES = 200
"""Rows up to which the table shows the images. Each takes some 10 kB in the browser."""
OF_SOURCE = ("source", "owner", "authorization")
DOWNLOADED = ("file", "sha256", "label", *(name for name in COLUMNS if name not in ("file", "blind")), *OF_SOURCE)


def choose_reading(pictures: Sequence[Picture], records: Sequence[Record], *, who: str, key: str) -> int:
    """Draw the table, and return the place of the selected row."""
    columns: dict[str, Any] = {}
    if len(pictures) <= WITH_IMAGES:
        with layout.errors(), layout.database() as db:
            columns["Image"] = [data_url(data) for data in bytes_of(db, pictures)]
    else:
        st.caption(f"A table of more than {WITH_IMAGES} rows has no pictures. Select a row to see its image below.")
    columns["Reading"] = [record["text"] for record in records]
    columns["Confidence"] = [100 if it == 1 else min(100 * it, 99.9) for it in (each["confidence"] for each in records)]
    if any(record["accepted"] is not None for record in records):
        columns["Accepted"] = [record["accepted"] for record in records]
    if any(record["unfamiliar"] for record in records):
        columns["Unfamiliar"] = [record["unfamiliar"] for record in records]
    if any(picture.label for picture in pictures):
        columns["Label"] = [picture.label for picture in pictures]
        columns["Right"] = [
            None if each.label is None else each.label == record["text"]
            for each, record in zip(pictures, records, strict=True)
        ]
    columns["File"] = [picture.name for picture in pictures]
    row_height = 44 if "Image" in columns else 35
    selected: int = layout.without_download("readings").dataframe(
        pd.DataFrame(columns),
        column_config={
            "Image": st.column_config.ImageColumn(width=170),
            "Confidence": st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100, width="small"),
            "Accepted": st.column_config.CheckboxColumn(width="small"),
            "Right": st.column_config.CheckboxColumn(width="small"),
        },
        key=f"read {key} {len(pictures)}",
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row-required",
        row_height=row_height,
        height=min(300, 38 + row_height * len(pictures)),
        alt=f"{plural(len(pictures), 'image')} with the readings of {who} and their confidence",
    )["selection"]["rows"][0]
    return selected


def show_download(project: Project, pictures: Sequence[Picture], records: Sequence[Record], *, name: str) -> None:
    """Draw the button that downloads all readings, also the errors. Images of the project have their owner there."""
    st.download_button(
        "Download CSV",
        lambda: _csv(project, pictures, records),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="download readings",
    )


def _csv(project: Project, pictures: Sequence[Picture], records: Sequence[Record]) -> str:
    with layout.database() as db:
        sources = {
            source.id: {"source": source.name, "owner": source.owner, "authorization": source.authorization}
            for source in list_sources(db, project.id)
        }
    lines = [
        csv_line(
            {"file": each.name, "sha256": each.sha256, "label": each.label}
            | record
            | (sources.get(each.source_id, {}) if each.source_id else {}),
            DOWNLOADED,
        )
        for each, record in zip(pictures, records, strict=True)
    ]
    return csv_header(DOWNLOADED) + "".join(lines)
