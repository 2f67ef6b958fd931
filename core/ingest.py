"""Import: images into a project, each once, with what is known about them.

Running an import again changes nothing that is there, so an interrupted one is finished by running it again.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from sqlite_utils import Database

from core import labeling
from core.charset import TextSpec
from core.errors import ImageError, LabelError, OptionError
from core.images import Pixels, decode, pixel_hash, split_of
from core.sources import Entry, LabelBook, list_entries
from db import labels, projects, samples
from db.connection import write
from db.records import Project, Source

BATCH = 200
"""Images a transaction. Decoding happens outside; 200 inserts hold the write lock for about 20 ms."""
DEFAULT_SPEC = TextSpec(6, "0123456789")
LISTED = 1000
"""Rejections named in a report; all are counted."""


@dataclass
class Report:
    """What became of the files of one import."""

    files: int = 0
    imported: int = 0
    duplicates: int = 0
    """Files whose pixels the project held already."""
    labelled: int = 0
    """Labels taken from the import now."""
    rejected: int = 0
    label_problems: int = 0
    """Labels that were not taken; their images are imported all the same."""
    reasons: list[dict[str, str]] = field(default_factory=list)
    """name and reason of each rejection and label problem, the first LISTED of them."""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def reject(self, name: str, reason: str) -> None:
        self.rejected += 1
        self._list(name, reason)

    def label_problem(self, name: str, reason: str) -> None:
        self.label_problems += 1
        self._list(name, reason)

    def _list(self, name: str, reason: str) -> None:
        if len(self.reasons) < LISTED:
            self.reasons.append({"name": name, "reason": reason})


@dataclass(frozen=True)
class _Image:
    name: str
    data: bytes
    pixels: Pixels
    sha256: str
    label: str | None


def open_project(db: Database, name: str, length: int | None, charset: str | None) -> Project:
    """The project of this name, made if need be. Raises OptionError when it has another length or charset."""
    project = projects.find_project(db, name)
    if project is None:
        if not name.strip() or len(name) > 64 or not name.isprintable() or name.strip() != name:
            raise OptionError(f"{name!r} cannot be the name of a project: use 1 to 64 visible characters.")
        spec = TextSpec(
            DEFAULT_SPEC.length if length is None else length, DEFAULT_SPEC.charset if charset is None else charset
        )
        with write(db):
            return projects.insert_project(db, name, spec.length, spec.charset)
    asked = (project.length if length is None else length, project.charset if charset is None else charset)
    if asked != (project.length, project.charset):
        raise OptionError(
            f"Project {name} has length {project.length} and charset {project.charset!r}; "
            f"an import cannot change them to {asked[0]} and {asked[1]!r}."
        )
    return project


def open_source(db: Database, project: Project, name: str, owner: str, authorization: str) -> Source:
    """The source of this name, made if need be. Raises OptionError unless owner and authorization are given."""
    for what, value in (("name of the source", name), ("owner", owner), ("authorization", authorization)):
        if not value.strip():
            raise OptionError(f"The {what} is missing: say whose images these are and who allowed their use.")
    source = projects.find_source(db, project.id, name)
    if source is None:
        with write(db):
            return projects.insert_source(db, project.id, name, owner, authorization)
    if (source.owner, source.authorization) != (owner, authorization):
        raise OptionError(
            f"Source {name} is recorded with owner {source.owner!r} and authorization {source.authorization!r}; "
            "give another name to a source with others."
        )
    return source


def import_images(
    db: Database,
    project: Project,
    source: Source,
    path: Path,
    rule: str,
    *,
    operator: str,
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Import all images under `path`; `rule` says where labels come from (see core.sources.LabelBook).

    Stops between two batches when `should_stop` says so; what is imported by then stays.
    """
    entries = list_entries(path)
    book = LabelBook(rule, labeling.spec_of(project), [entry.name for entry in entries])
    report = Report(files=len(entries))
    remaining = iter(entries)
    done = 0
    while not should_stop() and (batch := list(islice(remaining, BATCH))):
        images = list(_read(batch, book, report))
        with write(db):
            for image in images:
                _store(db, project, source, image, operator, report)
        done += len(batch)
        on_progress(done, len(entries))
    for name, reason in book.unmatched():
        report.label_problem(name, reason)
    return report


def _read(batch: list[Entry], book: LabelBook, report: Report) -> Iterator[_Image]:
    for entry in batch:
        try:
            data = entry.read()
            pixels = decode(data)
        except ImageError as error:
            report.reject(entry.name, str(error))
            continue
        try:
            label = book.label_of(entry.name)
        except LabelError as error:
            report.label_problem(entry.name, str(error))
            label = None
        yield _Image(entry.name, data, pixels, pixel_hash(pixels), label)


def _store(db: Database, project: Project, source: Source, image: _Image, operator: str, report: Report) -> None:
    sample = samples.find_sample(db, project.id, image.sha256)
    if sample is None:
        height, width, _ = image.pixels.shape
        sample_id = samples.insert_sample(
            db,
            project_id=project.id,
            source_id=source.id,
            sha256=image.sha256,
            name=image.name,
            width=width,
            height=height,
            split=split_of(image.sha256),
            image=image.data,
        )
        sample = samples.get_sample(db, sample_id)
        report.imported += 1
    else:
        report.duplicates += 1
    if image.label is None or sample.label == image.label:
        return
    # One id for one statement of one source, so that a second import of it adds nothing to the ledger.
    event_id = f"import:{source.id}:{image.sha256}:{image.label}"
    if labels.find_event(db, event_id):
        return
    version = labels.append_event(
        db,
        sample,
        event_id=event_id,
        operator=operator,
        action="import",
        state="labelled",
        text=image.label,
        base_version=0,
    )
    if version is None:
        now = f"labelled {sample.label!r}" if sample.state == "labelled" else sample.state
        report.label_problem(
            image.name, f"{image.label!r} was not taken: the same image ({sample.name}) is already {now}."
        )
    else:
        report.labelled += 1
