"""The request of an import: its parameters, uploaded files, and the checks that need neither images nor a database."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from core.charset import TextSpec
from core.data.label_book import NAMED, RULES, LabelOptions
from core.data.sources import folder_paths, has_inside, storable
from core.data.tables import naming
from core.data.tables.formats import check_bytes
from core.errors import ImportSourceError, OptionError
from core.files import checked_path
from core.names import MAX_ORIGIN, check_name

DEFAULT_SPEC = TextSpec(6, "0123456789")
UPLOAD, UPLOADED_LABELS = "upload.zip", "label table"
"""Files uploaded through the browser. They stay in the job's directory until they are imported."""
ORIGINS = {
    "source name": "Name where these images come from.",
    "owner": "Enter who owns the portal.",
    "authorization": "Enter the ticket or contract that allows you to use these images.",
}
"""Facts about a source that must be known, with advice."""
WATCH_SECONDS = 2.0
"""Seconds between two scans of a watched folder. Longer after a slow scan, so that the job is mostly idle."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The parameters of an import."""

    path: Path | None
    """Folder, zip or image on this machine; None for uploaded files."""
    labels: str = "none"
    """One of core.data.label_book.RULES, or the path of a label table, perhaps inside `path`."""
    options: LabelOptions = field(default_factory=LabelOptions)
    replace: bool = False
    """True to correct labels that exist already."""
    project: str
    length: int | None = None
    charset: str | None = None
    """None: those of the project, or six digits for a new one."""
    source: str
    owner: str
    authorization: str
    watch: bool = False
    """True to keep importing new files from the folder until canceled."""
    every: float = WATCH_SECONDS
    """Seconds between two scans."""
    frame: str = ""
    """Frame of animations, see core.images.pixels.still; empty to refuse them."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Files uploaded through the browser: images, or one zip."""

    files: Sequence[tuple[str, bytes]]
    label_table: bytes | None = None


def with_absolute_paths(request: Request) -> Request:
    """Return the request with absolute paths, because the worker has another working directory.

    A pattern is about names, and a watched folder has no table. Raises OptionError without a rule for the labels.
    """
    if request.labels == "auto" and (request.watch or request.options.pattern is not None):
        request = replace(request, labels="none" if request.options.pattern is None else "filename")
    if request.path is None:
        return request
    if not request.labels and not request.watch:  # a watched folder has no table
        raise OptionError("Enter the path of the label table.")
    path, rule = checked_path(request.path), request.labels
    if rule not in RULES and ((table := checked_path(Path(rule))).exists() or not has_inside(path, rule)):
        rule = str(table)
    return replace(request, path=path, labels=rule)


def first_names(folder: Path) -> list[str]:
    """Return the names of some files of a folder that is watched. It may be empty, or have very many."""
    paths = islice(folder_paths(folder), naming.EVIDENCE_NAMES)
    return [storable(path.relative_to(folder).as_posix()) for path in paths]


def check_watch(request: Request, folder: Path) -> None:
    """Raise SlotlabError if the folder cannot be watched with these labels."""
    if not folder.is_dir():
        raise ImportSourceError(f"{folder} is not a folder. Only a folder can be watched.")
    if request.labels != "none" and request.labels not in NAMED:
        raise OptionError(
            "A watched folder can take labels only from file names. To use a table, import without watching."
        )
    if not 0.1 <= request.every <= 3600:
        raise OptionError(f"Cannot scan a folder every {request.every:g} seconds. Use 0.1 to 3,600 seconds.")


def _is_one_zip(upload: Upload) -> bool:
    return len(upload.files) == 1 and upload.files[0][0].lower().endswith(".zip")


def check_upload(upload: Upload | None) -> None:
    """Raise SlotlabError if there is nothing to import, or a glance shows that it cannot be.

    None: the request should name a folder.
    """
    if upload is None:
        raise OptionError("The folder is missing. Type the path of a folder or zip file on the server.")
    if not upload.files:
        raise OptionError("There are no files to import. Choose image files or a zip file first.")
    if _is_one_zip(upload) and not zipfile.is_zipfile(io.BytesIO(upload.files[0][1])):
        raise ImportSourceError(f"{upload.files[0][0]} is damaged or not a zip file.")
    if upload.label_table is not None:
        check_bytes("The label table", upload.label_table)


def save_upload(upload: Upload, directory: Path) -> None:
    """Save the files as one zip, so that an uploaded name never becomes a path."""
    if _is_one_zip(upload):
        (directory / UPLOAD).write_bytes(upload.files[0][1])
    else:
        with zipfile.ZipFile(directory / UPLOAD, "w") as archive:
            for name, data in upload.files:
                archive.writestr(zipfile.ZipInfo(name), data)
    if upload.label_table is not None:
        (directory / UPLOADED_LABELS).write_bytes(upload.label_table)


def check_origins(name: str, owner: str, authorization: str) -> None:
    check_origin("source name", name)
    check_origin("owner", owner)
    check_origin("authorization", authorization)


def check_origin(title: str, value: str) -> None:
    """Raise OptionError if a fact about a new source is missing or not a name. `title` is a key of ORIGINS."""
    if not value.strip():
        raise OptionError(f"The {title} is missing. {ORIGINS[title]}")
    check_name(title, value, MAX_ORIGIN)


def new_spec(length: int | None, charset: str | None) -> TextSpec:
    """Return the text of a new project. Raises OptionError."""
    return TextSpec(
        DEFAULT_SPEC.length if length is None else length, DEFAULT_SPEC.charset if charset is None else charset
    )
