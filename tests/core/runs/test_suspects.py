"""Suspected labels: readers and out-of-fold networks against the current labels."""

from collections.abc import Sequence

import numpy as np
import pytest
from sqlite_utils import Database

from core.charset import spec_of
from core.data.importing import open_source
from core.data.labeling import apply_events
from core.data.proposals import accept_agreed
from core.data.proposing import start_proposing
from core.errors import StorageError
from core.home import Home
from core.images import renderer
from core.images.pixels import encode_png, pixel_hash
from core.jobs import control
from core.readers.readers import READERS
from core.runs.folds import FOLDS, OutOfFold, fold_file
from core.runs.suspects import Suspect, find_suspects
from db import jobs, labels, samples
from db.connection import write
from db.records import Project, Sample
from tests.helpers.readings import add_proposals, agreeing
from tests.helpers.runs import add_labeled, add_unlabeled


@pytest.fixture
def hundred(db: Database, short_project: Project) -> Project:
    """A project with a hundred labeled images: 000 to 099, the last ten of them in val."""
    texts = [f"{number:03}" for number in range(100)]
    add_labeled(db, short_project, train=texts[:90], val=texts[90:])
    return short_project


def labeled(db: Database, project: Project) -> list[Sample]:
    return samples.select_samples(db, project.id, state="labeled")


def let_readers_read(db: Database, project: Project, **texts: tuple[str, str]) -> None:
    """Let both readers read each label as it is, except those in `texts`: l007=("001", "001")."""
    every = {sample.id: texts.get(f"l{sample.label}", (sample.label,) * 2) for sample in labeled(db, project)}
    add_proposals(db, project, every)


def add_folds(db: Database, home: Home, project: Project, **texts: str) -> str:
    """Store a finished folds job that reads each label as it is, except those in `texts`. Return its id."""
    spec, chosen = spec_of(project), labeled(db, project)
    logits_NPC = np.zeros((len(chosen), spec.length, spec.num_classes), dtype=np.float32)
    for row, sample in enumerate(chosen):
        for position, index in enumerate(spec.encode(texts.get(f"l{sample.label}", sample.label or ""))):
            logits_NPC[row, position, index] = 15
    log_probs_NPC = logits_NPC - np.log(np.exp(logits_NPC).sum(axis=2, keepdims=True))
    with write(db):
        number = jobs.next_number(db, "folds")
        name = f"{number:04d}-folds"
        job = jobs.insert_job(db, id=name, number=number, kind="folds", project_id=project.id, request_id=name)
        jobs.set_state(db, job, "finished", result='{"n": 100, "correct": 99}', final=True)
    home.run(job.id).mkdir(parents=True)
    for fold in range(FOLDS):
        keys = [sample.sha256 for sample in chosen[fold::FOLDS]]
        OutOfFold(keys, log_probs_NPC[fold::FOLDS]).save(fold_file(home.run(job.id), fold + 1))
    return job.id


def act(
    db: Database, project: Project, label: str, action: str, text: str | None = None, origin: str = "review",
    suggested: bool | None = None,
) -> None:  # fmt: skip
    sample = next(sample for sample in labeled(db, project) if sample.label == label)
    event = {
        "event": f"{action} {label} {text}", "action": action, "sample": sample.sha256, "base": sample.version,
        "text": text, "suggested": suggested,
    }  # fmt: skip
    (outcome,) = apply_events(db, project, "Ben", [event], origin=origin)
    assert outcome.status == "saved"


def lines(entries: Sequence[Suspect]) -> list[tuple[str, str, tuple[int, ...], tuple[str, ...]]]:
    return [(each.given, each.suggested, each.positions, each.reasons) for each in entries]


def test_readers_that_agree_against_a_label_make_it_suspected(db: Database, home: Home, hundred: Project) -> None:
    """Also in val. One reader alone, or two that differ, suspect nothing."""
    let_readers_read(db, hundred, l007=("001", "001"), l008=("008", "009"), l099=("093", "093"))

    suspects = find_suspects(db, home, hundred)

    assert lines(suspects.entries) == [
        ("007", "001", (3,), ("both readers read 001",)),
        ("099", "093", (3,), ("both readers read 093",)),
    ]
    assert (suspects.labels, suspects.unread, suspects.without_fold) == (100, 0, 100)


def test_readers_that_cannot_read_a_portal_suspect_nothing(db: Database, home: Home, hundred: Project) -> None:
    """Readers that rarely agree prove nothing when they agree against a label."""
    texts = {f"l{number:03}": ("111", "222") for number in range(80)}
    let_readers_read(db, hundred, **texts, l099=("093", "093"))

    assert find_suspects(db, home, hundred).entries == []


def test_both_reasons_are_one_entry_that_comes_first(db: Database, home: Home, hundred: Project) -> None:
    """The networks of the folds suspect a position that they read otherwise."""
    let_readers_read(db, hundred, l007=("001", "001"), l050=("059", "059"), l060=("060", "066"))
    add_folds(db, home, hundred, l050="059", l060="160")

    suspects = find_suspects(db, home, hundred)

    below = "out-of-fold probability below 0.001 at position"
    assert lines(suspects.entries) == [
        ("050", "059", (3,), ("both readers read 059", f"{below} 3")),
        ("060", "160", (1,), (f"{below} 1",)),
        ("007", "001", (3,), ("both readers read 001",)),
    ]
    assert suspects.without_fold == 0


def test_readers_that_read_the_label_clear_it_from_the_networks(db: Database, home: Home, hundred: Project) -> None:
    """Not if the label is theirs, or someone saw their reading before the label."""
    let_readers_read(db, hundred, l063=("063", "068"))
    act(db, hundred, "062", "label", "999", origin="label")
    act(db, hundred, "999", "label", "062", origin="label", suggested=True)
    add_folds(db, home, hundred, l060="160", l061="161", l062="162", l063="163")
    with write(db):
        db.execute("UPDATE samples SET kind = 'readers' WHERE label = '061'")

    assert {suspect.given for suspect in find_suspects(db, home, hundred).entries} == {"061", "062", "063"}


def test_a_confirmed_or_corrected_label_is_not_suspected_again(db: Database, home: Home, hundred: Project) -> None:
    """A confirmed, disputed or skipped one neither. After an undo, the label is suspected again."""
    flagged = {f"l{number:03}": ("499", "499") for number in range(6)}
    let_readers_read(db, hundred, **flagged)
    assert len(find_suspects(db, home, hundred).entries) == 6

    act(db, hundred, "000", "confirm")
    act(db, hundred, "001", "doubt")
    act(db, hundred, "002", "label", "499")
    act(db, hundred, "003", "label", "413")
    act(db, hundred, "004", "skip")
    act(db, hundred, "413", "undo")

    assert [suspect.given for suspect in find_suspects(db, home, hundred).entries] == ["003", "005"]
    act(db, hundred, "005", "label", "405", origin="label")
    assert [suspect.given for suspect in find_suspects(db, home, hundred).entries] == ["003", "405"]


def test_labels_that_were_compared_with_nothing_are_counted(db: Database, home: Home, hundred: Project) -> None:
    """The sentences say what to do."""
    suspects = find_suspects(db, home, hundred)

    assert suspects.entries == []
    assert suspects.gaps == [
        "100 labels have not been compared with readers. `slotlab propose --labeled` reads these images.",
        "100 labels have no out-of-fold reading. `slotlab suspects --folds` trains networks for that.",
    ]


def test_a_damaged_file_is_refused(db: Database, home: Home, hundred: Project) -> None:
    """The sentence names the file."""
    fold_file(home.run(add_folds(db, home, hundred)), 2).write_bytes(b"damaged")

    with pytest.raises(StorageError, match=r"The out-of-fold readings fold-2\.npz are missing or damaged"):
        find_suspects(db, home, hundred)


@pytest.mark.long
def test_the_real_readers_find_a_wrong_label(db: Database, home: Home, project: Project) -> None:
    """Before any training, and also in train, because labeled images of train are read too."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(project.charset), project.length)) for _ in range(30)]
    source = open_source(db, project, "renders", "tests", "own images")
    with write(db):
        for number, text in enumerate(texts):
            pixels = renderer.render(text, rng)
            sample_id = samples.insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=pixel_hash(pixels), name=f"{number}.png",
                width=pixels.shape[1], height=pixels.shape[0], split="train", image=encode_png(pixels),
            )  # fmt: skip
            given = text if number else f"{(int(text[0]) + 5) % 10}{text[1:]}"
            labels.append_event(
                db, samples.get_sample(db, sample_id), event_id=f"{number}", operator="ada", action="label",
                state="labeled", text=given, base_version=0,
            )  # fmt: skip
    assert find_suspects(db, home, project).unread == 30

    job = start_proposing(db, home, project, readers=tuple(READERS), labeled=True, operator="ada")
    control.finish(db, home, job.id, lambda _: None)

    suspects = find_suspects(db, home, project)
    assert suspects.unread == 0
    by_name = {each.sample.name: each for each in suspects.entries}
    assert by_name["0.png"].suggested == texts[0]
    assert by_name["0.png"].positions == (1,)
    assert len(by_name) <= 3


def test_readers_cannot_contradict_their_own_labels(db: Database, home: Home, hundred: Project) -> None:
    """The networks of the folds can."""
    let_readers_read(db, hundred, l007=("001", "001"))
    with write(db):
        db.execute("UPDATE samples SET kind = 'readers' WHERE label = '007'")
    assert find_suspects(db, home, hundred).entries == []

    add_folds(db, home, hundred, l007="001")

    (suspect,) = find_suspects(db, home, hundred).entries
    assert suspect.reasons == ("out-of-fold probability below 0.001 at position 3",)


def test_labels_of_readers_do_not_count_as_compared_with_readers(
    db: Database, home: Home, short_project: Project
) -> None:
    """Readers cannot contradict themselves."""
    add_unlabeled(db, short_project, train=24)
    chosen = samples.select_samples(db, short_project.id)
    agreeing(db, short_project, chosen, ["123"] * 24)
    event = {"event": "1", "action": "label", "sample": chosen[0].sha256, "text": "123", "base": 0}
    apply_events(db, short_project, "Ann", [event])
    accept_agreed(db, short_project, "Ann")

    suspects = find_suspects(db, home, short_project)

    assert (suspects.labels, suspects.not_from_readings, suspects.unread) == (24, 1, 0)
