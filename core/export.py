"""Labels and images out of a project, with who owns them and who allowed their use."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database

from core.errors import OptionError
from core.images import image_format
from db import projects, samples
from db.records import Project

FORMATS = ("csv", "filename", "jsonl")
COLUMNS = (
    "filename", "label", "split", "sha256", "state", "operator", "labelled_at", "source", "owner", "authorization",
)  # fmt: skip


def export(db: Database, project: Project, form: str, out: Path) -> int:
    """Write the project to `out` and return the number of samples written.

    csv: labelled samples, columns COLUMNS. jsonl: every sample, labelled or not. filename: a folder of the original
    image files, named LABEL_HASH.ext, beside a sources.csv. Raises OptionError; `out` is then as it was.
    """
    if form not in FORMATS:
        raise OptionError(f"There is no format {form!r}; choose one of {', '.join(FORMATS)}.")
    if not out.parent.is_dir():
        raise OptionError(f"There is no folder {out.parent} to export into.")
    rows = list(_rows(db, project))
    labelled = [row for row in rows if row["label"] is not None]
    if form == "jsonl":
        lines = [json.dumps({"name": row.pop("filename"), **row}, ensure_ascii=False) + "\n" for row in rows]
        _write(out, "".join(lines))
        return len(rows)
    if not labelled:
        raise OptionError(f"Project {project.name} has no labels yet; only jsonl exports unlabelled samples.")
    if form == "csv":
        _write(out, _csv(labelled))
    else:
        _write_files(db, project, labelled, out)
    return len(labelled)


def _rows(db: Database, project: Project) -> Iterator[dict[str, str | None]]:
    sources = {source.id: source for source in projects.list_sources(db, project.id)}
    for sample in samples.select_samples(db, project.id):
        source = sources[sample.source_id]
        yield {
            "filename": sample.name,
            "label": sample.label,
            "split": sample.split,
            "sha256": sample.sha256,
            "state": sample.state,
            "operator": sample.operator,
            "labelled_at": sample.labelled_at,
            "source": source.name,
            "owner": source.owner,
            "authorization": source.authorization,
        }


def _csv(rows: list[dict[str, str | None]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _write(out: Path, text: str) -> None:
    """All or nothing: a half-written export would pass for a whole one."""
    if out.is_dir():
        raise OptionError(f"{out} is a folder; name the file to write.")
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, out)  # noqa: PTH105


def _write_files(db: Database, project: Project, rows: list[dict[str, str | None]], out: Path) -> None:
    if "/" in project.charset or "\\" in project.charset:
        raise OptionError("Labels with a slash cannot be file names; export as csv or jsonl.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} exists and is not an empty folder.")
    out.mkdir(exist_ok=True)
    by_hash = {sample.sha256: sample.id for sample in samples.select_samples(db, project.id, state="labelled")}
    for row in rows:
        sample_id = by_hash[row["sha256"] or ""]
        data = samples.image_bytes(db, [sample_id])[sample_id]
        (out / f"{row['label']}_{(row['sha256'] or '')[:12]}.{image_format(data)}").write_bytes(data)
    (out / "sources.csv").write_text(_csv(rows), encoding="utf-8", newline="")
