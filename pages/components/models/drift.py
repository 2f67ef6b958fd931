"""Drift of the bundle in use: banners with images of before and after, a table by week, and curves."""

import pandas as pd
import streamlit as st

from core.evaluation.percent import percent
from core.images.pixels import data_url
from core.jobs import control
from core.runs.drift import (
    ADVICE,
    KIND,
    LOOKLESS,
    Drift,
    detail,
    name_of,
    newest_drift,
    sentence,
    start_drift,
    without_alarm,
)
from core.runs.drift_streams import Change, Row
from core.runs.promotions import keep
from db.records import Project
from db.samples import image_bytes
from pages.components import charts, layout
from pages.components.progress import show_progress

IMAGE_WIDTH = 120
SHOWN = 3
"""Changes whose images are drawn."""


def show_alarms(project: Project, operator: str) -> None:
    """Draw a banner for each change that the newest job noticed, and the button that makes it usual."""
    with layout.errors(), layout.database() as db:
        found = newest_drift(db, project)
    if found is None or not found.alarms:
        return
    for number, (source, change) in enumerate(found.alarms):
        _show_change(source, change)
        if number < SHOWN:
            _show_images(change)
    st.button(
        "Keep this bundle", icon=":material/check:", key="keep bundle", on_click=_keep, args=(project, operator),
        help="The images since the change are as usual from now on. The history shows who decided it.",
    )  # fmt: skip


def show_drift(project: Project, operator: str) -> None:
    """Draw the button that looks for drift, and what the newest job found. A bundle is in use."""
    st.subheader("Drift", anchor=False)
    st.caption(
        "The bundle in use reads the images that came after its training. Answers of its log count too. "
        "An alarm says that the images or the readings have changed."
    )
    with layout.errors(), layout.database() as db:
        job, found = control.find_active(db, layout.home(), project, KIND), newest_drift(db, project)
    if job:
        show_progress(job, "images")
    else:
        st.button(
            "Look for drift", icon=":material/monitoring:", key="look for drift", on_click=_start,
            args=(project, operator),
        )  # fmt: skip
    layout.show_refusal("drift")
    if found is None:
        return
    if not found.is_current:
        st.info(
            f"These are answers of {found.bundle}, from before the last decision in the history. Look for drift again.",
            icon=":material/info:",
        )
    elif not found.answers:
        st.info(without_alarm(found), icon=":material/info:")
    elif not found.alarms:
        st.success(without_alarm(found), icon=":material/check_circle:")
    if not found.has_look:
        st.caption(LOOKLESS)
    if found.rows:
        _show_table(found)


def _start(project: Project, operator: str) -> None:
    with layout.refuses("drift"), layout.database() as db:
        start_drift(db, layout.home(), project, operator=operator)


def _keep(project: Project, operator: str) -> None:
    with layout.refuses("drift"), layout.database() as db:
        keep(db, project, operator=operator)
        start_drift(db, layout.home(), project, operator=operator)


def _show_change(source: str | None, change: Change) -> None:
    st.warning(
        f"**{layout.plain(sentence(source, change))}** {layout.plain(detail(change))} {ADVICE}",
        icon=":material/trending_down:",
    )


def _show_images(change: Change) -> None:
    with layout.errors(), layout.database() as db:
        blobs = image_bytes(db, [*change.before, *change.since])
    for title, ids in (("Before", change.before), ("Since", change.since)):
        urls = [data_url(blobs[sample_id]) for sample_id in ids if sample_id in blobs]
        st.caption(title if urls else f"{title}: the project has none of these images.")
        with st.container(horizontal=True):
            for url in urls:
                st.image(url, width=IMAGE_WIDTH, alt=f"An image {title.lower()} the change")


def _show_table(found: Drift) -> None:
    st.dataframe(
        pd.DataFrame([_columns(row) for row in found.rows]),
        column_config={
            "Accepted": st.column_config.TextColumn(help="Readings that the portal accepted, of those with a verdict."),
            "Abstained": st.column_config.TextColumn(help="Readings below the threshold or unfamiliar."),
            "Confidence": st.column_config.TextColumn(help="Median of the week."),
            "Unfamiliar": st.column_config.TextColumn(help="Images unlike those of training."),
            "As readers": st.column_config.TextColumn(help="Readings equal to the one that general readers agree on."),
        },
        hide_index=True,
        placeholder="–",
        alt="Answers of the bundle in use by week and source",
    )
    curves = {name_of(stream.source): stream.curve for stream in found.streams if stream.curve}
    if curves:
        st.plotly_chart(charts.drift_figure(curves), key="drift", alt="Evidence of drift in order of time")


def _columns(row: Row) -> dict[str, str | int | None]:
    def share(counts: tuple[int, int]) -> str | None:
        count, of = counts
        return f"{count:,}/{of:,} = {percent(count / of)}" if of else None

    return {
        "Week": row.week, "Source": name_of(row.source), "Answers": row.n, "Accepted": share(row.accepted),
        "Abstained": share(row.abstained), "Confidence": percent(row.confidence), "Unfamiliar": share(row.unfamiliar),
        "As readers": share(row.agreed),
    }  # fmt: skip
