"""Readings that become labels: only in train, only where nobody labeled, and removable in one action."""

import pytest
from sqlite_utils import Database

from core.data.accepting import accept, retract
from core.data.labeling import apply_events
from core.data.proposals import accept_agreed, agreed_texts, proof
from core.data.suggestions import suggestions
from core.errors import OptionError
from db import integrity, jobs, labels, proposals, samples
from db.connection import write
from db.records import Project, Sample
from tests.helpers import portal
from tests.helpers.portal import reject
from tests.helpers.readings import add_proposals
from tests.helpers.runs import add_unlabeled


def label(db: Database, project: Project, sample: Sample, text: str, *, action: str = "label") -> None:
    event = {"event": f"{action} {sample.id}", "action": action, "sample": sample.sha256, "text": text}
    (outcome,) = apply_events(db, project, "Ann", [event | {"base": samples.get_sample(db, sample.id).version}])
    assert outcome.status == "saved"


@pytest.fixture
def images(db: Database, short_project: Project) -> dict[str, list[Sample]]:
    """20 unlabeled images of train, 6 of val and 4 of test."""
    add_unlabeled(db, short_project, train=20, val=6, test=4)
    return {split: samples.select_samples(db, short_project.id, split=split) for split in ("train", "val", "test")}


@pytest.fixture
def read(db: Database, short_project: Project, images: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Both readers read all images, and agree on all but the last three of train and the last of val."""
    everything = [sample for each in images.values() for sample in each]
    texts = {sample.id: (f"{sample.id:03}", f"{sample.id:03}") for sample in everything}
    for sample in [*images["train"][-3:], images["val"][-1]]:
        texts[sample.id] = ("111", "117")
    add_proposals(db, short_project, texts)
    return images


def test_agreed_readings_of_train_become_labels(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Not those of val and test, nor those on which the readers differ. The ledger names the readers."""
    assert accept_agreed(db, short_project, "Ann") == 17

    first = samples.get_sample(db, read["train"][0].id)
    assert (first.label, first.kind, first.operator) == (
        f"{first.id:03}", "readers", "ddddocr 1.6.1 + rapidocr 3.10.0",
    )  # fmt: skip
    assert samples.label_counts(db, short_project.id) == {("train", "readers"): 17}
    (acceptance,) = proposals.list_acceptances(db, short_project.id)
    assert (acceptance.operator, acceptance.kind, acceptance.n) == ("Ann", "readers", 17)
    assert '"sha256": "dddd' in acceptance.rule
    assert accept_agreed(db, short_project, "Ann") == 0
    assert integrity.problems(db) == []


def test_a_label_of_a_person_stays(db: Database, short_project: Project, read: dict[str, list[Sample]]) -> None:
    """Also a skip: an operator has decided about the image."""
    label(db, short_project, read["train"][0], "999")
    label(db, short_project, read["train"][1], "", action="skip")

    assert accept_agreed(db, short_project, "Ann") == 15

    assert [samples.get_sample(db, sample.id).label for sample in read["train"][:2]] == ["999", None]


def test_labels_of_readers_are_removed_in_one_action(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Labels that people retyped or confirmed stay."""
    accept_agreed(db, short_project, "Ann")
    retyped, confirmed, removed = read["train"][:3]
    label(db, short_project, retyped, "999")
    label(db, short_project, confirmed, "", action="confirm")

    assert retract(db, short_project, "readers", "Ann") == (15, 1)

    assert samples.label_counts(db, short_project.id) == {("train", "person"): 1, ("train", "readers"): 1}
    assert samples.get_sample(db, removed.id).state == "unlabeled"
    assert [event.action for event in labels.events_of(db, removed.id)] == ["accept", "undo"]
    assert integrity.problems(db) == []
    assert accept_agreed(db, short_project, "Ann") == 15


@pytest.mark.parametrize("is_removed", [True, False])
def test_an_undo_brings_back_a_reading_only_if_it_was_not_removed(
    db: Database, short_project: Project, read: dict[str, list[Sample]], is_removed: bool
) -> None:
    """The label is then again of the readers, and not of the person who pressed Undo."""
    accept_agreed(db, short_project, "Ann")
    sample = read["train"][0]
    label(db, short_project, sample, "999")
    if is_removed:
        retract(db, short_project, "readers", "Bob")

    event = {"event": "undo", "action": "undo", "sample": sample.sha256, "after": f"label {sample.id}", "base": 0}
    (outcome,) = apply_events(db, short_project, "Ann", [event])

    now = samples.get_sample(db, sample.id)
    assert outcome.status == "saved"
    if is_removed:
        assert (now.state, now.label, now.kind) == ("unlabeled", None, None)
    else:
        assert (now.label, now.kind, now.operator) == (
            f"{sample.id:03}", "readers", "ddddocr 1.6.1 + rapidocr 3.10.0",
        )  # fmt: skip
    assert integrity.problems(db) == []


def test_an_undo_restores_the_operator_who_gave_the_label(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Also after the second undo."""
    sample = read["train"][0]
    label(db, short_project, sample, "999")
    for number in range(2):
        for action, text in (("label", "888"), ("undo", None)):
            base = samples.get_sample(db, sample.id).version
            event = {"event": f"{action}{number}", "action": action, "sample": sample.sha256, "text": text}
            (outcome,) = apply_events(db, short_project, "Bob", [event | {"base": base}])
            assert outcome.status == "saved"

    now = samples.get_sample(db, sample.id)
    assert (now.label, now.kind, now.operator) == ("999", "person", "Ann")
    assert integrity.problems(db) == []


@pytest.mark.parametrize("damage", ["text = '12'", "positions = '[]'", "positions = 'nothing'"])
def test_a_damaged_reading_is_found(
    db: Database, short_project: Project, read: dict[str, list[Sample]], damage: str
) -> None:
    with write(db):
        db.execute(f"UPDATE proposals SET {damage} WHERE sample_id = {read['train'][0].id}")

    assert integrity.problems(db) == [
        f"Samples that have a reading of another length than their project's: 1 (id {read['train'][0].id})."
    ]


def test_labels_of_people_cannot_be_removed_at_once(db: Database, short_project: Project) -> None:
    with pytest.raises(OptionError, match="Choose readers, run or verdict"):
        retract(db, short_project, "person", "Ann")


def test_readers_that_cannot_read_propose_nothing(
    db: Database, short_project: Project, images: dict[str, list[Sample]]
) -> None:
    """They agree on 14 of 30 images, which is below half."""
    everything = [sample for each in images.values() for sample in each]
    texts = {s.id: ("123", "123" if number < 14 else "321") for number, s in enumerate(everything)}
    add_proposals(db, short_project, texts)

    with pytest.raises(OptionError, match=r"agree on 14 of 30 images .* cannot read this portal"):
        accept_agreed(db, short_project, "Ann")
    assert agreed_texts(db, short_project) == {}
    assert suggestions(db, short_project, images["train"]) == {}


def test_before_any_reading_there_is_nothing_to_accept(db: Database, short_project: Project) -> None:
    with pytest.raises(OptionError, match="Run `slotlab propose` first"):
        accept_agreed(db, short_project, "Ann")


def test_a_label_typed_while_readings_come_and_go_is_saved(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """The operator opened the image before the reading was accepted and removed."""
    opened = samples.get_sample(db, read["train"][0].id)
    accept_agreed(db, short_project, "Bob")
    retract(db, short_project, "readers", "Bob")

    event = {"event": "1", "action": "label", "sample": opened.sha256, "text": "999", "base": opened.version}
    (outcome,) = apply_events(db, short_project, "Ann", [event])

    assert (outcome.status, outcome.label) == ("saved", "999")
    assert samples.get_sample(db, opened.id).kind == "person"


def test_nothing_is_accepted_before_the_reading_has_finished(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """The readings so far agree, but the job was killed."""
    db.execute("UPDATE jobs SET state = 'failed' WHERE kind = 'propose'")

    with pytest.raises(OptionError, match="The readers have not finished"):
        accept_agreed(db, short_project, "Ann")


def test_readings_of_other_readers_do_not_follow_the_rule_before(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """A job with a third reader was canceled. Its readings are not accepted by the rule for two readers."""
    with write(db):
        third = proposals.open_reader(db, kind="general", name="third", version="1", sha256="3" * 64)
        for sample in (sample for each in read.values() for sample in each):
            proposals.insert_proposal(db, sample.id, third, text="999", confidence=0.99, positions=[0.99] * 3)
        job = jobs.insert_job(
            db, id="0009-propose", number=9, kind="propose", project_id=short_project.id, request_id="propose 9"
        )
        jobs.set_state(db, job, "canceled", final=True)

    assert agreed_texts(db, short_project) == {}
    assert suggestions(db, short_project, read["train"]) == {}
    with pytest.raises(OptionError):
        accept_agreed(db, short_project, "Ann")

    with write(db):
        proposals.delete_others(db, short_project.id, proposals.list_readers(db, short_project.id)[:2])
    assert agreed_texts(db, short_project, split="train")


def test_only_training_images_get_a_suggestion(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """An operator who sees a reading is no longer a judge of it."""
    everything = [sample for each in read.values() for sample in each]

    assert set(suggestions(db, short_project, everything)) == {sample.id for sample in read["train"][:-3]}


def test_labels_of_people_on_held_out_images_prove_the_readers(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Only images on which the readers agree count, and only labels of people."""
    accept_agreed(db, short_project, "Ann")
    for sample in (*read["val"], *read["test"][:2]):
        label(db, short_project, sample, f"{sample.id:03}")
    wrong = read["test"][2]
    label(db, short_project, wrong, "000")

    shown = proof(db, short_project)

    assert (shown.labeled, shown.agreed, [(each.id, text) for each, text in shown.wrong]) == (
        9, 8, [(wrong.id, f"{wrong.id:03}")],
    )  # fmt: skip
    left = len(read["test"]) - 3
    assert (shown.blind, shown.blind_agreed) == (left, left)
    assert shown.sentence.endswith("Import more images.")
    assert shown.evidence.at_least == pytest.approx(0.5293, abs=1e-4)  # Clopper-Pearson, 7 of 8, one-sided


def test_a_label_that_was_changed_to_the_reading_proves_nothing(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Review shows readings that contradict a label, so the new label is not blind."""
    blind, corrected, contrary = read["test"][:3]
    label(db, short_project, blind, f"{blind.id:03}")
    for sample, text in ((corrected, f"{corrected.id:03}"), (contrary, "888")):
        label(db, short_project, sample, "999")
        event = {"event": f"again {sample.id}", "action": "label", "sample": sample.sha256, "text": text, "base": 1}
        apply_events(db, short_project, "Ann", [event])

    shown = proof(db, short_project)

    assert (shown.labeled, shown.agreed, [sample.id for sample, _ in shown.wrong]) == (2, 2, [contrary.id])


def test_a_rejected_reading_is_not_accepted(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """Not as an agreed one, and not by a caller that does not ask. One that was accepted before is taken back."""
    before, after = read["train"][:2]
    reject(db, short_project, before, f"{before.id:03}")
    assert accept_agreed(db, short_project, "Ann") == 16
    reject(db, short_project, after, f"{after.id:03}")

    assert before.id not in agreed_texts(db, short_project)
    assert accept_agreed(db, short_project, "Ann") == 0
    readers = proposals.list_readers(db, short_project.id)
    texts = {before.id: f"{before.id:03}", after.id: "777"}
    assert accept(db, short_project, texts, kind="readers", readers=readers, operator="Ann", rule={}) == 1
    assert [samples.get_sample(db, sample.id).label for sample in (before, after)] == [None, "777"]


def test_labels_of_verdicts_do_not_prove_the_readers(
    db: Database, short_project: Project, read: dict[str, list[Sample]]
) -> None:
    """The portal's word about validation and test images makes no label."""
    for sample in (*read["val"], *read["test"], *read["train"]):
        portal.accept(db, short_project, sample, f"{sample.id:03}")

    shown = proof(db, short_project)

    assert (shown.labeled, shown.agreed) == (0, 0)
    assert samples.label_counts(db, short_project.id) == {("train", "verdict"): len(read["train"])}
