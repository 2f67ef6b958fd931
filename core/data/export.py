"""Export of labels and images, with the owner and authorization of their sources."""

import csv
import io
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from core.data.label_book import MANIFEST
from core.data.tables.cleaning import with_formula_guard
from core.errors import OptionError, StorageError
from core.files import create_private, is_standard_output, shortened, write_outside
from core.images.pixels import image_format
from db import projects, samples
from db.records import KINDS, Project, Sample
from db.sqlite import Database

FORMATS = ("csv", "filename", "jsonl")
COLUMNS = (
    "filename", "label", "split", "sha256", "state", "kind", "operator", "labeled_at", "source", "owner",
    "authorization",
)  # fmt: skip
FREE_TEXT = ("filename", "name", "operator", "source", "owner", "authorization")
"""Columns that users fill freely. A label holds only characters of the charset."""


def export(db: Database, project: Project, form: str, out: Path, kinds: Collection[str] = ()) -> int:
    """Write the project to `out` and return the number of samples written.

    With `kinds`, write only samples whose label is of one of them.

    csv: labeled samples with the columns COLUMNS. Labels are exact. Free text that a spreadsheet would run as a formula
    is prefixed with a quote, which an import removes.
    jsonl: every sample, labeled or not. All texts are exact. `flag` is the reason for a skip.
    filename: a folder of the original image files, named LABEL_HASH.ext, and a MANIFEST, which is written first, so
    that an import that watches the folder knows the kinds. Its `filename` is the new name, `name` the original one.
    Only the owner can read the files and a new folder. csv and jsonl can go to standard output, FIFOs and devices.
    Raises OptionError or StorageError and leaves `out` unchanged.
    """
    if form not in FORMATS:
        raise OptionError(f"Unknown format {form!r}. Choose one of {', '.join(FORMATS)}.")
    if not is_standard_output(out) and not out.parent.is_dir():
        raise OptionError(f"The folder {out.parent} does not exist. Create it first.")
    if unknown := next((kind for kind in kinds if kind not in KINDS), None):
        raise OptionError(f"Unknown kind {shortened(unknown)!r}. Choose from {', '.join(KINDS)}.")
    selection = samples.select_samples(db, project.id, state=None if form == "jsonl" and not kinds else "labeled")
    selection = [sample for sample in selection if not kinds or sample.kind in kinds]
    rows = _rows(db, project, selection)
    if not rows and kinds:
        raise OptionError(f"Project {project.name} has no labels of kind {' or '.join(kinds)}.")
    if not rows and form != "jsonl":
        raise OptionError(f"Project {project.name} has no labels yet. Use jsonl to export unlabeled images.")
    if form == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_outside(out, "".join(lines).encode())
    elif form == "csv":
        write_outside(out, _csv(rows).encode())
    else:
        try:
            _write_files(db, selection, rows, out)
        except OSError as error:
            raise StorageError(f"{out} could not be written ({error.strerror}). It is unchanged.") from error
    return len(rows)


def _rows(db: Database, project: Project, selection: Sequence[Sample]) -> list[dict[str, str | None]]:
    sources = {source.id: source for source in projects.list_sources(db, project.id)}
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
        }
        for sample in selection
    ]


def _csv(rows: list[dict[str, str | None]], columns: Sequence[str] = COLUMNS) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore")  # a labeled sample has no flag
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {column: with_formula_guard(row[column] or "") for column in FREE_TEXT if column in row})
    return buffer.getvalue()


def _file_name(sample: Sample, data: bytes) -> str:
    return f"{sample.label}_{sample.sha256[:12]}.{image_format(data)}"


def _write_files(db: Database, selection: Sequence[Sample], rows: list[dict[str, str | None]], out: Path) -> None:
    if any("/" in label or "\\" in label or label.startswith(".") for label in (row.label or "" for row in selection)):
        raise OptionError("Labels with a slash or a leading dot cannot be file names. Export as csv or jsonl.")
    if is_standard_output(out):
        raise OptionError("Images cannot be written to standard output. Give the name of a folder.")
    is_new = not out.exists()
    if not is_new and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} exists and is not an empty folder.")
    out.mkdir(mode=0o700, exist_ok=True)
    try:
        names = [_file_name(sample, samples.image_bytes(db, [sample.id])[sample.id]) for sample in selection]
        listed = [row | {"filename": name, "name": row["filename"]} for name, row in zip(names, rows, strict=True)]
        with create_private(out / MANIFEST) as file:
            file.write(_csv(listed, (*COLUMNS, "name")).encode())
        for sample, name in zip(selection, names, strict=True):
            with create_private(out / name) as file:
                file.write(samples.image_bytes(db, [sample.id])[sample.id])
    except BaseException:
        with suppress(OSError):
            for path in out.iterdir():  # the folder was empty before
                path.unlink()
            if is_new:
                out.rmdir()
        raise
