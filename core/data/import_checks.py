"""Checks of an import before it starts: its labels as they would be read, and all problems of its request."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from core.charset import TextSpec, spec_of
from core.data.import_request import (
    UPLOAD,
    UPLOADED_LABELS,
    Request,
    Upload,
    check_origin,
    check_upload,
    check_watch,
    first_names,
    new_spec,
    save_upload,
    with_absolute_paths,
)
from core.data.label_book import LabelBook, Preview, check_table
from core.data.sources import SourceFile, check_source, count_entries, folder_paths, list_files
from core.data.tables.formats import MAX_TABLE_BYTES
from core.errors import ImageError, ImportSourceError, OptionError, SlotlabError
from core.images.pixels import check_frame, decode, still
from core.names import MAX_PROJECT, check_name
from core.words import plural
from db import projects, samples
from db.records import Project
from db.sqlite import Database

SIZED = 10
"""Files of an import whose size is read for its preview."""
MANY_SIZES = 10
"""Sizes of images in a project above which a new one says nothing."""


def preview(db: Database, request: Request) -> Preview:
    """Return the labels as an import of files on this machine would read them. Stores nothing.

    Raises SlotlabError as `start_import` and its job would, except for damaged images.
    """
    project = projects.find_project(db, request.project)
    spec = spec_of(project) if project else new_spec(request.length, request.charset)
    return preview_of(request, spec)


def preview_of(
    request: Request,
    spec: TextSpec,
    upload: Upload | None = None,
    *,
    most_files: int | None = None,
    table_bytes: int = MAX_TABLE_BYTES,
) -> Preview:
    """Return the labels as an import into a project of this text would read them.

    Raises ImportSourceError if there are more files, or if a label table is larger.
    """
    if upload is not None:
        check_upload(upload)
        with TemporaryDirectory() as folder:
            save_upload(upload, Path(folder))
            table = Path(folder, UPLOADED_LABELS)
            labels = str(table) if table.exists() else request.labels
            return _read(with_absolute_paths(request), Path(folder, UPLOAD), labels, spec, most_files, table_bytes)
    request = with_absolute_paths(request)
    return _read(request, request.path or Path(), request.labels, spec, most_files, table_bytes)


def _read(
    request: Request, path: Path, labels: str, spec: TextSpec, most_files: int | None, table_bytes: int
) -> Preview:
    files: list[SourceFile] = []
    if request.watch:
        check_watch(request, path)
        names = first_names(path)
    else:
        if most_files is not None:
            _check_count(path, most_files)
        files = list_files(path)
        names = [file.name for file in files]
    preview = LabelBook(labels, spec, names, path, request.options, table_bytes=table_bytes).preview()
    return replace(preview, sizes=_sizes(files, request.frame))


def _sizes(files: Sequence[SourceFile], frame: str) -> list[tuple[int, int]]:
    """Return the different sizes of SIZED files, spread evenly, as the import stores them. Raises OptionError."""
    check_frame(frame)
    sizes = dict[tuple[int, int], None]()
    for file in files[:: max(1, -(-len(files) // SIZED))]:
        with suppress(ImageError):  # the report of the import says why
            data = file.read()
            pixels = decode(still(data, frame) if frame else data)
            sizes[pixels.shape[1], pixels.shape[0]] = None
    return [*sizes]


def misfit(db: Database, project: Project | None, preview: Preview) -> str:
    """Return what speaks against importing these images into this project; empty if nothing does.

    `project` is None for a new one.
    """
    other = other_sizes(db, project, preview.sizes) if project else ""
    return " ".join(filter(None, [other, preview.length_note]))


def other_sizes(db: Database, project: Project, sizes: Sequence[tuple[int, int]]) -> str:
    """Return a warning if a project has no image of these widths and heights, in pixels; else an empty text.

    The sizes of a project with more than MANY_SIZES say nothing.
    """
    known = samples.first_sizes(db, project.id)
    if not sizes or not 0 < len(known) <= MANY_SIZES:
        return ""
    if any(samples.has_size(db, project.id, *size) for size in sizes):
        return ""
    return (
        f"The images have {_pixels(sizes)}, those of project {project.name} {_pixels(known)}. Use another project "
        "if they are of another portal."
    )


def _pixels(sizes: Sequence[tuple[int, int]]) -> str:
    """Return the first size, and how many others there are."""
    (width, height), others = sizes[0], len(sizes) - 1
    more = f" and {plural(others, 'other size')}" if others else ""
    return f"{width} x {height} pixels{more}"


def _check_count(path: Path, most: int) -> None:
    """Raise ImportSourceError if a folder or zip has more files. The names of very many fill the memory."""
    if path.is_dir():
        count = sum(1 for _ in islice(folder_paths(path), most + 1))
    else:
        count = (count_entries(path) or (0, 0))[0] if path.is_file() else 0
    if count > most:
        raise ImportSourceError(f"There is no preview of more than {most:,} files. The import reads them all.")


def problems(db: Database | None, request: Request, upload: Upload | None = None) -> dict[str, str]:
    """Return what is wrong with a request, as sentences by field: all at once, where `start_import` raises the first.

    Fields: images, frame, labels, project, text, source, owner, authorization. Without a database there is no project
    yet.
    """
    found: dict[str, str] = {}

    def check(field: str, test: Callable[[], object]) -> None:
        try:
            test()
        except SlotlabError as error:
            found[field] = str(error)

    check("images", lambda: _check_images(request, upload))
    check("frame", lambda: check_frame(request.frame))
    if upload is None and request.path is not None and "images" not in found:
        check("labels", lambda: _check_labels(request))
    project = projects.find_project(db, request.project) if db is not None else None
    if project is None:
        check("project", lambda: _check_project(request.project))
        check("text", lambda: new_spec(request.length, request.charset))
    if db is None or project is None or projects.find_source(db, project.id, request.source) is None:
        check("source", lambda: check_origin("source name", request.source))
        check("owner", lambda: check_origin("owner", request.owner))
        check("authorization", lambda: check_origin("authorization", request.authorization))
    return found


def _check_project(name: str) -> None:
    if not name.strip():
        raise OptionError("The project name is missing. Name the portal.")
    check_name("project name", name, MAX_PROJECT)


def _check_images(request: Request, upload: Upload | None) -> None:
    if request.path is None:
        check_upload(upload)
    elif not request.watch:
        check_source(request.path)


def _check_labels(request: Request) -> None:
    request = with_absolute_paths(request)
    if request.watch and request.path is not None:
        check_watch(request, request.path)
    elif Path(request.labels).is_absolute():
        check_table(Path(request.labels))
