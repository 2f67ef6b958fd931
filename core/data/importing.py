"""Import: images into a project, each once, with what is known about them.

The job is `python -m core.data.importing JOB_DIR`.
Running an import again changes nothing that is there, so an interrupted one is finished by running it again. An import
that watches its folder goes on until it is canceled, and takes what is new there.
"""

import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from core.charset import TextSpec, spec_of
from core.data.sources import LabelBook, SourceFile, list_files, parse_csv
from core.data.standing import update_standing
from core.data.watched_folder import UnsettledError, Watch
from core.errors import ImageError, ImportSourceError, LabelError, OptionError, StorageError
from core.home import Home
from core.images.pixels import decode, pixel_hash, split_of
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.jobs.work import Work, run_worker
from db import labels, projects, samples
from db.connection import opened, write
from db.records import Job, Project, Source

BATCH = 200
"""Images a transaction. Decoding happens outside; 200 inserts hold the write lock for about 20 ms."""
DEFAULT_SPEC = TextSpec(6, "0123456789")
UPLOAD, UPLOADED_LABELS = "upload.zip", "labels.csv"
"""What came through the browser, in the job's directory until it is imported."""
LISTED = 1000
"""Rejections named in a report; all are counted."""
WATCH_SECONDS = 2.0
"""From one look at a watched folder to the next; more where a look takes long, so that most of the time is rest."""
REPORT = "report.json"
"""What a watch has taken so far, in the job's directory."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an import is asked to do."""

    path: Path | None
    """Folder, zip or image on this machine; None when the files are uploaded."""
    labels: str = "none"
    """none, filename, or the path of a CSV."""
    project: str
    length: int | None = None
    charset: str | None = None
    """None: as the project has them, or six digits for a new one."""
    source: str
    owner: str
    authorization: str
    watch: bool = False
    """Whether to go on taking what is new in the folder, until canceled."""
    every: float = WATCH_SECONDS


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Files that came through the browser: images, or one zip."""

    files: Sequence[tuple[str, bytes]]
    labels_csv: bytes | None = None


@dataclass
class Report:
    """What became of the files of one import."""

    files: int = 0
    imported: int = 0
    duplicates: int = 0
    """Files whose pixels the project held already."""
    labeled: int = 0
    """Labels taken from the import now."""
    rejected: int = 0
    label_problems: int = 0
    """Labels that were not taken; their images are imported all the same."""
    reasons: list[dict[str, str]] = field(default_factory=list)
    """name and reason of each rejection and label problem, the first LISTED of them."""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def sentence(self) -> str:
        return (
            f"{self.files} files: {self.imported} imported, {self.duplicates} known already, {self.rejected} rejected; "
            f"{self.labeled} labels taken, {self.label_problems} not."
        )

    def reject(self, name: str, reason: str) -> None:
        self.rejected += 1
        self._list(name, reason)

    def label_problem(self, name: str, reason: str) -> None:
        self.label_problems += 1
        self._list(name, reason)

    def add(self, news: "Report") -> None:
        """Count what has become of further files."""
        for name in ("files", "imported", "duplicates", "labeled", "rejected", "label_problems"):
            setattr(self, name, getattr(self, name) + getattr(news, name))
        self.reasons += news.reasons[: LISTED - len(self.reasons)]

    def _list(self, name: str, reason: str) -> None:
        if len(self.reasons) < LISTED:
            self.reasons.append({"name": name, "reason": reason})


@dataclass(frozen=True)
class _Image:
    name: str
    data: bytes
    width: int
    height: int
    sha256: str
    label: str | None


def start_import(
    db: Database,
    home: Home,
    request: Request,
    *,
    operator: str,
    upload: Upload | None = None,
    request_id: str | None = None,
) -> Job:
    """Start the import job; its result is a Report as JSON. Raises SlotlabError before anything is stored.

    A folder that is watched already is not watched twice: the job that does so is returned.
    """
    request = _with_whole_paths(request)
    watched = request.path is not None and request.watch
    if request.path is None:
        _check_upload(upload)
    elif watched:
        _check_watch(request, request.path)
    else:
        LabelBook(request.labels, DEFAULT_SPEC, [entry.name for entry in list_files(request.path)])
    _check_origin(request.source, request.owner, request.authorization)
    project = open_project(db, request.project, request.length, request.charset)
    source = _open_checked_source(db, project, request.source, request.owner, request.authorization)
    spec: dict[str, Any] = {
        "path": None if request.path is None else str(request.path), "labels": request.labels, "source": source.name,
        "operator": operator,
    }  # fmt: skip
    if watched:
        if job := _watching_already(db, home, project, spec):
            return job
        spec["watch"] = request.every

    def fill(directory: Path) -> None:
        if upload is not None:
            _save_upload(upload, directory)

    return control.start_job(db, home, project, "import", spec, request_id=request_id, fill=fill)


def _with_whole_paths(request: Request) -> Request:
    """The worker stands in another directory, so it would not find relative ones."""
    if request.path is None:
        return request
    in_file = request.labels not in {"none", "filename"}
    rule = str(Path(request.labels).expanduser().resolve()) if in_file else request.labels
    return replace(request, path=request.path.expanduser().resolve(), labels=rule)


def _check_watch(request: Request, folder: Path) -> None:
    if not folder.is_dir():
        raise ImportSourceError(f"Only a folder can be watched, and {folder} is none.")
    if request.labels not in {"none", "filename"}:
        raise OptionError(
            "A watched folder takes its labels from the file names or not at all; import with the CSV once it is whole."
        )
    if not 0.1 <= request.every <= 3600:
        raise OptionError("A folder is looked at every 0.1 to 3,600 seconds.")


def _watching_already(db: Database, home: Home, project: Project, spec: dict[str, Any]) -> Job | None:
    """Find the job that watches this folder. Raises OptionError when it does so with other labels or another source."""
    for job in control.active(db, home):
        other = control.spec(home, job.id)
        if job.project_id == project.id and other.get("watch") and other["path"] == spec["path"]:
            if (other["labels"], other["source"]) != (spec["labels"], spec["source"]):
                raise OptionError(
                    f"{job.id} watches this folder already, with labels {other['labels']} and source "
                    f"{other['source']}; stop it first."
                )
            return job
    return None


def watched_folder(home: Home, job: Job) -> str | None:
    """The folder that an import watches; None for other jobs."""
    spec = control.spec(home, job.id)
    return spec["path"] if spec.get("watch") else None


def report_so_far(home: Home, job: Job) -> Report:
    """What a watch has taken by now."""
    return Report(**(JobDir(home.run(job.id)).read(REPORT) or {}))


def news_of(home: Home, job: Job, offset: int) -> tuple[list[Report], int]:
    """What a watch has taken since `offset`, batch by batch, and the offset to ask from next; -1 is its end."""
    path = JobDir(home.run(job.id)).path / "metrics.jsonl"
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        if offset < 0:
            return [], file.seek(0, io.SEEK_END)
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
    return [Report(**json.loads(line)) for line in whole.splitlines()], offset + len(whole + newline)


def _is_one_zip(upload: Upload) -> bool:
    return len(upload.files) == 1 and upload.files[0][0].lower().endswith(".zip")


def _check_upload(upload: Upload | None) -> None:
    if upload is None or not upload.files:
        raise OptionError("There are no files to import.")
    if _is_one_zip(upload) and not zipfile.is_zipfile(io.BytesIO(upload.files[0][1])):
        raise ImportSourceError(f"{upload.files[0][0]} is damaged or no zip file.")
    if upload.labels_csv is not None:
        parse_csv("The label file", upload.labels_csv)


def _save_upload(upload: Upload, directory: Path) -> None:
    """Into one zip, so that a name from outside never becomes a path."""
    if _is_one_zip(upload):
        (directory / UPLOAD).write_bytes(upload.files[0][1])
    else:
        with zipfile.ZipFile(directory / UPLOAD, "w") as archive:
            for name, data in upload.files:
                archive.writestr(zipfile.ZipInfo(name), data)
    if upload.labels_csv is not None:
        (directory / UPLOADED_LABELS).write_bytes(upload.labels_csv)


def _work(work: Work) -> dict[str, object] | None:
    directory, spec = work.job.path, work.spec
    if spec.get("watch"):
        return _watch(work)
    path = directory / UPLOAD if spec["path"] is None else Path(spec["path"])
    rule = str(directory / UPLOADED_LABELS) if (directory / UPLOADED_LABELS).exists() else spec["labels"]
    with opened(Home.of_job(directory).db) as db:
        project, source = _target(db, spec)
        report = import_images(
            db,
            project,
            source,
            path,
            rule,
            operator=spec["operator"],
            on_progress=lambda done, total: work.say("Importing", step=done, steps=total),
            should_stop=work.should_stop,
        )
    if work.should_stop():
        return None
    for uploaded in (UPLOAD, UPLOADED_LABELS):
        (directory / uploaded).unlink(missing_ok=True)
    return report.to_dict()


def _target(db: Database, spec: dict[str, Any]) -> tuple[Project, Source]:
    project = projects.find_project(db, spec["project"]["name"])
    source = projects.find_source(db, project.id, spec["source"]) if project else None
    if project is None or source is None:
        raise OptionError(f"Project {spec['project']['name']} or its source {spec['source']} is gone.")
    return project, source


def _watch(work: Work) -> dict[str, object] | None:
    """Take what is new in a folder, look after look, until canceled; that is its end, and the report its result."""
    home, folder = Home.of_job(work.job.path), Path(work.spec["path"])
    watch, report, refused = Watch(folder, leave_out=home.root), Report(), set[str]()
    work.job.write(REPORT, report.to_dict())
    work.say(f"Looking at {folder}")
    while not work.should_stop():
        began = time.monotonic()
        try:
            _take(work, home, watch, report, refused)
        except (ImportSourceError, StorageError) as error:  # a folder that is away, a database that is busy or full
            work.say(f"{error} It is waited for.", step=0, steps=0, idle=False)
        else:
            work.say(f"Watching {folder}: {report.sentence()}", step=0, steps=0, idle=True)
        took = time.monotonic() - began
        until = time.monotonic() + max(work.spec["watch"], 4 * took)
        while time.monotonic() < until and not work.should_stop():
            time.sleep(min(0.1, work.spec["watch"]))
    # Ended by anything else, it is not done: it counts as lost, and whoever looks is told.
    return report.to_dict() if work.job.cancel_asked else None


def _take(work: Work, home: Home, watch: Watch, report: Report, refused: set[str]) -> None:
    """One look at the folder. What was refused is told once, however often its file changes."""
    total, done = watch.waiting, 0
    for batch in watch.look():
        if work.should_stop():
            return
        if not batch:
            continue
        news = Report()
        with opened(home.db) as db:
            project, source = _target(db, work.spec)
            book = LabelBook(work.spec["labels"], spec_of(project), [])
            images = list(_read(sorted(batch, key=lambda entry: entry.name), book, news, refused))
            with write(db):
                for image in images:
                    _store(db, project, source, image, work.spec["operator"], news)
        news.files = news.imported + news.duplicates + news.rejected
        done += len(batch)
        if news.files:
            report.add(news)
            work.job.write(REPORT, report.to_dict(), sync=False)
            work.job.append_metrics(news.to_dict())
        if total > BATCH:
            work.say(f"Importing from {work.spec['path']}", step=min(done, total), steps=total)


def open_project(db: Database, name: str, length: int | None, charset: str | None) -> Project:
    """The project of this name, made if need be. Raises OptionError when it has another length or charset."""
    project = projects.find_project(db, name)
    if project is None:
        if not name.strip() or len(name) > 64 or not name.isprintable() or name.strip() != name:
            raise OptionError(f"{name!r} cannot be the name of a project: use 1 to 64 visible characters.")
        spec = TextSpec(
            DEFAULT_SPEC.length if length is None else length, DEFAULT_SPEC.charset if charset is None else charset
        )
        with write(db):  # somebody else may have made it in between
            project = projects.find_project(db, name) or projects.insert_project(db, name, spec.length, spec.charset)
    asked = (project.length if length is None else length, project.charset if charset is None else charset)
    if asked != (project.length, project.charset):
        raise OptionError(
            f"Project {name} has length {project.length} and charset {project.charset!r}; "
            f"an import cannot change them to {asked[0]} and {asked[1]!r}."
        )
    return project


def open_source(db: Database, project: Project, name: str, owner: str, authorization: str) -> Source:
    """The source of this name, made if need be. Raises OptionError unless owner and authorization are given."""
    _check_origin(name, owner, authorization)
    return _open_checked_source(db, project, name, owner, authorization)


def _open_checked_source(db: Database, project: Project, name: str, owner: str, authorization: str) -> Source:
    with write(db):
        source = projects.find_source(db, project.id, name)
        if source is None:
            return projects.insert_source(db, project.id, name, owner, authorization)
    if (source.owner, source.authorization) != (owner, authorization):
        raise OptionError(
            f"Source {name} is recorded with owner {source.owner!r} and authorization {source.authorization!r}; "
            "give another name to a source with others."
        )
    return source


def _check_origin(name: str, owner: str, authorization: str) -> None:
    for what, value in (("name of the source", name), ("owner", owner), ("authorization", authorization)):
        if not value.strip():
            raise OptionError(f"The {what} is missing: say whose images these are and who allowed their use.")


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
    """Import all images under `path`; `rule` says where labels come from (see core.data.sources.LabelBook).

    Stops between two batches when `should_stop` says so; what is imported by then stays.
    """
    entries = list_files(path)
    book = LabelBook(rule, spec_of(project), [entry.name for entry in entries])
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


def _read(
    batch: list[SourceFile], book: LabelBook, report: Report, refused: set[str] | None = None
) -> Iterator[_Image]:
    """The images of a batch; what is none goes into the report, unless it is among `refused` already."""
    for entry in batch:
        try:
            data = entry.read()
            pixels = decode(data)
        except UnsettledError:
            continue
        except ImageError as error:
            if refused is None or entry.name not in refused:
                report.reject(entry.name, str(error))
            if refused is not None:
                refused.add(entry.name)
            continue
        try:
            label = book.label_of(entry.name)
        except LabelError as error:
            report.label_problem(entry.name, str(error))
            label = None
        height, width, _ = pixels.shape
        yield _Image(entry.name, data, width, height, pixel_hash(pixels), label)


def _store(db: Database, project: Project, source: Source, image: _Image, operator: str, report: Report) -> None:
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
    if image.label is None or sample.label == image.label:
        return
    # One id for one statement of one source, so that a second import of it adds nothing to the ledger.
    event_id = f"import:{source.id}:{image.sha256}:{image.label}"
    known = labels.find_event(db, event_id)
    if known:  # told again if it was not taken then; an operator who changed it since has decided
        version = known.version
    else:
        version = labels.append_event(
            db,
            sample,
            event_id=event_id,
            operator=operator,
            action="import",
            state="labeled",
            text=image.label,
            # An image whose label was undone waits for one; where a label or a skip stands, nothing is replaced.
            base_version=sample.version if sample.state == "unlabeled" else -1,
            origin="import",
        )
        update_standing(db, sample.id)
    if version is None:
        why = {
            "labeled": f"is labeled {sample.label!r} already",
            "skipped": "was skipped by an operator",
            "unlabeled": "was left without a label by an operator",
        }[sample.state]
        report.label_problem(image.name, f"{image.label!r} was not taken: the same image ({sample.name}) {why}.")
    elif not known:
        report.labeled += 1


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], _work))
