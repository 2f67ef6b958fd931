"""Orders of the queue by what a label would teach."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from sqlite_utils import Database

from core.data import priorities
from core.data.labeling import apply_events
from core.data.priorities import farthest_first, update
from core.images.pixels import encode_png
from db import projects, proposals, queues, samples
from db.connection import write
from db.queues import Queue
from db.records import Project, Sample
from tests.helpers.portal import reject
from tests.helpers.readings import add_proposals

AddImages = Callable[..., list[Sample]]


@pytest.fixture
def images(db: Database, short_project: Project) -> list[Sample]:
    """30 unlabeled training images of noise, and one of validation."""
    with write(db):
        source = projects.insert_source(db, short_project.id, "mail", "the team", "ticket 1")
        for number in range(31):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 40, 3), dtype=np.uint8)
            samples.insert_sample(
                db, project_id=short_project.id, source_id=source.id, sha256=f"{number:064x}", name=f"{number}.png",
                width=40, height=16, split="val" if number == 30 else "train", image=encode_png(pixels),
            )  # fmt: skip
    return samples.select_samples(db, short_project.id)


def ranked(db: Database, project: Project, queue: str) -> list[int]:
    return [
        sample.id
        for sample in queues.select_ranked(db, project.id, Queue(order=queue), operator="Ann", now=0, limit=100)
    ]


def read_by_run(db: Database, sample: Sample, text: str, confidence: float) -> None:
    with write(db):
        run = proposals.open_reader(db, kind="run", name="0001-fast", version="100", sha256="f" * 64)
        proposals.insert_proposal(db, sample.id, run, text=text, confidence=confidence, positions=[confidence] * 3)


def test_confident_disagreement_comes_first(db: Database, short_project: Project, images: list[Sample]) -> None:
    """A reader without a text comes last. Validation images have no rank."""
    texts: dict[int, tuple[str | None, str | None]] = {sample.id: ("123", "123") for sample in images}
    differing = {images[0].id: ("123", "124"), images[1].id: ("123", "125"), images[2].id: ("123", None)}
    add_proposals(db, short_project, texts | differing | {images[30].id: ("123", "129")})
    with write(db):
        db.execute("UPDATE proposals SET confidence = 0.9 WHERE sample_id = ?", [images[1].id])

    update(db, short_project)

    assert ranked(db, short_project, "disagree") == [images[1].id, images[0].id, images[2].id]


def test_readers_that_cannot_read_this_portal_rank_nothing(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    """Then only the order by the images themselves is left."""
    add_proposals(db, short_project, {sample.id: ("123", "321") for sample in images})

    update(db, short_project)

    assert set(queues.count_ranked(db, short_project.id)) == {"diverse"}


def test_a_run_ranks_by_its_confidence_and_against_the_readers(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    add_proposals(db, short_project, {sample.id: ("123", "123") for sample in images})
    for sample, text, confidence in zip(images, ("123", "129", "128"), (0.2, 0.5, 0.9), strict=False):
        read_by_run(db, sample, text, confidence)

    update(db, short_project)

    assert ranked(db, short_project, "unsure") == [images[0].id, images[1].id, images[2].id]
    assert ranked(db, short_project, "model") == [images[2].id, images[1].id]


def test_the_rarest_character_at_its_position_comes_first(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    """Labels count too. The reading of the most confident reader decides."""
    texts = {sample.id: ("123", "123") for sample in images} | {
        images[4].id: ("723", "723"),
        images[5].id: ("183", "123"),
    }
    add_proposals(db, short_project, texts)
    with write(db):
        db.execute("UPDATE proposals SET confidence = 0.9 WHERE sample_id = ? AND text = '183'", [images[5].id])
    events = [
        {"event": f"{s.id}", "action": "label", "sample": s.sha256, "text": "700", "base": 0} for s in images[10:12]
    ]
    apply_events(db, short_project, "Ann", events)

    update(db, short_project)

    assert ranked(db, short_project, "rare")[:2] == [images[5].id, images[4].id]
    assert len(ranked(db, short_project, "rare")) == 28


def test_a_label_removes_the_ranks_of_its_image(db: Database, short_project: Project, images: list[Sample]) -> None:
    add_proposals(db, short_project, {s.id: ("123", "123" if number > 2 else "124") for number, s in enumerate(images)})
    update(db, short_project)
    assert queues.count_ranked(db, short_project.id)["disagree"] == 3

    event = {"event": "1", "action": "label", "sample": images[0].sha256, "text": "123", "base": 0}
    apply_events(db, short_project, "Ann", [event])

    assert queues.count_ranked(db, short_project.id)["disagree"] == 2
    assert images[0].id not in ranked(db, short_project, "diverse")


def test_an_order_is_limited(
    db: Database, short_project: Project, images: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing and counting the ranks of a million images would delay who labels."""
    monkeypatch.setattr(priorities, "MAX_RANKED", 7)
    add_proposals(db, short_project, {sample.id: ("123", "123") for sample in images})

    update(db, short_project)

    assert queues.count_ranked(db, short_project.id)["rare"] == 7


def test_a_second_update_replaces_the_ranks(db: Database, short_project: Project, images: list[Sample]) -> None:
    readers = add_proposals(
        db, short_project, {s.id: ("123", "123" if number > 2 else "124") for number, s in enumerate(images)}
    )
    update(db, short_project)
    with write(db):
        for reader in readers:
            proposals.insert_proposal(
                db, images[0].id, reader, text="123", confidence=0.9, positions=json.loads("[0.9, 0.9, 0.9]")
            )

    update(db, short_project)

    assert sorted(ranked(db, short_project, "disagree")) == [images[1].id, images[2].id]


def test_each_diverse_image_is_the_one_least_like_those_before() -> None:
    """Three groups of points: one of each group comes first. A covered group comes last."""
    groups = np.array([[0, 0], [0, 0.1], [10, 0], [10, 0.1], [0, 10], [0.1, 10]], np.float32)
    none = np.empty((0, 2), np.float32)

    assert {place // 2 for place in farthest_first(groups, none, 3)} == {0, 1, 2}
    assert sorted(farthest_first(groups, none, 9)) == list(range(6))
    assert {place // 2 for place in farthest_first(groups, groups[:1], 2)} == {1, 2}
    assert farthest_first(none, groups, 2) == []


def test_an_image_that_does_not_decode_has_no_place_among_the_diverse(
    db: Database, short_project: Project, images: list[Sample]
) -> None:
    with write(db):
        db.execute("UPDATE images SET bytes = x'00' WHERE sample_id = ?", [images[3].id])

    update(db, short_project)

    assert set(ranked(db, short_project, "diverse")) == {s.id for s in images[:30]} - {images[3].id}


def test_a_rejected_reading_ranks_as_wrong(db: Database, short_project: Project, images: list[Sample]) -> None:
    """Readers that agree on it disagree with the portal. It says nothing about rare characters, or against the run."""
    add_proposals(db, short_project, {sample.id: ("123", "123") for sample in images})
    add_proposals(db, short_project, {images[0].id: ("999", "999"), images[1].id: ("888", "888")})
    read_by_run(db, images[0], "123", 0.5)
    read_by_run(db, images[1], "123", 0.5)
    reject(db, short_project, images[0], "999")

    update(db, short_project)

    assert ranked(db, short_project, "disagree") == [images[0].id]
    assert ranked(db, short_project, "model") == [images[1].id]
    assert ranked(db, short_project, "rare")[0] == images[1].id
    assert ranked(db, short_project, "rejected") == [images[0].id]


def test_the_rejected_images_are_ranked_again(db: Database, short_project: Project, images: list[Sample]) -> None:
    """An image that was labeled and is unlabeled again comes back. One of validation has no rank."""
    for sample in (images[0], images[30]):
        reject(db, short_project, sample, "123")
    for action in ("label", "undo"):
        assert ranked(db, short_project, "rejected") == ([images[0].id] if action == "label" else [])
        event = {"event": action, "action": action, "sample": images[0].sha256, "text": "124", "after": "label"}
        apply_events(db, short_project, "Ann", [event | {"base": 0, **({"after": None} if action == "label" else {})}])

    update(db, short_project)

    assert ranked(db, short_project, "rejected") == [images[0].id]
