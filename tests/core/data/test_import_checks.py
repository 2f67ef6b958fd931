"""Checks before an import: the labels as they would be read, within bounds, and all problems at once."""

import zipfile
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.charset import TextSpec
from core.data.import_checks import MANY_SIZES, misfit, preview, preview_of, problems
from core.data.import_request import Request, Upload
from core.data.label_book import LabelOptions
from core.errors import ImportSourceError, OptionError
from core.images.pixels import encode_png
from db.connection import write
from db.projects import insert_source
from db.records import Project
from db.samples import insert_sample
from tests.helpers.contents import contents
from tests.helpers.pictures import pixels, write_files

SIX = TextSpec(6, "0123456789")
TABLE = b"file,text\n0.png,004420\n1.png,123456\n"


def request(path: Path | None, **changes: object) -> Request:
    values = {"path": path, "labels": "auto", "project": "portal", "source": "", "owner": "", "authorization": ""}
    return Request(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that nobody decodes, and their table."""
    return write_files(tmp_path / "photos", {"0.png": b"", "1.png": b"", "t.csv": TABLE})


def test_a_preview_stores_nothing(db: Database, project: Project, folder: Path) -> None:
    """It has the length and charset of the project."""
    before = contents(db.conn)

    assert preview(db, request(folder)).rows == [("0.png", "004420", None), ("1.png", "123456", None)]
    assert preview(db, request(folder, project="new", length=4)).labels == 0
    assert contents(db.conn) == before


@pytest.mark.parametrize("table", ["in the zip", "among the files", "beside them"])
def test_an_upload_is_read_as_its_import_will_read_it(folder: Path, tmp_path: Path, table: str) -> None:
    """A table may be in the zip, among the files or beside them."""
    images = [("0.png", b""), ("1.png", b"")]
    if table == "in the zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
        upload = Upload(files=[("a.zip", (tmp_path / "a.zip").read_bytes())])
    elif table == "among the files":
        upload = Upload(files=[*images, ("t.csv", TABLE)])
    else:
        upload = Upload(files=images, label_table=TABLE)

    found = preview_of(request(None), SIX, upload)

    assert (found.files, found.labels, found.refused) == (2, 2, 0)


def test_a_watched_folder_may_be_empty(tmp_path: Path) -> None:
    """Tables are left alone there, and a pattern needs no files."""
    assert preview_of(request(tmp_path, watch=True), SIX).origin == "The images get no labels."
    pattern = LabelOptions(pattern="x-{label}")
    assert "pattern" in preview_of(request(tmp_path, watch=True, options=pattern), SIX).origin


@pytest.mark.parametrize("zipped", [False, True])
def test_a_page_reads_only_what_is_small(folder: Path, tmp_path: Path, zipped: bool) -> None:
    """The process of the app must not fill its memory with names or a table. The job reads them all."""
    if zipped:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
    source = tmp_path / "a.zip" if zipped else folder

    assert preview_of(request(source), SIX, most_files=3, table_bytes=len(TABLE)).labels == 2
    with pytest.raises(ImportSourceError, match="no preview of more than 1 files"):
        preview_of(request(source), SIX, most_files=1)
    with pytest.raises(ImportSourceError, match=r"t\.csv has more than 20 bytes"):
        preview_of(request(source, labels="t.csv"), SIX, table_bytes=20)


def test_all_problems_are_found_at_once(db: Database, project: Project, folder: Path) -> None:
    """Fields of a project or source that exists need no values."""
    everything = {"images", "project", "text", "source", "owner", "authorization"}
    assert set(problems(db, request(None, project="", length=0), Upload(files=[]))) == everything
    assert set(problems(None, request(folder, labels="none.csv"))) == {"labels", "source", "owner", "authorization"}

    with write(db):
        insert_source(db, project.id, "mail", "the team", "ticket 1")
    assert problems(db, request(folder, source="mail")) == {}
    assert set(problems(db, request(folder, source="mail", watch=True, labels="t.csv"))) == {"labels"}


def test_a_table_without_a_path_is_asked_for(db: Database, project: Project, folder: Path) -> None:
    assert problems(db, request(folder, labels=""))["labels"] == "Enter the path of the label table."
    with pytest.raises(OptionError, match=r"Enter the path of the label table\."):
        preview_of(request(folder, labels=""), SIX)


def add_sizes(db: Database, project: Project, *sizes: tuple[int, int]) -> None:
    with write(db):
        source = insert_source(db, project.id, "login", "the team", "ticket 1")
        for number, (width, height) in enumerate(sizes):
            insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=f"{number:064}", name="a.png", width=width,
                height=height, split="train", image=b"",
            )  # fmt: skip


def test_images_of_another_size_speak_against_a_project(db: Database, project: Project, tmp_path: Path) -> None:
    """Some of the files are read. The length is part of the same sentence."""
    files = {f"{number}.png": encode_png(pixels(0, 60, 24)) for number in range(10_000, 90_000, 4000)}
    folder = write_files(tmp_path / "photos", files | {"broken.png": b"no image"})
    found = preview(db, request(folder))
    assert found.sizes == [(60, 24)]
    assert misfit(db, None, found).startswith("20 names of 5 characters")
    assert misfit(db, project, found).startswith("20 names of 5 characters")

    add_sizes(db, project, (96, 24), (120, 24), (96, 24))
    assert misfit(db, project, found) == (
        "The images have 60 x 24 pixels, those of project portal 96 x 24 pixels and 1 other size. Use another project "
        "if they are of another portal. 20 names of 5 characters: the project uses 6. A new project can have the text "
        "length 5."
    )


@pytest.mark.parametrize("sizes", [[(96, 24), (60, 24)], [(100 + step, 24) for step in range(MANY_SIZES + 1)]])
def test_a_size_that_says_nothing_is_not_mentioned(
    db: Database, project: Project, tmp_path: Path, sizes: list[tuple[int, int]]
) -> None:
    """The project has one such image, or images of many sizes."""
    folder = write_files(tmp_path / "photos", {"a.png": encode_png(pixels(0, 60, 24))})
    add_sizes(db, project, *sizes)

    assert misfit(db, project, preview(db, request(folder))) == ""
