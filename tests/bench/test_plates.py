"""The tool of others: what it is given, how long it may train, and what is made of its readings."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.accuracy.data import SETS
from bench.accuracy.training import _spec
from bench.cells import ROOT, CellError
from bench.peers import peers, plates
from bench.peers.plates_worker import MODEL, collect, epochs_in, rows_of, train, write_files
from bench.peers.search import counterparts
from core.jobs.jobdir import JobDir
from core.jobs.work import Work
from core.training.doctor import lines_of_kind
from core.training.snapshot import Snapshot, load_snapshot, write_snapshot
from tests.helpers import toy

CONFIG = replace(toy.CONFIG, lr=0.001, max_minutes=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Return 12 images for training, 4 for val and 3 for test."""
    path = tmp_path_factory.mktemp("plates") / "dataset.npz"
    samples = toy.rows(19, val=7)
    held_out = [(row[0], "test" if index >= 16 else row[1], *row[2:]) for index, row in enumerate(samples)]
    write_snapshot(path, held_out)
    return load_snapshot(path)


# Files


def test_the_tool_gets_our_crops_with_their_labels_but_none_of_test(data: Snapshot, tmp_path: Path) -> None:
    """Images are in the frame of our network."""
    folder = tmp_path / "tool"
    frame = write_files(data, toy.SPEC, CONFIG, folder)

    for split, count in (("train", 12), ("val", 4)):
        with (folder / f"{split}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        places = data.labeled(split)
        assert len(rows) == count
        assert [row["plate_text"] for row in rows] == [data.labels[place] for place in places]
        with Image.open(folder / rows[0]["image_path"]) as image:
            assert np.array_equal(np.asarray(image), frame.apply(data.pixels(places[0])))
    to_read = json.loads((folder / "read.json").read_text())
    assert {split: len(names) for split, names in to_read.items()} == {"val": 4, "test": 3}
    assert all((folder / name).exists() for name in to_read["test"])
    assert sorted(path.name for path in folder.glob("*.csv")) == ["train.csv", "val.csv"]


def test_the_alphabet_ends_with_a_pad_that_no_label_has(data: Snapshot, tmp_path: Path) -> None:
    """The charset of the toy has a hyphen, so any other mark pads."""
    write_files(data, replace(toy.SPEC, charset="|-x_"), CONFIG, tmp_path / "tool")
    plate = json.loads((tmp_path / "tool" / "plate.yaml").read_text())

    assert plate == {
        "max_plate_slots": 2,
        "alphabet": "|-x_*",
        "pad_char": "*",
        "img_height": 32,
        "img_width": 64,
        "image_color_mode": "rgb",
    }
    assert json.loads((tmp_path / "tool" / "model.yaml").read_text()) == MODEL


# Minutes


@pytest.mark.parametrize(("minutes", "epoch_seconds", "epochs"), [(10, 6.0, 100), (1, 41.0, 1), (0.5, 90.0, 1)])
def test_epochs_come_closest_to_the_minutes(minutes: float, epoch_seconds: float, epochs: int) -> None:
    """There is always one."""
    assert epochs_in(minutes, epoch_seconds) == epochs


def test_minutes_are_those_of_our_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell cannot run before ours has a result."""
    monkeypatch.setattr(plates, "OURS", tmp_path)
    monkeypatch.setenv(plates.VARIABLE, str(Path(sys.prefix)))
    cell = plates.CELLS[0]

    assert cell.missing(None) == (
        "its minutes are those of the cell hard4000-fast-seed0 of bench.accuracy, which has no result"
    )

    (tmp_path / "hard4000-fast-seed0.json").write_text('{"seconds": 1401.8}')

    assert cell.missing(None) is None
    assert cell.config().max_minutes == 23.36
    settings = {"lr": 0.0005, "seed": 0, "max_minutes": 23.36, "device": "cpu", "init": "scratch"}
    assert not cell.changed({"config": settings})
    assert cell.changed({"config": settings | {"max_minutes": 20.0}})


def test_each_cell_is_beside_our_run_from_scratch_on_its_images() -> None:
    """The cells of the search have the images of train and val of the hard style."""
    for cell in plates.CELLS:
        assert isinstance(cell, plates.Plates)
        if cell.group == "peers":
            assert cell.beside == counterparts(cell.name)[0]
        else:
            assert SETS[cell.beside.removesuffix("-fast-seed0")].parts[:1] == cell.image_set.parts


def test_a_missing_environment_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without Python is none."""
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv(plates.VARIABLE, folder)
        reason = plates.QUICK.missing(None)
        assert reason is not None
        assert "DIR/bin/pip install fast-plate-ocr==1.1.0" in reason
        assert reason.endswith("; export SLOTLAB_BENCH_PLATES=DIR")


# The worker, with a program in the place of the tool

TOOL = """
import json, sys, time
from pathlib import Path
command, *rest = sys.argv[3:]
if command == "train":
    options = dict(zip(rest[::2], rest[1::2]))
    out = Path(options["--output-dir"]) / "today"
    out.mkdir(parents=True)
    (out / "hyper_params.json").write_text(json.dumps({"lr": float(options["--lr"]), "output_dir": str(out)}))
    with (out / "training_log.csv").open("w") as file:
        print("epoch,val_acc,val_loss", file=file)
        for epoch in range(int(options["--epochs"])):
            time.sleep(0.1)
            print(epoch, [0.25, 0.75, 0.75][min(epoch, 2)], 1 / (epoch + 1), sep=",", file=file, flush=True)
else:
    folder = Path(rest[0])
    names = json.loads((folder / "read.json").read_text())
    ways = {split: {way: ["|-"] * len(of_split) for way in ("greedy", "exact", "last")}
            for split, of_split in names.items()}
    written = {"texts": ways, "parameters": 7, "read_ms": 2.5, "versions": {"keras": "3"}}
    (folder / "readings.json").write_text(json.dumps(written))
"""


@pytest.fixture
def job(data: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobDir]:
    """Yield the directory of a job, with an environment whose Python runs TOOL."""
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "tool.py").write_text(TOOL)
    python = tmp_path / "env" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {tmp_path / "tool.py"} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(plates.VARIABLE, str(tmp_path / "env"))
    job = JobDir(tmp_path / "job")
    job.path.mkdir()
    rows = zip(data.sha256, data.splits, data.labels, data.names, map(data.blob, range(len(data))), strict=True)
    write_snapshot(job.path / "dataset.npz", rows)
    project = {"name": "toy", "length": toy.SPEC.length, "charset": toy.SPEC.charset}
    spec = _spec(plates.QUICK, "train") | {"project": project}
    job.write("run.json", spec | {"config": replace(CONFIG, max_minutes=0.015).to_dict()})
    handler = signal.getsignal(signal.SIGTERM)
    yield job
    signal.signal(signal.SIGTERM, handler)


def test_the_worker_times_trains_and_reads(job: JobDir) -> None:
    """The second of two epochs is timed. Of equal epochs the first is the chosen one. A second start trains again."""
    for _ in range(2):
        result = train(Work(job))
    assert result is not None
    lines = lines_of_kind(job.metrics(), "val")

    assert 2 <= result["epochs"] == result["step"] == len(lines) <= 12
    assert 0.05 < result["epoch_seconds"] < 0.5
    assert (result["best_step"], result["val_loss"]) == (2, 0.5)
    assert [(line["correct"], line["n"]) for line in lines[:2]] == [(1, 4), (3, 4)]
    assert result["seconds"] >= lines[-1]["seconds"] > lines[0]["seconds"]
    assert (result["parameters"], result["recipe"], result["tool"]) == ({"plates": 7}, {"lr": 0.001}, {"keras": "3"})
    assert result["config"]["max_minutes"] == 0.015

    splits = peers.scores(plates.QUICK, job)

    snapshot = load_snapshot(job.path / "dataset.npz")
    right = sum(snapshot.labels[place] == "|-" for place in snapshot.labeled("val"))
    assert [splits["val"]["raw"][way]["k"] for way in ("greedy", "exact", "last")] == [right] * 3
    assert splits["test"]["audited"]["exact"]["n"] == 3


def test_a_failing_tool_is_one_sentence(job: JobDir, tmp_path: Path) -> None:
    """It has the exit code and the log."""
    (tmp_path / "tool.py").write_text('import sys\nprint("no such option")\nsys.exit(3)\n')

    with pytest.raises(CellError, match=r"^fast-plate-ocr exited with code 3\. See .*tool\.txt\.$"):
        train(Work(job))
    assert "no such option" in (job.path / "tool.txt").read_text()


def test_a_stop_ends_the_tool(job: JobDir, tmp_path: Path) -> None:
    """The tool would otherwise train on."""
    (tmp_path / "tool.py").write_text(f"""
import os, time
open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
time.sleep(60)
""")
    work = Work(job)
    signal.raise_signal(signal.SIGTERM)

    assert train(work) is None
    pid = tmp_path / "pid"
    if pid.exists():  # else it was stopped before it began
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_only_whole_lines_of_the_log_are_epochs(tmp_path: Path) -> None:
    """Each gets the time when it was first seen."""
    log = tmp_path / "today" / "training_log.csv"
    ends: list[float] = []
    assert rows_of(tmp_path) == []
    log.parent.mkdir()
    for text, seconds in (("epoch,val_acc\n", 1.0), ("0,0.5\n1,0.", 2.0), ("75\n", 3.0)):
        with log.open("a") as file:
            file.write(text)
        rows = collect(tmp_path, ends, seconds)

    assert ends == [2.0, 3.0]
    assert rows == [{"epoch": "0", "val_acc": "0.5"}, {"epoch": "1", "val_acc": "0.75"}]


@pytest.mark.long
@pytest.mark.skipif(plates.tool() is None, reason="there is no fast-plate-ocr")
@pytest.mark.timeout(1800)
def test_the_real_tool_trains_and_reads(tmp_path: Path) -> None:
    """Its result has the form of the CRNN's."""
    folders = ("--work", tmp_path / "work", "--results", tmp_path / "results")
    command = [sys.executable, "-m", "bench.peers", "--quick", "--only", plates.QUICK.name, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)

    assert result["parameters"]["plates"] == 355_731
    assert result["splits"]["test"]["audited"]["exact"]["n"] == 16
    assert sorted(result["tool"]) == ["fast-plate-ocr", "keras", "onnxruntime", "torch"]
    assert result["recipe"]["use_ema"]
    assert result["read_ms"]["plates"] > 0
