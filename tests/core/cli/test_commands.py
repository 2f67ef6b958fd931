"""The `slotlab` command as scripts use it: exit codes, stdout and stderr, also of real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from core.cli.shared import find_project
from core.evaluation.acceptance import Acceptance
from core.evaluation.views import DEFAULT, ORIGINAL, View, ViewChoice, fingerprint
from core.home import Home
from core.images import renderer
from core.jobs.jobdir import JobDir
from db.connection import opened
from tests.helpers.command_line import Slotlab, command, command_here, refused
from tests.helpers.labs import add_unreadable
from tests.helpers.made_once import made_once
from tests.helpers.repository import ROOT

TINY = [
    "--set", "max_steps=12", "--set", "batch_size=8", "--set", "image_size=32x96", "--set", "width=32",
    "--set", "pretrained=none", "--set", "device=cpu", "--set", "layout=channels_last", "--set", "precision=float32",
]  # fmt: skip
"""A run of seconds that learns nothing. Nothing is chosen by timing, so equal seeds give equal losses."""
WHO = ["--source", "test", "--owner", "the team", "--authorization", "ticket 1"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sixty demo images named by their labels."""
    folder = tmp_path_factory.mktemp("images")
    draw_images(folder)
    return folder


def make_home(folder: Path) -> None:
    """Create a folder with project p, 60 labeled images and a finished tiny run, whose output is in `out` and `err`."""
    images = folder / "images"
    images.mkdir()
    draw_images(images)
    imported = command(folder, "import", images, "--project", "p", "--labels", "filename", *WHO, "--json")
    assert imported.returncode == 0, imported.stderr
    torch.save(timm.create_model("test_resnet").state_dict(), folder / "weights.pth")
    weights = ["--set", "backbone=test_resnet", "--set", "pretrained=weights.pth"]
    trained = command(folder, "train", "--project", "p", *TINY, *weights, "--json", cwd=folder)
    assert trained.returncode == 0, trained.stderr
    (folder / "out").write_text(trained.stdout)
    (folder / "err").write_text(trained.stderr)
    (folder / "cwd").write_text(str(folder))
    shutil.rmtree(images)


def draw_images(folder: Path) -> None:
    for name, _, png in renderer.samples(60, seed=3):
        (folder / name).write_bytes(png)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the folder that `make_home` makes."""
    made = made_once(tmp_path_factory, "cli", make_home)
    return shutil.copytree(made, tmp_path_factory.mktemp("home"), dirs_exist_ok=True)


@pytest.fixture
def slotlab(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """Return the command in this process, where torch is imported once; `command` starts a new process."""
    return lambda *arguments: command_here(home, capsys, monkeypatch, *arguments)


@pytest.fixture
def fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """Return the command for a Slotlab folder that does not exist yet."""
    return lambda *arguments: command_here(tmp_path / "fresh", capsys, monkeypatch, *arguments)


def test_runs_are_listed_with_their_validation_result(slotlab: Slotlab) -> None:
    """The fields that scripts use exist, and the newest run comes first."""
    (run,) = json.loads(slotlab("runs", "--json").stdout)[-1:]

    assert (run["run"], run["project"], run["preset"], run["state"]) == ("0001-fast", "p", "fast", "finished")
    assert run["val_exact"] == run["val_correct"] / run["val_n"]
    assert "0001-fast" in slotlab("runs").stdout


def test_train_ends_with_one_json_object(home: Path) -> None:
    """Progress and diagnoses go to stderr, so stdout can be parsed."""
    record = json.loads((home / "out").read_text())
    assert record["state"] == "finished"
    lines = (home / "err").read_text().splitlines()
    diagnoses = [line for line in lines if line.startswith(("Plateau: ", "Learning: ", "Finished: "))]
    assert any(" of 12 steps" in line or "after 12 steps" in line for line in diagnoses)
    assert (Home(home).run(record["run"]) / "metrics.jsonl").exists()


def test_weights_are_found_relative_to_the_current_directory(home: Path) -> None:
    """The worker has another current directory and still reads them."""
    cwd = Path((home / "cwd").read_text())
    assert json.loads((home / "out").read_text())["state"] == "finished"
    assert JobDir(Home(home).run("0001-fast")).spec()["config"]["pretrained"] == str(cwd / "weights.pth")


def test_initial_weights_are_a_run_or_a_file_of_the_current_directory(home: Path, tmp_path: Path) -> None:
    """A path may be relative. A name without a slash or a known suffix is a run."""
    for value, sentence in (
        ("nothing", "There is no run or job 'nothing'"),
        ("weights.safetensors", f"`init={tmp_path / 'weights.safetensors'}`: there is no such file or run"),
        ("./runs/1", f"`init={tmp_path / 'runs' / '1'}`: there is no such file or run"),
    ):
        done = command(home, "train", "--project", "p", "--set", f"init={value}", cwd=tmp_path)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("split", "option", "views"),
    [
        ("val", "--tta", [view.name for view in DEFAULT]),
        pytest.param("test", "--no-tta", ["as it is"], marks=pytest.mark.long),
    ],
)
def test_evaluation_is_printed_as_json(slotlab: Slotlab, split: str, option: str, views: list[str]) -> None:
    """The result has k, n, interval, accuracy per position and views."""
    result = json.loads(slotlab("evaluate", "1", "--split", split, option, "--json").stdout)

    low, high = result["ci95"]
    assert result["exact_match"] == result["correct"] / result["n"]
    assert 0 <= low <= result["exact_match"] <= high <= 1
    assert len(result["per_position"]) == 6
    assert (result["tta"], result["views"]) == (option == "--tta", views)


def test_evaluation_counts_unreadable_images_as_wrong(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text and JSON have the count and the rate."""
    home = shutil.copytree(home, tmp_path / "copy")
    slotlab = partial(command_here, home, capsys, monkeypatch)
    before = json.loads(slotlab("evaluate", "1", "--tta", "--json").stdout)
    assert (before["unreadable"], before["exact_match_with_unreadable"]) == (0, before["exact_match"])
    assert "unreadable" not in slotlab("evaluate", "1", "--tta").stdout

    with opened(Home(home).db) as db:
        project = find_project(db, "p")
    add_unreadable(Home(home), project, "val", 2)
    result = json.loads(slotlab("evaluate", "1", "--tta", "--json").stdout)
    text = slotlab("evaluate", "1", "--tta").stdout

    correct, n = result["correct"], result["n"] + 2
    assert (result["unreadable"], result["exact_match_with_unreadable"]) == (2, correct / n)
    assert f"2 val images were skipped as unreadable. Counted as wrong: {correct}/{n} = " in text


def test_a_run_uses_its_own_views_by_default(home: Path, slotlab: Slotlab, images: Path) -> None:
    """A threshold chosen with other views is reported and accepts nothing."""
    directory, image = Home(home).run("0001-fast"), min(images.iterdir())
    views = (ORIGINAL, View("nearer", zoom=1.2))
    saved_choice = (directory / "views.json").read_bytes()
    ViewChoice(views=views, use=True).save(directory)
    step = json.loads((directory / "result.json").read_text())["best_step"]
    Acceptance(
        step=step, tta=True, views=fingerprint(DEFAULT), temperature=1.0, threshold=0.0, max_risk=0.1, n=9, used=9,
        wrong=0, risk_bound=0.1,
    ).save(directory)  # fmt: skip
    try:
        done = slotlab("predict", "1", image, "--json")
    finally:
        (directory / "acceptance.json").unlink()
        (directory / "views.json").write_bytes(saved_choice)

    assert "This run's threshold was chosen with other views" in done.stderr
    assert json.loads(done.stdout)["accepted"] is None


def test_prediction_continues_after_a_bad_file(slotlab: Slotlab, images: Path, tmp_path: Path) -> None:
    """There is one object per line, an error for the bad file, and exit code 1."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    good = sorted(images.iterdir())[:2]

    done = slotlab("predict", "0001-fast", good[0], bad, good[1], "--tta", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [set(line) for line in lines] == [
        {"file", "text", "confidence", "accepted", "unfamiliar", "positions", "blind"},
        {"file", "error"},
        {"file", "text", "confidence", "accepted", "unfamiliar", "positions", "blind"},
    ]
    assert lines[0]["accepted"] is None
    assert len(lines[0]["text"]) == len(lines[0]["positions"]) == 6


def test_the_built_in_reader_reads_files_without_a_project(slotlab: Slotlab, images: Path, tmp_path: Path) -> None:
    """Bad files are reported as with a run."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    files = sorted(images.iterdir())[:40]

    done = slotlab("predict", "builtin", *files, bad, "--length", 6, "--charset", "0123456789", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, len(lines), "error" in lines[-1]) == (1, 41, True)
    assert all(len(line["text"]) == len(line["positions"]) == 6 for line in lines[:-1])
    assert {line["accepted"] for line in lines[:-1]} == {None}
    assert not any("blind" in line for line in lines)  # the images belong to no project


def test_the_built_in_reader_names_characters_that_it_does_not_know(slotlab: Slotlab, images: Path) -> None:
    """It reads the image all the same."""
    done = slotlab("predict", "builtin", min(images.iterdir()), "--length", 6, "--charset", "01é", "--json")

    assert done.returncode == 0
    assert done.stderr == "The built-in reader does not know the character é, so it misreads images that have it.\n"
    assert set(json.loads(done.stdout)["text"]) <= {"0", "1"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("builtin",), "needs --length and --charset"),
        (("builtin", "--length", 12, "--charset", "0123456789"), "reads texts of 1 to 10 characters"),
        (("builtin", "--length", 4, "--charset", "漢字"), "knows only digits and the letters"),
        (("0001-fast", "--length", 4), "A run knows its own"),
    ],
)
def test_the_built_in_reader_needs_length_and_charset(
    slotlab: Slotlab, images: Path, words: tuple[object, ...], sentence: str
) -> None:
    run, *options = words
    refused(slotlab("predict", run, min(images.iterdir()), *options), sentence)


@pytest.mark.long
def test_same_seed_same_numbers(home: Path, slotlab: Slotlab) -> None:
    """Two runs with the same seed on the same machine log the same losses."""
    runs = [json.loads(slotlab("train", "--project", "p", *TINY, "--json").stdout)["run"] for _ in range(2)]
    logs = [
        [json.loads(line) for line in (Home(home).run(run) / "metrics.jsonl").read_text().splitlines()] for run in runs
    ]
    losses = [[line["loss"] for line in log if line["kind"] == "val"] for log in logs]

    assert len(losses[0]) > 0
    assert losses[0] == losses[1]


@pytest.mark.long
def test_a_killed_run_resumes_and_predicts(home: Path, slotlab: Slotlab, images: Path) -> None:
    """The run survives kill -9 of all its processes."""
    options = [*TINY, "--set", "max_steps=300"]
    run = json.loads(slotlab("train", "--project", "p", *options, "--detach", "--json").stdout)["run"]
    directory = Home(home).run(run)
    wait_for((directory / "metrics.jsonl").exists)
    for process in json.loads((directory / "lock").read_text()):
        os.kill(process["pid"], signal.SIGKILL)
    wait_for(lambda: state_of(slotlab, run) in ("lost", "failed"))

    resumed = slotlab("resume", run, "--json")

    assert json.loads(resumed.stdout)["state"] == "finished", resumed.stderr
    assert slotlab("predict", run, min(images.iterdir()), "--json").returncode == 0


def test_a_run_is_canceled_from_another_process(slotlab: Slotlab) -> None:
    """Canceling twice has the effect of once."""
    options = [*TINY, "--set", "epochs=100000", "--set", "max_steps=100000"]
    run = json.loads(slotlab("train", "--project", "p", *options, "--detach", "--json").stdout)["run"]

    first = slotlab("cancel", run)
    second = slotlab("cancel", run)

    assert (first.returncode, second.returncode) == (0, 0)
    assert state_of(slotlab, run) == "canceled"


def test_an_export_can_be_imported_again(slotlab: Slotlab, fresh: Slotlab, tmp_path: Path) -> None:
    """The jsonl has owner and authorization of each sample. Files named by their labels import unchanged."""
    assert slotlab("export", "--project", "p", "--format", "jsonl", "--out", tmp_path / "p.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert slotlab("export", "--project", "p", "--format", "filename", "--out", tmp_path / "files").returncode == 0

    again = fresh("import", tmp_path / "files", "--project", "q", "--labels", "filename", *WHO, "--json")

    assert len(rows) == 60
    assert {"sha256", "filename", "label", "split", "source", "operator", "owner", "authorization"} <= set(rows[0])
    assert json.loads(again.stdout)["imported"] == json.loads(again.stdout)["labeled"] == 60


def test_readings_are_exported_apart(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    """The summary counts the kinds. --kind takes a list and can be repeated."""
    names = sorted(path.name for path in images.iterdir())
    table = tmp_path / "labels.csv"
    kinds = ["readers"] * 50 + ["person"] * 10
    rows = (f"{name},{name[:6]},{kind}\n" for name, kind in zip(names, kinds, strict=True))
    table.write_text("filename,label,kind\n" + "".join(rows))
    done = fresh("import", images, "--project", "p", "--labels", table, *WHO)
    readings = 50 - done.stderr.count("a reading cannot be the label of")
    assert done.returncode == 1
    assert 30 < readings < 50

    whole = fresh("export", "--project", "p", "--out", tmp_path / "all.csv")
    part = fresh(
        "export", "--project", "p", "--kind", "person,import", "--kind", "run", "--out", tmp_path / "people.csv"
    )

    assert f"Exported {readings + 10} images (10 labels of people and {readings} of readers) to" in whole.stdout
    assert "Exported 10 images to" in part.stdout
    refused(fresh("export", "--project", "p", "--kind", "robot", "--out", tmp_path / "x"), "Unknown kind 'robot'.")


def test_importing_twice_changes_nothing(slotlab: Slotlab, images: Path) -> None:
    """The second time all images are duplicates."""
    done = slotlab("import", images, "--project", "p", "--labels", "filename", *WHO, "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["imported"], report["duplicates"], report["labeled"]) == (0, 60, 0)


# A watched folder


class Watching:
    """A running `slotlab import DIR --watch --json`."""

    def __init__(self, home: Path, folder: Path, *options: str) -> None:
        self.home = Home(home)
        self.out, self.err = home.with_name("out"), home.with_name("err")
        arguments = ["import", str(folder), "--project", "w", *WHO, "--watch", "--every", "0.2", "--json", *options]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.cli", *arguments],
                cwd=ROOT,
                env=os.environ | {"SLOTLAB_HOME": str(home)},
                stdout=out,
                stderr=err,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_files(self, n: int) -> None:
        wait_for(lambda: sum(line["files"] for line in self.lines()) >= n)

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, dict[str, Any]]:
        """Send a signal and return the exit code and the last line."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert "Traceback" not in self.err.read_text()
        return code, self.lines()[-1]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    """Start watches of tmp_path/in into tmp_path/home, and kill them at the end."""
    started: list[Watching] = []
    (tmp_path / "in").mkdir()

    def start(*options: str) -> Watching:
        started.append(Watching(tmp_path / "home", tmp_path / "in", *options))
        return started[-1]

    yield start
    for watch in started:
        watch.process.kill()
        for directory in watch.home.runs.glob("[0-9]*"):
            JobDir(directory).kill()


def test_a_watched_folder_is_imported_as_it_fills(
    watching: Callable[..., Watching], tmp_path: Path, images: Path
) -> None:
    """Existing and new files are imported once; Ctrl-C ends with the report."""
    good, folder = [path.read_bytes() for path in sorted(images.iterdir())], tmp_path / "in"
    for number in range(3):
        (folder / f"{number}.png").write_bytes(good[number])
    watch = watching()
    watch.wait_for_files(3)
    with (folder / "slow.png").open("wb") as file:  # as a slow download writes
        for start in range(0, len(good[3]), len(good[3]) // 12):
            file.write(good[3][start : start + len(good[3]) // 12])
            file.flush()
            time.sleep(0.1)
    (folder / ".new.png").write_bytes(good[4])
    (folder / ".new.png").rename(folder / "new.png")
    (folder / "copy.png").write_bytes(good[0])
    (folder / "bad.png").write_bytes(b"no image")
    watch.wait_for_files(7)
    (folder / "bad.png").write_bytes(b"no image either")
    (folder / "last.png").write_bytes(good[5])
    watch.wait_for_files(8)

    code, report = watch.end()

    assert code == 1  # something was rejected
    counts = {key: report[key] for key in ("files", "imported", "duplicates", "rejected", "final")}
    assert counts == {"files": 8, "imported": 6, "duplicates": 1, "rejected": 1, "final": True}
    assert [item["name"] for item in report["reasons"]] == ["bad.png"]
    assert watch.err.read_text().count("bad.png: ") == 1
    assert all(not line["final"] for line in watch.lines()[:-1])


@pytest.mark.long  # other tests kill imports, and import files twice
def test_a_watch_that_was_killed_is_resumed_by_running_it_again(
    watching: Callable[..., Watching], tmp_path: Path, images: Path
) -> None:
    """Nothing is imported twice, and SIGTERM ends a watch like Ctrl-C."""
    good = sorted(images.iterdir())[:8]
    for path in good[:5]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    first = watching("--labels", "filename")
    first.wait_for_files(5)
    first.process.kill()
    (directory,) = first.home.runs.glob("[0-9]*")
    assert JobDir(directory).kill()
    for path in good[5:]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())

    again = watching("--labels", "filename")
    again.wait_for_files(8)
    code, report = again.end(signal.SIGTERM)

    assert (code, report["job"]) == (0, "0002-import")
    assert (report["imported"], report["duplicates"], report["labeled"]) == (3, 5, 3)


def test_a_watch_is_in_nobodys_way(watching: Callable[..., Watching], tmp_path: Path, images: Path) -> None:
    """Other imports can run at the same time. The same command follows the watch and can end it."""
    good = sorted(images.iterdir())
    (tmp_path / "in" / "a.png").write_bytes(good[0].read_bytes())
    watch = watching()
    watch.wait_for_files(1)

    other = command(watch.home.root, "import", images, "--project", "w", *WHO, "--json")
    conflict = command(
        watch.home.root, "import", tmp_path / "in", "--project", "w", *WHO, "--watch", "--labels", "filename"
    )
    watch.process.kill()
    second = watching()
    wait_for(lambda: "already watches this folder" in second.err.read_text())
    (tmp_path / "in" / "b.png").write_bytes(good[1].read_bytes())
    second.wait_for_files(1)
    code, report = second.end()

    assert other.returncode == 0, other.stderr
    assert json.loads(other.stdout)["imported"] == 59
    refused(conflict, "0001-import is already watching this folder, with labels none and source test. Cancel it first.")
    assert (code, report["job"], report["files"], report["duplicates"]) == (0, "0001-import", 2, 1)
    assert len(second.lines()) == 2
    assert len(list(watch.home.runs.glob("[0-9]*"))) == 2


@pytest.mark.long  # tests/core/data/test_watched_folder.py has the missing folder without processes
def test_a_watched_folder_may_vanish_for_a_while(
    watching: Callable[..., Watching], tmp_path: Path, images: Path
) -> None:
    """The watch reports it, waits, and does not import the folder again when it is back."""
    folder, good = tmp_path / "in", sorted(images.iterdir())
    (folder / "a.png").write_bytes(good[0].read_bytes())
    watch = watching()
    watch.wait_for_files(1)
    (directory,) = watch.home.runs.glob("[0-9]*")
    folder.rename(tmp_path / "away")
    wait_for(lambda: "Retrying." in JobDir(directory).observe().message)
    (tmp_path / "away").rename(folder)
    (folder / "b.png").write_bytes(good[1].read_bytes())
    watch.wait_for_files(2)

    code, report = watch.end()

    assert (code, report["files"], report["imported"]) == (0, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--project", "nobody"], "There is no project 'nobody'"),
        (["train", "--project", "p", "--preset", "slow"], "There is no preset 'slow'"),
        (["train", "--project", "p", "--set", "color=red"], "There is no option 'color'. Valid options: seed"),
        (["train", "--project", "p", "--set", "lr=much"], "lr must be a number"),
        (["train", "--project", "p", "--set", "seed"], "--set expects key=value"),
        (["cancel", "77"], "There is no run or job '77'"),
        (["evaluate", "1", "--split", "train"], "val or test"),
        (["evaluate", "0001-import"], "is not a training run but an import"),
        (["predict", "99", "x.png"], "There is no run or job '99'"),
        (["export", "--project", "p", "--format", "xml", "--out", "/tmp/x"], "Unknown format 'xml'"),
        (["import", "/nowhere", "--project", "p", *WHO], "No such folder or file: /nowhere"),
        (["import", ".", "--project", "p", "--length", "4", *WHO], "Project p has length 6"),
        (["import", "README.md", "--watch", "--project", "p", *WHO], "Only a folder can be watched"),
        (["import", "/nowhere", "--watch", "--project", "p", *WHO], "Only a folder can be watched"),
        (["import", "docs", "--watch", "--labels", "a.csv", "--project", "p", *WHO], "import without watching"),
        (["import", "docs", "--watch", "--every", "0", "--project", "p", *WHO], "Use 0.1 to 3,600"),
    ],
)
def test_a_mistake_is_one_sentence(slotlab: Slotlab, arguments: list[str], sentence: str) -> None:
    """Unknown names, options and states give one sentence."""
    refused(slotlab(*arguments), sentence)


def test_bad_images_and_labels_are_named_one_by_one(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    """The good ones are still imported, and the exit code is 1."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = sorted(images.iterdir())
    (folder / "123456.png").write_bytes(good[0].read_bytes())
    (folder / "12345.png").write_bytes(good[1].read_bytes())
    (folder / "12345a.png").write_bytes(good[2].read_bytes())
    (folder / "654321.png").write_bytes(good[3].read_bytes()[:300])

    done = fresh("import", folder, "--project", "p", "--labels", "filename", *WHO, "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["imported"], report["labeled"], report["rejected"], report["label_problems"]) == (3, 1, 1, 2)
    assert "12345.png: '12345' has 5 characters; this project uses 6." in done.stderr
    assert "12345a.png: '12345a' contains 'a', which is not in the charset '0123456789'." in done.stderr
    assert "654321.png: The image cannot be decoded" in done.stderr


def test_an_empty_zip_a_length_of_zero_and_missing_words_are_refused(
    fresh: Slotlab, images: Path, tmp_path: Path
) -> None:
    """Nothing is created."""
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()

    refused(fresh("import", tmp_path / "empty.zip", "--project", "p", *WHO), "empty.zip contains no image files")
    refused(fresh("import", images, "--project", "p", "--length", "0", *WHO), "The length must be between 1 and 32")
    blank = ["--source", "s", "--owner", " ", "--authorization", "a"]
    refused(fresh("import", images, "--project", "p", *blank), "The owner is missing")


def test_a_mistake_ends_the_process_with_its_sentence(tmp_path: Path) -> None:
    """The process prints one sentence and exits with code 1."""
    refused(command(tmp_path / "fresh", "runs"), "There is no database")


def test_training_needs_labels_of_more_than_one_text(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    """The error names what is missing, without labels and with a single text."""
    refused(fresh("runs"), "There is no database")
    assert fresh("import", images, "--project", "p", *WHO).returncode == 0
    refused(fresh("train", "--project", "p"), "There are no labels yet")

    (tmp_path / "one.csv").write_text(
        "filename,label\n" + "".join(f"{path.name},111111\n" for path in images.iterdir())
    )
    assert fresh("import", images, "--project", "one", "--labels", tmp_path / "one.csv", *WHO).returncode == 0
    refused(fresh("train", "--project", "one"), "training labels are '111111'")


def test_a_port_in_use_is_one_sentence(slotlab: Slotlab) -> None:
    """Nothing is started."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        refused(slotlab("app", "--port", str(taken.getsockname()[1])), "is in use; choose another")


def state_of(slotlab: Slotlab, run: str) -> str:
    return next(record["state"] for record in json.loads(slotlab("runs", "--json").stdout) if record["run"] == run)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_a_long_report_says_how_many_reasons_it_omits(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("filename,label\n" + "".join(f"{number}.png,123456\n" for number in range(1003)))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "image.png").write_bytes(next(images.iterdir()).read_bytes())

    done = fresh("import", tmp_path / "one", "--project", "p", "--labels", table, *WHO)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "983 more are not listed."
    assert "0.png: The table has a label for this name, but no file has it." in done.stderr
