"""Commands for the results of a run: evaluate, report, predict."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from core.charset import TextSpec
from core.cli.progress import Progress
from core.cli.shared import Json, RunName, database, find_run, print_summary, update_jobs
from core.cli.terminal import print_error, print_line
from core.data.proposals import is_blind
from core.errors import OptionError, SlotlabError
from core.evaluation.percent import share_and_interval
from core.evaluation.reference import score_name
from core.evaluation.unreadable import Unreadable
from core.files import open_regular, write_outside
from core.home import Home, default_operator
from core.images.frame import frame_of, subsample
from core.images.pixels import MAX_BYTES, Pixels, decode
from core.jobs import control
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import STRIDE, caution, check_spec
from core.runs.start import start_evaluation
from core.words import plural
from db import jobs
from db.connection import opened
from db.samples import count_samples

Tta = Annotated[
    bool | None,
    typer.Option("--tta/--no-tta", help="Average over shifted, scaled and turned views. Default: the run's setting."),
]


def evaluate(
    run: RunName,
    *,
    split: Annotated[str, typer.Option(metavar="val|test", help="Each use of the test set is recorded.")] = "val",
    tta: Tta = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run on labeled images it was not trained on."""
    home = Home.from_env()
    with database(home) as db, Progress() as progress:
        update_jobs(db, home)
        job = start_evaluation(db, home, find_run(db, run), split, tta=tta, operator=default_operator())
        job = control.finish(db, home, job.id, progress.show_job)
        count = count_samples(db, job.project_id, split=split, flag="unreadable")
    result = {"reference": "people", "agreement": None} | json.loads(job.result or "{}")
    unreadable = Unreadable(
        split=split, count=count, correct=result["correct"], n=result["n"], reference=result["reference"]
    )
    if as_json:
        result |= {"unreadable": count, "exact_match_with_unreadable": unreadable.exact_match}
        print(json.dumps(result, ensure_ascii=False))
        return
    value, interval = share_and_interval(result["correct"], result["n"])
    print(f"{score_name(result['reference'])} {result['correct']:,}/{result['n']:,} = {value}")
    print(f"95% interval {interval}, split {split}, TTA {'on' if result['tta'] else 'off'}")
    if unreadable.sentence:
        print(unreadable.sentence)
    print(
        "per position  " + "  ".join(f"{index}: {value:.1%}" for index, value in enumerate(result["per_position"], 1))
    )


def report(
    run: RunName,
    *,
    out: Annotated[Path, typer.Option(help="HTML file to write; - is standard output.")],
    split: Annotated[str, typer.Option(metavar="val|test", help="Split of the evaluation.")] = "val",
    tta: Tta = None,
) -> None:
    """Write an existing evaluation as one HTML file. This does not use the test set again."""
    from core.report.document import make_report
    from core.runs.evaluated import load_evaluated

    home = Home.from_env()
    home.check_outside(out)
    with database(home) as db:
        update_jobs(db, home)
        text = make_report(db, home, load_evaluated(db, home, find_run(db, run), split, tta=tta))
    data = text.encode("utf-8", "replace")
    write_outside(out, data)
    print_summary(out, f"{out}: {len(data) / 1e6:.1f} MB.")


def predict(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Number, name or directory of a run; builtin is the built-in reader."),
    ],
    files: Annotated[list[Path], typer.Argument(metavar="FILES...")],
    *,
    length: Annotated[int | None, typer.Option(help="Text length, for builtin.")] = None,
    charset: Annotated[str | None, typer.Option(help="Allowed characters, for builtin.")] = None,
    tta: Tta = None,
    as_json: Json = False,
) -> None:
    """Read images. Report unreadable files, read the others, and exit with code 1."""
    if run == BUILTIN:
        directory, predictor = None, _builtin(files, length, charset)
    elif length is None and charset is None:
        from core.model.predictor import Predictor

        directory = _run_directory(run)
        predictor = Predictor.load(directory)
    else:
        raise OptionError("--length and --charset are for builtin. A run knows its own.")
    rule = predictor.acceptance
    if rule and not predictor.rule(tta=tta):
        basis = f"{'with' if rule.tta else 'without'} TTA at step {rule.step}"
        if rule.tta and len(predictor.views(tta=tta)) > 1 and rule.step == predictor.step:
            basis = "with other views"
        print(f"This run's threshold was chosen {basis}. It does not apply to these readings.", file=sys.stderr)
    elif rule and rule.caution:
        print(rule.caution, file=sys.stderr)
    failed, blind = False, 0
    with _blind_images(directory) as is_blind_image:
        for path in files:
            record = _prediction_record(predictor, path, is_blind_image, tta=tta)
            failed |= "error" in record
            blind += record.get("blind", False)
            if as_json:
                print(json.dumps(record, ensure_ascii=False), flush=True)
            elif error := record.get("error"):
                print_error(f"{path}: {error}")
            else:
                doubt = "  below the threshold" if record["accepted"] is False else ""
                print_line(f"{path}  {record['text']}  {record['confidence']:.4f}{doubt}")
    if blind:
        print(
            f"{plural(blind, 'image')} of validation or test without a label. "
            "Whoever labels them must not see these readings.",
            file=sys.stderr,
        )
    if failed:
        raise typer.Exit(1)


def _builtin(files: Sequence[Path], length: int | None, charset: str | None) -> Any:
    """Return the built-in reader for these images. Their text box is found if there are enough of them."""
    if length is None or charset is None:
        raise OptionError("The built-in reader needs --length and --charset.")
    spec = TextSpec(length, charset)
    check_spec(spec)
    if sentence := caution(spec):
        print_error(sentence)
    from core.model.builtin import Builtin

    images = []
    for path in subsample(files):
        with suppress(SlotlabError, OSError):  # reported later
            images.append(_read_image(path))
    return Builtin().predictor(spec, frame_of(images, length, STRIDE))


def _run_directory(name: str) -> Path:
    with suppress(OSError):  # a name can be too long for a path
        if Path(name).is_dir():
            return Path(name)
    home = Home.from_env()
    with database(home) as db:
        return home.run(find_run(db, name).job.id)


@contextmanager
def _blind_images(directory: Path | None) -> Iterator[Callable[[Pixels], bool]]:
    """Yield a function that finds blind images of a run's project. A run outside a Slotlab folder has no project."""
    if directory is None or not (database_file := Home.of_job(directory).db).exists():
        yield lambda _: False
        return
    with opened(database_file) as db:
        job = jobs.find_job(db, directory.resolve().name)
        yield lambda pixels: job is not None and is_blind(db, job.project_id, pixels)


def _read_image(path: Path) -> Pixels:
    with open_regular(path) as file:
        return decode(file.read(MAX_BYTES + 1))


def _prediction_record(
    predictor: Any, path: Path, is_blind_image: Callable[[Pixels], bool], *, tta: bool | None
) -> dict[str, Any]:
    try:
        pixels = _read_image(path)
    except OSError as error:
        return {"file": str(path), "error": f"The file cannot be read ({error.strerror})."}
    except SlotlabError as error:
        return {"file": str(path), "error": str(error)}
    prediction = predictor.predict([pixels], tta=tta)[0]
    return {
        "file": str(path),
        "text": prediction.text,
        "confidence": prediction.confidence,
        "accepted": prediction.accepted,
        "unfamiliar": None,
        "positions": [{"char": char, "confidence": confidence} for char, confidence in prediction.positions],
        "blind": is_blind_image(pixels),
    }
