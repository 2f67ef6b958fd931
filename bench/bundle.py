"""A bundle beside its run and the general readers: equal answers, sizes, times, and what it needs on a disk.

    python -m bench.bundle HOME RUN [--name NAME] [--quick]

HOME is a Slotlab folder with a finished run, such as that of `slotlab demo --no-serve`. A job makes a bundle of the
run, which stays there. Run and bundle read new rendered images. One process, on one core, then times single images, see
bench/one_image.py. Others start, import reader.py and read one image. Writes bench/results/bundle/NAME.json. --quick
reads a few images and writes no file. Needs Linux.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from bench import quiet
from bench.cells import RESULTS, ROOT, CellError, environment, save_result
from bench.one_image import INT8, MODEL, rendered
from core.bundle import reader as bundles
from core.charset import TextSpec
from core.cli.progress import Progress
from core.cli.shared import database, find_run, update_jobs
from core.errors import SlotlabError
from core.home import Home, default_operator
from core.images.pixels import decode
from core.jobs import control
from core.readers.readers import available
from core.runs.bundles import bundle_of, copy_out, start_bundle
from db import projects

MADE_OF = ("core", "bench/*.py")
PACKAGES = ("torch", "onnxruntime", "numpy", "pillow", "ddddocr", "rapidocr")
NEEDED = ("numpy", "pillow", "onnxruntime")
"""Packages of a bundle."""
CHUNK = 128
STARTS = 10
"""Processes that start and read one image."""
MOST = {
    "model_mb": 2.1, "int8_mb": 0.6, "rest_mb": 0.2, "differing": 0, "model_p50_ms": 2.5, "int8_p50_ms": 1.7,
    "model_p99_ms": 5.0, "int8_p99_ms": 5.0, "first_answer_s": 0.5, "installed_mb": 180,
}  # fmt: skip
"""Targets: the largest allowed value of a figure."""
LEAST = {"times_faster": 5.0}
"""Targets: the smallest allowed value of a figure."""
START = """
import sys, time
began = time.perf_counter()
from reader import load
load().read(sys.argv[1])
print(time.perf_counter() - began)
"""


def measure(home: Home, name: str, *, quick: bool) -> dict[str, Any]:
    """Make a bundle of a run and measure it. Raises SlotlabError."""
    equal_n, timed_n, starts = (100, 20, 2) if quick else (10_000, 1000, STARTS)
    with Progress() as progress, tempfile.TemporaryDirectory() as temporary:
        with database(home) as db:
            update_jobs(db, home)
            run = find_run(db, name)
            project = projects.get_project(db, run.job.project_id).name
            job = control.finish(
                db, home, start_bundle(db, home, run, operator=default_operator()).id, progress.show_job
            )
            made = bundle_of(home, run, job)
        if made is None:
            raise CellError(f"The files of {job.id} are gone. Make the bundle again.")
        folder, skipped = Path(temporary) / "bundle", list[str]()
        copy_out(made.directory, folder)  # Python writes its bytecode beside reader.py
        result: dict[str, Any] = {"cell": project, "run": run.job.id, "bundle": job.id, "bytes": sizes(folder)}
        progress.note(f"Reading {equal_n:,} images with the run and with the bundle")
        result["equal"] = compare(home.run(run.job.id), folder, equal_n)
        python = Path(sys.executable)
        if quick:
            skipped.append("The packages of a bundle were not installed, because this is the short form.")
        else:
            progress.note(f"Installing {', '.join(NEEDED)} into a new environment")
            try:
                python = bare_environment(Path(temporary) / "bare")
            except CellError as error:
                skipped.append(str(error))
        result["installed_bytes"] = None if python == Path(sys.executable) else size_of(Path(temporary) / "bare")
        progress.note(f"Reading {timed_n:,} images one at a time")
        with quiet.watched() as result["machine"]:
            result["one_image"] = one_image(folder, timed_n)
            result["start"] = start_up(python, folder, starts)
    skipped += not_timed(available(), int8_changed=made.int8_changed)
    figures = figures_of(result)
    return result | {"figures": figures, "missed": missed(figures), "skipped": skipped, "path": str(made.directory)}


def not_timed(installed: Mapping[str, bool], int8_changed: int) -> list[str]:
    """Return a sentence for each reader that the bench cannot time."""
    sentences = [f"Reader {name} is not installed: make readers." for name, found in installed.items() if not found]
    if int8_changed:
        sentences.append(f"There is no INT8 model. It would change {int8_changed} validation answers.")
    return sentences


def sizes(bundle: Path) -> dict[str, int | None]:
    """Return the bytes of both models and of all other files."""
    files = {path.name: path.stat().st_size for path in bundle.iterdir()}
    model, int8 = files.pop(bundles.MODEL), files.pop(bundles.MODEL_INT8, None)
    return {"model": model, "int8": int8, "rest": sum(files.values())}


def compare(run: Path, bundle: Path, n: int) -> dict[str, Any]:
    """Return how many of `n` images the models of the bundle read differently than the run with its views."""
    from core.model.predictor import Predictor  # imports torch

    predictor = Predictor.load(run, device="cpu")
    readers = {MODEL: bundles.load(bundle)}
    if (bundle / bundles.MODEL_INT8).exists():
        readers[INT8] = bundles.load(bundle, int8=True)
    spec, right, differing = predictor.spec, 0, dict.fromkeys(readers, 0)
    for texts, pixels in _chunks(n, spec):
        found = [each.text for each in predictor.predict(pixels)]
        right += sum(text == truth for text, truth in zip(found, texts, strict=True))
        for name, reader in readers.items():
            answers = [reading.text for reading in reader.read_all(pixels)]
            differing[name] += sum(answer != text for answer, text in zip(answers, found, strict=True))
    return {"n": n, "right": right, "views": len(predictor.views()), "differing": differing}


def _chunks(n: int, spec: TextSpec) -> Iterator[tuple[list[str], list[bundles.Pixels]]]:
    images = rendered(n, spec)
    while chunk := list(islice(images, CHUNK)):
        yield [text for text, _ in chunk], [decode(data) for _, data in chunk]


def one_image(bundle: Path, n: int) -> dict[str, Any]:
    """Time single images in a process of its own. Raises CellError."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.one_image", str(bundle), str(n)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CellError(f"The process that reads single images exited with code {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start_up(python: Path, bundle: Path, n: int) -> dict[str, Any]:
    """Return the median seconds of `n` new processes, from the import of reader.py and from the start of the process.

    Another process goes before them, which compiles reader.py.
    """
    imported, whole = [], []
    for _ in range(1 + n):
        began = time.perf_counter()
        done = subprocess.run(
            [python, "-c", START, "test-1.png"], cwd=bundle, capture_output=True, text=True, check=False
        )
        whole.append(time.perf_counter() - began)
        if done.returncode:
            raise CellError(f"A process with the bundle exited with code {done.returncode}: {done.stderr}")
        imported.append(float(done.stdout))
    return {
        "processes": n,
        "from_import_s": round(statistics.median(imported[1:]), 3),
        "slowest_from_import_s": round(max(imported[1:]), 3),
        "from_process_s": round(statistics.median(whole[1:]), 3),
    }


def bare_environment(folder: Path, *options: str) -> Path:
    """Install the packages of a bundle, and nothing else, into a new environment. Return its Python.

    `options` are of pip. Raises CellError if pip fails.
    """
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-c", str(ROOT / "constraints.txt")]
    done = subprocess.run([*pip, *options, *NEEDED], capture_output=True, check=False)
    if done.returncode:
        raise CellError(f"The size of {', '.join(NEEDED)} was not measured: pip exited with code {done.returncode}.")
    return python


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def figures_of(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures that have targets. A figure is None if it was not measured."""
    size, single = result["bytes"], result["one_image"]
    ratios = [each["ms"]["p50"] / single[MODEL]["ms"]["p50"] for name, each in single.items() if name in available()]
    return {
        **{f"{name}_mb": None if size[name] is None else size[name] / 1e6 for name in (MODEL, INT8, "rest")},
        "differing": result["equal"]["differing"][MODEL],
        **{
            f"{name}_{q}_ms": single[name]["ms"][q] if name in single else None
            for name in (MODEL, INT8)
            for q in ("p50", "p99")
        },
        "times_faster": round(min(ratios), 2) if ratios else None,
        "first_answer_s": result["start"]["from_import_s"],
        "installed_mb": None if result["installed_bytes"] is None else result["installed_bytes"] / 1e6,
    }


def missed(figures: Mapping[str, float | None]) -> list[str]:
    """Return the figures that miss their targets."""
    return [
        name
        for name, value in figures.items()
        if value is not None and (value > MOST[name] if name in MOST else value < LEAST[name])
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bundle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path, metavar="HOME", help="a Slotlab folder")
    parser.add_argument("run", metavar="RUN", help="number or name of a finished run")
    parser.add_argument("--name", help="name of the result; default: the project")
    parser.add_argument("--quick", action="store_true", help="read a few images, as a smoke test")
    options = parser.parse_args()
    try:
        result = measure(Home(options.home.resolve()), options.run, quick=options.quick)
    except SlotlabError as error:
        print(f"python -m bench.bundle: {error}", file=sys.stderr)
        return 1
    path = result.pop("path")
    if options.quick:
        print(json.dumps(environment(1, PACKAGES, MADE_OF) | result, indent=1))
    else:
        result["cell"] = options.name or result["cell"]
        save_result(RESULTS / "bundle" / f"{result['cell']}.json", environment(1, PACKAGES, MADE_OF) | result)
    for sentence in result["skipped"]:
        print(sentence, file=sys.stderr)
    print(f"The machine was {quiet.described(result['machine'])}.", file=sys.stderr)
    print(f"Targets missed: {', '.join(result['missed']) or 'none'}. The bundle is {path}.", file=sys.stderr)
    return 1 if "differing" in result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
