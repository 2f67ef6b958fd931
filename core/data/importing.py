"""Import of images and labels into a project, without duplicates.

The job is `python -m core.data.importing JOB_DIR`.
An import changes nothing that is already stored, so running it again finishes an interrupted one. An import that
watches its folder adds new files until it is canceled.
"""

import dataclasses
import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from core.charset import TextSpec, spec_of
from core.data.import_request import (
    UPLOAD,
    UPLOADED_LABELS,
    Request,
    Upload,
    check_origins,
    check_upload,
    check_watch,
    first_names,
    new_spec,
    save_upload,
    with_absolute_paths,
)
from core.data.label_book import GivenLabel, LabelBook, LabelOptions, check_table, read_manifests
from core.data.sources import SourceFile, check_source, list_files
from core.data.standing import update_standing
from core.data.tables import naming
from core.data.watched_folder import UnsettledError, Watch
from core.errors import ImageError, ImportSourceError, LabelError, OptionError, StorageError
from core.home import Home
from core.images.pixels import Pixels, check_frame, decode_new, pixel_hash, split_of, still
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.jobs.work import Work, run_worker
from core.names import MAX_PROJECT, check_name
from core.words import plural
from db import labels, projects, samples
from db.connection import opened, write
from db.records import MACHINES, PEOPLE, Job, Project, Sample, Source
from db.sqlite import Database

BATCH = 200
"""Images per transaction. Decoding happens outside it; 200 inserts hold the write lock for about 20 ms."""
MAX_REASONS = 1000
"""Rejections and label problems that a report names. It counts all of them."""
LISTED_ROWS = 20
"""Rows without a file that a report names. The table of a large set has thousands, each for the same reason."""
REPORT = "report.json"
"""Current report of a watching import, in the job's directory."""


@dataclass
class Report:
    """The outcome of one import."""

    files: int = 0
    imported: int = 0
    duplicates: int = 0
    """Files whose pixels are already in the project."""
    labeled: int = 0
    """Labels imported."""
    replaced: int = 0
    """Labels imported that replaced another one on request."""
    replaced_held_out: int = 0
    """Replaced labels of validation and test images."""
    rejected: int = 0
    label_problems: int = 0
    """Labels ignored. Their images are imported anyway."""
    reasons: list[dict[str, str]] = field(default_factory=list)
    """Name and reason of each rejection and label problem; the first MAX_REASONS."""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def sentence(self) -> str:
        return (
            f"{plural(self.files, 'file')}: {self.imported:,} imported, {plural(self.duplicates, 'duplicate')}, "
            f"{self.rejected:,} rejected; {plural(self.labeled, 'label')} imported, {self.label_problems:,} ignored."
            + (f" {self._replaced_sentence()}" if self.replaced else "")
        )

    def _replaced_sentence(self) -> str:
        held_out = f", {self.replaced_held_out:,} of them of validation and test images" * bool(self.replaced_held_out)
        return f"{plural(self.replaced, 'label')} replaced another one{held_out}."

    def reject(self, name: str, reason: str) -> None:
        self.rejected += 1
        self._list(name, reason)

    def label_problem(self, name: str, reason: str, *, is_listed: bool = True) -> None:
        self.label_problems += 1
        if is_listed:
            self._list(name, reason)

    def add(self, other: "Report") -> None:
        """Add the counts and reasons of another report."""
        for name in (
            "files", "imported", "duplicates", "labeled", "replaced", "replaced_held_out", "rejected", "label_problems",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons += other.reasons[: MAX_REASONS - len(self.reasons)]

    def _list(self, name: str, reason: str) -> None:
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append({"name": name, "reason": reason})


@dataclass(frozen=True)
class NewImage:
    """An image that decodes, before the project has it."""

    name: str
    data: bytes
    width: int
    height: int
    sha256: str
    label: GivenLabel | None


def start_import(
    db: Database,
    home: Home,
    request: Request,
    *,
    operator: str,
    upload: Upload | None = None,
    request_id: str | None = None,
) -> Job:
    """Start the import job. Its result is a Report as JSON. Return the existing job if the folder is already watched.

    Raises SlotlabError before anything is stored. The job reads folders, zips and label tables as a whole, so that a
    large one cannot stop this process. An error in them is the reason of the failed job.
    """
    request = with_absolute_paths(request)
    check_frame(request.frame)
    watched = request.path is not None and request.watch
    if request.path is None:
        check_upload(upload)
    elif watched:
        check_watch(request, request.path)
    else:
        check_source(request.path)
        if Path(request.labels).is_absolute():
            check_table(Path(request.labels))
    known = projects.find_project(db, request.project)
    if known is None or projects.find_source(db, known.id, request.source) is None:
        check_origins(request.source, request.owner, request.authorization)
    if watched and request.path is not None:
        text = spec_of(known) if known else new_spec(request.length, request.charset)
        request = replace(request, labels=_watched_rule(request, request.path, text))
    project = open_project(db, request.project, request.length, request.charset)
    source = open_source(db, project, request.source, request.owner, request.authorization)
    spec: dict[str, Any] = {
        "path": None if request.path is None else str(request.path), "labels": request.labels, "source": source.name,
        "operator": operator,
    }  # fmt: skip
    if request.options != LabelOptions():
        spec["options"] = asdict(request.options)
    if request.replace:
        spec["replace"] = True
    if request.frame:
        spec["frame"] = request.frame
    if watched:
        if job := _find_watch(db, home, project, spec):
            return job
        spec["watch"] = request.every

    def fill(directory: Path) -> dict[str, Any]:
        if upload is not None:
            save_upload(upload, directory)
        return {}

    return control.start_job(db, home, project, "import", spec, request_id=request_id, fill=fill)


def _watched_rule(request: Request, folder: Path, spec: TextSpec) -> str:
    """Return the rule of a watch, decided by the files that are there. Raises AmbiguousLabelsError."""
    if request.labels != "filename" or request.options.pattern is not None:
        return request.labels
    names = first_names(folder)
    exported = read_manifests(folder, names)
    rule = naming.decided([name for name in names if name not in exported], spec)
    return "filename" if rule == "start" else rule


def _find_watch(db: Database, home: Home, project: Project, spec: dict[str, Any]) -> Job | None:
    """Return the job that watches this folder. Raises OptionError if labels, source or options differ."""
    for job in control.active(db, home):
        other = control.spec(home, job.id)
        if job.project_id == project.id and other.get("watch") and other["path"] == spec["path"]:
            if (other["labels"], other["source"]) != (spec["labels"], spec["source"]):
                raise OptionError(
                    f"{job.id} is already watching this folder, with labels {other['labels']} and source "
                    f"{other['source']}. Cancel it first."
                )
            if any(other.get(key) != spec.get(key) for key in ("options", "replace", "frame")):
                raise OptionError(f"{job.id} is already watching this folder, with other options. Cancel it first.")
            return job
    return None


def watched_folder(home: Home, job: Job) -> str | None:
    """Return the folder that an import watches; None for other jobs."""
    spec = control.spec(home, job.id)
    return spec["path"] if spec.get("watch") else None


def current_report(home: Home, job: Job) -> Report:
    """Return the report of a watching import so far."""
    return Report(**(JobDir(home.run(job.id)).read(REPORT) or {}))


def batch_reports(home: Home, job: Job, offset: int) -> tuple[list[Report], int]:
    """Return a watching import's reports of each batch since `offset`, and the next offset; -1 is the end."""
    path = JobDir(home.run(job.id)).path / "metrics.jsonl"
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        if offset < 0:
            return [], file.seek(0, io.SEEK_END)
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
    return [Report(**json.loads(line)) for line in whole.splitlines()], offset + len(whole + newline)


def _work(work: Work) -> dict[str, object] | None:
    directory, spec = work.job.path, work.spec
    if spec.get("watch"):
        return _watch(work)
    path = directory / UPLOAD if spec["path"] is None else Path(spec["path"])
    rule = str(directory / UPLOADED_LABELS) if (directory / UPLOADED_LABELS).exists() else spec["labels"]
    options = LabelOptions(**spec.get("options", {}))
    with opened(Home.of_job(directory).db) as db:
        project, source = _target(db, work)
        report = import_images(
            db,
            project,
            source,
            path,
            rule,
            options=options,
            replace=spec.get("replace", False),
            frame=spec.get("frame", ""),
            operator=spec["operator"],
            on_progress=lambda done, total: work.say("Importing", step=done, steps=total),
            should_stop=work.should_stop,
        )
    if work.should_stop():
        return None
    for uploaded in (UPLOAD, UPLOADED_LABELS):
        (directory / uploaded).unlink(missing_ok=True)
    return report.to_dict()


def _target(db: Database, work: Work) -> tuple[Project, Source]:
    spec = work.spec
    project = projects.project_of_job(db, work.job.id)  # it may have been renamed
    source = projects.find_source(db, project.id, spec["source"]) if project else None
    if project is None or source is None:
        raise OptionError(f"Project {spec['project']['name']} or its source {spec['source']} no longer exists.")
    return project, source


def _watch(work: Work) -> dict[str, object] | None:
    """Scan a folder for new files until canceled, then return the report."""
    home, folder = Home.of_job(work.job.path), Path(work.spec["path"])
    watch, report, rejected = Watch(folder, exclude=home.root), Report(), set[str]()
    work.job.write(REPORT, report.to_dict())
    work.say(f"Scanning {folder}")
    while not work.should_stop():
        began = time.monotonic()
        try:
            _import_new(work, home, watch, report, rejected)
        except (ImportSourceError, StorageError) as error:  # the folder is unreachable, the database is busy or full
            work.say(f"{error} Retrying.", step=0, steps=0, idle=False)
        else:
            work.say(f"Watching {folder}: {report.sentence()}", step=0, steps=0, idle=True)
        took = time.monotonic() - began
        until = time.monotonic() + max(work.spec["watch"], 4 * took)
        while time.monotonic() < until and not work.should_stop():
            time.sleep(min(0.1, work.spec["watch"]))
    # Without a cancel request the watch is incomplete. Return None, so that the job counts as lost.
    return report.to_dict() if work.job.cancel_asked else None


def _import_new(work: Work, home: Home, watch: Watch, report: Report, rejected: set[str]) -> None:
    """Scan the folder once. Report each rejected file once, even if it changes later."""
    total, done = watch.waiting, 0
    for batch in watch.scan():
        if work.should_stop():
            return
        if not batch:
            continue
        batch_report = Report()
        with opened(home.db) as db:
            project, source = _target(db, work)
            names, folder = [entry.name for entry in batch], Path(work.spec["path"])
            options = LabelOptions(**work.spec.get("options", {}))
            book = LabelBook(work.spec["labels"], spec_of(project), names, folder, options, decides=False)
            batch.sort(key=lambda entry: entry.name)
            images = list(_read(batch, book, batch_report, work.spec.get("frame", ""), rejected))
            corrections = Corrections() if work.spec.get("replace") else None
            _store(db, project, source, images, work.spec["operator"], batch_report, corrections)
            if corrections:
                corrections.give(db, project, source, work.spec["operator"], batch_report)
        batch_report.files = batch_report.imported + batch_report.duplicates + batch_report.rejected
        done += len(batch)
        if batch_report.files:
            report.add(batch_report)
            work.job.write(REPORT, report.to_dict(), sync=False)
            work.job.append_metrics(batch_report.to_dict())
        if total > BATCH:
            work.say(f"Importing from {work.spec['path']}", step=min(done, total), steps=total)


def open_project(db: Database, name: str, length: int | None, charset: str | None) -> Project:
    """Find or create the project. Raises OptionError if it has another length or charset."""
    project = projects.find_project(db, name)
    if project is None:
        check_name("project name", name, MAX_PROJECT)
        spec = new_spec(length, charset)
        with write(db):  # another process may have created it in between
            project = projects.find_project(db, name) or projects.insert_project(db, name, spec.length, spec.charset)
    wanted = (project.length if length is None else length, project.charset if charset is None else charset)
    if wanted != (project.length, project.charset):
        raise OptionError(
            f"Project {name} has length {project.length} and charset {project.charset!r}. "
            f"They cannot change to {wanted[0]} and {wanted[1]!r}. Create another project."
        )
    return project


def open_source(db: Database, project: Project, name: str, owner: str, authorization: str) -> Source:
    """Find or create the source. Raises OptionError if owner or authorization is missing or differs."""
    with write(db):
        source = projects.find_source(db, project.id, name)
        if source is None:
            check_origins(name, owner, authorization)
            return projects.insert_source(db, project.id, name, owner, authorization)
    if (source.owner, source.authorization) != (owner, authorization):
        raise OptionError(
            f"Source {name} already has owner {source.owner!r} and authorization {source.authorization!r}. "
            "Use another source name for a different owner or authorization."
        )
    return source


def import_images(
    db: Database,
    project: Project,
    source: Source,
    path: Path,
    rule: str,
    *,
    options: LabelOptions | None = None,
    replace: bool = False,
    frame: str = "",
    operator: str,
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Import all images under `path`. `rule` and `options` select the labels (see core.data.label_book.LabelBook).

    With `replace`, correct labels that exist already, after all images are read. `frame`: see core.images.pixels.still.

    Stop between two batches when `should_stop` returns True. Images imported so far are kept.
    """
    entries = list_files(path)
    book = LabelBook(rule, spec_of(project), [entry.name for entry in entries], path, options)
    report, corrections = Report(files=len(entries)), Corrections() if replace else None
    remaining = iter(entries)
    done = 0
    while not should_stop() and (batch := list(islice(remaining, BATCH))):
        _store(db, project, source, list(_read(batch, book, report, frame)), operator, report, corrections)
        done += len(batch)
        on_progress(done, len(entries))
    if corrections and not should_stop():
        corrections.give(db, project, source, operator, report)
    for name, reason in book.skipped():
        report.label_problem(name, reason)
    for place, (name, reason) in enumerate(book.unmatched()):
        report.label_problem(name, reason, is_listed=place < LISTED_ROWS)
    return report


class Corrections:
    """Labels that would replace others. They wait until all labels of an import are known."""

    def __init__(self) -> None:
        self._texts: defaultdict[str, set[str]] = defaultdict(set)
        """Labels of people by the hash of the pixels."""
        self._waiting: list[NewImage] = []

    def takes(self, db: Database, project: Project, image: NewImage) -> bool:
        """Note the label of an image. Return True if it would replace another one, and keep it without the file."""
        if image.label is None or image.label.kind not in PEOPLE:
            return False
        self._texts[image.sha256].add(image.label.text)
        sample = samples.find_sample(db, project.id, image.sha256)
        if sample is None or sample.state != "labeled" or sample.label == image.label.text:
            return False
        self._waiting.append(dataclasses.replace(image, data=b""))
        return True

    def give(self, db: Database, project: Project, source: Source, operator: str, report: Report) -> None:
        """Give the labels, except where two files with the same pixels have different ones."""
        for start in range(0, len(self._waiting), BATCH):
            with write(db):
                for image in self._waiting[start : start + BATCH]:
                    if len(texts := self._texts[image.sha256]) > 1:
                        shown = " and ".join(repr(text) for text in sorted(texts))
                        reason = f"Ignored the label: files of this import with the same pixels have {shown}."
                        report.label_problem(image.name, reason)
                    elif image.label and (sample := samples.find_sample(db, project.id, image.sha256)):
                        _give_label(db, source, sample, image, image.label, operator, report, replace=True)


def _store(
    db: Database,
    project: Project,
    source: Source,
    images: Sequence[NewImage],
    operator: str,
    report: Report,
    corrections: Corrections | None,
) -> None:
    """Store a batch of images in one transaction. `corrections` take the labels that would replace others."""
    with write(db):
        for image in images:
            if corrections and corrections.takes(db, project, image):
                report.duplicates += 1
            else:
                store_image(db, project, source, image, operator, report)


def _read(
    batch: list[SourceFile], book: LabelBook, report: Report, frame: str, rejected: set[str] | None = None
) -> Iterator[NewImage]:
    """Yield the images of a batch. Other files go into the report, once each if `rejected` is given."""
    for entry in batch:
        try:
            data = still(entry.read(), frame) if frame else entry.read()
            pixels = decode_new(data)
        except UnsettledError:
            continue
        except ImageError as error:
            if rejected is None or entry.name not in rejected:
                report.reject(entry.name, str(error))
            if rejected is not None:
                rejected.add(entry.name)
            continue
        try:
            label = book.label_of(entry.name)
        except LabelError as error:
            report.label_problem(entry.name, str(error))
            label = None
        yield new_image(entry.name, data, pixels, label)


def new_image(name: str, data: bytes, pixels: Pixels, label: GivenLabel | None = None) -> NewImage:
    """Return an image to store. `pixels` are those of its file `data`."""
    height, width, _ = pixels.shape
    return NewImage(name, data, width, height, pixel_hash(pixels), label)


def store_image(
    db: Database,
    project: Project,
    source: Source,
    image: NewImage,
    operator: str,
    report: Report,
) -> None:
    """Add an image to a project, unless it has these pixels, and label it. Call inside `write(db)`."""
    sample = samples.find_sample(db, project.id, image.sha256)
    if sample is None:
        sample_id = samples.insert_sample(
            db,
            project_id=project.id,
            source_id=source.id,
            sha256=image.sha256,
            name=image.name,
            width=image.width,
            height=image.height,
            split=split_of(image.sha256),
            image=image.data,
        )
        sample = samples.get_sample(db, sample_id)
        report.imported += 1
    else:
        report.duplicates += 1
    if image.label is not None:
        _give_label(db, source, sample, image, image.label, operator, report, replace=False)


def _give_label(
    db: Database,
    source: Source,
    sample: Sample,
    image: NewImage,
    given: GivenLabel,
    operator: str,
    report: Report,
    *,
    replace: bool,
) -> None:
    """Label an image. A label of people replaces a reading that nobody checked; others fill unlabeled images only.

    With `replace`, a label of people replaces any label. It never labels what an operator skipped.
    """
    is_reading = given.kind not in PEOPLE
    corrects = replace and not is_reading and sample.state == "labeled" and sample.label != given.text
    replaces = not is_reading and sample.kind in MACHINES and not sample.checked
    if sample.label == given.text and not replaces:
        return
    if is_reading and sample.split != "train":
        split = "validation" if sample.split == "val" else sample.split
        reason = f"Ignored a label of kind {given.kind}: a reading cannot be the label of a {split} image."
        report.label_problem(image.name, reason)
        return
    # The id depends only on source, image and label, so repeating an import adds nothing to the ledger.
    event_id = f"import:{source.id}:{image.sha256}:{given.text}" + f":{given.kind}" * (given.kind != "import")
    if corrects:  # a label may be corrected to what it was before
        event_id += f":{sample.version}"
    previous = labels.find_event(db, event_id)
    if previous:  # reported again if it was ignored then; a later change by an operator wins
        version = previous.version
    elif is_reading and sample.state != "unlabeled":
        version = None  # not an opinion, so the ledger does not hold it
    else:
        version = labels.append_event(
            db,
            sample,
            event_id=event_id,
            operator=operator,
            action="import",
            state="labeled",
            text=given.text,
            kind=given.kind,
            # An import fills an unlabeled image, also after an undo. It never replaces a label of people or a skip.
            base_version=sample.version if sample.state == "unlabeled" or replaces or corrects else -1,
            origin="import",
        )
        update_standing(db, sample.id)
    if version is None:
        reason = {
            "labeled": f"is already labeled {sample.label!r}",
            "skipped": "was skipped by an operator",
            "unlabeled": "was unlabeled by an operator",
        }[sample.state]
        report.label_problem(image.name, f"Ignored label {given.text!r}: this image ({sample.name}) {reason}.")
    elif not previous:
        report.labeled += 1
        report.replaced += corrects
        report.replaced_held_out += corrects and sample.split != "train"


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], _work))
