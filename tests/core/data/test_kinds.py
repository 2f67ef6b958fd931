"""Kinds of labels: readings are never mistaken for labels of people."""

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.data.accepting import retract
from core.data.export import export
from core.data.importing import Report, import_images, open_project, open_source
from core.data.kinds import WORDS, breakdown, is_mixed, labels_by_kind, parenthesis, sentence, trained_on
from core.data.label_book import GivenLabel, read_manifests
from core.data.labeling import apply_events
from core.data.proposals import accept_agreed
from core.data.proposing import start_proposing
from core.data.reviewing import history_of
from core.errors import OptionError
from core.home import Home
from core.images import renderer
from core.images.pixels import pixel_hash, split_of
from core.jobs import control
from core.readers.readers import available
from db import integrity, labels, queues, samples
from db.records import KINDS, Project, Sample, Source
from tests.helpers.contents import contents
from tests.helpers.kinds import READERS, give_all_kinds, give_label
from tests.helpers.pictures import pixels, png, write_files
from tests.helpers.runs import add_labeled, add_unlabeled

NUMBERS = range(40)
"""Numbers of the images. All splits have some."""
SPLITS = {number: split_of(pixel_hash(pixels(number))) for number in NUMBERS}


def of_split(split: str) -> list[int]:
    return [number for number in NUMBERS if SPLITS[number] == split]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images."""
    return write_files(tmp_path / "photos", {f"{number}.png": png(number) for number in NUMBERS})


@pytest.fixture
def source(db: Database, project: Project) -> Source:
    """The source of the images."""
    return open_source(db, project, "mail", "the team", "ticket 1")


def give(db: Database, source: Source, folder: Path, *rows: tuple[int, str, str]) -> Report:
    """Import the images with a table of number, label and kind."""
    table = folder / "labels.csv"
    table.write_text("filename,label,kind\n" + "".join(f"{n}.png,{text},{kind}\n" for n, text, kind in rows))
    project = open_project(db, "portal", 6, "0123456789")
    return import_images(db, project, source, folder, str(table), operator="Bob", on_progress=lambda *_: None)


def sample(db: Database, project: Project, number: int) -> Sample:
    found = samples.find_sample(db, project.id, pixel_hash(pixels(number)))
    assert found is not None
    return found


def act(db: Database, project: Project, target: Sample, action: str, text: str | None = None) -> None:
    now = samples.get_sample(db, target.id)
    event = {
        "event": f"{action} {target.id}",
        "action": action,
        "sample": now.sha256,
        "base": now.version,
        "text": text,
    }
    (outcome,) = apply_events(db, project, "Ann", [event])
    assert outcome.status == "saved"


# Words


def test_labels_of_people_are_not_broken_down(db: Database, labeled: Project) -> None:
    """Screens of a project without readings stay as they were."""
    counts = labels_by_kind(db, labeled)

    assert counts == {"person": 7}
    assert not is_mixed({"person": 7, "import": 2})
    assert breakdown({"person": 7, "import": 2}) == ""
    assert sentence(counts) == "7 labels of people"
    assert sentence({}) == "0 labels of people"


def test_each_kind_has_a_word_and_a_place_in_the_sentence() -> None:
    """The order is that of the kinds, those of people first."""
    assert tuple(WORDS) == KINDS
    assert breakdown({"person": 40, "readers": 1200}) == "people 40 · readers 1,200"
    assert sentence({"person": 1, "readers": 1200}) == "1 label of people and 1,200 of readers"
    assert sentence({"import": 2, "readers": 3, "run": 4}) == "2 labels of imports, 3 of readers and 4 of runs"


def test_kinds_are_counted_in_a_split_or_in_all(db: Database, short_project: Project) -> None:
    add_labeled(db, short_project, val=["123", "456"])
    add_unlabeled(db, short_project, train=9)
    give_all_kinds(db, short_project, run=2, readers=3, person=1)

    assert labels_by_kind(db, short_project) == {"person": 3, "readers": 3, "run": 2}
    assert labels_by_kind(db, short_project, "train") == {"person": 1, "readers": 3, "run": 2}
    assert breakdown(labels_by_kind(db, short_project, "val")) == ""


def test_a_run_knows_the_kinds_it_was_trained_on() -> None:
    """Readings that people checked count as theirs. A run of an earlier version had only labels of people."""
    mixed = trained_on({"dataset": {"kinds": {"run": 2, "readers": 1200}}}, 1242)

    assert list(mixed.items()) == [("person", 40), ("readers", 1200), ("run", 2)]
    assert parenthesis(mixed) == " (40 labels of people, 1,200 of readers and 2 of runs)"
    assert parenthesis(trained_on({}, 40)) == ""


# People and readers


def test_readers_are_not_operators(db: Database, short_project: Project) -> None:
    """A person cannot label under their name or filter by it."""
    add_labeled(db, short_project, train=["123"])
    add_unlabeled(db, short_project, train=5)
    give_all_kinds(db, short_project, readers=3, run=1)

    assert labels.list_operators(db) == ["ada"]
    retract(db, short_project, "readers", "Cem")
    assert labels.list_operators(db) == ["Cem", "ada"]
    assert labels.count_second_opinions(db, short_project.id, READERS, "2000") == (0, 0)


def test_second_opinions_are_offered_on_days_with_labels_of_people(db: Database, short_project: Project) -> None:
    """A day on which only readers labeled has no image for a second opinion."""
    add_unlabeled(db, short_project, train=5)
    give_all_kinds(db, short_project, readers=4)
    assert queues.days_waiting(db, short_project.id, "second") == []

    give_all_kinds(db, short_project, person=1)

    (today,) = queues.days_waiting(db, short_project.id, "second")
    assert today == samples.select_samples(db, short_project.id)[0].created_at[:10]


def test_the_history_names_the_readers(db: Database, short_project: Project) -> None:
    add_unlabeled(db, short_project, train=1)
    give_all_kinds(db, short_project, readers=1)
    (image,) = samples.select_samples(db, short_project.id)

    (line,) = history_of(labels.events_of(db, image.id))

    assert (line.operator, line.did, line.what, line.standing) == (READERS, "read", "001", "")


def test_a_confirmed_reading_is_checked_and_a_retyped_one_is_a_label_of_a_person(
    db: Database, short_project: Project
) -> None:
    """So neither is removed with the labels of readers."""
    add_unlabeled(db, short_project, train=3)
    give_all_kinds(db, short_project, readers=3)
    confirmed, retyped, other = samples.select_samples(db, short_project.id)
    act(db, short_project, confirmed, "confirm")
    act(db, short_project, retyped, "label", "999")

    after = [samples.get_sample(db, each.id) for each in (confirmed, retyped, other)]
    assert [(each.kind, each.checked) for each in after] == [("readers", 1), ("person", 0), ("readers", 0)]
    assert retract(db, short_project, "readers", "Ann") == (1, 1)


# Import


def test_an_import_keeps_the_kind_of_each_label(db: Database, project: Project, source: Source, folder: Path) -> None:
    """Without a kind, a label is one of an import."""
    train = of_split("train")[:5]

    report = give(
        db, source, folder,
        *((number, f"{number:06}", kind) for number, kind in zip(train, ("person", "", "readers", "run", "verdict"),
                                                                 strict=True)),
    )  # fmt: skip

    assert (report.labeled, report.label_problems) == (5, 0)
    kinds = [sample(db, project, number).kind for number in train]
    assert kinds == ["person", "import", "readers", "run", "verdict"]
    lines = [history_of(labels.events_of(db, sample(db, project, number).id))[0].did for number in train]
    assert lines == ["imported (people)", "imported", "imported (readers)", "imported (runs)", "imported (verdicts)"]
    before = contents(db.conn)
    assert give(db, source, folder, *((number, f"{number:06}", "readers") for number in train[2:3])).labeled == 0
    assert contents(db.conn) == before
    assert integrity.problems(db) == []


def test_a_reading_cannot_be_the_label_of_a_held_out_image(
    db: Database, project: Project, source: Source, folder: Path
) -> None:
    """It would measure readers against themselves."""
    val, test = of_split("val")[0], of_split("test")[0]

    report = give(db, source, folder, (val, "000001", "readers"), (test, "000002", "run"))

    assert (report.labeled, report.label_problems) == (0, 2)
    assert sorted(each["reason"] for each in report.reasons) == [
        "Ignored a label of kind readers: a reading cannot be the label of a validation image.",
        "Ignored a label of kind run: a reading cannot be the label of a test image.",
    ]
    assert {sample(db, project, number).state for number in (val, test)} == {"unlabeled"}


@pytest.mark.parametrize("text", ["111111", "222222"])
def test_an_imported_label_of_people_replaces_a_reading(
    db: Database, project: Project, source: Source, folder: Path, text: str
) -> None:
    """Also one with the same text: then only the kind changes. A repeated import changes nothing more."""
    (number, *_) = of_split("train")
    give(db, source, folder, (number, "111111", "readers"))

    assert give(db, source, folder, (number, text, "person")).labeled == 1

    now = sample(db, project, number)
    assert (now.label, now.kind, now.disputed) == (text, "person", 0)
    before = contents(db.conn)
    assert give(db, source, folder, (number, text, "person")).label_problems == 0
    assert contents(db.conn) == before


def test_an_import_does_not_replace_a_reading_that_a_person_confirmed(
    db: Database, project: Project, source: Source, folder: Path
) -> None:
    """The file and the person disagree, so the image is disputed."""
    (number, *_) = of_split("train")
    give(db, source, folder, (number, "111111", "readers"))
    act(db, project, sample(db, project, number), "confirm")

    report = give(db, source, folder, (number, "222222", ""))

    assert "is already labeled '111111'" in report.reasons[0]["reason"]
    now = sample(db, project, number)
    assert (now.label, now.kind, now.disputed) == ("111111", "readers", 1)


@pytest.mark.parametrize("kind", ["person", "import", "readers"])
def test_a_reading_in_a_table_replaces_nothing(
    db: Database, project: Project, source: Source, folder: Path, kind: str
) -> None:
    """Neither does it dispute the label: a reading is not an opinion."""
    (number, *_) = of_split("train")
    give(db, source, folder)
    give_label(db, project, sample(db, project, number), "111111", kind)
    before = contents(db.conn)

    report = give(db, source, folder, (number, "222222", "run"))

    assert [each["reason"] for each in report.reasons] == [
        f"Ignored label '222222': this image ({number}.png) is already labeled '111111'."
    ]
    assert contents(db.conn) == before


# Export


def exported(db: Database, project: Project, out: Path, kinds: Sequence[str] = ()) -> list[str]:
    export(db, project, "csv", out, kinds)
    return sorted(line.split(",")[5] for line in out.read_text().splitlines()[1:])


@pytest.fixture
def mixed(db: Database, project: Project, source: Source, folder: Path) -> Project:
    """Labels of all kinds in train, and labels of people in val and test."""
    give(db, source, folder)
    for number in [*of_split("val")[:2], *of_split("test")[:2]]:
        give_label(db, project, sample(db, project, number), f"{number:06}", "person")
    give_all_kinds(db, project, readers=6, run=2, person=3, verdict=1, **{"import": 2})
    return project


def test_a_part_of_the_labels_is_exported_by_kind(db: Database, mixed: Project, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert exported(db, mixed, out, ["run"]) == ["run"] * 2
    assert exported(db, mixed, out, ["person", "import"]) == ["import"] * 2 + ["person"] * 7
    assert export(db, mixed, "jsonl", out, ["readers"]) == 6
    assert export(db, mixed, "filename", tmp_path / "images", ["verdict"]) == 1
    assert "verdict" in (tmp_path / "images" / "sources.csv").read_text()


def test_an_unknown_or_absent_kind_is_reported(db: Database, mixed: Project, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"Unknown kind 'robot'. Choose from person, import"):
        export(db, mixed, "csv", tmp_path / "out", ["run", "robot"])
    retract(db, mixed, "run", "Ann")
    with pytest.raises(OptionError, match="has no labels of kind run"):
        export(db, mixed, "jsonl", tmp_path / "out", ["run"])


def test_an_export_imported_into_a_new_project_keeps_texts_and_kinds(
    db: Database, mixed: Project, folder: Path, tmp_path: Path
) -> None:
    """So a project can be moved without turning readings into labels of people."""
    export(db, mixed, "csv", tmp_path / "labels.csv")
    other = open_project(db, "other", 6, "0123456789")
    source = open_source(db, other, "mail", "the team", "ticket 1")

    report = import_images(
        db, other, source, folder, str(tmp_path / "labels.csv"), operator="Bob", on_progress=lambda *_: None
    )

    def content(project: Project) -> dict[str, tuple[str | None, str | None]]:
        return {each.sha256: (each.label, each.kind) for each in samples.select_samples(db, project.id)}

    assert (report.labeled, report.label_problems) == (18, 0)
    assert content(other) == content(mixed)
    assert samples.label_counts(db, other.id) == samples.label_counts(db, mixed.id)
    assert integrity.problems(db) == []


@pytest.mark.parametrize("packed", ["folder", "zip", "subfolder"])
def test_an_exported_folder_keeps_texts_and_kinds(db: Database, mixed: Project, tmp_path: Path, packed: str) -> None:
    """Also in a zip, and inside another folder. Without sources.csv the kinds are unknown."""
    folder = tmp_path / "given" / "images"
    folder.parent.mkdir()
    export(db, mixed, "filename", folder)
    path = {"folder": folder, "subfolder": folder.parent, "zip": tmp_path / "images.zip"}[packed]
    shutil.make_archive(str(tmp_path / "images"), "zip", folder)

    def kinds(name: str) -> dict[str, tuple[str | None, str | None]]:
        other = open_project(db, name, 6, "0123456789")
        source = open_source(db, other, "mail", "the team", "ticket 1")
        import_images(db, other, source, path, "filename", operator="Bob", on_progress=lambda *_: None)
        return {each.sha256: (each.label, each.kind) for each in samples.select_samples(db, other.id)}

    labeled = samples.select_samples(db, mixed.id, state="labeled")
    assert kinds("other") == {each.sha256: (each.label, each.kind) for each in labeled}
    if packed == "folder":
        (folder / "sources.csv").unlink()
        assert {kind for _, kind in kinds("unknown").values()} == {"import"}


def test_another_table_of_that_name_is_not_read(db: Database, source: Source, tmp_path: Path) -> None:
    """Neither is the kind of a label that was changed in the file's name."""
    write_files(tmp_path / "a", {"000001.png": png(1), "sources.csv": b"filename,owner\n000001.png,me\n"})
    table = "filename,label,sha256,kind\n000003_ab.png,000002,,readers\n"
    write_files(tmp_path / "b", {"000003_ab.png": png(2), "sources.csv": table.encode()})
    project = open_project(db, "portal", None, None)

    for name in ("a", "b"):
        import_images(db, project, source, tmp_path / name, "filename", operator="Bob", on_progress=lambda *_: None)

    labeled = samples.select_samples(db, project.id, state="labeled")
    assert [(each.label, each.kind) for each in labeled] == [("000001", "import"), ("000003", "import")]


def test_a_guarded_name_of_an_export_keeps_its_kind(tmp_path: Path) -> None:
    """A spreadsheet would run this name, so the export begins it with a quote."""
    table = "filename,label,sha256,kind\n'-00001_ab.png,-00001,,readers\n"
    write_files(tmp_path, {"sources.csv": table.encode()})

    assert read_manifests(tmp_path, ["-00001_ab.png"]) == {"-00001_ab.png": GivenLabel("-00001", "readers")}


@pytest.mark.long  # loads the readers
@pytest.mark.skipif(not all(available().values()), reason="the general readers are not installed")
def test_labels_of_the_installed_readers_name_them(
    db: Database, home: Home, project: Project, source: Source, tmp_path: Path
) -> None:
    """They are of kind readers in the history and in an export, and the readers are not operators."""
    folder = write_files(tmp_path / "renders", {name: png for name, _, png in renderer.samples(20, seed=3)})
    import_images(db, project, source, folder, "none", operator="Bob", on_progress=lambda *_: None)
    job = start_proposing(db, home, project, readers=tuple(available()), operator="Bob")
    control.finish(db, home, job.id, lambda _: None)

    n = accept_agreed(db, project, "Bob")

    names = " + ".join(f"{name} {version(name)}" for name in sorted(available()))
    (first, *_) = samples.select_samples(db, project.id, kind="readers")
    assert [(line.operator, line.did) for line in history_of(labels.events_of(db, first.id))] == [(names, "read")]
    assert exported(db, project, tmp_path / "out.csv") == ["readers"] * n
    assert labels.list_operators(db) == []
