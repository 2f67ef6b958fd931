"""The next images for an operator."""

from collections import Counter
from typing import Any

import pytest
from sqlite_utils import Database

from core.data import queues
from core.data.labeling import apply_events
from core.data.verdicts import apply_verdicts, new_verdict
from core.images.pixels import split_of
from db import samples
from db.connection import write
from db.projects import insert_source
from db.proposals import set_priorities
from db.queues import PASSED, Queue, count_rejected, days_waiting, release, select_ranked, select_waiting
from db.records import Project, Sample


@pytest.fixture
def hundred(db: Database, project: Project) -> list[Sample]:
    """A hundred unlabeled samples, the last twenty from another source, split as in an import."""
    with write(db):
        mail, post = (insert_source(db, project.id, name, "the team", "ticket 1").id for name in ("mail", "post"))
        for number in range(100):
            sha256 = f"{number * 0x9E3779B1 % 2**32:08x}" + f"{number * 0x85EBCA6B % 2**32:056x}"
            samples.insert_sample(
                db, project_id=project.id, source_id=mail if number < 80 else post, sha256=sha256, name=f"{number}.png",
                width=40, height=16, split=split_of(sha256), image=b"",
            )  # fmt: skip
    return samples.select_samples(db, project.id)


def lease(
    db: Database, project: Project, holder: str, have: list[str] | None = None, n: int = 10, **queue: Any
) -> queues.Batch:
    return queues.lease(
        db,
        project,
        Queue(**queue),
        holder=holder,
        operator=holder,
        have=have or [],
        n=n,
    )


def hashes(batch: queues.Batch) -> list[str]:
    return [sample.sha256 for sample in batch.samples]


def act(db: Database, project: Project, sample: Sample, operator: str, action: str, **more: object) -> None:
    event: dict[str, object] = {
        "event": f"{operator} {action} {sample.id}",
        "action": action,
        "sample": sample.sha256,
        "base": sample.version,
    }
    (outcome,) = apply_events(db, project, operator, [event | more])
    assert outcome.status == "saved"


def test_no_two_tabs_have_the_same_image(db: Database, project: Project, hundred: list[Sample]) -> None:
    """In any order of requests, they get different images and together all of them."""
    have: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for _ in range(5):
        for holder, held in have.items():
            batch = lease(db, project, holder, held)
            assert batch.lost == []
            held.extend(hashes(batch))

    assert Counter(sha256 for held in have.values() for sha256 in held) == Counter(s.sha256 for s in hundred)


def test_a_tab_that_is_gone_gives_its_images_back_in_time(
    db: Database, project: Project, hundred: list[Sample]
) -> None:
    """A lease that is not renewed expires, and the tab learns it."""
    gone = hashes(lease(db, project, "gone", n=100))
    assert lease(db, project, "other").samples == []
    with write(db):
        db.execute("UPDATE leases SET until = until - 100")

    taken = hashes(lease(db, project, "other"))

    back = lease(db, project, "gone", gone, n=0)
    assert sorted(back.lost) == sorted(taken)


def test_a_clock_set_back_withholds_no_image(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Leases from before end in the far future. A lease made now cannot."""
    assert len(lease(db, project, "gone", n=100).samples) == len(hundred)
    with write(db):
        db.execute("UPDATE leases SET until = until + 86400")

    assert len(lease(db, project, "other", n=100).samples) == len(hundred)


def test_a_tab_releases_images_that_it_does_not_name(db: Database, project: Project, hundred: list[Sample]) -> None:
    """This happens after a reload or a change of the queue."""
    first = hashes(lease(db, project, "a", n=100))

    assert lease(db, project, "a", first[:30], n=0).lost == []

    assert sorted(hashes(lease(db, project, "b", n=100))) == sorted(first[30:])


def test_an_image_that_is_done_leaves_the_queue_and_the_hands_of_others(
    db: Database, project: Project, hundred: list[Sample]
) -> None:
    """The Samples page can also label an image."""
    mine = lease(db, project, "a").samples
    act(db, project, mine[0], "Ben", "label", text="111111")

    batch = lease(db, project, "a", [sample.sha256 for sample in mine], n=100)

    assert batch.lost == [mine[0].sha256]
    assert mine[0].sha256 not in hashes(batch)


def test_training_images_come_in_the_order_of_their_import(
    db: Database, project: Project, hundred: list[Sample]
) -> None:
    """Validation and test images come in one random order."""
    batch = lease(db, project, "a", n=100).samples

    train = [sample.id for sample in batch if sample.split == "train"]
    val = [sample.sha256[32:] for sample in batch if sample.split == "val"]
    assert train == sorted(train)
    assert val == sorted(val)
    assert [sample.id for sample in batch if sample.split == "val"] != sorted(
        sample.id for sample in batch if sample.split == "val"
    )


def test_the_random_order_is_not_that_of_the_import(db: Database, project: Project, hundred: list[Sample]) -> None:
    """If the images change over time, the first do not represent the last."""
    ids = [sample.id for sample in lease(db, project, "a", n=100, order="random").samples if sample.split == "train"]

    assert ids != sorted(ids)
    assert len(ids) == sum(sample.split == "train" for sample in hundred)


def test_each_split_comes_in_its_share(db: Database, project: Project, hundred: list[Sample]) -> None:
    """The first half has about a tenth each of val and test (5 of 50; 0 to 14 at one in 10,000)."""
    first_half = Counter(sample.split for sample in lease(db, project, "a", n=50).samples)

    assert first_half["val"] <= 14
    assert first_half["test"] <= 14
    assert first_half["train"] >= 25


def test_a_source_or_a_day_narrows_every_split(db: Database, project: Project, hundred: list[Sample]) -> None:
    """The queue of a source has no other images."""
    source_id, today = hundred[-1].source_id, hundred[-1].created_at[:10]

    assert {sample.source_id for sample in lease(db, project, "a", n=100, source_id=source_id).samples} == {source_id}
    assert days_waiting(db, project.id, "unlabeled") == [today]
    assert lease(db, project, "a", n=100, day="2020-01-01").samples == []
    assert len(lease(db, project, "a", n=100, day=today).samples) == 100


def test_skipped_images_can_be_asked_for_by_their_flag(db: Database, project: Project, hundred: list[Sample]) -> None:
    """A skip for later is a separate reason."""
    act(db, project, hundred[0], "Ann", "skip")
    act(db, project, hundred[1], "Ann", "skip", flag="unreadable")
    act(db, project, hundred[2], "Ann", "skip", flag="not_ours")

    def ids(flag: str | None) -> list[int]:
        return sorted(sample.id for sample in lease(db, project, "a", n=9, kind="skipped", flag=flag).samples)

    assert ids(None) == [sample.id for sample in hundred[:3]]
    assert [ids(flag) for flag in (PASSED, "unreadable", "not_ours")] == [[sample.id] for sample in hundred[:3]]


def test_skipped_images_are_shown_to_other_operators(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Skipped images are often hard, and another operator may read them."""
    for sample in hundred[:3]:
        act(db, project, sample, "Ann", "skip")
    passed = {sample.sha256 for sample in hundred[:3]}

    def skipped(holder: str, without: set[str]) -> set[str]:
        batch = queues.lease(
            db, project, Queue(kind="skipped"), holder=holder, operator=holder, have=[], n=10, without=without
        )
        return set(hashes(batch))

    assert skipped("a", passed) == set()
    assert skipped("b", set()) == passed


def test_a_second_opinion_is_for_labels_of_others(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Each image comes once, unless another operator has checked it. A confirmation by its labeler does not count."""
    for number, operator in enumerate(("Ann", "Ann", "Ann", "Ben")):
        act(db, project, hundred[number], operator, "label", text="111111")
    act(db, project, samples.get_sample(db, hundred[2].id), "Ann", "confirm")
    act(db, project, samples.get_sample(db, hundred[0].id), "Cem", "second", text="111111")
    act(db, project, samples.get_sample(db, hundred[1].id), "Cem", "second", text="222222")

    assert [sample.id for sample in lease(db, project, "Ben", kind="second").samples] == [hundred[2].id]
    lease(db, project, "Ben", n=0)
    assert [sample.id for sample in lease(db, project, "Ann", kind="second").samples] == [hundred[3].id]


def rank(db: Database, project: Project, chosen: list[Sample]) -> None:
    with write(db):
        set_priorities(db, project.id, "disagree", [sample.id for sample in chosen])


def test_ranked_images_come_first_with_one_in_four_at_random(
    db: Database, project: Project, hundred: list[Sample]
) -> None:
    """A quarter of 40 draws is random (0 to 23 at one in 100,000). The rest of the images follow at random."""
    ranked = [sample for sample in hundred if sample.split == "train"][:40]
    rank(db, project, ranked)

    batch = [sample for sample in lease(db, project, "a", n=100, order="disagree").samples if sample.split == "train"]

    first = [sample.id for sample in batch[:40] if sample in ranked]
    assert 17 <= len(first) < 40
    in_order = [sample.id for sample in ranked]
    misplaced = sum(sample.id != each for sample, each in zip(batch, in_order, strict=False))
    assert misplaced > 0
    assert {sample.id for sample in batch} == {sample.id for sample in hundred if sample.split == "train"}
    rest = [sample.sha256[32:] for sample in batch if sample not in ranked]
    assert rest == sorted(rest)


@pytest.mark.parametrize("order", ["import", "random", "disagree"])
@pytest.mark.parametrize("kind", ["unlabeled", "skipped"])
def test_images_whose_text_the_portal_rejected_come_first(
    db: Database, project: Project, hundred: list[Sample], order: str, kind: str
) -> None:
    """In every order of the training images, the newest verdict first, each once. A label releases its rank."""
    train = [sample for sample in hundred if sample.split == "train"]
    rank(db, project, train[:40])
    rejected = [train[50], train[3], train[20]]
    for number, sample in enumerate(rejected):
        if kind == "skipped":
            act(db, project, sample, "Ann", "skip")
        verdict = new_verdict(sample.sha256, "111111", accepted=False, reason="captcha", at=f"2026-03-0{number + 1}")
        apply_verdicts(db, project, [verdict], "Eve")
    for sample in train if kind == "skipped" else ():
        if sample not in rejected:
            act(db, project, sample, "Ann", "skip")

    batch = lease(db, project, "a", n=100, order=order, kind=kind).samples

    taken = [sample.id for sample in batch if sample.split == "train"]
    assert taken[:3] == [sample.id for sample in rejected[::-1]]
    assert sorted(taken) == [sample.id for sample in train]
    assert lease(db, project, "b", n=100, order=order, kind=kind).samples == []
    lease(db, project, "a", n=0)
    act(db, project, samples.get_sample(db, rejected[2].id), "Ann", "label", text="111111")
    (first,) = [s for s in lease(db, project, "b", n=20, order=order, kind=kind).samples if s.id == rejected[1].id]
    assert first.split == "train"
    assert count_rejected(db, project.id, kind) == 2


def test_two_operators_share_the_rejected_images(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Each is on one screen only, and other queues and filters do not show them."""
    train = [sample for sample in hundred if sample.split == "train"]
    given = [new_verdict(sample.sha256, "111111", accepted=False, reason="captcha") for sample in train[-30:]]
    apply_verdicts(db, project, given, "Eve")

    first, second = (
        {sample.id for sample in lease(db, project, holder, n=15).samples if sample.split == "train"}
        for holder in ("a", "b")
    )

    assert first & second == set()
    assert first | second <= {sample.id for sample in train[-30:]}
    assert lease(db, project, "c", kind="second").samples == []
    assert {sample.split for sample in lease(db, project, "c", blind=True).samples} <= {"val", "test"}
    mail = {sample.id for sample in lease(db, project, "c", n=100, source_id=hundred[0].source_id).samples}
    assert mail.isdisjoint(sample.id for sample in hundred[80:])


def test_ranks_leave_validation_and_test_at_random(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Even if they had a rank."""
    rank(db, project, [sample for sample in hundred if sample.split != "train"])

    batch = lease(db, project, "a", n=100, order="disagree").samples

    for split in ("train", "val", "test"):
        order = [sample.sha256[32:] for sample in batch if sample.split == split]
        assert order == sorted(order)


def test_an_order_by_rank_keeps_the_filter_and_the_leases(
    db: Database, project: Project, hundred: list[Sample]
) -> None:
    """No image of another source, and none that is on another screen."""
    rank(db, project, [sample for sample in hundred if sample.split == "train"])
    source_id = hundred[-1].source_id

    first = lease(db, project, "a", n=5, order="disagree", source_id=source_id)
    second = lease(db, project, "b", n=100, order="disagree", source_id=source_id)

    assert {sample.source_id for sample in first.samples + second.samples} == {source_id}
    assert sorted(hashes(first) + hashes(second)) == sorted(s.sha256 for s in hundred if s.source_id == source_id)


def test_ranks_are_read_along_their_key(db: Database, project: Project) -> None:
    """Only the first ranks are read, and none are sorted."""
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    select_ranked(db, project.id, Queue(order="disagree", source_id=1), operator="Ann", now=0, limit=10)
    release(db, 1)
    db.conn.set_trace_callback(None)

    plans = [
        " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        for statement in statements
        if statement.startswith(("SELECT", "DELETE"))
    ]

    assert plans[0].startswith(
        "SEARCH priorities USING PRIMARY KEY (project_id=? AND queue=?) SEARCH samples USING INTEGER PRIMARY KEY"
    )
    assert "TEMP B-TREE" not in plans[0]
    assert "INDEX priorities_by_sample (sample_id=?)" in plans[-1]


@pytest.mark.parametrize("order", ["import", "random", "disagree"])
@pytest.mark.parametrize("filtered", [{}, {"source_id": 1}, {"day": "2026-11-23"}], ids=["all", "source", "day"])
def test_the_queue_is_read_along_an_index(db: Database, project: Project, order: str, filtered: dict[str, Any]) -> None:
    """Only the leased ones of a million samples are read, and none are sorted."""
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    select_waiting(db, project.id, Queue(order=order, **filtered), "train", operator="Ann", now=0, limit=10)
    db.conn.set_trace_callback(None)
    (select,) = [statement for statement in statements if statement.startswith("SELECT")]

    plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {select}").fetchall())

    assert "USING INDEX samples_" in plan
    assert "TEMP B-TREE" not in plan


def test_blind_images_are_those_of_val_and_test(db: Database, project: Project, hundred: list[Sample]) -> None:
    """Their labels prove what readers and runs are worth, so an operator can ask for them alone."""
    held_out = {sample.sha256 for sample in hundred if sample.split != "train"}
    with write(db):
        set_priorities(db, project.id, "disagree", [sample.id for sample in hundred if sample.split == "train"])

    batch = lease(db, project, "a", n=100, blind=True, order="disagree")

    assert set(hashes(batch)) == held_out
