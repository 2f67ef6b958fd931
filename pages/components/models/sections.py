"""Sections of the Models page: the table of bundles, a comparison of two, and the history of choices."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import StorageError
from core.evaluation.percent import counted, percent
from core.images.pixels import data_url
from core.runs.bundle_comparison import BundleComparison, Pair
from core.runs.bundles import Bundle, manifest_of
from core.words import plural
from db.records import Promotion
from db.samples import image_bytes
from pages.components import layout

SHOWN = 24
"""Images of a comparison that are drawn."""


def named(run_id: str, names: Mapping[str, str]) -> str:
    """Return a run with the name that people gave it, if they did. `names`: those of the project's runs, by id."""
    return f"{run_id}, {name}" if (name := names.get(run_id)) else run_id


def show_table(bundles: list[Bundle], used: str | None, names: Mapping[str, str], key: str) -> Bundle:
    """List the bundles, newest first. Return the selected one: at first the one in use, else the newest."""
    rows = [_row(bundle, used) | {"Run": named(bundle.run_id, names)} for bundle in bundles]
    start = next((place for place, bundle in enumerate(bundles) if bundle.job.id == used), 0)
    selected = st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "In use": st.column_config.CheckboxColumn(width="small"),
            "Made": st.column_config.DatetimeColumn(format="distance"),
            "Validation": st.column_config.TextColumn(help="Right readings of validation images, with 95% interval."),
            "Test": st.column_config.TextColumn(help="Right readings of test images, if there is an evaluation."),
            "Threshold": st.column_config.NumberColumn(format="%.3f", help="Least confidence that it accepts."),
            "Size": st.column_config.NumberColumn(format="%.2f MB"),
        },
        column_order=["In use", "Bundle", "Run", "Made", "Validation", "Test", "Threshold", "Size"],
        key=key,
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [start]}},
        alt=f"{plural(len(bundles), 'bundle')} of this project, newest first",
    )["selection"]["rows"]
    return bundles[selected[0] if selected else start]


def _row(bundle: Bundle, used: str | None) -> dict[str, Any]:
    row = {
        "In use": bundle.job.id == used,
        "Bundle": bundle.job.id,
        "Made": pd.to_datetime(bundle.job.created_at, utc=True),
        "Size": bundle.bytes / 1e6,
    }
    try:
        manifest = manifest_of(bundle)
    except StorageError:  # the others can be used, and this one deleted
        return row | {"Validation": "damaged", "Test": None, "Threshold": None}
    val, test = manifest["metrics"]["val"], manifest["metrics"]["test"]
    agreement = "" if val["reference"] == "people" else " with readers"
    return row | {
        "Validation": counted(val["correct"], val["n"]) + agreement,
        "Test": counted(test["correct"], test["n"]) if test else None,
        "Threshold": manifest["threshold"],
    }


def show_comparison(found: BundleComparison, first: str, second: str) -> None:
    """Draw the counts of two bundles on the same images, one sentence about them, and the images that differ."""
    n, labeled = len(found.pairs), len(found.labeled)
    st.markdown(f"**{layout.plain(verdict(found, first, second))}**")
    rows = [
        {"Bundle": name, "Right": counted(right, labeled) if labeled else None, "Only this one right": f"{only:,}",
         "Accepted": None if accepted is None else counted(accepted, n)}
        for name, right, only, accepted in zip(
            (first, second), found.right, (found.broken, found.fixed), found.accepted, strict=True
        )
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder="–", alt=f"Counts of {first} and {second}")
    st.caption(
        f"The newest {plural(n, 'image')} that trained neither run: {labeled:,} labeled validation and {n - labeled:,} "
        f"unlabeled training images. Validation images also selected each run's checkpoint."
    )
    differing = found.differing
    if differing:
        st.caption(f"Read differently: {len(differing):,}." + f" The newest {SHOWN} follow." * (len(differing) > SHOWN))
        _show_images(differing[:SHOWN], first, second)


def verdict(found: BundleComparison, first: str, second: str) -> str:
    """Return one sentence with the result of a comparison."""
    n, labeled = len(found.pairs), len(found.labeled)
    if found.alike == n:
        return f"Both read all {plural(n, 'image')} alike."
    alike = f"They read {found.alike:,} of {plural(n, 'image')} alike."
    if not labeled:
        return f"{alike} None has a label, so nobody knows which is right."
    if found.p >= 0.05:
        return f"{alike} The labeled ones show no difference (p = {found.p:.2g})."
    better, worse = (second, first) if found.fixed > found.broken else (first, second)
    return f"{alike} {better} is better than {worse} (p = {found.p:.2g})."


def _show_images(pairs: list[Pair], first: str, second: str) -> None:
    with layout.errors(), layout.database() as db:
        blobs = image_bytes(db, [pair.sample.id for pair in pairs])
    layout.without_download("differences").dataframe(
        pd.DataFrame(
            {
                "Image": [data_url(blobs[pair.sample.id]) for pair in pairs],
                first: [f"{pair.first.text} ({percent(pair.first.confidence)})" for pair in pairs],
                second: [f"{pair.second.text} ({percent(pair.second.confidence)})" for pair in pairs],
                "Label": [pair.label for pair in pairs],
                "File": [pair.sample.name for pair in pairs],
            }
        ),
        column_config={"Image": st.column_config.ImageColumn(width=170)},
        hide_index=True,
        placeholder="–",
        row_height=44,
        alt=f"{plural(len(pairs), 'image')} that {first} and {second} read differently",
    )


def show_history(history: list[Promotion]) -> None:
    """List who used which bundle since when, newest first."""
    with st.expander("History", icon=":material/history:"):
        st.dataframe(
            pd.DataFrame(
                {
                    "Since (UTC)": pd.to_datetime([each.at for each in history], utc=True),
                    "Bundle": [each.job_id for each in history],
                    "Decision": ["kept" if kept else "chosen" for kept in _are_kept(history)],
                    "By": [each.operator for each in history],
                }
            ),
            column_config={"Since (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")},
            hide_index=True,
            alt="Bundles that were in use, newest first",
        )


def _are_kept(history: list[Promotion]) -> list[bool]:
    """Return for each decision whether the bundle was in use before. The newest one is first."""
    return [*(each.job_id == before.job_id for each, before in pairwise(history)), False]


def age(at: str) -> str:
    """Return how long ago a stored time is, in words."""
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() // 60)
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes >= length:
            return f"for {plural(minutes // length, unit)}"
    return "for less than a minute"
