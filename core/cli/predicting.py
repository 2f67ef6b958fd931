"""Commands that read files: predict, batch."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from core.bundle.reader import MANIFEST, SUMS
from core.charset import TextSpec
from core.cli.progress import Progress
from core.cli.shared import Json, Tta, database, find_run
from core.cli.terminal import print_error, print_line
from core.data.proposals import is_blind
from core.errors import ImageError, OptionError, SlotlabError
from core.files import checked_path, is_standard_output, shortened
from core.home import Home
from core.images.frame import frame_of, subsample
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import STRIDE, caution, check_spec
from core.runs.batch import run_batch, usable_cores
from core.runs.inputs import Contents, Input, Record, batches, find_inputs, records
from core.runs.parts import Form, Parts
from core.runs.readings_file import ReadingsFile, csv_header, csv_line, json_line
from core.runs.targets import BundleTarget, IsBlind, RunTarget, Target, is_bundle, open_bundle
from core.words import plural
from db import jobs, runs
from db.connection import opened

MAX_NAMED = 20
"""Files that a batch could not read and names, the last ones. All of them are in its output."""
SOURCES = "Images, folders, zips, quoted patterns; - reads a list of paths from standard input."


def predict(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Number, name or directory of a run; folder or zip of a bundle; builtin is the built-in reader.",
        ),
    ],
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help=SOURCES)],
    *,
    length: Annotated[int | None, typer.Option(help="Text length, for builtin.")] = None,
    charset: Annotated[str | None, typer.Option(help="Allowed characters, for builtin.")] = None,
    tta: Tta = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to a file. Run again to continue: it keeps what it has."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line. Default of --out.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV. Default of --out with a name in .csv.")] = False,
) -> None:
    """Read images. Report unreadable files, read the others, and exit with code 1."""
    if as_json and as_csv:
        raise OptionError("Use either --json or --csv.")
    inputs = find_inputs(sources, sys.stdin.buffer)
    file = None if out is None or is_standard_output(out) else checked_path(out)
    if file:
        Home.from_env().check_outside(file)
        as_csv |= not as_json and file.suffix.lower() == ".csv"
    with _target(target, inputs, length, charset, tta) as (reader, chosen):
        if file is None:
            failed = _print_readings(chosen, reader, as_json=as_json or (out is not None and not as_csv), as_csv=as_csv)
        else:
            failed = _write_readings(chosen, reader, file, is_csv=as_csv)
    if failed:
        raise typer.Exit(1)


def _print_readings(inputs: Iterable[Input], reader: Target, *, as_json: bool, as_csv: bool) -> bool:
    """Print all readings. Return whether a file could not be read."""
    failed, blind = False, 0
    if as_csv:
        print(csv_header(), end="", flush=True)
    with _progress(shown=sys.stderr.isatty() and not sys.stdout.isatty()) as show:
        for found in _read(inputs, reader, show):
            for record in found:
                failed |= "error" in record
                blind += bool(record.get("blind"))
                if as_csv:
                    print(csv_line(record), end="", flush=True)
                elif as_json:
                    print(json_line(record), end="", flush=True)
                else:
                    _print_reading(record)
    _say_blind(blind)
    return failed


def _print_reading(record: Record) -> None:
    if error := record.get("error"):
        print_error(f"{record['file']}: {error}")
        return
    doubt = "  below the threshold" if record["accepted"] is False else ""
    if unfamiliar := record["unfamiliar"]:
        doubt = f"  unfamiliar: {unfamiliar}"
    print_line(f"{record['file']}  {record['text']}  {record['confidence']:.4f}{doubt}")


def _write_readings(inputs: Iterable[Input], reader: Target, path: Path, *, is_csv: bool) -> bool:
    """Write or continue a file of readings. Return whether it has a file that could not be read."""
    blind = 0
    with ReadingsFile(path, is_csv=is_csv, reader=reader.name) as file, _progress(shown=True) as show:
        before = len(file.done)
        missing = (item for item in inputs if not file.has(item.name))
        for found in _read(missing, reader, show):
            file.write(found)
            blind += sum(bool(record.get("blind")) for record in found)
        count, failed = len(file.done), file.failed
    _say_blind(blind)
    print_error(f"{path}: {_outcome(count, before, failed)}")
    return failed > 0


def _read(inputs: Iterable[Input], reader: Target, show: Callable[[int], None]) -> Iterator[list[Record]]:
    done = 0
    for batch in batches(inputs):
        found = records(batch, reader.read)
        yield found
        done += len(found)
        show(done)


def batch(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or zip of a bundle.")],
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help=SOURCES)],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder, or one to continue.")],
    workers: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Processes. Default: one for each core.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="parquet|jsonl")] = "parquet",
    int8: Annotated[bool, typer.Option("--int8", help="Use the smaller and faster model of the bundle.")] = False,
    as_json: Json = False,
) -> None:
    """Read very many files with a bundle, in processes on this machine, into a folder of parts.

    Run again to continue, also after kill -9: an image under the same name is not read again. Exit code 1 if a file
    could not be read.
    """
    if form not in get_args(Form):
        raise OptionError(f"Unknown format {shortened(form)!r}. Choose one of {', '.join(get_args(Form))}.")
    if not is_bundle(bundle):
        raise OptionError(f"{shortened(str(bundle))} is not a bundle. Make one with `slotlab bundle RUN --out DIR`.")
    folder = checked_path(out)
    Home.from_env().check_outside(folder)
    target = open_bundle(bundle, int8=int8)
    began = time.monotonic()
    with (
        _blind_of_bundle(target) as is_blind_image,
        Parts(folder, cast("Form", form), target.name) as parts,
        _progress(shown=True) as show,
    ):
        notes, before, failed_before = _Notes(is_blind_image), len(parts), parts.failed
        inputs = notes.with_files(find_inputs(sources, sys.stdin.buffer))
        run_batch(inputs, parts, bundle, jobs=workers or usable_cores(), int8=int8, show=show, note=notes.add)
    for row in (*notes.sources, *notes.failures):
        print_error(f"{row['file']}: {row['error']}")
    new, shown = parts.failed - failed_before, len(notes.failures)
    if new > shown:
        print_error(f"These are {shown} of {plural(new, 'file')} that could not be read. The parts name them all.")
    _say_blind(notes.blind)
    count, failed = len(parts), parts.failed + notes.without_files
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        record = {"path": str(folder), "files": count, "before": before, "failed": failed, "seconds": seconds}
        print(json.dumps(record, ensure_ascii=False))
    else:
        print_line(f"{folder}: {_outcome(count, before, failed)}")
    if failed:
        raise typer.Exit(1)


class _Notes:
    """Notes on what a batch reads, for its end."""

    def __init__(self, is_blind_image: IsBlind | None) -> None:
        self.failures = deque[Record](maxlen=MAX_NAMED)
        """The last files that could not be read."""
        self.sources = deque[Record](maxlen=MAX_NAMED)
        """The last sources without a file, such as an empty folder. They may have files next time, so no row."""
        self.without_files = 0
        self.blind = 0
        self._is_blind = is_blind_image

    def with_files(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """Yield the inputs that are files, and note the others."""
        for item in inputs:
            if item.error is None:
                yield item
            else:
                self.without_files += 1
                self.sources.append({"file": item.name, "error": item.error})

    def add(self, row: Record) -> None:
        if "error" in row:
            self.failures.append(row)
        elif self._is_blind:
            self.blind += self._is_blind(row["sha256"])


def _outcome(count: int, before: int, failed: int) -> str:
    earlier = f", {before:,} of them before" if before else ""
    unread = f" {plural(failed, 'file')} could not be read." if failed else ""
    return f"{plural(count, 'file')}{earlier}.{unread}"


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many images were read, and how fast. It takes no total, which nobody counted."""
    began = time.monotonic()
    with Progress() if shown else nullcontext() as progress:

        def show(done: int) -> None:
            if progress:
                rate = done / max(time.monotonic() - began, 1e-3)
                progress.show(done, 0, f"Read {plural(done, 'image')}, {rate:,.0f} a second")

        yield show


def _say_blind(count: int) -> None:
    if count:
        print_error(
            f"{plural(count, 'image')} of validation or test without a label. "
            "Whoever labels them must not see these readings."
        )


@contextmanager
def _target(
    name: str, inputs: Iterable[Input], length: int | None, charset: str | None, tta: bool | None
) -> Iterator[tuple[Target, Iterable[Input]]]:
    """Yield the reader and the inputs, which the built-in reader has to list first."""
    if name == BUILTIN:
        listed = list(inputs)
        yield _builtin(listed, length, charset, tta), listed
        return
    if length is not None or charset is not None:
        raise OptionError("--length and --charset are for builtin. A run knows its own.")
    if is_bundle(Path(name)):
        if tta is not None:
            raise OptionError("--tta is for runs. A bundle has its views.")
        bundle = open_bundle(Path(name))
        with _blind_of_bundle(bundle) as bundle.is_blind:
            yield bundle, inputs
        return
    from core.model.predictor import Predictor

    directory = _run_directory(name)
    predictor = Predictor.load(directory)
    predictor.use_threads()
    rule = predictor.acceptance
    if rule and not predictor.rule(tta=tta):
        basis = f"{'with' if rule.tta else 'without'} TTA at step {rule.step}"
        if rule.tta and len(predictor.views(tta=tta)) > 1 and rule.step == predictor.step:
            basis = "with other views"
        print_error(f"This run's threshold was chosen {basis}. It does not apply to these readings.")
    elif rule and rule.caution:
        print_error(rule.caution)
    with _blind_images(directory) as is_blind_image:
        yield RunTarget(predictor, directory.resolve().name, tta=tta, is_blind=is_blind_image), inputs


def _builtin(inputs: list[Input], length: int | None, charset: str | None, tta: bool | None) -> Target:
    """Return the built-in reader for these images. Their text box is found if there are enough of them."""
    if length is None or charset is None:
        raise OptionError("The built-in reader needs --length and --charset.")
    spec = TextSpec(length, charset)
    check_spec(spec)
    if sentence := caution(spec):
        print_error(sentence)
    from core.model.builtin import Builtin

    images, contents = [], Contents()
    for item in subsample(inputs):
        with suppress(ImageError):  # reported later
            images.append(contents.pixels(item))
    builtin = Builtin()
    predictor = builtin.predictor(spec, frame_of(images, length, STRIDE))
    return RunTarget(predictor, f"{BUILTIN} {builtin.version} {charset}", tta=tta, is_blind=None)


def _run_directory(name: str) -> Path:
    with suppress(OSError):  # a name can be too long for a path
        if Path(name).is_dir():
            if not (Path(name) / "run.json").is_file():
                raise OptionError(
                    f"{shortened(name)} is neither a bundle nor the directory of a run: it has no run.json, and not "
                    f"both {MANIFEST} and {SUMS}."
                )
            return Path(name)
    home = Home.from_env()
    with database(home) as db:
        return home.run(find_run(db, name).job.id)


@contextmanager
def _blind_of_bundle(target: BundleTarget) -> Iterator[IsBlind | None]:
    """Yield a function that finds blind images of a bundle's project. None without the lab that made the bundle.

    A run has the same name in many labs, and the same data only in one.
    """
    with ExitStack() as stack:
        project_id, manifest = None, target.reader.manifest
        with suppress(SlotlabError):  # a bundle needs no lab, so a damaged one must not stop it
            if (database_file := Home.from_env().db).exists():
                db = stack.enter_context(opened(database_file))
                run = runs.find_run(db, manifest["run"])
                if run and run.dataset_sha256 == manifest["hashes"]["data"]:
                    project_id = run.job.project_id
        yield None if project_id is None else lambda sha256: is_blind(db, project_id, sha256)


@contextmanager
def _blind_images(directory: Path) -> Iterator[IsBlind]:
    """Yield a function that finds blind images of a run's project. A run outside a Slotlab folder has no project."""
    if not (database_file := Home.of_job(directory).db).exists():
        yield lambda _: False
        return
    with opened(database_file) as db:
        job = jobs.find_job(db, directory.resolve().name)
        yield lambda sha256: job is not None and is_blind(db, job.project_id, sha256)
