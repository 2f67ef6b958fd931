"""Exports: complete, with owner and authorization, and importable again."""

import csv
import json
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from sqlite_utils import Database

from core.data.export import COLUMNS, FOLDERS, FORMATS, export
from core.data.importing import import_images, open_project, open_source
from core.data.labeling import apply_events
from core.errors import OptionError, StorageError
from core.home import Home
from core.images.pixels import decode, pixel_hash
from db import samples
from db.connection import opened, write
from db.projects import insert_project
from db.records import PEOPLE, Project
from tests.helpers.pictures import encoded, pixels, png, write_files

FORMS = ("csv", "jsonl", "labelstudio", "filename", "imagefolder")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labels from a CSV, with a repeated text, a GIF, and a name that a spreadsheet would run."""
    return write_files(
        tmp_path / "photos",
        {
            "a.png": png(1),
            "sub/b.png": png(2),
            'c, "d"\nü.gif': encoded(Image.fromarray(pixels(3)).quantize(16), "GIF"),
            "=HYPERLINK(1).png": png(4),
            "unlabeled.png": png(5),
            "labels.csv": (
                'filename,label\na.png,001230\nsub/b.png,001230\n"c, ""d""\nü.gif",000000\n=HYPERLINK(1).png,999999\n'
            ).encode(),
        },
    )


def fill(db: Database, folder: Path, rule: str, *, length: int = 6, charset: str = "0123456789") -> Project:
    project = open_project(db, "portal", length, charset)
    source = open_source(db, project, "mail", "=the team", "ticket 1, of May")
    import_images(db, project, source, folder, rule, operator="Ann", on_progress=lambda *_: None)
    return project


@pytest.fixture
def portal(db: Database, folder: Path) -> Project:
    """Four labeled images and an unlabeled one."""
    return fill(db, folder, str(folder / "labels.csv"))


def labels_by_hash(db: Database, project: Project) -> dict[str, str | None]:
    return {sample.sha256: sample.label for sample in samples.select_samples(db, project.id, state="labeled")}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all files under a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def test_jsonl_has_every_sample(db: Database, portal: Project, tmp_path: Path) -> None:
    """It has labeled and unlabeled samples, exact texts, owners and authorizations."""
    out = tmp_path / "out.jsonl"

    assert export(db, portal, "jsonl", out) == 5

    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert {row["filename"]: row["label"] for row in rows} == {
        "a.png": "001230", "sub/b.png": "001230", 'c, "d"\nü.gif': "000000", "=HYPERLINK(1).png": "999999",
        "unlabeled.png": None,
    }  # fmt: skip
    for row in rows:
        sample = samples.find_sample(db, portal.id, row["sha256"])
        assert sample is not None
        assert (row["split"], row["state"], row["operator"]) == (sample.split, sample.state, sample.operator)
        assert (row["source"], row["owner"], row["authorization"]) == ("mail", "=the team", "ticket 1, of May")
        assert set(row) == {"flag", *COLUMNS}


def test_jsonl_says_why_a_sample_was_skipped(db: Database, portal: Project, tmp_path: Path) -> None:
    """Unreadable images and those of other portals have a flag. Images skipped for later have none."""
    chosen = samples.select_samples(db, portal.id)[:3]
    flags = ("unreadable", "not_ours", None)
    events = [
        {"event": sample.sha256, "action": "skip", "sample": sample.sha256, "base": sample.version, "flag": flag}
        for sample, flag in zip(chosen, flags, strict=True)
    ]
    apply_events(db, portal, "Ann", events)
    export(db, portal, "jsonl", tmp_path / "out.jsonl")

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    given = {row["sha256"]: (row["state"], row["label"], row["flag"]) for row in rows}
    assert [given[sample.sha256] for sample in chosen] == [("skipped", None, flag) for flag in flags]
    assert {row["flag"] for row in rows if row["state"] == "labeled"} == {None}


def test_csv_has_the_labeled_samples(db: Database, portal: Project, tmp_path: Path) -> None:
    """Labels are exact. Texts that a spreadsheet would run are prefixed with a quote."""
    out = tmp_path / "out.csv"

    assert export(db, portal, "csv", out) == 4

    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["label"] for row in rows] == ["999999", "001230", "000000", "001230"]
    assert rows[0]["filename"] == "'=HYPERLINK(1).png"
    assert rows[2]["filename"] == 'c, "d"\nü.gif'
    assert {(row["owner"], row["authorization"]) for row in rows} == {("'=the team", "ticket 1, of May")}
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


def test_files_are_named_by_their_labels(db: Database, portal: Project, tmp_path: Path) -> None:
    """The folder has the original bytes and a list of sources."""
    out = tmp_path / "out"

    assert export(db, portal, "filename", out) == 4

    images = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "sources.csv"}
    assert {name: pixel_hash(decode(data))[:12] for name, data in images.items()} == {
        name: name.split("_")[1].split(".")[0] for name in images
    }
    assert sorted(name.split("_")[0] for name in images) == ["000000", "001230", "001230", "999999"]
    assert sorted(Path(name).suffix for name in images) == [".gif", ".png", ".png", ".png"]
    assert png(1) in images.values()
    assert "ticket 1, of May" in (out / "sources.csv").read_text(encoding="utf-8")


def test_an_exported_folder_can_be_imported_elsewhere(db: Database, portal: Project, tmp_path: Path) -> None:
    """Images, labels and splits are the same."""
    export(db, portal, "filename", tmp_path / "out")

    with opened(Home(tmp_path / "other").create().db, create=True) as other:
        copy = fill(other, tmp_path / "out", "filename")

        assert labels_by_hash(other, copy) == labels_by_hash(db, portal)
        assert len(labels_by_hash(other, copy)) == 4
        splits = {sample.sha256: sample.split for sample in samples.select_samples(other, copy.id)}
        assert splits.items() <= {s.sha256: s.split for s in samples.select_samples(db, portal.id)}.items()


def test_an_exported_csv_labels_the_same_images_elsewhere(
    db: Database, portal: Project, folder: Path, tmp_path: Path
) -> None:
    """The import removes the quote before formulas and ignores other columns."""
    export(db, portal, "csv", tmp_path / "out.csv")

    with opened(Home(tmp_path / "other").create().db, create=True) as other:
        copy = fill(other, folder, str(tmp_path / "out.csv"))

        assert labels_by_hash(other, copy) == labels_by_hash(db, portal)


@pytest.mark.parametrize("form", FORMATS)
def test_every_export_can_be_imported_elsewhere(db: Database, tmp_path: Path, form: str) -> None:
    """The same images get the same labels of the same kinds. PaddleOCR has no kinds, so it has those of people only."""
    names = {"a.png": png(1), "sub/b.png": png(2), "sub/c.png": png(3), "'=d.png": png(4), "other.png": png(5)}
    table = (
        b"filename,label,kind\na.png,001230,person\nsub/b.png,001230,import\nc.png,000000,readers\n'=d.png,999999,\n"
    )
    photos = write_files(tmp_path / "photos", names | {"labels.csv": table})
    project = fill(db, photos, "auto")
    before = samples.select_samples(db, project.id, state="labeled")
    assert {sample.kind for sample in before} == {"person", "import", "readers"}

    out = tmp_path / "out"
    export(db, project, form, out)
    elsewhere = Home(tmp_path / "elsewhere").create()
    with opened(elsewhere.db, create=True) as other:
        if form in FOLDERS:
            copy = fill(other, out, "filename" if form == "filename" else "auto")
        else:
            copy = fill(other, photos, str(out))
        after = samples.select_samples(other, copy.id, state="labeled")

    expected = {sample.sha256: (sample.label, sample.kind) for sample in before}
    if form == "paddleocr":
        expected = {sha256: (label, "import") for sha256, (label, kind) in expected.items() if kind in PEOPLE}
    assert {sample.sha256: (sample.label, sample.kind) for sample in after} == expected


def test_names_that_paddleocr_cannot_hold_are_refused(db: Database, portal: Project, tmp_path: Path) -> None:
    """A tab or a line break would make another row."""
    with pytest.raises(OptionError, match="cannot stand in this format"):
        export(db, portal, "paddleocr", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_odd_characters_survive_export_by_name(db: Database, tmp_path: Path) -> None:
    """Labels may contain an underscore, a dot and unusual characters."""
    spec = {"length": 4, "charset": "ab_.=-%ü字'"}
    folder = write_files(tmp_path / "photos", {f"{number}.png": png(number) for number in range(4)})
    project = fill(db, folder, "none", **spec)
    for sample, text in zip(samples.select_samples(db, project.id), ["a_b_", "a.b.", "=-%'", "ü字__"], strict=True):
        event = {"event": sample.sha256, "action": "label", "sample": sample.sha256, "text": text, "base": 0}
        (outcome,) = apply_events(db, project, "Ann", [event])
        assert outcome.status == "saved"
    export(db, project, "filename", tmp_path / "out")

    with opened(Home(tmp_path / "other").create().db, create=True) as other:
        copy = fill(other, tmp_path / "out", "filename", **spec)

        assert labels_by_hash(other, copy) == labels_by_hash(db, project)


@pytest.mark.parametrize("text", ["a/b", "a\\b", ".ab"])
def test_labels_that_cannot_be_file_names_are_refused(db: Database, tmp_path: Path, text: str) -> None:
    """A slash would create a path, and a leading dot would hide the file from an import."""
    folder = write_files(tmp_path / "photos", {"1.png": png(1)})
    project = fill(db, folder, "none", length=3, charset="ab/\\.")
    (sample,) = samples.select_samples(db, project.id)
    apply_events(
        db, project, "Ann", [{"event": "e", "action": "label", "sample": sample.sha256, "text": text, "base": 0}]
    )

    with pytest.raises(OptionError, match=r"slash or a leading dot cannot be file names\. Export in another format"):
        export(db, project, "filename", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_an_export_replaces_the_one_before(db: Database, portal: Project, tmp_path: Path) -> None:
    """The file is replaced atomically, without other files beside it."""
    for form in ("csv", "jsonl"):
        out = tmp_path / "out" / f"labels.{form}"
        out.parent.mkdir(exist_ok=True)
        out.write_text("an old export")
        export(db, portal, form, out)
        first = out.read_bytes()
        export(db, portal, form, out)

        assert out.read_bytes() == first != b"an old export"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["labels.csv", "labels.jsonl"]


def test_an_unknown_format_is_refused(db: Database, portal: Project, tmp_path: Path) -> None:
    """The error lists the formats."""
    with pytest.raises(OptionError, match=r"Unknown format 'xlsx'\. Choose one of csv, jsonl, labelstudio, paddleocr"):
        export(db, portal, "xlsx", tmp_path / "out")


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_folder_is_not_made(db: Database, portal: Project, tmp_path: Path, form: str) -> None:
    """A missing folder is more often a typing error."""
    with pytest.raises(OptionError, match=r"The folder .*nowhere does not exist"):
        export(db, portal, form, tmp_path / "nowhere" / "out")

    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("form", "target"), [("csv", "folder"), ("jsonl", "folder"), ("filename", "folder"), ("filename", "file")]
)
def test_a_target_in_use_is_left_alone(db: Database, portal: Project, tmp_path: Path, form: str, target: str) -> None:
    """The target may be a folder with files, or of the wrong kind."""
    write_files(tmp_path / "target", {"folder/note.txt": b"mine", "file": b"mine too"})
    before = tree(tmp_path / "target")

    with pytest.raises(OptionError, match=r"is a folder|is not an empty folder"):
        export(db, portal, form, tmp_path / "target" / target)

    assert tree(tmp_path / "target") == before


@pytest.mark.parametrize("form", ["csv", "filename"])
def test_a_project_without_labels_is_refused(db: Database, project: Project, tmp_path: Path, form: str) -> None:
    """An empty file would look like an export. jsonl also exports projects without samples."""
    with pytest.raises(OptionError, match=r"Project portal has no labels yet\. Use jsonl to export unlabeled images"):
        export(db, project, form, tmp_path / "out")

    assert not (tmp_path / "out").exists()
    assert export(db, project, "jsonl", tmp_path / "out") == 0
    assert (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize("form", FORMS)
def test_a_target_that_cannot_be_written_is_as_it_was(db: Database, portal: Project, tmp_path: Path, form: str) -> None:
    """The error is one sentence, and no file is left."""
    name = "x" * 300 if form in FOLDERS else "x" * 252  # the temporary file's name, or the folder's, is too long
    (tmp_path / "out").mkdir()

    with pytest.raises(StorageError, match=r"could not be written \(File name too long\)\. It is unchanged"):
        export(db, portal, form, tmp_path / "out" / name)

    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize("form", FOLDERS)
@pytest.mark.parametrize("existed", [True, False])
def test_a_folder_that_fills_up_is_emptied_again(
    db: Database, portal: Project, tmp_path: Path, existed: bool, form: str
) -> None:
    """Nobody would notice that half of the images are missing."""
    out = tmp_path / "out"
    if existed:
        out.mkdir()

    with file_size_limit(1500), pytest.raises(StorageError, match="File too large"):  # the GIF is smaller
        export(db, portal, form, out)

    assert out.exists() == existed
    assert not existed or tree(out) == {}


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the system refuse to write files of more bytes, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_only_the_owner_can_read_an_export(db: Database, portal: Project, tmp_path: Path) -> None:
    """Labels, images and owners leave a folder that nobody else can read. An earlier export may be open to all."""
    (tmp_path / "out.csv").write_text("an old export")
    (tmp_path / "out.csv").chmod(0o644)
    for form, name in (("csv", "out.csv"), ("jsonl", "out.jsonl"), ("filename", "out")):
        export(db, portal, form, tmp_path / name)

    folder = tmp_path / "out"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop("out") == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 5
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out.csv", "out.jsonl")} == {0o600}


def test_images_cannot_go_to_standard_output(db: Database, portal: Project) -> None:
    """They are files with names."""
    with pytest.raises(OptionError, match="Give the name of a folder"):
        export(db, portal, "filename", Path("-"))


def test_other_projects_stay_out_of_an_export(db: Database, portal: Project, tmp_path: Path) -> None:
    """Each source has its own owner."""
    with write(db):
        other = insert_project(db, "other", 6, "0123456789")

    assert export(db, other, "jsonl", tmp_path / "out") == 0
