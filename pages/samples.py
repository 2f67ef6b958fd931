"""Samples: find any image of a project, see who labeled it, correct its label."""

import uuid

import pandas as pd
import streamlit as st

from core.data.kinds import WORDS, breakdown, is_mixed, labels_by_kind
from core.data.labeling import apply_events
from core.data.reviewing import FLAG_WORDS, REJECTED_MARK, choices_of, history_of, visible
from core.images.pixels import data_url
from core.words import plural
from db.labels import events_of
from db.projects import list_sources
from db.records import CAPTCHA, REMOVABLE, Sample, Verdict
from db.samples import count_samples, image_bytes, select_samples, splits_of_label
from db.tags import tags_of
from db.verdicts import rejected_texts, verdicts_of
from pages.components import address, layout, state
from pages.components.removal import ask_removal, show_removed
from pages.components.samples.bulk import show_actions, show_done
from pages.components.samples.filters import choose_filters
from pages.components.tags import tag_words

HASH_SHOWN = 12
"""Characters of a pixel hash that tell an image from all others."""
PER_PAGE = 50  # each rerun sends the image of every row, a few kB

page = layout.open_page("samples")
project = page.project


def save(sample: Sample, seen: int, action: str, event_id: str, flag: str | None = None) -> None:
    """Callback: save an event. All arguments belong to the form on screen, so a double click saves one event.

    `seen`: number of the sample's events that the page has shown.
    """
    text = st.session_state[state.label_field(sample)].strip() if action == "label" else None
    if sample.disputed and action != "undo":
        action = "resolve"  # the page shows every opinion, so saving here decides
    event = {"event": event_id, "action": action, "sample": sample.sha256, "base": sample.version}
    event |= {"text": text, "flag": flag, "seen": seen}
    with layout.refuses(), layout.database() as db:
        outcome = apply_events(db, project, page.operator, [event], origin="samples")[0]
        st.session_state[state.OUTCOME] = (sample.name, outcome)


def review_state(sample: Sample) -> str:
    """Return the state of a sample's review; empty if there is no label to review."""
    if sample.disputed:
        return "disputed"
    return "checked" if sample.checked else "not checked" if sample.label else ""


def said(verdict: Verdict) -> str:
    """Return what the portal said about a text."""
    if verdict.accepted:
        return "accepted"
    return REJECTED_MARK if verdict.reason == CAPTCHA else f"rejected ({verdict.reason or 'no reason'})"


with layout.errors(), layout.database() as db:
    sources = {source.name: source for source in list_sources(db, project.id)}
    total = count_samples(db, project.id)
    kinds = labels_by_kind(db, project)
if not total:
    st.info("This project has no images yet.", icon=":material/inbox:")
    st.page_link("pages/home.py", label="Import images", icon=":material/upload:")
    layout.stop()


filters = choose_filters(project, page.operator, sources, kinds)
where, order = filters.where, filters.order
show_done(project, page.operator, filters.place)
with layout.errors(), layout.database() as db:
    matches = count_samples(db, project.id, **where)
if not matches:
    st.info("No images match these filters.", icon=":material/search_off:")
    layout.stop()

actions = st.container()
table, detail = st.columns([3, 2], gap="medium")
rows, below = table.container(), table.container(horizontal=True, vertical_alignment="center")
with below:
    labels = breakdown(kinds)
    st.caption(f"{matches:,} of {plural(total, 'image')}" + (f" · labels: {labels}" if labels else ""))
    pages = -(-matches // PER_PAGE)
    number = 1
    if pages > 1:
        number = st.pagination(pages, **address.widget(state.SAMPLES_PAGE, range(1, pages + 1), 1))
with layout.errors(), layout.database() as db:
    start = (number - 1) * PER_PAGE
    samples = select_samples(db, project.id, **where, order=order, limit=PER_PAGE, offset=start)
    ids = [sample.id for sample in samples]
    images, tags = image_bytes(db, ids), tags_of(db, ids)

# The row stays when the list moves up, so that the next image comes after a label is saved.
here, (of_list, row) = f"{project.id} {where} {order} {number}", st.session_state.get(state.SAMPLES_ROW, ("", 0))
row = min(row, len(samples) - 1) if of_list == here else 0
with rows:
    source_names = {source.id: source.name for source in sources.values()}
    selection = layout.without_download("samples").dataframe(
        pd.DataFrame(
            {
                "image": [data_url(images[sample.id]) for sample in samples],
                "label": [sample.label for sample in samples],
                **({"kind": [WORDS.get(sample.kind or "") for sample in samples]} if is_mixed(kinds) else {}),
                "state": [FLAG_WORDS.get(sample.flag or "", sample.state) for sample in samples],
                "review": [review_state(sample) for sample in samples],
                "split": [sample.split for sample in samples],
                **({"tags": [[tag.name for tag in tags.get(sample.id, [])] for sample in samples]} if tags else {}),
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
            "kind": st.column_config.TextColumn("Kind", width="small", help="Who gave the label."),
            "state": st.column_config.TextColumn("State", width="small"),
            "review": st.column_config.TextColumn(
                "Review", width=95, help="checked: an operator confirmed the label. disputed: operators disagree."
            ),
            "split": st.column_config.TextColumn("Split", width="small"),
            "tags": st.column_config.ListColumn("Tags"),
            "name": st.column_config.TextColumn("File"),
            "operator": st.column_config.TextColumn("Operator"),
            "labeled": st.column_config.DatetimeColumn("Labeled", format="distance"),
            "source": st.column_config.TextColumn("Source"),
            "size": st.column_config.TextColumn("Size"),
        },
        # The key names the images, because the same row number is another image in another list. A tick stays with it.
        key=f"samples {here} {hash(tuple(ids))}",
        hide_index=True,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"cells": [(row, "image")]}},
        row_height=48,
        height=min(660, 38 + 48 * len(samples)),
        placeholder="–",
        alt=f"{plural(len(samples), 'sample')} with image, label, state and split",
    )["selection"]

row = selection["cells"][0][0] if selection["cells"] else next(iter(selection["rows"]), row)
st.session_state[state.SAMPLES_ROW] = (here, row)
with actions:
    show_actions(project, page.operator, filters, samples, selection["rows"], sources)

with table.container(horizontal=True):  # after the table, which would push an open popover out of sight
    for kind in REMOVABLE:
        if kind in kinds:
            ask_removal(project, kind)

with detail:
    layout.show_refusal()
    show_removed()
    if state.OUTCOME in st.session_state:
        name, outcome = st.session_state.pop(state.OUTCOME)
        show = st.success if outcome.status in ("saved", "repeated") else st.error
        show(layout.plain(f"{name}: {outcome.message}"))
    sample = samples[row]
    with layout.errors(), layout.database() as db:
        history = events_of(db, sample.id)
        verdicts = verdicts_of(db, project.id, sample.sha256)
        rejected = rejected_texts(db, project.id, sample_ids=[sample.id]).get(sample.id, frozenset())
        twins = splits_of_label(db, project.id, sample.label) if sample.label else {}
    st.image(images[sample.id], width="stretch", alt=f"Image of {sample.name}")
    st.text(sample.name)
    if sample.disputed:
        opinions = "; ".join(f"**{layout.plain(choice.shown)}**: {layout.plain(', '.join(choice.voices))}"
                         for choice in choices_of(sample, history))  # fmt: skip
        st.warning(f"Disputed. {opinions}. Saving a label here settles it.", icon=":material/forum:")
    st.caption(
        f"{sample.split} split · {sample.width} x {sample.height} pixels · hash `{sample.sha256[:HASH_SHOWN]}` · "
        f"source {layout.plain(source_names[sample.source_id])}"
    )

    if address.get(state.SEARCH) != sample.sha256[:HASH_SHOWN]:
        st.page_link(
            "pages/samples.py", label="Link to this image", icon=":material/link:",
            help="Opens the list with this image alone. Copy the link to send it to someone.",
            query_params={state.PROJECT: project.name, state.SEARCH: sample.sha256[:HASH_SHOWN]},
        )  # fmt: skip
    if sample.id in tags:
        st.caption(f"Tags: {layout.plain(', '.join(map(tag_words, tags[sample.id])))}")
    event_id = uuid.uuid4().hex
    with st.form(f"relabel {sample.id} {sample.version}", border=False):
        st.text_input(
            "Label", sample.label or "", page.spec.length, state.label_field(sample),
            placeholder=f"{plural(page.spec.length, 'character')} of {page.spec.charset}",
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
                "Skip", icon=":material/block:", help="Skip the image for now. It stays in the skipped queue.",
                disabled=sample.state == "skipped" and not sample.flag, on_click=save,
                args=(sample, len(history), "skip", event_id),
            )  # fmt: skip
            for flag, name, why in (
                ("unreadable", "Unreadable", "Skip the image for good: nobody can read it."),
                ("not_ours", "Not from this portal", "Skip the image for good: it is not from this portal."),
            ):
                st.form_submit_button(
                    name, help=why, disabled=sample.flag == flag and not sample.disputed,
                    on_click=save, args=(sample, len(history), "skip", event_id, flag),
                )  # fmt: skip
            st.form_submit_button(
                "Undo", icon=":material/undo:", help="Go back one step. The history keeps both entries.",
                disabled=sample.version == 0, on_click=save, args=(sample, len(history), "undo", event_id),
            )  # fmt: skip
    if sum(twins.values()) > 1:
        splits = ", ".join(f"{n} in {name}" for name, n in twins.items())
        st.caption(f"{sum(twins.values())} images have this label: {splits}.")
    if history:
        lines = history_of(visible(sample, history), rejected)[::-1]
        layout.without_download("history").dataframe(
            pd.DataFrame(
                {
                    "Time": pd.to_datetime([line.at for line in lines], utc=True),
                    "Operator": [line.operator for line in lines],
                    "Action": [line.did if not line.standing else f"{line.did} ({line.standing})" for line in lines],
                    "Label": [line.what for line in lines],
                    "Seconds": [None if line.ms is None else line.ms / 1000 for line in lines],
                    "Page": [line.origin for line in lines],
                }
            ),
            column_config={
                "Time": st.column_config.DatetimeColumn(format="distance"),
                "Action": st.column_config.TextColumn(
                    help="lost: another operator was first, so it changed nothing. opinion: does not change the label."
                ),
                "Seconds": st.column_config.NumberColumn(
                    format="%.1f", help="Time from showing the image to the action."
                ),
            },
            hide_index=True,
            placeholder="–",
            alt="History of this image, newest first",
        )
    else:
        st.caption("This image has no history yet.")
    if verdicts and not sample.is_blind:
        layout.without_download("verdicts").dataframe(
            pd.DataFrame(
                {
                    "Text": [verdict.text for verdict in verdicts[::-1]],
                    "Verdict": [said(verdict) for verdict in verdicts[::-1]],
                    "Time": pd.to_datetime([verdict.at for verdict in verdicts[::-1]], utc=True),
                    "Brought in by": [verdict.operator for verdict in verdicts[::-1]],
                }
            ),
            column_config={"Time": st.column_config.DatetimeColumn(format="distance")},
            hide_index=True,
            alt="Verdicts of the portal on this image, newest first",
        )
