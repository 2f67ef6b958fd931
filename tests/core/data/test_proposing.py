"""The job in which the installed general readers read a project."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from core.data import proposing
from core.data.importing import open_source
from core.data.proposals import accept_agreed, agreed_texts, proof
from core.data.suggestions import is_withheld, suggestions
from core.errors import OptionError
from core.home import Home
from core.images import renderer
from core.images.frame import WHOLE
from core.images.pixels import encode_png, pixel_hash, split_of
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.jobs.work import Work
from core.readers.readers import load
from db import projects, proposals, queues, samples
from db.connection import write
from db.records import Project
from tests.helpers.command_line import command, refused
from tests.helpers.stand_in import FOREVER

READERS = ("rapidocr", "ddddocr")


def add_renders(db: Database, project: Project, texts: list[str], seed: int = 1, margin: int = 0) -> None:
    """Import rendered images, with a white margin of that many pixels on the right."""
    rng = np.random.default_rng(seed)
    source = open_source(db, project, "renders", "tests", "own images")
    with write(db):
        for text in texts:
            pixels = np.pad(renderer.render(text, rng), ((0, 0), (0, margin), (0, 0)), constant_values=255)
            sha256 = pixel_hash(pixels)
            samples.insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{text}.png",
                width=pixels.shape[1], height=pixels.shape[0], split=split_of(sha256), image=encode_png(pixels),
            )  # fmt: skip


def propose(
    db: Database, home: Home, project: Project, readers: Sequence[str] = READERS, **options: Any
) -> dict[str, Any]:
    job = proposing.start_proposing(db, home, project, readers=readers, operator="Ann", **options)
    return {"job": job.id} | json.loads(control.finish(db, home, job.id, lambda _: None).result or "{}")


@pytest.fixture
def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("0123456789"), 6)) for _ in range(30)]


def test_readers_read_rendered_images(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    """Both read most of the demo's images. Package, version and hash of the weights are stored."""
    add_renders(db, project, texts)

    result = propose(db, home, project)

    readers = proposals.list_readers(db, project.id)
    assert [reader.name for reader in readers] == ["ddddocr", "rapidocr"]
    assert all(len(reader.sha256) == 64 and reader.version for reader in readers)
    assert (result["images"], result["read"], result["usable"]) == (30, 60, True)
    read = proposals.select_texts(db, project.id, readers)
    names = {sample.id: sample.name for sample in samples.select_samples(db, project.id)}
    right = [sum(f"{each[index]}.png" == names[sample_id] for sample_id, each in read.items()) for index in (0, 1)]
    assert min(right) >= 15
    ranks = queues.count_ranked(db, project.id)
    train = [sample for sample in samples.select_samples(db, project.id, split="train") if sample.id in read]
    differing = [sample for sample in train if len(set(read[sample.id])) > 1]
    assert (ranks.get("disagree", 0), ranks["rare"], ranks["diverse"]) == (len(differing), len(train), len(train))
    texts_shown = {sample_id: each.text for sample_id, each in suggestions(db, project, train).items()}
    shown = [sample.id for sample in train if sample not in differing and not is_withheld(sample.sha256)]
    assert texts_shown == {sample_id: read[sample_id][0] for sample_id in shown}
    assert samples.count_samples(db, project.id, state="labeled") == 0


@pytest.mark.long
def test_the_built_in_reader_reads_alone_and_with_others(
    db: Database, home: Home, project: Project, texts: list[str]
) -> None:
    """It needs no package. Alone it can only suggest; with two others, two of three are enough if that is set."""
    add_renders(db, project, texts)
    alone = propose(db, home, project, ("builtin",))
    (reader,) = proposals.list_readers(db, project.id)
    assert (reader.name, alone["read"], alone["usable"], alone["agree"]) == ("builtin", 30, False, 2)
    assert "nothing can be accepted" in alone["verdict"]
    with pytest.raises(OptionError, match="nothing can be accepted"):
        accept_agreed(db, project, "Ann")

    result = propose(db, home, project, (*READERS, "builtin"), agree=2)

    readers = proposals.list_readers(db, project.id)
    assert [reader.name for reader in readers] == ["builtin", "ddddocr", "rapidocr"]
    read = proposals.select_texts(db, project.id, readers)
    twice = {
        sample_id: text
        for sample_id, each in read.items()
        for text in each
        if text is not None and each.count(text) > 1
    }
    assert result["agreed"] == len(twice) >= 15
    assert agreed_texts(db, project) == twice
    assert f"2 of 3 readers agree on {len(twice)} of 30 images" in result["verdict"]
    accepted = accept_agreed(db, project, "Ann")
    labeled = {sample.id: sample.label for sample in samples.select_samples(db, project.id, state="labeled")}
    assert accepted == len(labeled)
    assert labeled.items() <= twice.items()

    fewer = propose(db, home, project)
    again = propose(db, home, project, (*READERS, "builtin"), agree=2)
    assert (fewer["images"], again["images"], again["agreed"]) == (30, 30, result["agreed"])


@pytest.mark.long
def test_confident_readings_of_one_reader_are_suggested(
    db: Database, home: Home, project: Project, texts: list[str]
) -> None:
    """Only if it is confident on half of the images, and only on training images."""
    add_renders(db, project, texts)
    result = propose(db, home, project, ("builtin",))
    (reader,) = proposals.list_readers(db, project.id)
    train = samples.select_samples(db, project.id, split="train")

    with write(db):
        for sample in samples.select_samples(db, project.id):
            confidence = 0.95 if sample.id % 2 else 0.2
            db.execute("UPDATE proposals SET confidence = ? WHERE sample_id = ?", [confidence, sample.id])
    report = proposing.report(db, project, [reader], {"builtin": ""})
    with write(db):
        db.execute("UPDATE jobs SET result = ? WHERE id = ?", [json.dumps(report), result["job"]])

    assert report["suggests"] is True
    assert "confident on 15 of 30 images" in report["verdict"]
    shown = suggestions(db, project, samples.select_samples(db, project.id))
    assert set(shown) == {each.id for each in train if each.id % 2 and not is_withheld(each.sha256)}


@pytest.mark.parametrize("agree", [1, 4])
def test_the_number_of_readers_that_must_agree_is_checked(
    db: Database, home: Home, project: Project, texts: list[str], agree: int
) -> None:
    add_renders(db, project, texts[:1])
    with pytest.raises(OptionError, match="--agree must be 2 to 3"):
        propose(db, home, project, (*READERS, "builtin"), agree=agree)


def test_one_reader_has_no_number_that_must_agree(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    add_renders(db, project, texts[:1])
    with pytest.raises(OptionError, match="--agree 2 needs at least two readers"):
        propose(db, home, project, ("builtin",), agree=2)


def test_the_built_in_reader_refuses_long_texts(db: Database, home: Home) -> None:
    with write(db):
        long = projects.insert_project(db, "long", 12, "0123456789")
    with pytest.raises(OptionError, match="reads texts of 1 to 10 characters, not of 12"):
        propose(db, home, long, ("builtin",))


def test_readers_see_the_text_of_a_wide_image(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    """The readers see the part of the images that has the text."""
    add_renders(db, project, texts * 2)
    assert proposing.find_box(db, project) == WHOLE

    with write(db):
        wide = projects.insert_project(db, "wide", 6, "0123456789")
    add_renders(db, wide, texts * 2, margin=300)
    left, top, right, bottom = proposing.find_box(db, wide)
    assert (left, top, bottom) == (0.0, 0.0, 1.0)
    assert 0.35 < right < 0.6


@pytest.mark.long  # the readers are loaded in each process
def test_a_second_job_reads_only_new_images(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    add_renders(db, project, texts[:5])
    assert propose(db, home, project)["read"] == 10
    add_renders(db, project, texts[5:7])

    result = propose(db, home, project)

    assert (result["read"], result["images"]) == (4, 7)


def test_a_job_that_was_stopped_continues(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    """Readings so far stay, and the readers take turns."""
    add_renders(db, project, texts[:3])
    readers = load(READERS)
    with write(db):
        stored = [proposing.store_reader(db, project, reader) for reader in readers]
    directory = JobDir(home.run("0001-propose"))
    directory.path.mkdir(parents=True)
    directory.write("run.json", {"format": 1, "kind": "propose"})
    answers = iter([False, True])
    work = Work(directory)
    work.should_stop = lambda: next(answers)  # type: ignore[method-assign]

    assert proposing.read_images(work, db, project, readers, stored, labeled=False) is None

    assert [proposals.count_unread(db, project.id, row, labeled_train=False) for row in stored] == [0, 3]
    assert propose(db, home, project)["read"] == 3


def test_a_damaged_image_is_read_by_nobody(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    add_renders(db, project, texts[:2])
    with write(db):
        db.execute("UPDATE images SET bytes = x'00' WHERE sample_id = 1")

    result = propose(db, home, project)

    assert (result["images"], result["unread"]) == (2, [1, 1])


@pytest.mark.long  # the readers are loaded in each process
def test_labeled_images_of_train_are_read_on_request(
    db: Database, home: Home, project: Project, texts: list[str], tmp_path: Path
) -> None:
    """Labeled images of val and test are always read, because their labels prove the readers."""
    add_renders(db, project, texts)
    for sample in samples.select_samples(db, project.id):
        with write(db):
            db.execute("UPDATE samples SET state = 'labeled', label = ?, kind = 'import'", [sample.name[:6]])
    held_out = sum(samples.count_samples(db, project.id, split=split) for split in ("val", "test"))

    assert propose(db, home, project)["images"] == held_out
    assert proof(db, project).labeled == held_out
    assert propose(db, home, project, labeled=True)["images"] == 30


@pytest.mark.long  # the readers are loaded in each process
def test_the_verdict_names_characters_that_readers_do_not_know(db: Database, home: Home, texts: list[str]) -> None:
    """In the terminal, in JSON, and for the page, which shows the same verdict."""
    with write(db):
        project = projects.insert_project(db, "odd", 6, "0123456789\ua66e")
    add_renders(db, project, texts[:3])

    result = propose(db, home, project)
    printed = command(home.root, "propose", "--project", "odd").stdout

    sentence = "rapidocr does not know the character \ua66e."
    assert result["missing"]["rapidocr"] == "\ua66e"
    assert sentence in result["verdict"]
    assert "label such images by hand" in result["verdict"]
    assert sentence in printed


@pytest.mark.long
def test_the_built_in_reader_names_characters_that_it_does_not_know(db: Database, home: Home, texts: list[str]) -> None:
    with write(db):
        project = projects.insert_project(db, "accents", 6, "0123456789é")
    add_renders(db, project, texts[:3])

    printed = command(home.root, "propose", "--project", "accents", "--readers", "builtin").stdout

    assert printed.endswith(" builtin does not know the character é. Label images with it by hand.\n")


@pytest.mark.parametrize(
    ("readers", "sentence"),
    [
        ([], "Name each reader once"),
        (["rapidocr", "rapidocr"], "Name each reader once"),  # it would agree with itself
        (["tesseract"], "no reader 'tesseract'"),
        (["rapidocr"], "Use at least two readers"),  # the job would delete the readings of ddddocr
    ],
)
def test_unusable_names_are_refused(
    db: Database, home: Home, project: Project, readers: list[str], sentence: str
) -> None:
    with pytest.raises(OptionError, match=sentence):
        proposing.start_proposing(db, home, project, readers=readers, operator="Ann")


@pytest.mark.usefixtures("stand_in")
def test_a_running_job_is_followed_only_with_its_own_options(
    db: Database, home: Home, project: Project, texts: list[str]
) -> None:
    """Other options are refused, or the operator would get readings of readers that were not asked for."""
    add_renders(db, project, texts[:1])
    running = {"readers": ["rapidocr", "ddddocr", "builtin"], "agree": 2, "labeled": True, "steps": FOREVER}
    job = control.start_job(db, home, project, "propose", running)

    def start(**options: Any) -> str:
        chosen = {"readers": ["builtin", *READERS], "agree": 2, "labeled": True} | options
        return proposing.start_proposing(db, home, project, operator="Ann", **chosen).id

    assert start() == job.id
    sentence = f"{job.id} is already reading this project, with --readers builtin,ddddocr,rapidocr --agree 2 --labeled"
    for options in ({"labeled": False}, {"agree": 3}, {"readers": ["builtin"], "agree": None}):
        with pytest.raises(OptionError, match=sentence):
            start(**options)
    refused(command(home.root, "propose", "--project", project.name, "--readers", "builtin"), sentence)


def test_a_project_without_images_is_refused(db: Database, home: Home, project: Project) -> None:
    with pytest.raises(OptionError, match="has no images"):
        proposing.start_proposing(db, home, project, readers=READERS, operator="Ann")


@pytest.mark.long  # the readers are loaded in each process
def test_the_commands_work_one_after_the_other(db: Database, home: Home, project: Project, texts: list[str]) -> None:
    """Each prints JSON that says what it did."""
    add_renders(db, project, texts)

    proposed = json.loads(command(home.root, "propose", "--project", "portal", "--json").stdout)
    accepted = json.loads(command(home.root, "accept", "--project", "portal", "--agreed", "--json").stdout)
    removed = json.loads(command(home.root, "accept", "--project", "portal", "--undo", "--json").stdout)
    refused = command(home.root, "accept", "--project", "portal")

    assert (proposed["images"], proposed["usable"], proposed["proof"]) == (30, True, None)
    assert 10 < accepted["accepted"] == accepted["labels"]["readers"] <= proposed["agreed"]
    assert (removed["removed"], removed["labels"]) == (accepted["accepted"], {})
    assert (refused.returncode, "either --agreed or --undo" in refused.stderr) == (1, True)
