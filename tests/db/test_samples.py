"""Queries on samples and images."""

import pytest
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from db import samples
from db.connection import write
from db.labels import append_event, set_standing
from db.queues import PASSED
from db.records import Project, Sample
from tests.db.conftest import AddSample


def set_state(db: Database, sample: Sample, state: str, label: str | None = None, operator: str = "Ann") -> None:
    with write(db):
        append_event(
            db, sample, event_id=f"event of {sample.id}", operator=operator, action="label", state=state, text=label,
            base_version=0,
        )  # fmt: skip


@pytest.fixture
def five(db: Database, add_sample: AddSample) -> list[Sample]:
    """Return train, train, val, test, train: labeled, skipped, labeled, labeled, unlabeled (another source)."""
    made = [
        add_sample(1, name="b/One.png"),
        add_sample(2, name="a.png"),
        add_sample(3, name="c.png", split="val"),
        add_sample(4, name="d.png", split="test"),
        add_sample(5, name="e%_.png", source="post"),
    ]
    set_state(db, made[0], "labeled", "222222")
    set_state(db, made[1], "skipped")
    set_state(db, made[2], "labeled", "111111")
    set_state(db, made[3], "labeled", "222222", operator="Ben")
    return made


def ids(chosen: list[Sample]) -> list[int]:
    return [sample.id for sample in chosen]


def test_a_sample_is_found_by_its_pixels(db: Database, project: Project, add_sample: AddSample) -> None:
    """It is found only within its project."""
    sample = add_sample(1)

    assert samples.find_sample(db, project.id, sample.sha256) == sample
    assert samples.find_sample(db, project.id + 1, sample.sha256) is None
    assert (sample.state, sample.label, sample.version) == ("unlabeled", None, 0)


def test_the_facts_of_an_image_are_found_by_its_hash(db: Database, project: Project, five: list[Sample]) -> None:
    """Facts are source, import day, operator and size; unknown hashes are absent."""
    facts = samples.facts_by_hash(db, project.id, [five[3].sha256, five[4].sha256, "f" * 64])

    day = five[3].created_at[:10]
    assert facts == {
        five[3].sha256: {"source": "mail", "import day": day, "operator": "Ben", "size": "40 x 16"},
        five[4].sha256: {"source": "post", "import day": day, "operator": "nobody", "size": "40 x 16"},
    }


def test_counts_follow_every_change(db: Database, project: Project, five: list[Sample]) -> None:
    """Stored counts equal a count by hand."""
    sql = "SELECT split, state, count(*) FROM samples WHERE project_id = ? GROUP BY split, state"
    by_hand = {(split, state): n for split, state, n in db.execute(sql, [project.id]).fetchall()}

    assert samples.counts(db, project.id) == by_hand
    assert samples.counts(db, project.id)["train", "labeled"] == 1


def test_a_project_holds_the_same_pixels_once(db: Database, add_sample: AddSample) -> None:
    """The second image fails and leaves no bytes behind."""
    add_sample(1)

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        add_sample(1, name="again.png")

    assert db.execute("SELECT count(*) FROM images").fetchone()[0] == 1


def test_samples_can_be_chosen(db: Database, project: Project, five: list[Sample]) -> None:
    """State, split, source and text work alone and together, and the count matches."""
    one, two, three, four, five_ = ids(five)
    for wanted, choice in (
        ([one, two, three, four, five_], {}),
        ([one, three, four], {"state": "labeled"}),
        ([one, two, five_], {"split": "train"}),
        ([one], {"split": "train", "state": "labeled"}),
        ([five_], {"source_id": five[4].source_id}),
        ([one, four], {"text": "2222"}),
        ([one], {"text": "one.PNG"}),
        ([five_], {"text": "%_"}),
        ([], {"text": "' OR 1=1 --"}),
        ([three], {"text": five[2].sha256}),
        ([], {"text": five[2].sha256[1:]}),
    ):
        assert ids(samples.select_samples(db, project.id, **choice)) == wanted, choice
        assert samples.count_samples(db, project.id, **choice) == len(wanted), choice


def test_samples_can_be_sorted_and_paged(db: Database, project: Project, five: list[Sample]) -> None:
    """The order of equal keys is fixed, so no page misses a sample."""
    one, two, three, four, five_ = ids(five)
    orders = {
        "oldest": [one, two, three, four, five_],
        "newest": [five_, four, three, two, one],
        "label": [two, five_, three, one, four],
        "name": [two, one, three, four, five_],
    }
    for order, wanted in orders.items():
        assert ids(samples.select_samples(db, project.id, order=order)) == wanted, order
        pages = [samples.select_samples(db, project.id, order=order, limit=2, offset=start) for start in (0, 2, 4)]
        assert [number for page in pages for number in ids(page)] == wanted, order
    assert set(samples.ORDERS) == {*orders, "labeled", "random", *samples.BY_SIZE}
    by_hash = sorted(five, key=lambda sample: sample.sha256[32:])
    assert ids(samples.select_samples(db, project.id, order="random")) == ids(by_hash)


def test_samples_are_counted_by_split_and_state(db: Database, project: Project, five: list[Sample]) -> None:
    """Empty combinations are absent."""
    assert samples.counts(db, project.id) == {
        ("train", "labeled"): 1,
        ("train", "skipped"): 1,
        ("train", "unlabeled"): 1,
        ("val", "labeled"): 1,
        ("test", "labeled"): 1,
    }
    assert samples.counts(db, project.id + 1) == {}
    assert samples.splits_of_label(db, project.id, "222222") == {"train": 1, "test": 1}
    assert samples.splits_of_label(db, project.id, "000000") == {}


def test_many_images_are_read_at_once(db: Database, project: Project, add_sample: AddSample) -> None:
    """There may be more ids than variables in a statement. Unknown ids and hashes are absent."""
    made = [add_sample(number) for number in range(3)]
    asked = [*range(1_000_000, 1_040_000), *ids(made)]

    assert samples.image_bytes(db, asked) == {sample.id: sample.name.encode() for sample in made}
    hashes = [*(f"{number:064x}" for number in range(1, 40_000))]
    assert set(samples.facts_by_hash(db, project.id, hashes)) == {made[1].sha256, made[2].sha256}
    assert samples.image_bytes(db, []) == {}


def test_samples_can_be_chosen_by_their_review(db: Database, project: Project, five: list[Sample]) -> None:
    """Flag, disputed and checked work alone and with other conditions."""
    one, two, three, four, five_ = ids(five)
    with write(db):
        for sample, flag in ((five[4], "unreadable"), (samples.get_sample(db, three), "not_ours")):
            append_event(
                db, sample, event_id=f"flag {sample.id}", operator="Ann", action="skip", state="skipped", text=None,
                flag=flag, base_version=sample.version,
            )  # fmt: skip
        set_standing(db, one, disputed=False, checked=True)
        set_standing(db, four, disputed=True, checked=False)
    for wanted, choice in (
        ([five_], {"flag": "unreadable"}),
        ([three], {"flag": "not_ours"}),
        ([two], {"flag": PASSED}),
        ([], {"flag": "not_ours", "split": "train"}),
        ([four], {"disputed": True}),
        ([four], {"disputed": True, "text": "2222"}),
        ([], {"disputed": True, "text": five[0].sha256}),
        ([one], {"checked": True}),
        ([one, two, three, five_], {"disputed": False}),
        ([four], {"checked": False, "state": "labeled"}),
        ([], {"checked": True, "disputed": True}),
    ):
        assert ids(samples.select_samples(db, project.id, **choice)) == wanted, choice
        assert samples.count_samples(db, project.id, **choice) == len(wanted), choice


def test_a_million_samples_are_not_read_in_the_order_of_an_index(
    db: Database, project: Project, five: list[Sample]
) -> None:
    """A search reads the table in file order; a hash or label uses an index; a count uses the tallies."""
    asked: list[str] = []
    db.conn.set_trace_callback(asked.append)
    samples.select_samples(db, project.id, text="22", limit=50)
    samples.splits_of_label(db, project.id, "222222")
    samples.select_samples(db, project.id, text=five[0].sha256)
    samples.select_samples(db, project.id, disputed=True)
    samples.count_samples(db, project.id, state="labeled")
    db.conn.set_trace_callback(None)

    plans = [
        " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
        for sql in asked
        if sql.startswith("SELECT")
    ]
    reads = ["SCAN samples", "SEARCH samples", "SEARCH samples", "SEARCH samples", "SEARCH tallies"]
    assert [" ".join(plan.split()[:2]) for plan in plans] == reads
    assert "samples_by_label" in plans[1]
    assert "samples_disputed" in plans[3]


def test_samples_are_sorted_by_their_pixels(db: Database, project: Project, add_sample: AddSample) -> None:
    """Width times height decides, then the id. Pages do not overlap, and filters apply."""
    made = [
        add_sample(number, width=width, height=height, split="val" if number == 3 else "train")
        for number, (width, height) in enumerate([(40, 16), (100, 2), (10, 64), (90, 30)])
    ]
    by_size = [made[1], made[0], made[2], made[3]]

    for order, wanted in (("smallest", by_size), ("largest", by_size[::-1])):
        pages = [samples.select_samples(db, project.id, order=order, limit=2, offset=start) for start in (0, 2)]
        assert [number for page in pages for number in ids(page)] == ids(wanted)
        filtered = samples.select_samples(db, project.id, order=order, state="unlabeled", split="train", text="png")
        assert ids(filtered) == [number for number in ids(wanted) if number != made[3].id]


def test_the_whole_list_has_an_index_by_size(db: Database, project: Project, five: list[Sample]) -> None:
    """A page of a million is fast. A filter that few samples pass must not read the whole index."""
    asked: list[str] = []
    db.conn.set_trace_callback(asked.append)
    for where in ({}, {"split": "val"}, {"state": "skipped"}, {"text": "zz"}, {"disputed": True}):
        samples.select_samples(db, project.id, **where, order="largest", limit=50)
    db.conn.set_trace_callback(None)

    plans = [
        " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
        for sql in asked
        if sql.startswith("SELECT")
    ]
    assert ["samples_by_size" in plan for plan in plans] == [True, True, False, False, False]
    assert ["TEMP B-TREE" in plan for plan in plans] == [False, False, True, True, True]
