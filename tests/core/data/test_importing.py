"""Import into a project: no duplicates, a reason for each rejection, and no change when repeated."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlite_utils import Database

from bench.reliability.verdict import damage, lost
from bench.reliability.writers import Writer
from core.data import importing
from core.data.import_request import Request, Upload
from core.data.importing import Report, import_images, open_project, open_source, start_import
from core.data.label_book import LabelOptions
from core.data.labeling import apply_events
from core.errors import AmbiguousLabelsError, ImportSourceError, OptionError, SlotlabError
from core.home import Home
from core.images.pixels import pixel_hash, split_of
from core.jobs import control
from db import labels, projects, samples
from db.connection import opened, write
from db.records import Job, Project, Sample, Source
from tests.helpers.contents import contents
from tests.helpers.pictures import encoded, pixels, png, write_files
from tests.helpers.repository import ROOT


@pytest.fixture
def source(db: Database, project: Project) -> Source:
    """The source of the images in these tests."""
    return open_source(db, project, "mail", "the team", "ticket 1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for images."""
    return tmp_path / "photos"


def run(
    db: Database, project: Project, source: Source, path: Path, rule: str = "filename", operator: str = "import"
) -> Report:
    return import_images(db, project, source, path, rule, operator=operator, on_progress=lambda *_: None)


def stored(db: Database, project: Project) -> dict[str, str | None]:
    return {sample.name: sample.label for sample in samples.select_samples(db, project.id)}


def label(db: Database, project: Project, sample: Sample, action: str, text: str | None = None) -> None:
    (outcome,) = apply_events(
        db,
        project,
        "Ann",
        [
            {
                "event": os.urandom(8).hex(), "action": action, "sample": sample.sha256, "text": text,
                "base": samples.get_sample(db, sample.id).version,
            }
        ],
    )  # fmt: skip
    assert outcome.status == "saved"


# What is stored


def test_a_frame_of_an_animation_is_stored(db: Database, project: Project, source: Source, folder: Path) -> None:
    """Without a choice it is refused. The stored file is the frame, under the name of the animation."""
    frames = [Image.fromarray(pixels(number)) for number in range(3)]
    write_files(folder, {"123456.png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])})

    refused = run(db, project, source, folder)
    report = import_images(
        db, project, source, folder, "filename", frame="2", operator="import", on_progress=lambda *_: None
    )

    assert (refused.rejected, report.imported, report.labeled) == (1, 1, 1)
    (sample,) = samples.select_samples(db, project.id)
    assert (sample.name, sample.sha256) == ("123456.png", pixel_hash(pixels(1)))
    assert Image.open(BytesIO(samples.image_bytes(db, [sample.id])[sample.id])).format == "PNG"


def test_an_image_is_stored_with_its_facts(db: Database, project: Project, source: Source, folder: Path) -> None:
    """A sample stores the original bytes, the pixel hash and the split derived from it."""
    write_files(folder, {"sub/004420_x.png": png(1)})

    report = run(db, project, source, folder)

    (sample,) = samples.select_samples(db, project.id)
    sha256 = pixel_hash(pixels(1))
    assert (sample.sha256, sample.split, sample.name) == (sha256, split_of(sha256), "sub/004420_x.png")
    assert (sample.width, sample.height, sample.source_id) == (40, 16, source.id)
    assert (sample.state, sample.label, sample.version, sample.operator) == ("labeled", "004420", 1, "import")
    assert samples.image_bytes(db, [sample.id]) == {sample.id: png(1)}
    (event,) = labels.events_of(db, sample.id)
    assert (event.action, event.text, event.operator) == ("import", "004420", "import")
    assert (report.files, report.imported, report.labeled, report.reasons) == (1, 1, 1, [])


def test_every_file_is_accounted_for(db: Database, project: Project, source: Source, folder: Path) -> None:
    """Files are imported, duplicates, or rejected with a reason. A bad label does not reject the image."""
    write_files(
        folder,
        {
            "000001.png": png(1),
            "000002.png": png(2),
            "again/000001.png": png(1),
            "again/000001.bmp": encoded(Image.fromarray(pixels(1)), "BMP"),
            "12345.png": png(3),
            "12345x.png": png(4),
            "000005.png": png(5)[:-200],
            "000006.png": b"",
            "000007.png": encoded(Image.fromarray(pixels(7)), "TGA"),
            "readme": b"about these images",
        },
    )

    report = run(db, project, source, folder)

    assert (report.files, report.imported, report.duplicates, report.rejected) == (10, 4, 2, 4)
    assert (report.labeled, report.label_problems) == (2, 2)
    reasons = {item["name"]: item["reason"] for item in report.reasons}
    assert set(reasons) == {"000005.png", "000006.png", "000007.png", "readme", "12345.png", "12345x.png"}
    assert reasons["12345.png"] == "'12345' has 5 characters; this project uses 6."
    assert "contains 'x'" in reasons["12345x.png"]
    assert stored(db, project) == {
        "000001.png": "000001",
        "000002.png": "000002",
        "12345.png": None,
        "12345x.png": None,
    }
    assert report.sentence() == ("10 files: 4 imported, 2 duplicates, 4 rejected; 2 labels imported, 2 ignored.")


def test_labels_of_a_csv_are_kept_as_text(db: Database, project: Project, source: Source, folder: Path) -> None:
    """The report lists rows without an image."""
    write_files(folder, {f"{number}.png": png(number) for number in range(3)})
    write_files(folder, {"labels.csv": b"filename,label\n0.png,001230\n1.png,1E5\n9.png,000009\n8.png,000008\n"})

    report = run(db, project, source, folder, str(folder / "labels.csv"))

    assert stored(db, project) == {"0.png": "001230", "1.png": None, "2.png": None}
    assert (report.imported, report.labeled, report.label_problems) == (3, 1, 3)
    assert [item["name"] for item in report.reasons] == ["1.png", "9.png", "8.png"]
    assert report.reasons[1]["reason"] == "The table has a label for this name, but no file has it."


def test_a_name_that_several_files_have_needs_its_path(
    db: Database, project: Project, source: Source, folder: Path
) -> None:
    write_files(folder, {"a/0.png": png(0), "b/0.png": png(1)})
    write_files(folder, {"labels.csv": b"filename,label\n0.png,000000\n"})

    report = run(db, project, source, folder, str(folder / "labels.csv"))

    assert (report.imported, report.labeled, report.label_problems) == (2, 0, 1)
    assert "several files have it" in report.reasons[0]["reason"]


def test_long_lists_of_reasons_are_cut_but_counted(
    db: Database, project: Project, source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of wrong files must not fill the database with reasons."""
    monkeypatch.setattr(importing, "MAX_REASONS", 3)
    write_files(folder, {f"{number}.png": b"text" for number in range(5)})

    report = run(db, project, source, folder)

    assert (report.rejected, len(report.reasons)) == (5, 3)


def test_hostile_names_are_stored_as_text(db: Database, project: Project, source: Source, tmp_path: Path) -> None:
    """This includes invalid Unicode, which SQLite would reject during the import."""
    names = ["../../up.png", "/etc/passwd", "'; DROP TABLE samples; --.png", "=HYPERLINK(1).png", "<b>.png", "a" * 300]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number))
    folder = write_files(tmp_path / "photos", {"good.png": png(98)})
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - a Path could not say this
        file.write(png(99))

    run(db, project, source, tmp_path / "a.zip", "none")
    report = run(db, project, source, folder, "none")

    assert report.imported == 2
    assert set(stored(db, project)) == {*names, "good.png", "caf\N{REPLACEMENT CHARACTER}.png"}


def test_progress_counts_every_file(
    db: Database, project: Project, source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected files count, so the last number is the total."""
    monkeypatch.setattr(importing, "BATCH", 2)
    write_files(folder, {f"{number}.png": png(number) if number else b"" for number in range(5)})
    seen: list[tuple[int, int]] = []

    import_images(
        db, project, source, folder, "none", operator="x", on_progress=lambda done, total: seen.append((done, total))
    )

    assert seen == [(2, 5), (4, 5), (5, 5)]


# Doing it again


@pytest.fixture
def mixed(folder: Path) -> Path:
    """A folder of good and bad files, contradicting duplicates, and invalid labels."""
    files = {f"{number:06}.png": png(number) for number in range(30)}
    files |= {"100000.png": png(0), "x/000001.png": png(1), "bad.png": b"bad", "12.png": png(40)}
    return write_files(folder, files)


def test_a_second_import_changes_nothing(db: Database, project: Project, source: Source, mixed: Path) -> None:
    """No row changes. Ignored labels are reported again."""
    first = run(db, project, source, mixed)
    before = contents(db.conn)

    second = run(db, project, source, mixed)

    assert contents(db.conn) == before
    assert (second.imported, second.labeled, second.duplicates) == (0, 0, 33)
    assert second.reasons == first.reasons
    assert second.rejected == first.rejected == 1
    assert second.label_problems == first.label_problems == 2


def test_a_second_import_leaves_corrections_alone(db: Database, project: Project, source: Source, mixed: Path) -> None:
    """A change, undo or skip by an operator overrides an imported label."""
    run(db, project, source, mixed)
    changed, undone, skipped = samples.select_samples(db, project.id)[5:8]
    label(db, project, changed, "label", "999999")
    label(db, project, undone, "undo")
    label(db, project, skipped, "skip")
    before = contents(db.conn)

    report = run(db, project, source, mixed)

    assert contents(db.conn) == before
    assert report.labeled == 0


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from core.data import importing
from core.home import Home
from db.connection import opened, write
from db.projects import find_project, find_source
importing.BATCH = 4
calls, store = itertools.count(1), importing.store_image
def store_or_die(*arguments, **options):
    if next(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    store(*arguments, **options)
importing.store_image = store_or_die
with opened(Home(Path(sys.argv[1])).db) as db:
    project = find_project(db, "portal")
    importing.import_images(db, project, find_source(db, project.id, "mail"), Path(sys.argv[2]), "filename",
                         operator="import", on_progress=lambda *_: None)
"""


def content(db: Database) -> list[tuple[object, ...]]:
    """Return all rows without ids and times, which depend on the interruption."""
    sample_rows = db.query(
        "SELECT sha256, name, width, height, split, state, label, version, operator, bytes FROM samples"
        " JOIN images ON sample_id = samples.id ORDER BY sha256"
    )
    event_rows = db.query(
        "SELECT event_id, sha256, labels.operator, action, labels.state, text, base_version, labels.version"
        " FROM labels JOIN samples ON samples.id = sample_id ORDER BY event_id"
    )
    return [tuple(row.values()) for row in [*sample_rows, *event_rows]]


@pytest.mark.parametrize("after", [8, 27])
def test_an_import_that_was_killed_is_finished_by_repeating_it(
    db: Database, home: Home, project: Project, source: Source, mixed: Path, tmp_path: Path, after: int
) -> None:
    """The result is the same as without the interruption."""
    done = subprocess.run([sys.executable, "-c", KILLED, home.root, mixed, str(after)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    part = samples.count_samples(db, project.id)
    assert 0 < part < 31

    run(db, project, source, mixed)

    other = Home(tmp_path / "undisturbed").create()
    with opened(other.db, create=True) as whole:
        second = open_project(whole, "portal", 6, "0123456789")
        run(whole, second, open_source(whole, second, "mail", "the team", "ticket 1"), mixed)
        assert content(db) == content(whole)


def test_an_import_stops_between_two_batches(
    db: Database, project: Project, source: Source, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images imported so far are kept."""
    monkeypatch.setattr(importing, "BATCH", 4)
    stops = iter([False, False, True])

    import_images(
        db, project, source, mixed, "none", operator="x", on_progress=lambda *_: None, should_stop=lambda: next(stops)
    )

    assert samples.count_samples(db, project.id) == 8


# Labels that disagree


def test_labels_are_corrected_on_request(db: Database, project: Project, source: Source, folder: Path) -> None:
    """Each is an event with operator and kind, those of val and test are counted, and nothing else changes."""
    write_files(folder, {f"{number}.png": png(number) for number in range(40)})
    old = {f"{number}.png": f"{number:06}" for number in range(40)}
    new = old | {f"{number}.png": f"{999_999 - number:06}" for number in range(0, 40, 2)}

    def imported(table: dict[str, str], operator: str, *, replace: bool) -> Report:
        rows = "".join(f"{name},{text}\n" for name, text in table.items())
        write_files(folder, {"labels.csv": f"filename,label\n{rows}".encode()})
        return import_images(
            db, project, source, folder, "auto", replace=replace, operator=operator, on_progress=lambda *_: None
        )

    imported(old, "Ann", replace=False)
    unlabeled, skipped, *_ = samples.select_samples(db, project.id)
    label(db, project, skipped, "skip")
    held_out = sum(
        sample.split != "train" and new[sample.name] != old[sample.name]
        for sample in samples.select_samples(db, project.id, state="labeled")
    )
    assert held_out > 0

    assert imported(new, "Ben", replace=False).labeled == 0
    report = imported(new, "Ben", replace=True)

    assert (report.replaced, report.labeled, report.replaced_held_out) == (20, 20, held_out)
    assert f"20 labels replaced another one, {held_out} of them of validation and test images." in report.sentence()
    assert stored(db, project) == new | {skipped.name: None}
    events = [event for event in labels.events_of(db, unlabeled.id) if event.version]
    assert [(event.text, event.operator, event.kind, event.origin) for event in events] == [
        ("000000", "Ann", "import", "import"), ("999999", "Ben", "import", "import"),
    ]  # fmt: skip
    before = contents(db.conn)
    assert imported(new, "Ben", replace=True).replaced == 0
    assert contents(db.conn) == before
    assert imported(old, "Ann", replace=True).replaced == 20
    assert stored(db, project) == old | {skipped.name: None}


def test_files_of_one_image_with_two_labels_correct_nothing(
    db: Database, project: Project, source: Source, folder: Path
) -> None:
    """The newest file won, and each repeat added events. Equal labels correct as one."""
    write_files(folder, {"000001.png": png(1), "000002.png": png(2)})
    run(db, project, source, folder)
    table = b"filename,label\na.png,000003\nb.png,000004\nc.png,000005\nd.png,000005\n"
    images = {"a.png": png(1), "b.png": png(1), "c.png": png(2), "d.png": png(2), "labels.csv": table}
    write_files(folder, images)

    def corrected() -> Report:
        return import_images(
            db, project, source, folder, str(folder / "labels.csv"), replace=True, operator="Ben",
            on_progress=lambda *_: None,
        )  # fmt: skip

    report = corrected()

    assert stored(db, project) == {"000001.png": "000001", "000002.png": "000005"}
    assert (report.files, report.duplicates, report.replaced) == (6, 6, 1)
    reason = "Ignored the label: files of this import with the same pixels have '000003' and '000004'."
    assert report.reasons == [{"name": name, "reason": reason} for name in ("a.png", "b.png")]
    before = contents(db.conn)
    corrected()
    assert contents(db.conn) == before


def test_a_reading_never_corrects_a_label(db: Database, project: Project, source: Source, folder: Path) -> None:
    """Only labels of people do."""
    write_files(folder, {"000001.png": png(1), "labels.csv": b"filename,label,kind\n000001.png,000002,readers\n"})
    run(db, project, source, folder)

    report = import_images(
        db, project, source, folder, "auto", replace=True, operator="Ben", on_progress=lambda *_: None
    )

    assert (report.replaced, report.label_problems) == (0, 1)
    assert stored(db, project) == {"000001.png": "000001"}


def test_an_operators_label_is_kept(db: Database, project: Project, source: Source, folder: Path) -> None:
    """The ledger has the import's label once, and each report lists it."""
    write_files(folder, {"a.png": png(1)})
    run(db, project, source, folder, "none")
    (sample,) = samples.select_samples(db, project.id)
    label(db, project, sample, "label", "111111")
    write_files(folder, {"222222.png": png(1)})
    (folder / "a.png").unlink()

    for _ in range(2):
        report = run(db, project, source, folder)

        assert (report.labeled, report.label_problems) == (0, 1)
        assert report.reasons == [
            {
                "name": "222222.png",
                "reason": "Ignored label '222222': this image (a.png) is already labeled '111111'.",
            }
        ]
    assert samples.get_sample(db, sample.id).label == "111111"
    events = [(event.operator, event.text, event.version) for event in labels.events_of(db, sample.id)]
    assert events == [("Ann", "111111", 1), ("import", "222222", None)]


def test_the_first_of_two_labels_in_one_import_wins(
    db: Database, project: Project, source: Source, folder: Path
) -> None:
    """The first by name is used, the second is reported."""
    write_files(folder, {"111111.png": png(1), "222222.png": png(1), "333333.png": png(1)})

    report = run(db, project, source, folder)

    assert stored(db, project) == {"111111.png": "111111"}
    assert (report.imported, report.duplicates, report.labeled, report.label_problems) == (1, 2, 1, 2)


def test_a_skip_is_kept(db: Database, project: Project, source: Source, folder: Path) -> None:
    """An operator could not read the image. The import's label is recorded in its history."""
    write_files(folder, {"a.png": png(1)})
    run(db, project, source, folder, "none")
    (sample,) = samples.select_samples(db, project.id)
    label(db, project, sample, "skip")
    (folder / "a.png").rename(folder / "222222.png")

    report = run(db, project, source, folder)

    assert samples.get_sample(db, sample.id).state == "skipped"
    assert "Ignored label '222222': this image (a.png) was skipped by an operator" in report.reasons[0]["reason"]


def test_an_image_without_a_label_takes_one(db: Database, project: Project, source: Source, folder: Path) -> None:
    """An earlier label was undone."""
    write_files(folder, {"a.png": png(1)})
    run(db, project, source, folder, "none")
    (sample,) = samples.select_samples(db, project.id)
    label(db, project, sample, "label", "111111")
    label(db, project, sample, "undo")
    (folder / "a.png").rename(folder / "222222.png")

    report = run(db, project, source, folder)

    assert (report.labeled, report.label_problems) == (1, 0)
    assert samples.get_sample(db, sample.id).label == "222222"


def test_a_label_that_agrees_adds_nothing(db: Database, project: Project, source: Source, folder: Path) -> None:
    """There is no event and no line in the report."""
    write_files(folder, {"111111.png": png(1)})
    run(db, project, source, folder)
    before = contents(db.conn)
    other = open_source(db, project, "post", "others", "ticket 2")

    report = run(db, project, other, folder)

    assert (report.duplicates, report.label_problems) == (1, 0)
    assert [line for line in contents(db.conn) if "sources" not in line] == [
        line for line in before if "sources" not in line
    ]


# Projects and sources


def test_a_project_has_six_digits_by_default(db: Database) -> None:
    """It is found by its name, with or without its settings."""
    project = open_project(db, "portal", None, None)

    assert (project.length, project.charset) == (6, "0123456789")
    assert open_project(db, "portal", 6, None) == open_project(db, "portal", None, "0123456789") == project


@pytest.mark.parametrize(("length", "charset"), [(5, None), (None, "abc"), (5, "abc"), (0, None), (None, "")])
def test_an_import_cannot_change_a_project(db: Database, project: Project, length: int, charset: str) -> None:
    """Existing labels would no longer fit."""
    with pytest.raises(OptionError, match="Project portal has length 6 and charset '0123456789'"):
        open_project(db, "portal", length, charset)


@pytest.mark.parametrize(
    ("name", "length", "charset"),
    [("new", 0, None), ("new", 99, None), ("new", None, ""), ("new", None, "aa"), ("", None, None), (" ", None, None),
     ("x" * 65, None, None), (" new", None, None), ("a\nb", None, None), ("a\x1bb", None, None)],
)  # fmt: skip
def test_a_project_that_cannot_be_is_not_made(db: Database, name: str, length: int | None, charset: str | None) -> None:
    """A length of 0 is not the same as no length."""
    with pytest.raises(OptionError):
        open_project(db, name, length, charset)

    assert projects.list_projects(db) == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (0, r"source name is missing\. Name where these images come from"),
        (1, r"owner is missing\. Enter who owns the portal"),
        (2, r"authorization is missing\. Enter the ticket or contract that allows you to use these images"),
    ],
)
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_source_needs_owner_and_authorization(
    db: Database, project: Project, missing: int, message: str, blank: str
) -> None:
    """Blanks count as missing."""
    values = ["mail", "the team", "ticket 1"]
    values[missing] = blank

    with pytest.raises(OptionError, match=message):
        open_source(db, project, *values)

    assert projects.list_sources(db, project.id) == []


def test_a_source_keeps_its_owner_and_authorization(db: Database, project: Project, source: Source) -> None:
    """Images with another authorization are another source."""
    assert open_source(db, project, "mail", "the team", "ticket 1") == source
    with pytest.raises(OptionError, match="Use another source name for a different owner or authorization"):
        open_source(db, project, "mail", "the team", "ticket 2")


# The job


def request(source_path: Path | None, **changes: object) -> Request:
    values = {
        "path": source_path, "project": "portal", "source": "mail", "owner": "the team", "authorization": "ticket 1",
    }  # fmt: skip
    return Request(**(values | changes))  # type: ignore[arg-type]


def finish(db: Database, home: Home, job: Job) -> tuple[Job, Report]:
    job = control.follow(db, home, job.id, lambda _: None)
    return job, Report(**json.loads(job.result or "{}"))


def test_a_folder_is_imported_by_a_job(db: Database, home: Home, mixed: Path) -> None:
    """It runs in its own process. Relative paths start at the user's directory."""
    job, report = finish(db, home, start_import(db, home, request(mixed, labels="filename"), operator="Ann"))

    assert (job.state, report.imported, report.labeled) == ("finished", 31, 30)
    project = projects.find_project(db, "portal")
    assert project is not None
    labeled = samples.select_samples(db, project.id, state="labeled")
    assert [sample.operator for sample in labeled] == ["Ann"] * 30


@pytest.mark.long
def test_an_import_beside_three_labeling_operators_loses_nothing(
    db: Database, home: Home, project: Project, source: Source, tmp_path: Path
) -> None:
    """The import and operators at full speed take turns: each gets the database, and every label stays."""
    run(db, project, source, write_files(tmp_path / "first", {f"{n}.png": png(n) for n in range(20)}), "none")
    folder = write_files(tmp_path / "second", {f"{n:06}.png": png(n) for n in range(20, 520)})
    writers = [Writer(home.db, project.name, name, tmp_path, pause=0.01) for name in ("Ann", "Ben", "Cem")]
    try:
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.wait_for(1)
        before = [sum(1 for _ in writer.acknowledgments()) for writer in writers]
        job, report = finish(db, home, start_import(db, home, request(folder, labels="filename"), operator="Dan"))
        for writer, labels_before in zip(writers, before, strict=True):
            writer.wait_for(labels_before + 1)
    finally:
        for writer in writers:
            writer.kill()

    assert [writer.errors.read_text() for writer in writers] == [""] * 3
    assert (job.state, report.imported, report.labeled) == ("finished", 500, 500)
    assert lost(db, [each for writer in writers for each in writer.acknowledgments()]) == []
    assert list(damage(db)) == []


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


HOSTILE = ["../../../up.png", "/etc/passwd.png", "a\\..\\b.png", "CON.png", "<img onerror=1>.png", "🙂.png", "x" * 300]


@pytest.mark.parametrize("zipped", [False, True])
def test_uploaded_files_are_imported_and_leave_nothing_behind(
    db: Database, home: Home, tmp_path: Path, zipped: bool
) -> None:
    """Uploaded names become data in a zip, never paths. The job deletes its copies of images and labels."""
    files = {name: png(number) for number, name in enumerate(HOSTILE)}
    upload = Upload(
        files=[("Images.ZIP", zip_of(files))] if zipped else list(files.items()),
        label_table="filename,label\nCON.png,000012\n🙂.png,000013\n".encode(),
    )
    before = {path for path in tmp_path.rglob("*") if home.root not in path.parents}

    job, report = finish(db, home, start_import(db, home, request(None), operator="Ann", upload=upload))

    assert (job.state, report.imported, report.labeled, report.reasons) == ("finished", len(HOSTILE), 2, [])
    project = projects.find_project(db, "portal")
    assert project is not None
    found = stored(db, project)
    assert set(found) == {name.replace("\\", "/") for name in HOSTILE}
    assert (found["CON.png"], found["🙂.png"]) == ("000012", "000013")
    assert {path for path in tmp_path.rglob("*") if home.root not in path.parents} == before
    left = {path.name for path in home.run(job.id).iterdir()}
    assert not left & {"upload.zip", "label table"}
    assert not Path("/etc/passwd.png").exists()


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (Upload(files=[]), "There are no files to import"),
        (Upload(files=[("images.zip", b"PK no zip")]), r"images\.zip is damaged or not a zip file"),
        (Upload(files=[("a.png", b"")], label_table=b" \n"), "The label table is empty"),
        (Upload(files=[("a.png", b"")], label_table=b"PK\3\4"), "The label table is a zip file or a workbook"),
        (None, "The folder is missing"),
    ],
)
def test_an_upload_that_cannot_be_used_stores_nothing(
    db: Database, home: Home, upload: Upload | None, reason: str
) -> None:
    """No project and no job is created."""
    before = contents(db.conn)

    with pytest.raises(SlotlabError, match=reason):
        start_import(db, home, request(None), operator="Ann", upload=upload)

    assert contents(db.conn) == before
    assert list(home.runs.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"owner": ""}, OptionError),
        ({"authorization": "  "}, OptionError),
        ({"source": ""}, OptionError),
        ({"length": 0}, OptionError),
        ({"charset": "00"}, OptionError),
        ({"project": ""}, OptionError),
        ({"owner": "x" * 201}, OptionError),
        ({"source": "a\nb"}, OptionError),
        ({"authorization": "\x1b[31mticket"}, OptionError),
        ({"labels": "~nosuchuser/labels.csv"}, OptionError),
        ({"path": Path("x" * 300)}, OptionError),
        ({"labels": "no such file.csv"}, ImportSourceError),
        ({"path": Path("/nonexistent")}, ImportSourceError),
    ],
)
def test_a_request_that_cannot_be_met_stores_nothing(
    db: Database, home: Home, mixed: Path, changes: dict[str, object], error: type[SlotlabError]
) -> None:
    """A project created with a wrong length would block the right one."""
    before = contents(db.conn)

    with pytest.raises(error):
        start_import(db, home, request(mixed, **changes), operator="Ann")

    assert contents(db.conn) == before


def test_a_watch_with_other_options_is_refused(db: Database, home: Home, folder: Path) -> None:
    """The running watch was returned, although it reads labels in another way."""
    folder.mkdir()
    watch = request(folder, labels="start", watch=True)
    job = start_import(db, home, watch, operator="Ann")
    try:
        assert start_import(db, home, watch, operator="Ann").id == job.id
        for other in (replace(watch, replace=True), replace(watch, options=LabelOptions(fold_case=True))):
            with pytest.raises(OptionError, match="already watching this folder, with other options"):
                start_import(db, home, other, operator="Ann")
    finally:
        control.cancel(db, home, job.id)
        control.follow(db, home, job.id, lambda _: None)


def test_labels_that_can_be_read_in_two_ways_store_nothing(db: Database, home: Home, folder: Path) -> None:
    """The job fails with the option that decides. A watch does not even start."""
    write_files(folder, {"000100_432343.png": png(1), "000200_518643.png": png(2)})

    job, _ = finish(db, home, start_import(db, home, request(folder, labels="filename"), operator="Ann"))
    assert (job.state, "--labels end" in str(job.reason)) == ("failed", True)
    before = contents(db.conn)
    with pytest.raises(AmbiguousLabelsError, match="--labels end"):
        start_import(db, home, request(folder, labels="filename", watch=True, project="other"), operator="Ann")
    assert contents(db.conn) == before

    options = LabelOptions(pattern="*_{label}")
    _, report = finish(
        db, home, start_import(db, home, request(folder, labels="filename", options=options), operator="Ann")
    )
    assert (report.imported, report.labeled) == (2, 2)


def test_a_table_error_is_the_reason_of_the_job(db: Database, home: Home, mixed: Path) -> None:
    """The job reads the table, so that a large one cannot stop the app. Nothing is imported."""
    table = mixed.parent / "labels.csv"
    table.write_text("filename,label\n000001.png,000001\n000002.png\n")

    job, _ = finish(db, home, start_import(db, home, request(mixed, labels=str(table)), operator="Ann"))

    assert (job.state, job.reason) == ("failed", "labels.csv line 3 has 1 fields instead of 2.")
    project = projects.find_project(db, "portal")
    assert project is not None
    assert stored(db, project) == {}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "large"])
def test_a_table_that_is_not_a_table_starts_no_job(
    db: Database, home: Home, mixed: Path, tmp_path: Path, kind: str
) -> None:
    """Only its size and first line are read."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"filename,label\n")
    os.truncate(tmp_path / "large", 10**12)

    with pytest.raises(ImportSourceError, match=r"cannot be read \(|more than 67,108,864 bytes"):
        start_import(db, home, request(mixed, labels=str(tmp_path / kind)), operator="Ann")

    assert list(home.runs.iterdir()) == []


def test_names_of_earlier_versions_can_be_used_again(db: Database, home: Home, mixed: Path) -> None:
    """An earlier version stored any text. Only new names are checked."""
    owner = "the team\n" * 1000
    with write(db):
        project = projects.insert_project(db, "portal", 6, "0123456789")
        projects.insert_source(db, project.id, "mail\x1b", owner, "ticket 1")

    job, _ = finish(db, home, start_import(db, home, request(mixed, source="mail\x1b", owner=owner), operator="Ann"))

    assert job.state == "finished"


def test_one_press_is_one_import(db: Database, home: Home, mixed: Path) -> None:
    """A second click of the same button returns the first job."""
    first = start_import(db, home, request(mixed), operator="Ann", request_id="press")
    again = start_import(db, home, request(mixed), operator="Ann", request_id="press")

    assert again.id == first.id
    finish(db, home, first)


def test_a_folder_that_has_gone_fails_the_job_with_its_reason(
    db: Database, home: Home, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder vanished before the job started. Once it is back, the job can resume."""
    with monkeypatch.context() as patch:
        patch.setattr(control, "RUNNER", (sys.executable, "-c", ""))  # its turn has not come
        job = start_import(db, home, request(mixed), operator="Ann")
    mixed.rename(mixed.with_name("moved"))
    subprocess.run([sys.executable, "-m", "core.jobs.runner", home.run(job.id)], cwd=ROOT, check=False)
    control.reconcile(db, home)
    failed = control.find_job(db, job.id)
    assert (failed.state, failed.reason) == (
        "failed",
        f"No such folder or file: {mixed}. It must exist on the machine that runs Slotlab.",
    )
    mixed.with_name("moved").rename(mixed)

    job, report = finish(db, home, control.resume(db, home, job.id))

    assert (job.state, report.imported) == ("finished", 31)
