"""Verdicts of the portal: labels, opinions and work for people, once each."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from core.backup.check import check
from core.data.accepting import retract
from core.data.labeling import apply_events
from core.data.queues import lease
from core.data.reviewing import choices_of, history_of, visible
from core.data.verdicts import Origin, apply_verdicts, new_verdict, take_in
from core.errors import LabelError, OptionError
from core.home import Home
from core.images.pixels import decode, pixel_hash, split_of
from db import labels, projects, proposals, queues, samples, verdicts
from db.connection import opened, write
from db.labels import list_operators
from db.records import Project, Sample
from tests.helpers.kinds import give_label
from tests.helpers.pictures import png
from tests.helpers.repository import ROOT

TEXT, OTHER = "123", "456"
Given = tuple[str, bool, str | None]
"""Text, whether the portal accepted it, reason."""
YES, OTHER_YES = (TEXT, True, None), (OTHER, True, None)
NO, OTHER_NO = (TEXT, False, "captcha"), (OTHER, False, "captcha")
STATES = ["unlabeled", "for later", "readers", "run", "person", "import", "verdict"]


def add_images(db: Database, project: Project, split: str, n: int = 1) -> list[Sample]:
    """Add images that decode, of one split."""
    with write(db):
        source = projects.find_source(db, project.id, "mail") or projects.insert_source(
            db, project.id, "mail", "the team", "ticket 1"
        )
        number, ids = samples.count_samples(db, project.id) * 1000, []
        while len(ids) < n:
            number += 1
            data = png(number)
            if split_of(sha256 := pixel_hash(decode(data))) == split:
                sample_id = samples.insert_sample(
                    db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{number}.png", width=40,
                    height=16, split=split, image=data,
                )  # fmt: skip
                ids.append(sample_id)
    return [samples.get_sample(db, sample_id) for sample_id in ids]


def act(db: Database, project: Project, sample: Sample, action: str, text: str | None = None, **more: object) -> None:
    """Let Ann act on an image."""
    now = samples.get_sample(db, sample.id)
    event = {"event": f"{action} {now.version} {len(labels.events_of(db, now.id))} {now.id}", "action": action}
    event |= {"sample": now.sha256, "text": text, "base": now.version, "seen": 99}
    (outcome,) = apply_events(db, project, "Ann", [event | more])
    assert outcome.status == "saved"


def make(db: Database, project: Project, state: str, split: str = "train") -> Sample:
    """Return an image in a state; a label is TEXT."""
    (sample,) = add_images(db, project, split)
    if state == "verdict":
        say(db, project, sample, YES)
    elif state == "for later":
        act(db, project, sample, "skip")
    elif state in ("unreadable", "not_ours"):
        act(db, project, sample, "skip", flag=state)
    elif state != "unlabeled":
        give_label(db, project, sample, TEXT, state)
    return samples.get_sample(db, sample.id)


def say(db: Database, project: Project, sample: Sample, *given: Given) -> None:
    """Let the portal say something about an image, in one intake for each."""
    for text, accepted, reason in given:
        key = f"{sample.id} {len(verdicts.verdicts_of(db, project.id, sample.sha256))}"
        apply_verdicts(
            db, project, [new_verdict(sample.sha256, text, accepted=accepted, reason=reason, key=key)], "Eve"
        )


def now_of(db: Database, sample: Sample) -> tuple[str, str | None, str | None, bool, bool]:
    """Return state, label, kind, disputed and checked."""
    now = samples.get_sample(db, sample.id)
    return now.state, now.label, now.kind, bool(now.disputed), bool(now.checked)


def first_in_queue(db: Database, project: Project, kind: str = "unlabeled") -> list[int]:
    queue = queues.Queue(kind=kind, order=queues.REJECTED)
    return [s.id for s in queues.select_ranked(db, project.id, queue, operator="Ann", now=0, limit=100)]


def assert_intact(home: Home) -> None:
    assert check(home).problems == []


# The table of docs/guide/verdicts.md


@pytest.mark.parametrize("state", ["unlabeled", "for later"])
def test_an_accepted_text_labels_a_training_image(db: Database, home: Home, short_project: Project, state: str) -> None:
    """The ledger names the portal, and the acceptance the person who brought the verdict in."""
    sample = make(db, short_project, state)

    say(db, short_project, sample, YES)

    assert now_of(db, sample) == ("labeled", TEXT, "verdict", False, False)
    event = labels.events_of(db, sample.id)[-1]
    assert (event.operator, event.action, event.kind) == ("portal", "accept", "verdict")
    (acceptance,) = proposals.list_acceptances(db, short_project.id)
    assert (acceptance.kind, acceptance.operator, acceptance.n) == ("verdict", "Eve", 1)
    assert verdicts.verdicts_of(db, short_project.id, sample.sha256)[0].operator == "Eve"
    assert_intact(home)


@pytest.mark.parametrize(("state", "kind"), [("unlabeled", "unlabeled"), ("for later", "skipped")])
def test_a_rejected_text_brings_its_training_image_to_the_front(
    db: Database, home: Home, short_project: Project, state: str, kind: str
) -> None:
    """A skipped image stays in the queue of skipped ones, and is the first there."""
    sample = make(db, short_project, state)
    before = now_of(db, sample)

    say(db, short_project, sample, NO)

    assert now_of(db, sample) == before
    assert first_in_queue(db, short_project, kind) == [sample.id]
    assert verdicts.rejected_texts(db, short_project.id) == {sample.id: {TEXT}}
    assert_intact(home)


@pytest.mark.parametrize("state", ["readers", "run"])
@pytest.mark.parametrize("given", [YES, OTHER_YES])
def test_an_accepted_text_replaces_the_label_of_a_machine(
    db: Database, home: Home, short_project: Project, state: str, given: Given
) -> None:
    """Also an equal one: it then is of kind verdict."""
    sample = make(db, short_project, state)

    say(db, short_project, sample, given)

    assert now_of(db, sample) == ("labeled", given[0], "verdict", False, False)
    assert_intact(home)


@pytest.mark.parametrize("state", ["readers", "run"])
def test_a_rejected_label_of_a_machine_is_taken_back(
    db: Database, home: Home, short_project: Project, state: str
) -> None:
    """People then label the image first. A rejection of another text changes nothing."""
    sample = make(db, short_project, state)
    say(db, short_project, sample, OTHER_NO)
    assert now_of(db, sample) == ("labeled", TEXT, state, False, False)
    assert first_in_queue(db, short_project) == []

    say(db, short_project, sample, NO)

    assert now_of(db, sample) == ("unlabeled", None, None, False, False)
    assert first_in_queue(db, short_project) == [sample.id]
    event = labels.events_of(db, sample.id)[-1]
    assert (event.operator, event.action) == ("portal", "undo")
    assert_intact(home)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("state", ["person", "import"])
@pytest.mark.parametrize(
    ("given", "disputed", "checked", "action"),
    [(YES, False, True, "confirm"), (NO, True, False, "doubt"), (OTHER_YES, True, False, "second"),
     (OTHER_NO, False, False, None)],
)  # fmt: skip
def test_a_verdict_is_an_opinion_about_the_label_of_a_person(
    db: Database, home: Home, short_project: Project, split: str, state: str, given: Given, disputed: bool,
    checked: bool, action: str | None,
) -> None:  # fmt: skip
    """The label stays, in every split."""
    sample = make(db, short_project, state, split)

    say(db, short_project, sample, given)

    assert now_of(db, sample) == ("labeled", TEXT, state, disputed, checked)
    event = labels.events_of(db, sample.id)[-1]
    assert (event.action, event.operator) == ((action, "portal") if action else (event.action, "Ann"))
    assert_intact(home)


@pytest.mark.parametrize("given", [NO, OTHER_YES])
def test_a_reading_that_a_person_confirmed_is_a_label_of_a_person(
    db: Database, home: Home, short_project: Project, given: Given
) -> None:
    """The portal does not take it back or replace it."""
    sample = make(db, short_project, "readers")
    act(db, short_project, sample, "confirm")

    say(db, short_project, sample, given)

    assert now_of(db, sample)[:4] == ("labeled", TEXT, "readers", True)
    assert_intact(home)


@pytest.mark.parametrize(("given", "disputed"), [(YES, False), (OTHER_YES, True), (OTHER_NO, False), (NO, True)])
def test_verdicts_that_contradict_an_accepted_text_make_it_disputed(
    db: Database, home: Home, short_project: Project, given: Given, disputed: bool
) -> None:
    """An equal one, or a rejection of another text, does not contradict it."""
    sample = make(db, short_project, "verdict")

    say(db, short_project, sample, given)

    assert now_of(db, sample) == ("labeled", TEXT, "verdict", disputed, False)
    assert_intact(home)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("given", [YES, NO, OTHER_YES])
@pytest.mark.parametrize("state", ["unlabeled", "for later", "unreadable"])
def test_held_out_images_without_a_label_stay_blind(
    db: Database, home: Home, short_project: Project, split: str, given: Given, state: str
) -> None:
    """No event, no rank: nothing tells an operator that a text was submitted."""
    sample = make(db, short_project, state, split)
    before, ledger = now_of(db, sample), labels.events_of(db, sample.id)

    say(db, short_project, sample, given)

    assert (now_of(db, sample), labels.events_of(db, sample.id)) == (before, ledger)
    assert queues.count_ranked(db, short_project.id) == {}
    assert len(verdicts.verdicts_of(db, short_project.id, sample.sha256)) == 1
    assert_intact(home)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("reason", ["timeout", "password", None])
def test_other_rejections_say_nothing_about_the_text(
    db: Database, short_project: Project, state: str, reason: str | None
) -> None:
    """They are only counted."""
    sample = make(db, short_project, state)
    before, ledger = now_of(db, sample), labels.events_of(db, sample.id)

    say(db, short_project, sample, (TEXT, False, reason))

    assert (now_of(db, sample), labels.events_of(db, sample.id)) == (before, ledger)
    assert queues.count_ranked(db, short_project.id) == {}
    assert verdicts.rejected_texts(db, short_project.id) == {}


def test_an_accepted_text_disputes_a_skip_for_good(db: Database, home: Home, short_project: Project) -> None:
    """A person called the image unreadable, but someone read it."""
    sample = make(db, short_project, "unreadable")

    say(db, short_project, sample, YES)

    now = samples.get_sample(db, sample.id)
    assert now_of(db, sample) == ("skipped", None, None, True, False)
    assert [choice.text for choice in choices_of(now, labels.events_of(db, sample.id))] == [None, TEXT]
    assert_intact(home)


# Contradictions


@pytest.mark.parametrize("state", [state for state in STATES if state != "verdict"])
@pytest.mark.parametrize("given", [(YES, NO), (NO, YES), (YES, OTHER_YES), (OTHER_YES, YES)])
def test_two_verdicts_that_contradict_each_other_dispute_the_image(
    db: Database, home: Home, short_project: Project, state: str, given: tuple[Given, Given]
) -> None:
    """Their order does not matter."""
    sample = make(db, short_project, state)

    say(db, short_project, sample, *given)

    assert now_of(db, sample)[3:] == (True, False)
    assert_intact(home)


def test_a_person_decides_between_contradicting_verdicts(db: Database, home: Home, short_project: Project) -> None:
    """Another verdict for the decision then confirms it, and one against it disputes it again."""
    sample = make(db, short_project, "verdict")
    say(db, short_project, sample, OTHER_YES)
    act(db, short_project, sample, "resolve", OTHER)
    assert now_of(db, sample) == ("labeled", OTHER, "person", False, True)

    say(db, short_project, sample, OTHER_YES)
    assert now_of(db, sample) == ("labeled", OTHER, "person", False, True)
    say(db, short_project, sample, OTHER_NO)

    assert now_of(db, sample)[3] is True
    assert_intact(home)


def test_one_answer_with_two_verdicts_keeps_both(db: Database, home: Home, short_project: Project) -> None:
    """Both have the id of the answer. Another intake in another order adds nothing."""
    (sample,) = add_images(db, short_project, "train")
    both = [new_verdict(sample.sha256, TEXT, accepted=yes, reason="captcha", key="1" * 32) for yes in (False, True)]

    outcome = apply_verdicts(db, short_project, both, "Eve")
    again = apply_verdicts(db, short_project, both[::-1], "Eve")

    assert (outcome.known, outcome.disputed, again.known, again.labels) == (0, 1, 2, 0)
    assert len(verdicts.verdicts_of(db, short_project.id, sample.sha256)) == 2
    assert now_of(db, sample)[3] is True
    assert_intact(home)


@pytest.mark.parametrize("given", [NO, OTHER_YES])
def test_the_same_objection_stands_once(db: Database, short_project: Project, given: Given) -> None:
    """Several verdicts of one content are one opinion in the history, until a person decides."""
    sample = make(db, short_project, "person")

    say(db, short_project, sample, given, given)
    assert len(labels.events_of(db, sample.id)) == 2
    act(db, short_project, sample, "resolve", TEXT)
    say(db, short_project, sample, given)

    assert now_of(db, sample) == ("labeled", TEXT, "person", True, True)
    assert len(verdicts.verdicts_of(db, short_project.id, sample.sha256)) == 3


def test_a_label_ends_the_lease_and_the_ranks(db: Database, short_project: Project) -> None:
    """The image leaves the screen of an operator and every order."""
    sample = make(db, short_project, "unlabeled")
    say(db, short_project, sample, OTHER_NO)
    with write(db):
        proposals.set_priorities(db, short_project.id, "disagree", [sample.id])
    queue = queues.Queue()
    held = lease(db, short_project, queue, holder="tab", operator="Ann", have=[], n=1).samples
    assert [each.id for each in held] == [sample.id]

    say(db, short_project, sample, YES)

    assert queues.count_ranked(db, short_project.id) == {}
    again = lease(db, short_project, queue, holder="tab", operator="Ann", have=[sample.sha256], n=1)
    assert (again.samples, again.lost) == ([], [sample.sha256])


# Repeats and late images


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("given", [YES, NO, OTHER_YES, OTHER_NO])
def test_the_same_verdicts_twice_change_nothing(db: Database, short_project: Project, state: str, given: Given) -> None:
    """Also after a person has decided otherwise."""
    sample = make(db, short_project, state)
    text, accepted, reason = given
    verdict = new_verdict(sample.sha256, text, accepted=accepted, reason=reason)
    apply_verdicts(db, short_project, [verdict, verdict], "Eve")
    for action in (None, "resolve" if samples.get_sample(db, sample.id).disputed else "label"):
        if action:
            act(db, short_project, sample, action, "789")
        before, ledger = now_of(db, sample), labels.events_of(db, sample.id)

        outcome = apply_verdicts(db, short_project, [verdict], "Eve")

        assert (outcome.verdicts, outcome.known, outcome.labels, outcome.disputed) == (1, 1, 0, 0)
        assert (now_of(db, sample), labels.events_of(db, sample.id)) == (before, ledger)
    assert len(verdicts.verdicts_of(db, short_project.id, sample.sha256)) == (2 if state == "verdict" else 1)


def test_a_verdict_takes_effect_when_its_image_comes(db: Database, home: Home, short_project: Project) -> None:
    """The next intake finds it, whatever it brings. One whose label was undone stays as the person left it."""
    data = next(png(n) for n in range(99) if split_of(pixel_hash(decode(png(n)))) == "train")
    sha256 = pixel_hash(decode(data))
    first = apply_verdicts(db, short_project, [new_verdict(sha256, TEXT, accepted=True)], "Eve")
    assert (first.unknown, first.labels) == (1, 0)
    with write(db):
        source = projects.insert_source(db, short_project.id, "mail", "the team", "ticket 1")
        sample_id = samples.insert_sample(
            db, project_id=short_project.id, source_id=source.id, sha256=sha256, name="late.png", width=40, height=16,
            split="train", image=data,
        )  # fmt: skip

    assert apply_verdicts(db, short_project, [], "Eve").labels == 1

    sample = samples.get_sample(db, sample_id)
    assert now_of(db, sample) == ("labeled", TEXT, "verdict", False, False)
    act(db, short_project, sample, "undo")
    assert apply_verdicts(db, short_project, [], "Eve").labels == 0
    assert now_of(db, sample)[0] == "unlabeled"
    assert_intact(home)


def test_a_text_that_does_not_fit_stores_nothing(db: Database, short_project: Project) -> None:
    """A program that calls the function gets the error."""
    (sample,) = add_images(db, short_project, "train")
    given = [new_verdict(sample.sha256, text, accepted=True) for text in (TEXT, "12a")]

    with pytest.raises(LabelError, match="'a'"):
        apply_verdicts(db, short_project, given, "Eve")

    assert verdicts.verdicts_of(db, short_project.id, sample.sha256) == []


# People and the portal


def test_labels_of_verdicts_are_removed_in_one_action(db: Database, home: Home, short_project: Project) -> None:
    """A label that a person confirmed stays. The same verdicts do not bring them back, and an undo does not either."""
    given, confirmed, retyped = (make(db, short_project, "verdict") for _ in range(3))
    act(db, short_project, confirmed, "confirm")
    act(db, short_project, retyped, "label", OTHER)

    assert retract(db, short_project, "verdict", "Ann") == (1, 1)
    act(db, short_project, retyped, "undo")

    assert now_of(db, given)[0] == now_of(db, retyped)[0] == "unlabeled"
    assert now_of(db, confirmed)[:3] == ("labeled", TEXT, "verdict")
    assert apply_verdicts(db, short_project, [], "Eve").labels == 0
    assert_intact(home)


def test_a_label_typed_while_the_portal_took_one_back_is_saved(db: Database, short_project: Project) -> None:
    """The operator saw the version before. A text that the portal accepted meanwhile is not replaced unseen."""
    taken_back, accepted = make(db, short_project, "readers"), make(db, short_project, "unlabeled")
    say(db, short_project, taken_back, NO)
    say(db, short_project, accepted, YES)

    events = [
        {"event": f"late {s.id}", "action": "label", "sample": s.sha256, "text": OTHER, "base": s.version}
        for s in (taken_back, accepted)
    ]
    first, second = apply_events(db, short_project, "Ann", events)

    assert (first.status, now_of(db, taken_back)[:3]) == ("saved", ("labeled", OTHER, "person"))
    assert (second.status, now_of(db, accepted)[1:4]) == ("conflict", (TEXT, "verdict", True))


def test_the_portal_is_not_a_person(db: Database, short_project: Project) -> None:
    """It is not among the operators, and its opinions are not second opinions on their labels."""
    sample = make(db, short_project, "person")
    say(db, short_project, sample, OTHER_YES)

    assert list_operators(db) == ["Ann"]
    assert labels.count_second_opinions(db, short_project.id, "Ann", "2000") == (0, 0)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_image_that_needs_a_label_again_is_blind_again(
    db: Database, home: Home, short_project: Project, split: str
) -> None:
    """Nobody is offered the text that the portal accepted. Against the next label it stands again."""
    (sample,) = add_images(db, short_project, split)
    act(db, short_project, sample, "label", TEXT)
    say(db, short_project, sample, OTHER_YES)
    assert now_of(db, sample)[3] is True

    for action in ("undo", "skip"):
        act(db, short_project, sample, action)
        again, ledger = samples.get_sample(db, sample.id), labels.events_of(db, sample.id)

        assert (again.disputed, choices_of(again, ledger)[1:]) == (False, [])
        operators = {line.operator for line in history_of(visible(again, ledger))}
        assert operators == ({"Ann", "portal"} if split == "train" else {"Ann"})
        assert_intact(home)

    act(db, short_project, sample, "label", TEXT)
    assert now_of(db, sample) == ("labeled", TEXT, "person", True, False)
    ledger = labels.events_of(db, sample.id)
    assert visible(samples.get_sample(db, sample.id), ledger) == ledger
    assert_intact(home)


def test_a_history_says_what_the_portal_said(db: Database, short_project: Project) -> None:
    """A reading that the portal rejected is marked."""
    read, typed = make(db, short_project, "readers"), make(db, short_project, "person")
    say(db, short_project, read, NO, OTHER_YES)
    say(db, short_project, typed, YES, NO)

    lines = history_of(labels.events_of(db, read.id), {TEXT})
    assert [(line.did, line.what) for line in lines] == [
        ("read, rejected by the portal", TEXT), ("rejected", "unlabeled"), ("accepted", OTHER),
    ]  # fmt: skip
    assert [line.did for line in history_of(labels.events_of(db, typed.id))] == ["labeled", "accepted", "rejected"]


# Files


def write_log(folder: Path, lines: list[str]) -> Path:
    path = folder / "portal.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_images_need_an_owner_unless_the_project_has_one(
    db: Database, home: Home, short_project: Project, tmp_path: Path
) -> None:
    """They default to those of the newest source. A source that exists keeps its own."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    first, second, third = (
        write_log(tmp_path, [f'{{"file": "{number}.png", "text": "123", "accepted": false}}']).rename(
            tmp_path / f"{number}.jsonl"
        )
        for number in range(3)
    )
    with pytest.raises(OptionError, match="Give --owner and --authorization"):
        take_in(db, short_project, first, operator="Eve", origin=Origin())
    assert samples.count_samples(db, short_project.id) == 0
    assert verdicts.select_unused(db, short_project.id) == []

    given = Origin(source="june", owner="the team", authorization="ticket 1")
    assert take_in(db, short_project, first, operator="Eve", origin=given).images == 1
    assert take_in(db, short_project, second, operator="Eve", origin=Origin()).images == 1
    with pytest.raises(OptionError, match="Source june already has owner 'the team'"):
        take_in(db, short_project, third, operator="Eve", origin=Origin(source="june", owner="others"))

    sources = [(each.name, each.owner, each.authorization) for each in projects.list_sources(db, short_project.id)]
    assert sources == [("june", "the team", "ticket 1"), ("verdicts", "the team", "ticket 1")]
    assert_intact(home)


KILLED = """
import os, signal, sys
from pathlib import Path
from core.data import verdicts
from db import projects
from db.connection import opened
stored = 0
act = verdicts._Intake._act
def counted(*arguments):
    global stored
    act(*arguments)
    stored += 1
    if stored == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
verdicts._Intake._act = counted
verdicts.BATCH = 10
with opened(Path(sys.argv[1])) as db:
    project = projects.find_project(db, "portal")
    origin = verdicts.Origin(owner="the team", authorization="ticket 1")
    verdicts.take_in(db, project, Path(sys.argv[2]), operator="Eve", origin=origin)
"""


def test_an_intake_that_is_killed_is_finished_by_another(
    home: Home, db: Database, short_project: Project, tmp_path: Path
) -> None:
    """Everything is there once: images, answers, verdicts and labels."""
    folder = tmp_path / "log.jsonl.images"
    folder.mkdir()
    lines, rng = list[str](), np.random.default_rng(5)
    for number in range(60):
        data = png(number)
        sha256 = pixel_hash(decode(data))
        (folder / f"{sha256}.png").write_bytes(data)
        text = "".join(map(str, rng.integers(0, 10, 3)))
        reading = f'{{"text": "{text}", "confidence": 0.5, "accepted": true, "unfamiliar": null}}'
        lines.append(
            f'{{"id": "{number:032x}", "time": "2026-03-01T12:00:00.123Z", "bundle": "b1", "sha256": "{sha256}",'
            f' "reading": {reading}, "look": [1.5, 2.5], "image": "{sha256}.png"}}'
        )
        said = '"accepted": true, "reason": null' if number % 4 else '"accepted": false, "reason": "captcha"'
        lines.append(f'{{"id": "{number:032x}", "time": null, "sha256": "{sha256}", "text": "{text}", {said}}}')
    path = write_log(tmp_path, lines).rename(tmp_path / "log.jsonl")
    for after in (5, 7):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(home.db), str(path), str(after)], check=False, timeout=60, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL
    assert 0 < db.execute("SELECT count(*) FROM verdicts").fetchone()[0] < 60

    for _ in range(2):
        outcome = take_in(db, short_project, path, operator="Eve", origin=Origin())

    assert (outcome.verdicts, outcome.known, outcome.images, outcome.refused) == (60, 60, 0, 0)
    train = [sample for sample in samples.select_samples(db, short_project.id) if sample.split == "train"]
    accepted = {verdict.sha256 for verdict in _all_verdicts(db) if verdict.accepted}
    assert samples.count_samples(db, short_project.id) == 60
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("answers", "verdicts")] == [60, 60]
    assert {sample.sha256 for sample in train if sample.kind == "verdict"} == accepted & {s.sha256 for s in train}
    assert {*first_in_queue(db, short_project)} == {sample.id for sample in train if sample.sha256 not in accepted}
    assert db.execute("SELECT count(*) FROM labels").fetchone()[0] == sum(s.kind == "verdict" for s in train)
    assert sum(each.n for each in proposals.list_acceptances(db, short_project.id)) == len(
        accepted & {sample.sha256 for sample in train}
    )
    assert_intact(home)


def _all_verdicts(db: Database) -> list[verdicts.Verdict]:
    return [verdicts.Verdict(**row) for row in db.query("SELECT * FROM verdicts")]


def test_an_image_of_an_answer_is_imported_without_a_verdict(
    db: Database, home: Home, short_project: Project, tmp_path: Path
) -> None:
    """These are the images that the reader would not submit, so people should label them."""
    with opened(home.db):
        add_images(db, short_project, "train")
    data = png(4711)
    sha256, folder = pixel_hash(decode(data)), tmp_path / "portal.jsonl.images"
    folder.mkdir()
    (folder / "a.png").write_bytes(data)
    reading = '{"text": "123", "confidence": 0.5, "accepted": false, "unfamiliar": "It is unlike them."}'
    path = write_log(
        tmp_path,
        [f'{{"id": "a", "bundle": "b1", "sha256": "{sha256}", "reading": {reading}, "look": null, "image": "a.png"}}'],
    )

    outcome = take_in(db, short_project, path, operator="Eve", origin=Origin())

    assert (outcome.verdicts, outcome.answers, outcome.images, outcome.refused) == (0, 1, 1, 0)
    sample = samples.find_sample(db, short_project.id, sha256)
    assert sample
    assert (sample.state, sample.name) == ("unlabeled", "a.png")
    (row,) = db.query("SELECT * FROM answers")
    assert (row["reader"], row["accepted"], row["unfamiliar"]) == ("b1", 0, "It is unlike them.")
