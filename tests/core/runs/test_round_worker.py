"""Sure readings of a run become labels, by the readings that the database holds."""

from sqlite_utils import Database

from core.runs.round_worker import _accept
from db import proposals, samples
from db.connection import write
from db.records import Project
from tests.helpers.portal import accept, reject
from tests.helpers.readings import add_proposals
from tests.helpers.runs import add_unlabeled


def test_confident_readings_that_a_reader_shares_become_labels(db: Database, short_project: Project) -> None:
    """Images of val stay unlabeled. The ledger names the run, and the acceptance its rule.

    A round that continues after a crash counts the labels from before.
    """
    add_unlabeled(db, short_project, train=24, val=2)
    images = samples.select_samples(db, short_project.id)
    train = [sample for sample in images if sample.split == "train"]
    add_proposals(db, short_project, {s.id: ("111", "111" if s not in train[:4] else "171") for s in images})
    with write(db):
        run = proposals.open_reader(db, kind="run", name="0001-fast", version="step 9", sha256="f" * 64)
        for sample, (text, confidence) in zip(
            train, [("171", 0.95), ("111", 0.95), ("171", 0.5), ("222", 0.99)], strict=False
        ):
            proposals.insert_proposal(db, sample.id, run, text=text, confidence=confidence, positions=[0.9] * 3)

    result = _accept(db, short_project, run, "Ann", "0002-round")

    assert (result["images"], result["accepted"], result["proved"], result["left"]) == (4, 2, 0, 2)
    assert [samples.get_sample(db, sample.id).label for sample in train[:4]] == ["171", "111", None, None]
    assert samples.label_counts(db, short_project.id) == {("train", "run"): 2}
    (acceptance,) = proposals.list_acceptances(db, short_project.id)
    assert (acceptance.kind, acceptance.n, '"confidence": 0.9' in acceptance.rule) == ("run", 2, True)
    again = _accept(db, short_project, run, "Ann", "0002-round")
    assert [again[name] for name in ("images", "accepted", "proved", "left", "next_run_worth_it")] == [4, 2, 0, 2, True]
    other = _accept(db, short_project, run, "Ann", "0003-round")
    assert [other[name] for name in ("images", "accepted", "next_run_worth_it")] == [2, 0, False]


def test_a_round_learns_from_verdicts(db: Database, short_project: Project) -> None:
    """Accepted texts prove a reader right about a pair of characters. Rejected readings do not become labels."""
    add_unlabeled(db, short_project, train=26)
    train = samples.select_samples(db, short_project.id)
    add_proposals(db, short_project, {s.id: ("111", "171" if s in train[:5] else "111") for s in train})
    with write(db):
        run = proposals.open_reader(db, kind="run", name="0001-fast", version="step 9", sha256="f" * 64)
        for sample in train:
            text, confidence = ("222", 0.2) if sample in train[:5] else ("111", 0.99)
            proposals.insert_proposal(db, sample.id, run, text=text, confidence=confidence, positions=[0.9] * 3)
    for sample in train[:3]:
        accept(db, short_project, sample, "171")
    reject(db, short_project, train[4], "171")
    reject(db, short_project, train[5], "111")

    result = _accept(db, short_project, run, "Ann", "0002-round")

    assert (result["proved"], result["accepted"]) == (1, 20)
    assert [samples.get_sample(db, sample.id).label for sample in train[3:7]] == ["171", None, None, "111"]
