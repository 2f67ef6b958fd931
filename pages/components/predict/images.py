"""Images of the Predict page: those of the project, or uploads. Their bytes are loaded in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import ImageError
from core.evaluation.reference import BLIND
from core.images.pixels import decode, pixel_hash
from core.runs.inputs import BATCH
from core.words import plural
from db.records import Project
from db.samples import count_samples, find_sample, image_bytes, select_samples
from db.sqlite import Database
from pages.components import layout

if TYPE_CHECKING:
    from core.model.predictor import Prediction, Predictor

FIRST = 24
"""Images of the project that are read at once. A button reads all others."""
STORED: dict[str, dict[str, Any]] = {
    "val": {"split": "val", "state": "labeled"},
    "unlabeled": {"split": "train", "state": "unlabeled"},
}
"""Queries of images of the project. Other unlabeled images are blind: nobody sees a reading of them."""
NAMES = {"val": "labeled validation", "unlabeled": "unlabeled training"}
LISTED = 5
"""Uploads that are named one by one if they cannot be read."""


@dataclass(frozen=True)
class Picture:
    """An image that may be read."""

    name: str
    label: str | None
    sha256: str
    """Hash of its pixels."""
    sample_id: int | None = None
    """None for an upload."""
    source_id: int | None = None
    """Source in the project; None for an upload."""
    data: bytes = b""
    """Bytes of an upload."""


def of_project(project: Project, source: str, text: str) -> list[Picture]:
    """Return the first images, or all after a click, with that button."""
    where = STORED[source]
    read_all = f"read all of {project.id} {source}"
    with layout.errors(), layout.database() as db:
        total = count_samples(db, project.id, **where, text=text)
        limit = -1 if st.session_state.get(read_all) else FIRST
        samples = select_samples(db, project.id, **where, text=text, limit=limit)
    if not samples:
        st.info(f"This project has no {NAMES[source]} images{' that match' if text else ''}.")
    if total > len(samples):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"These are the first {len(samples)} of {total:,} {NAMES[source]} images.", width="content")
            st.button(
                "Read all", icon=":material/done_all:", key=f"button to {read_all}", on_click=_set, args=[read_all]
            )
    return [Picture(sample.name, sample.label, sample.sha256, sample.id, sample.source_id) for sample in samples]


def _set(key: str) -> None:
    st.session_state[key] = True


def of_uploads(project: Project) -> list[Picture]:
    """Draw the field for uploads. Return those that are images and not blind, and name the others."""
    uploads = st.file_uploader("Images", accept_multiple_files=True, label_visibility="collapsed", key="uploads")
    hashes: dict[str, tuple[str, str]] = st.session_state.setdefault("hashes of uploads", {})
    pictures, reasons, blind = [], [], []
    with layout.errors(), layout.database() as db:
        for upload in uploads:
            data = upload.getvalue()
            if upload.file_id not in hashes:
                hashes[upload.file_id] = _hash(data)
            sha256, reason = hashes[upload.file_id]
            if reason:
                reasons.append(f"{upload.name}: {reason}")
            elif (sample := find_sample(db, project.id, sha256)) and sample.is_blind:
                blind.append(f"{upload.name}: {BLIND}")
            else:
                pictures.append(Picture(upload.name, None, sha256, data=data))
    _name(blind, "validation or test images without a label", icon=":material/visibility_off:")
    name_unreadable(reasons)
    return pictures


def _hash(data: bytes) -> tuple[str, str]:
    """Return the pixel hash of an encoded image, or the reason why it has none."""
    try:
        return pixel_hash(decode(data)), ""
    except ImageError as error:
        return "", str(error)


def name_unreadable(reasons: Sequence[str]) -> None:
    _name(reasons, "images that cannot be read", icon=":material/broken_image:")


def _name(sentences: Sequence[str], what: str, *, icon: str) -> None:
    """Show the first sentences, each in its box, and the number of the others."""
    box = st.info if icon == ":material/visibility_off:" else st.error
    for sentence in sentences[:LISTED]:
        box(layout.plain(sentence), icon=icon)
    if len(sentences) > LISTED:
        box(f"{len(sentences) - LISTED:,} more {what}.", icon=icon)


def bytes_of(db: Database, pictures: Sequence[Picture]) -> list[bytes]:
    """Return the encoded images. An image that was deleted meanwhile has no bytes."""
    stored = image_bytes(db, [each.sample_id for each in pictures if each.sample_id is not None])
    return [each.data if each.sample_id is None else stored.get(each.sample_id, b"") for each in pictures]


def read_missing(
    pictures: Sequence[Picture], predictor: "Predictor", known: "dict[str, Prediction | str]", *, tta: bool
) -> None:
    """Read the pictures that are not among the known readings, with a progress bar if they are many.

    A user who leaves the page stops this. What was read stays known.
    """
    missing = list({each.sha256: each for each in pictures if each.sha256 not in known}.values())
    bar = st.progress(0.0, "Reading") if len(missing) > 2 * BATCH else None
    done = 0
    for batch in _batches(missing):
        images = []
        with layout.errors(), layout.database() as db:
            for each, data in zip(batch, bytes_of(db, batch), strict=True):
                try:
                    images.append((each.sha256, decode(data)))
                except ImageError as error:
                    known[each.sha256] = str(error)
            predictions = predictor.predict([pixels for _, pixels in images], tta=tta) if images else []
        known.update(zip((sha256 for sha256, _ in images), predictions, strict=True))
        done += len(batch)
        if bar:
            bar.progress(done / len(missing), f"Reading: {done:,} of {plural(len(missing), 'image')}")
    if bar:
        bar.empty()


def _batches(pictures: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH]
