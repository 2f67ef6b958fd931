"""Every image of a project: find it, look at it, see who labeled it, correct the label."""

import uuid
from typing import Any

import pandas as pd
import streamlit as st

from core.data.labeling import apply_events
from core.data.reviewing import choices_of, history_of
from core.images.pixels import data_url
from db.labels import events_of
from db.projects import list_sources
from db.queues import PASSED
from db.records import Sample
from db.samples import ORDERS, count_samples, image_bytes, select_samples, splits_of_label
from pages.components import layout, state

PER_PAGE = 50  # each row carries its image, a few kB, with every rerun
STATES: dict[str, dict[str, Any]] = {
    "all": {},
    "unlabeled": {"state": "unlabeled"},
    "labeled": {"state": "labeled"},
    "not checked": {"state": "labeled", "checked": False},
    "checked": {"state": "labeled", "checked": True},
    "disputed": {"disputed": True},
    "skipped": {"state": "skipped"},
    "passed by": {"flag": PASSED},
    "unreadable": {"flag": "unreadable"},
    "not ours": {"flag": "not_ours"},
}
SPLITS = ("all", "train", "val", "test")

page = layout.open_page("samples")
project = page.project


def save(sample: Sample, seen: int, action: str, event_id: str, flag: str | None = None) -> None:
    """Callback; all arguments are those of the form that was on screen, so a double click is one event.

    `seen` is how many events of the sample the page has shown.
    """
    text = st.session_state[state.label_field(sample)].strip() if action == "label" else None
    if sample.disputed and action != "undo":
        action = "resolve"  # every opinion is on the page, so whoever saves here decides
    event = {"event": event_id, "action": action, "sample": sample.sha256, "base": sample.version}
    event |= {"text": text, "flag": flag, "seen": seen}
    with layout.refuses(), layout.database() as db:
        outcome = apply_events(db, project, page.operator, [event], origin="samples")[0]
        st.session_state[state.OUTCOME] = (sample.name, outcome)


def looked_at(sample: Sample) -> str | None:
    """Where a sample stands with those who reviewed it; None: nobody has."""
    return "disputed" if sample.disputed else "checked" if sample.checked else None


def to_first_page() -> None:
    st.session_state[state.SAMPLES_PAGE] = 1


with layout.errors(), layout.database() as db:
    sources = {source.name: source for source in list_sources(db, project.id)}
    total = count_samples(db, project.id)
if not total:
    st.info("This project has no images yet.", icon=":material/inbox:")
    st.page_link("pages/home.py", label="Import images", icon=":material/upload:")
    st.stop()

# The address holds what is shown, so options are shown as the database has them.
bound: dict[str, Any] = {"bind": "query-params", "on_change": to_first_page}
with st.container(horizontal=True, vertical_alignment="bottom"):
    search = st.text_input(
        "Search", key=state.SEARCH, live="300ms", icon=":material/search:", width=230,
        placeholder="Label, file name or pixel hash", **bound,
    )  # fmt: skip
    standing = st.selectbox("State", list(STATES), key="state", width=135, **bound)
    split = st.selectbox("Split", SPLITS, key="split", width=95, **bound)
    order = st.selectbox("Sort by", list(ORDERS), key="sort", width=115, **bound)
    if len(sources) > 1:
        source_name = st.selectbox(
            "Source", list(sources), index=None, key="source", width=165, placeholder="All sources", **bound
        )
    else:
        source_name = None

where = {
    **STATES[standing],
    "split": None if split == "all" else split,
    "source_id": sources[source_name].id if source_name else None,
    "text": search.strip(),
}
with layout.errors(), layout.database() as db:
    matches = count_samples(db, project.id, **where)
if not matches:
    st.info("No image matches these filters.", icon=":material/search_off:")
    st.stop()

table, detail = st.columns([3, 2], gap="medium")
rows, below = table.container(), table.container(horizontal=True, vertical_alignment="center")
with below:
    st.caption(f"{matches:,} of {total:,} images")
    pages = -(-matches // PER_PAGE)
    number = st.pagination(pages, key=state.SAMPLES_PAGE, bind="query-params") if pages > 1 else 1
with layout.errors(), layout.database() as db:
    start = (number - 1) * PER_PAGE
    samples = select_samples(db, project.id, **where, order=order, limit=PER_PAGE, offset=start)
    images = image_bytes(db, [sample.id for sample in samples])

with rows:
    source_names = {source.id: source.name for source in sources.values()}
    selection = st.dataframe(
        pd.DataFrame(
            {
                "image": [data_url(images[sample.id]) for sample in samples],
                "label": [sample.label for sample in samples],
                "state": [(sample.flag or sample.state).replace("_", " ") for sample in samples],
                "looked at": [looked_at(sample) for sample in samples],
                "split": [sample.split for sample in samples],
                "name": [sample.name for sample in samples],
                "operator": [sample.operator for sample in samples],
                "labeled": pd.to_datetime(pd.Series([sample.labeled_at for sample in samples]), utc=True),
                "source": [source_names[sample.source_id] for sample in samples],
                "size": [f"{sample.width} x {sample.height}" for sample in samples],
            }
        ),
        column_config={
            "image": st.column_config.ImageColumn("Image", width=160),
            "label": st.column_config.TextColumn("Label", width="small"),
            "state": st.column_config.TextColumn("State", width="small"),
            "looked at": st.column_config.TextColumn(
                "Review", width="small", help="checked: a second person found it right; disputed: somebody disagrees"
            ),
            "split": st.column_config.TextColumn("Split", width="small"),
            "name": st.column_config.TextColumn("File"),
            "operator": st.column_config.TextColumn("Operator"),
            "labeled": st.column_config.DatetimeColumn("Labeled", format="distance"),
            "source": st.column_config.TextColumn("Source"),
            "size": st.column_config.TextColumn("Pixels"),
        },
        # Another list of samples is another table: a selection is a row number, and would point at another image.
        key=f"samples {project.id} {where} {order} {number}",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row-required",
        row_height=48,
        height=min(660, 38 + 48 * len(samples)),
        alt=f"{len(samples)} samples with image, label, state and split",
    )["selection"]

with detail:
    layout.show_refusal()
    if state.OUTCOME in st.session_state:
        name, outcome = st.session_state.pop(state.OUTCOME)
        show = st.success if outcome.status in ("saved", "repeated") else st.error
        show(layout.plain(f"{name}: {outcome.message}"))
    sample = samples[selection["rows"][0]]
    with layout.errors(), layout.database() as db:
        history = events_of(db, sample.id)
        twins = splits_of_label(db, project.id, sample.label) if sample.label else {}
    st.image(images[sample.id], width="stretch", alt=f"Image of {sample.name}")
    st.text(sample.name)
    if sample.disputed:
        said = "; ".join(f"**{layout.plain(choice.shown)}**: {layout.plain(', '.join(choice.voices))}"
                         for choice in choices_of(sample, history))  # fmt: skip
        st.warning(f"Disputed. {said}. What you save here decides.", icon=":material/forum:")
    st.caption(
        f"{sample.split} split · {sample.width} x {sample.height} pixels · hash `{sample.sha256[:12]}` · "
        f"source {layout.plain(source_names[sample.source_id])}"
    )

    event_id = uuid.uuid4().hex
    with st.form(f"relabel {sample.id} {sample.version}", border=False):
        st.text_input(
            "Label", sample.label or "", page.spec.length, state.label_field(sample),
            placeholder=f"{page.spec.length} of {page.spec.charset}",
        )  # fmt: skip
        with st.container(horizontal=True):
            st.form_submit_button(
                "Save label",
                type="primary",
                icon=":material/check:",
                on_click=save,
                args=(sample, len(history), "label", event_id),
            )
            st.form_submit_button(
                "Skip", icon=":material/block:", help="Take it out of training, to be seen again in the skipped queue.",
                disabled=sample.state == "skipped" and not sample.flag, on_click=save,
                args=(sample, len(history), "skip", event_id),
            )  # fmt: skip
            for flag, name, why in (
                ("unreadable", "Unreadable", "Take it out for good: nobody can read it."),
                ("not_ours", "Not ours", "Take it out for good: it does not belong to this project."),
            ):
                st.form_submit_button(
                    name, help=why, disabled=sample.flag == flag and not sample.disputed,
                    on_click=save, args=(sample, len(history), "skip", event_id, flag),
                )  # fmt: skip
            st.form_submit_button(
                "Undo", icon=":material/undo:", help="Go back to what it was one step earlier; the history keeps both.",
                disabled=sample.version == 0, on_click=save, args=(sample, len(history), "undo", event_id),
            )  # fmt: skip
    if sum(twins.values()) > 1:
        where_else = ", ".join(f"{n} in {name}" for name, n in twins.items())
        st.caption(f"{sum(twins.values())} images carry this label: {where_else}.")
    if history:
        lines = history_of(history)[::-1]
        st.dataframe(
            pd.DataFrame(
                {
                    "At": pd.to_datetime([line.at for line in lines], utc=True),
                    "Operator": [line.operator for line in lines],
                    "Did": [line.did if not line.standing else f"{line.did} ({line.standing})" for line in lines],
                    "Label": [line.what for line in lines],
                    "Seconds": [None if line.ms is None else line.ms / 1000 for line in lines],
                    "Page": [line.origin for line in lines],
                }
            ),
            column_config={
                "At": st.column_config.DatetimeColumn(format="distance"),
                "Did": st.column_config.TextColumn(
                    help="lost: came after another operator's and changed nothing; opinion: changes no label"
                ),
                "Seconds": st.column_config.NumberColumn(
                    format="%.1f", help="From the image on the screen to the event"
                ),
            },
            hide_index=True,
            alt="History of this image, newest first",
        )
    else:
        st.caption("Nobody has labeled this image yet.")
