"""Export of labels and images, with the owner and authorization of their sources."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.data.label_book import MANIFEST
from core.data.tables.cleaning import with_formula_guard
from core.errors import OptionError, StorageError
from core.files import create_private, is_standard_output, shortened, write_outside
from core.images.pixels import image_format
from db import projects, samples, tags
from db.records import KINDS, PEOPLE, Project, Sample
from db.sqlite import Database

FORMATS = ("csv", "jsonl", "labelstudio", "paddleocr", "filename", "imagefolder")
FOLDERS = ("filename", "imagefolder")
"""Formats that write the images too."""
SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
"""Names that Hugging Face knows."""
METADATA = "metadata.jsonl"
COLUMNS = (
    "filename", "label", "split", "sha256", "state", "kind", "operator", "labeled_at", "source", "owner",
    "authorization", "tags", "tagged_by", "tagged_at",
)  # fmt: skip
"""Columns of a table. The last three have one entry for each tag, separated by commas."""
Row = dict[str, str | None]
"""Facts about a sample by column."""
FREE_TEXT = ("filename", "name", "operator", "source", "owner", "authorization", "tags", "tagged_by")
"""Columns that users fill freely. A label holds only characters of the charset."""


def export(
    db: Database,
    project: Project,
    form: str,
    out: Path,
    kinds: Collection[str] = (),
    ids: Collection[int] | None = None,
) -> int:
    """Write the project to `out` and return the number of samples written.

    With `kinds`, write only samples whose label is of one of them; with `ids`, only those samples.

    csv: labeled samples with the columns COLUMNS. Labels are exact. Free text that a spreadsheet would run as a formula
    is prefixed with a quote, which an import removes.
    jsonl: every sample, labeled or not. All texts are exact. `flag` is the reason for a skip.
    labelstudio: labeled samples as tasks with one annotation each, in JSON. `kind` is among the data of a task.
    paddleocr: labeled samples as name, tab, label. Has no kinds, so without `kinds` it has only labels of people.
    imagefolder: a folder of the original image files for Hugging Face, with a METADATA in each split's folder.
    filename: a folder of the original image files, named LABEL_HASH.ext, and a MANIFEST, which is written first, so
    that an import that watches the folder knows the kinds. Its `filename` is the new name, `name` the original one.
    Only the owner can read the files and a new folder. A format of one file can go to standard output or a FIFO.
    Raises OptionError or StorageError and leaves `out` unchanged.
    """
    if form not in FORMATS:
        raise OptionError(f"Unknown format {form!r}. Choose one of {', '.join(FORMATS)}.")
    if not is_standard_output(out) and not out.parent.is_dir():
        raise OptionError(f"The folder {out.parent} does not exist. Create it first.")
    if unknown := next((kind for kind in kinds if kind not in KINDS), None):
        raise OptionError(f"Unknown kind {shortened(unknown)!r}. Choose from {', '.join(KINDS)}.")
    kinds = kinds_of(form, kinds)
    state = None if form == "jsonl" and not kinds else "labeled"
    if ids is None:
        selection = samples.select_samples(db, project.id, state=state)
    else:
        selection = [each for each in samples.get_samples(db, project.id, ids) if state in (None, each.state)]
    selection = [sample for sample in selection if not kinds or sample.kind in kinds]
    rows = _rows(db, project, selection)
    what = f"Project {project.name} has" if ids is None else "The chosen images have"
    if not rows and kinds:
        raise OptionError(f"{what} no labels of kind {' or '.join(kinds)}.")
    if not rows and form != "jsonl":
        raise OptionError(f"{what} no labels yet. Use jsonl to export unlabeled images.")
    if form not in FOLDERS:
        write_outside(out, TEXTS[form](rows).encode())
        return len(rows)
    if form == "filename" and any(re.search(r"[/\\]|^\.", row["label"] or "") for row in rows):
        raise OptionError("Labels with a slash or a leading dot cannot be file names. Export in another format.")
    try:
        _write_files(db, selection, _folder(form, rows), out)
    except OSError as error:
        raise StorageError(f"{out} could not be written ({error.strerror}). It is unchanged.") from error
    return len(rows)


def kinds_of(form: str, kinds: Collection[str]) -> Collection[str]:
    """Return the kinds that an export has; empty for all. A format without kinds would turn readings into labels."""
    return kinds or (PEOPLE if form == "paddleocr" else ())


def _rows(db: Database, project: Project, selection: Sequence[Sample]) -> list[Row]:
    sources = {source.id: source for source in projects.list_sources(db, project.id)}
    tagged = tags.tags_of(db, [sample.id for sample in selection])
    return [
        {
            "filename": sample.name,
            "label": sample.label,
            "split": sample.split,
            "sha256": sample.sha256,
            "state": sample.state,
            "flag": sample.flag,
            "kind": sample.kind,
            "operator": sample.operator,
            "labeled_at": sample.labeled_at,
            "source": sources[sample.source_id].name,
            "owner": sources[sample.source_id].owner,
            "authorization": sources[sample.source_id].authorization,
            "tags": ",".join(tag.name for tag in tagged.get(sample.id, ())),
            "tagged_by": _joined([tag.operator for tag in tagged.get(sample.id, ())]),
            "tagged_at": _joined([tag.at for tag in tagged.get(sample.id, ())]),
        }
        for sample in selection
    ]


def _joined(values: Sequence[str | None]) -> str:
    """Return the values as a line of CSV, because a name of an operator may have a comma; empty if none is known."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values if any(values) else ())
    return buffer.getvalue()


def _csv(rows: list[Row], columns: Sequence[str] = COLUMNS) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore")  # a labeled sample has no flag
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {column: with_formula_guard(row[column] or "") for column in FREE_TEXT if column in row})
    return buffer.getvalue()


def _jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _label_studio(rows: list[Row]) -> str:
    tasks = [
        {
            "data": {"image": row["filename"]} | {key: row[key] for key in COLUMNS if key not in ("filename", "label")},
            "annotations": [
                {
                    "result": [
                        {
                            "from_name": "label",
                            "to_name": "image",
                            "type": "textarea",
                            "value": {"text": [row["label"]]},
                        }
                    ]
                }
            ],
        }
        for row in rows
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _paddleocr(rows: list[Row]) -> str:
    for row in rows:
        if re.search(r'[\t\r\n"]', name := row["filename"] or ""):
            raise OptionError(f"The name {shortened(name)!r} cannot stand in this format. Export in another one.")
    return "".join(f"{row['filename']}\t{row['label']}\n" for row in rows)


TEXTS: dict[str, Callable[[list[Row]], str]] = {
    "csv": _csv, "jsonl": _jsonl, "labelstudio": _label_studio, "paddleocr": _paddleocr,
}  # fmt: skip


@dataclass(frozen=True)
class _Folder:
    """A folder to write: its tables, and a function that names the file of a sample with these bytes."""

    name_of: Callable[[Sample, bytes], str]
    tables_of: Callable[[list[str]], dict[str, str]]
    """Return the texts of tables by their names, from the names of the files."""


def _folder(form: str, rows: list[Row]) -> _Folder:
    def manifest(names: list[str]) -> dict[str, str]:
        listed = [row | {"filename": name, "name": row["filename"]} for name, row in zip(names, rows, strict=True)]
        return {MANIFEST: _csv(listed, (*COLUMNS, "name"))}

    def metadata(names: list[str]) -> dict[str, str]:
        records: dict[str, list[Row]] = {}
        for name, row in zip(names, rows, strict=True):
            folder, _, file = name.partition("/")
            rest = {key: value for key, value in row.items() if key not in ("filename", "label")}
            record = {"file_name": file, "text": row["label"], "original_name": row["filename"]} | rest
            records.setdefault(f"{folder}/{METADATA}", []).append(record)
        return {table: _jsonl(each) for table, each in records.items()}

    if form == "filename":
        return _Folder(_file_name, manifest)
    return _Folder(
        lambda sample, data: f"{SPLIT_FOLDERS[sample.split]}/{sample.sha256[:16]}.{image_format(data)}", metadata
    )


def _file_name(sample: Sample, data: bytes) -> str:
    return f"{sample.label}_{sample.sha256[:12]}.{image_format(data)}"


def _write_files(db: Database, selection: Sequence[Sample], folder: _Folder, out: Path) -> None:
    """Write the tables first, so that an import that watches the folder knows the kinds."""
    if is_standard_output(out):
        raise OptionError("Images cannot be written to standard output. Give the name of a folder.")
    is_new = not out.exists()
    if not is_new and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} exists and is not an empty folder.")
    out.mkdir(mode=0o700, exist_ok=True)
    try:
        names = [folder.name_of(sample, _image(db, sample)) for sample in selection]
        for parent in {Path(name).parent for name in names} - {Path()}:
            (out / parent).mkdir(mode=0o700)
        for name, text in folder.tables_of(names).items():
            with create_private(out / name) as file:
                file.write(text.encode())
        for sample, name in zip(selection, names, strict=True):
            with create_private(out / name) as file:
                file.write(_image(db, sample))
    except BaseException:
        with suppress(OSError):
            for path in out.iterdir():  # the folder was empty before
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if is_new:
                out.rmdir()
        raise


def _image(db: Database, sample: Sample) -> bytes:
    return samples.image_bytes(db, [sample.id])[sample.id]
