"""The `slotlab` command as people's scripts use it: real processes, exit codes, stdout and stderr."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core import demo
from core.home import Home

ROOT = Path(__file__).parent.parent
TINY = [
    "--set", "max_steps=12", "--set", "batch_size=8", "--set", "image_size=32x96", "--set", "width=32",
    "--set", "pretrained=none", "--set", "device=cpu", "--set", "layout=channels_last",
]  # fmt: skip
"""Seconds instead of minutes; it learns nothing."""
WHO = ["--source", "test", "--owner", "the team", "--authorization", "ticket 1"]

Slotlab = Callable[..., subprocess.CompletedProcess[str]]


def command(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env=os.environ | {"SLOTLAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty demo images named by their labels."""
    folder = tmp_path_factory.mktemp("images")
    for name, _, png in demo.samples(60, seed=3):
        (folder / name).write_bytes(png)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """A Slotlab folder with project p, 60 labelled images, and one finished tiny run."""
    folder = tmp_path_factory.mktemp("home")
    imported = command(folder, "import", images, "--project", "p", "--labels", "filename", *WHO, "--json")
    assert imported.returncode == 0, imported.stderr
    trained = command(folder, "train", "--project", "p", *TINY, "--json")
    assert trained.returncode == 0, trained.stderr
    return folder


@pytest.fixture
def slotlab(home: Path) -> Slotlab:
    return lambda *arguments: command(home, *arguments)


@pytest.fixture
def fresh(tmp_path: Path) -> Slotlab:
    """A Slotlab folder that does not exist yet."""
    return lambda *arguments: command(tmp_path / "fresh", *arguments)


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    """Exit code 1, one sentence on stderr, nothing on stdout, no traceback."""
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_runs_are_listed_with_their_validation_result(slotlab: Slotlab) -> None:
    """The fields that scripts rely on are there; the newest run comes first."""
    (run,) = json.loads(slotlab("runs", "--json").stdout)[-1:]

    assert (run["run"], run["project"], run["preset"], run["state"]) == ("0002-fast", "p", "fast", "finished")
    assert run["val_exact"] == run["val_correct"] / run["val_n"]
    assert "0002-fast" in slotlab("runs").stdout


def test_train_ends_with_one_json_object(home: Path, slotlab: Slotlab) -> None:
    """Progress and what the doctor says go to stderr, so stdout can be parsed."""
    done = slotlab("train", "--project", "p", *TINY, "--json")

    record = json.loads(done.stdout)
    assert record["state"] == "finished"
    told = [line for line in done.stderr.splitlines() if line.startswith(("Plateau: ", "Learning: ", "Finished: "))]
    assert any(" of 12 steps" in line or "after 12 steps" in line for line in told)
    assert (Home(home).run(record["run"]) / "metrics.jsonl").exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_is_printed_as_json(slotlab: Slotlab, split: str) -> None:
    """k, n, interval and one accuracy per position."""
    result = json.loads(slotlab("evaluate", "2", "--split", split, "--tta", "--json").stdout)

    low, high = result["ci95"]
    assert result["exact_match"] == result["correct"] / result["n"]
    assert 0 <= low <= result["exact_match"] <= high <= 1
    assert len(result["per_position"]) == 6


def test_prediction_goes_on_after_a_bad_file(slotlab: Slotlab, images: Path, tmp_path: Path) -> None:
    """One object a line, an error for the bad file, exit code 1."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    good = sorted(images.iterdir())[:2]

    done = slotlab("predict", "0002-fast", good[0], bad, good[1], "--tta", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [set(line) for line in lines] == [
        {"file", "text", "confidence", "accepted", "positions"},
        {"file", "error"},
        {"file", "text", "confidence", "accepted", "positions"},
    ]
    assert lines[0]["accepted"] is None
    assert len(lines[0]["text"]) == len(lines[0]["positions"]) == 6


def test_same_seed_same_numbers(home: Path, slotlab: Slotlab) -> None:
    """Two runs of one seed on one machine log the same losses."""
    runs = [json.loads(slotlab("train", "--project", "p", *TINY, "--json").stdout)["run"] for _ in range(2)]
    logs = [
        [json.loads(line) for line in (Home(home).run(run) / "metrics.jsonl").read_text().splitlines()] for run in runs
    ]
    losses = [[line["loss"] for line in log if line["kind"] == "val"] for log in logs]

    assert len(losses[0]) > 0
    assert losses[0] == losses[1]


def test_a_killed_run_resumes_and_predicts(home: Path, slotlab: Slotlab, images: Path) -> None:
    """After kill -9 of everything that belongs to it."""
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


def test_a_run_is_cancelled_from_another_process(slotlab: Slotlab) -> None:
    """Cancelling twice is the same as once."""
    options = [*TINY, "--set", "epochs=100000", "--set", "max_steps=100000"]
    run = json.loads(slotlab("train", "--project", "p", *options, "--detach", "--json").stdout)["run"]

    first = slotlab("cancel", run)
    second = slotlab("cancel", run)

    assert (first.returncode, second.returncode) == (0, 0)
    assert state_of(slotlab, run) == "cancelled"


def test_an_export_can_be_imported_again(slotlab: Slotlab, fresh: Slotlab, tmp_path: Path) -> None:
    """As jsonl every sample with who allowed its use; as files named by their labels, which come back as they were."""
    assert slotlab("export", "--project", "p", "--format", "jsonl", "--out", tmp_path / "p.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert slotlab("export", "--project", "p", "--format", "filename", "--out", tmp_path / "files").returncode == 0

    again = fresh("import", tmp_path / "files", "--project", "q", "--labels", "filename", *WHO, "--json")

    assert len(rows) == 60
    assert {"sha256", "name", "label", "split", "source", "operator", "owner", "authorization"} <= set(rows[0])
    assert json.loads(again.stdout)["imported"] == json.loads(again.stdout)["labelled"] == 60


def test_importing_twice_changes_nothing(slotlab: Slotlab, images: Path) -> None:
    """The second time all images are known."""
    done = slotlab("import", images, "--project", "p", "--labels", "filename", *WHO, "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["imported"], report["duplicates"], report["labelled"]) == (0, 60, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--project", "nobody"], "There is no project 'nobody'"),
        (["train", "--project", "p", "--preset", "slow"], "There is no preset 'slow'"),
        (["train", "--project", "p", "--set", "colour=red"], "There is no option 'colour'; valid ones are seed"),
        (["train", "--project", "p", "--set", "lr=much"], "lr must be a number"),
        (["train", "--project", "p", "--set", "seed"], "--set takes key=value"),
        (["cancel", "77"], "There is no run or job '77'"),
        (["evaluate", "2", "--split", "train"], "val or test"),
        (["evaluate", "1"], "is no training run"),
        (["predict", "99", "x.png"], "There is no run or job '99'"),
        (["export", "--project", "p", "--format", "xml", "--out", "/tmp/x"], "There is no format 'xml'"),
        (["import", "/nowhere", "--project", "p", *WHO], "There is no folder or file /nowhere"),
        (["import", ".", "--project", "p", "--length", "4", *WHO], "Project p has length 6"),
    ],
)
def test_a_mistake_is_one_sentence(slotlab: Slotlab, arguments: list[str], sentence: str) -> None:
    """Names, options and states that do not exist."""
    refused(slotlab(*arguments), sentence)


def test_bad_images_and_labels_are_named_one_by_one(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    """The good ones are imported all the same; the exit code says that something was not."""
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
    assert (report["imported"], report["labelled"], report["rejected"], report["label_problems"]) == (3, 1, 1, 2)
    assert "12345.png: '12345' has 5 characters; this project uses 6." in done.stderr
    assert "12345a.png: '12345a' holds 'a', which is not in the charset '0123456789'." in done.stderr
    assert "654321.png: The image cannot be decoded" in done.stderr


def test_an_empty_zip_a_length_of_zero_and_missing_words_are_refused(
    fresh: Slotlab, images: Path, tmp_path: Path
) -> None:
    """And nothing is made of them."""
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()

    refused(fresh("import", tmp_path / "empty.zip", "--project", "p", *WHO), "empty.zip holds no image files")
    refused(fresh("import", images, "--project", "p", "--length", "0", *WHO), "The length must be between 1 and 32")
    blank = ["--source", "s", "--owner", " ", "--authorization", "a"]
    refused(fresh("import", images, "--project", "p", *blank), "The owner is missing")


def test_training_needs_labels_of_more_than_one_text(fresh: Slotlab, images: Path, tmp_path: Path) -> None:
    """Without labels, and with one text only, it says what is missing."""
    refused(fresh("runs"), "There is no database")
    assert fresh("import", images, "--project", "p", *WHO).returncode == 0
    refused(fresh("train", "--project", "p"), "There are no labels yet")

    (tmp_path / "one.csv").write_text(
        "filename,label\n" + "".join(f"{path.name},111111\n" for path in images.iterdir())
    )
    assert fresh("import", images, "--project", "one", "--labels", tmp_path / "one.csv", *WHO).returncode == 0
    refused(fresh("train", "--project", "one"), "training labels read '111111'")


def test_a_port_in_use_is_one_sentence(slotlab: Slotlab) -> None:
    """Before anything is started."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        refused(slotlab("app", "--port", str(taken.getsockname()[1])), "is in use; name another")


def state_of(slotlab: Slotlab, run: str) -> str:
    return next(record["state"] for record in json.loads(slotlab("runs", "--json").stdout) if record["run"] == run)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
