"""Sections of the Compare page and the data they show."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.evaluation.comparison import Common, Comparison, Kind, Paired
from core.evaluation.metrics import Evaluation
from core.evaluation.percent import counted, percent
from core.evaluation.reference import AGAINST_READERS, BLIND, HIDDEN, SHARED_ERRORS, score_title, target_name
from core.images.pixels import data_url
from core.jobs import control
from core.runs.differences import run_differences
from db.records import Run
from db.samples import find_sample, image_bytes
from pages.components import layout
from pages.components.layout import Page
from pages.components.overlay import overlay

PER_PAGE = 24


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The readings of two runs on the images they have in common, measured against the same reference."""

    page: Page
    runs: tuple[Run, Run]
    images: str
    """The images in words."""
    reference: str
    common: Common
    sha256: list[str]
    """Hashes of all images of the first run; `common` indexes them."""
    plain: Comparison
    with_tta: Comparison | None
    """None if neither run was evaluated with TTA."""
    tta: bool
    unreadable: int
    """Unreadable images of the split or source, as of now."""

    @property
    def names(self) -> tuple[str, str]:
        return self.runs[0].job.id, self.runs[1].job.id

    @property
    def shown(self) -> Comparison:
        return self.with_tta if self.tta and self.with_tta else self.plain


def show_numbers(it: Compared) -> None:
    """Show the verdict, then the measures of both runs side by side."""
    paired = it.shown.paired
    st.markdown(f"**{layout.plain(paired.verdict(*it.names))}**")
    if left_out := it.common.sentence(*it.names, target_name(it.reference)):
        st.caption(layout.plain(left_out))
    if it.reference == "readers":
        st.caption(f"{AGAINST_READERS} {SHARED_ERRORS}")
    rows = [_exact_row(score_title(it.reference), it.plain)]
    if it.with_tta:
        rows.append(_exact_row("… with TTA", it.with_tta))
    if it.unreadable and it.reference == "people":
        rows.append(_exact_row(f"… {it.unreadable:,} unreadable as wrong", it.shown, it.unreadable))
    for position in range(it.page.spec.length):
        at = it.shown.paired_at(position)
        rows.append(_row(f"Position {position + 1}", at.n, at.both + at.only_first, at.both + at.only_second, at))
    rows.append(_loss_row("Log loss", it.plain.scores))
    if it.with_tta:
        rows.append(_loss_row("… with TTA", it.with_tta.scores))
    first, second = it.names
    st.dataframe(
        pd.DataFrame(rows, columns=["", first, second, f"Only {first}", f"Only {second}", "p"]),
        column_config={
            f"Only {first}": st.column_config.TextColumn(width=100),
            f"Only {second}": st.column_config.TextColumn(width=100),
            "p": st.column_config.TextColumn(
                "Chance (p)",
                width=90,
                help="Exact McNemar test: chance of a difference this large between two equally good runs.",
            ),
        },
        hide_index=True,
        placeholder="",
        alt=f"Measures of {first} and {second} on {it.images}",
    )
    st.caption(
        f"Right readings of {it.common.n:,} {layout.plain(it.images)}, with 95% interval. Positions are "
        f"{'with' if it.shown is it.with_tta else 'without'} TTA. Several positions are tested at once, so a single p "
        "near 0.05 says little. Log loss is the mean per character."
    )


def _exact_row(title: str, comparison: Comparison, unreadable: int = 0) -> list[str]:
    paired, (first, second) = comparison.paired, comparison.scores
    return _row(title, paired.n + unreadable, first.correct, second.correct, paired)


def _row(title: str, n: int, first: int, second: int, paired: Paired) -> list[str]:
    return [
        title, counted(first, n), counted(second, n), f"{paired.only_first:,}",
        f"{paired.only_second:,}", paired.p_text.removeprefix("= "),
    ]  # fmt: skip


def _loss_row(title: str, scores: tuple[Evaluation, Evaluation]) -> list[str]:
    return [title, f"{scores[0].nll:.4f}", f"{scores[1].nll:.4f}", "", "", ""]


@st.fragment
def show_disagreements(it: Compared) -> None:
    """Show the images on which the runs disagree, and those that both read wrong."""
    if it.reference == "readers":
        st.caption(HIDDEN)
        return
    first, second = it.names
    titles: dict[Kind, str] = {
        "first": f"Only {first} right",
        "second": f"Only {second} right",
        "differently": "Both wrong, different readings",
        "same": "Both wrong, same reading",
    }
    places = {kind: it.shown.disagreements(kind).tolist() for kind in titles}
    kind = st.segmented_control(
        "Show",
        list(titles),
        format_func=lambda kind: f"{titles[kind]} ({len(places[kind]):,})",
        default="first",
        required=True,
        key="list",
        label_visibility="collapsed",
    )
    if not places[kind]:
        st.caption("No images.")
        return
    note = " If both runs agree, the label may be wrong." if kind == "same" else ""
    st.caption(f"Most confident errors first.{note}")
    pages = -(-len(places[kind]) // PER_PAGE)
    number = st.pagination(pages, key=f"{kind} {first} {second} {it.tta}") if pages > 1 else 1
    _show_images(it, places[kind][(number - 1) * PER_PAGE : number * PER_PAGE])


def _show_images(it: Compared, places: list[int]) -> None:
    project = it.page.project
    hashes = [it.sha256[it.common.places_N[0][place]] for place in places]
    with layout.errors(), layout.database() as db:
        samples = [find_sample(db, project.id, sha256) for sha256 in hashes]
        images = image_bytes(db, [sample.id for sample in samples if sample])
    with st.grid("auto", min_column_width=210):
        for place, sample in zip(places, samples, strict=True):
            with st.container(border=True, gap="xsmall"):
                if sample is None:
                    st.caption("This image is no longer in the project.")
                    continue
                if sample.is_blind:
                    st.caption(BLIND)
                    continue
                target_P = it.shown.first.targets_NP[place]
                label = "".join(project.charset[char] for char in target_P)
                st.image(data_url(images[sample.id]), width="stretch", alt=f"Image labeled {label}")
                for name, reading in zip(it.names, (it.shown.first, it.shown.second), strict=True):
                    confidence = percent(reading.confidence_N[place])
                    chars = (project.charset[char] for char in reading.predicted_NP[place])
                    read = layout.marked(chars, reading.right_NP[place])
                    st.markdown(f":small[{layout.plain(name)}] {read}, {confidence}")
                now = "" if sample.label == label else f", now {layout.plain(sample.label or sample.state)}"
                st.caption(f"Label: {layout.plain(label)}{now}")
                st.page_link(
                    "pages/samples.py", label="Check label", icon=":material/edit:",
                    query_params={"project": project.name, "search": sample.sha256},
                )  # fmt: skip


@st.fragment
def show_curves(it: Compared) -> None:
    """Show the learning curves of both runs, if both validated against the same reference."""
    first, second = it.runs
    if first.reference != second.reference:
        st.caption("One run validated against labels of people and the other against readers. Their curves differ.")
        return
    home = layout.home()
    overlay({name: control.metrics(home, name) for name in it.names}, first.reference)


def show_settings(it: Compared) -> None:
    """List the settings, images, choices and software versions in which the runs differ."""
    first, second = it.names
    differences = run_differences(*(control.spec(layout.home(), name) for name in it.names))
    if not differences:
        st.caption("No differences: same settings, same images, same software.")
        return
    rows = [(group, name, *pair) for group, settings in differences.items() for name, pair in settings.items()]
    st.dataframe(
        pd.DataFrame(rows, columns=["Group", "Setting", first, second]),
        hide_index=True,
        height="content",
        alt=f"Settings in which {first} and {second} differ",
    )
    if "Images" not in differences:
        st.caption("Both were trained and validated on the same images with the same labels.")
