"""`slotlab predict` with a bundle and a run: sources, lines, files that continue, bad input."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.bundle.reader import load
from core.home import Home
from core.images.pixels import encode_png
from core.runs.bundles import zip_bytes
from db.connection import opened, write
from db.records import Project
from tests.helpers import toy
from tests.helpers.bad_images import GOOD_TEXT, bad_images, good_images, png_header
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.labs import remove_labels
from tests.helpers.pictures import write_files
from tests.helpers.repository import ROOT
from tests.helpers.trained import RUN
from tests.helpers.waiting import wait_until

BLIND = "1 image of validation or test without a label. Whoever labels them must not see these readings.\n"


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """The command in this process."""
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 images of the toy portal."""
    return toy.write_images(tmp_path_factory.mktemp("images") / "new", 40)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_bundle_reads_a_folder_as_its_own_command_does(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    """A zip of the images, a pattern and the zip of the bundle give the same readings."""
    reader, paths = load(toy_bundle), sorted(images.iterdir())
    (tmp_path / "bundle.zip").write_bytes(zip_bytes(toy_bundle))
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)

    done = slotlab("predict", toy_bundle, images, "--json")

    found = lines(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    for line, path in zip(found, paths, strict=True):
        expected = {"file": str(path)} | reader.read(path).to_dict()
        assert list(line) == list(expected)
        assert (line["file"], line["text"]) == (expected["file"], expected["text"])
        assert line["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)
    for target, source in (
        (toy_bundle, tmp_path / "new.zip"),
        (toy_bundle, images / "*.png"),
        (tmp_path / "bundle.zip", images),
    ):
        again = lines(slotlab("predict", target, source, "--json").stdout)
        assert [line | {"file": ""} for line in again] == [line | {"file": ""} for line in found]


def test_a_bundle_is_read_without_torch(images: Path, toy_bundle: Path, tmp_path: Path) -> None:
    """Its import takes seconds. The paths come from standard input. Pillow's warning of a large image is not shown."""
    (tmp_path / "large.png").write_bytes(png_header(12_000, 12_000))
    paths = [*sorted(images.iterdir()), tmp_path / "large.png"]
    script = "import sys; sys.modules['torch'] = None; from core.cli.commands import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "predict", str(toy_bundle), "-", "--json"],
        check=False, cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(tmp_path)},
        input="".join(f"{path}\n" for path in paths).encode(), capture_output=True, timeout=100,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, b"")
    assert len(done.stdout.splitlines()) == 41


@pytest.mark.usefixtures("trained")
def test_a_run_reads_with_its_threads(home: Home, slotlab: Slotlab, images: Path) -> None:
    """They were measured when it was trained, in a process with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        done = slotlab("predict", RUN, images, "--json")
        threads = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert (done.returncode, len(lines(done.stdout)), threads) == (0, 40, 1)
    assert {line["blind"] for line in lines(done.stdout)} == {False}


@pytest.mark.usefixtures("trained")
def test_an_unfamiliar_image_is_said_by_a_bundle_and_a_run(slotlab: Slotlab, toy_bundle: Path, tmp_path: Path) -> None:
    """Both as a line and as JSON. The run learned it when it was trained."""
    image = write_files(tmp_path / "new", {"a.png": encode_png(np.full((90, 90, 3), 200, dtype=np.uint8))}) / "a.png"

    for target, size in ((toy_bundle, "64 x 32"), (RUN, "200 x 60")):
        reason = f"The image has 90 x 90 pixels; training had only {size}."
        assert slotlab("predict", target, image).stdout.endswith(f"  unfamiliar: {reason}\n")
        assert lines(slotlab("predict", target, image, "--json").stdout)[0]["unfamiliar"] == reason


def test_csv_has_the_same_readings(slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path) -> None:
    """Its header does not depend on the images. `--out -` is standard output."""
    (tmp_path / "bad.png").write_bytes(b"")
    expected = lines(slotlab("predict", toy_bundle, images, tmp_path / "bad.png", "--json").stdout)

    done = slotlab("predict", toy_bundle, images, tmp_path / "bad.png", "--csv", "--out", "-")

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 1
    assert [row["file"] for row in rows] == [line["file"] for line in expected]
    assert [float(row["confidence"]) for row in rows[:-1]] == [line["confidence"] for line in expected[:-1]]
    assert rows[-1]["error"] == "The file is empty."


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_a_killed_call_continues(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path, name: str
) -> None:  # fmt: skip
    """After kill -9, what is written stays, and only the rest is read. A file that cannot be read is one line."""
    out, paths = tmp_path / name, [*sorted(images.iterdir()), tmp_path / "missing.png"]
    listed = [f"{path}\n".encode() for path in paths]
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "predict", toy_bundle, "-", "--out", out],
        cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(tmp_path)}, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(b"".join(listed[:36]))
    process.stdin.flush()
    wait_until(lambda: out.exists() and out.read_bytes().count(b".png") == 32)  # the first batch
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written = out.read_bytes()
    out.write_bytes(written + written[-100:-60])  # as if killed within a write

    done = slotlab("predict", toy_bundle, images, tmp_path / "missing.png", "--out", out)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"{out}: 41 files, 32 of them before. 1 file could not be read.\n")
    assert out.read_bytes().startswith(written)
    text = out.read_text()
    rows = list(csv.DictReader(io.StringIO(text))) if name == "out.csv" else lines(text)
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    again = slotlab("predict", toy_bundle, images, tmp_path / "missing.png", "--out", out)
    assert (again.returncode, out.read_text()) == (1, text)


def test_every_bad_file_is_one_line_and_the_rest_is_read(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:  # fmt: skip
    """Cut, foreign, of a giant size, moving or with odd pixels. Good ones are read in every mode and format."""
    bad, good = write_files(tmp_path / "bad", bad_images()), write_files(tmp_path / "good", good_images())

    done = slotlab("predict", toy_bundle, images / "00.png", bad, good, "--json")

    first, *found = lines(done.stdout)
    refused_lines, read = found[: len(bad_images())], found[len(bad_images()) :]
    assert (done.returncode, done.stderr, "error" in first) == (1, "", False)
    assert all(line["error"].endswith(".") and "\n" not in line["error"] for line in refused_lines)
    assert [line.get("text") for line in read] == [GOOD_TEXT] * len(good_images())


def test_what_cannot_be_meant_is_refused(slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path) -> None:
    """One sentence each, and nothing is written."""
    damaged = shutil.copytree(toy_bundle, tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"torn")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "no.zip").write_bytes(b"no")

    def predict(target: object, *options: object) -> subprocess.CompletedProcess[str]:
        return slotlab("predict", target, images, *options)

    refused(predict(toy_bundle, "--json", "--csv"), "Use either --json or --csv.")
    refused(predict(toy_bundle, "--tta"), "--tta is for runs. A bundle has its views.")
    refused(predict(toy_bundle, "--length", 6), "--length and --charset are for builtin.")
    refused(predict(images), f"{images} is neither a bundle nor the directory of a run: it has no run.json, and not")
    refused(predict(toy_bundle, "--out", tmp_path / "notes.txt"), "cannot be continued: it has no readings.")
    refused(predict(toy_bundle, "--out", tmp_path), "is not a file. Give the name of a file.")
    refused(predict(damaged), "model.onnx of this bundle is damaged. Copy the whole bundle again.")
    refused(predict(tmp_path / "no.zip"), "is damaged or not the zip of a bundle.")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_of_slotlab_is_never_written(home: Home, slotlab: Slotlab, images: Path, toy_bundle: Path) -> None:
    refused(slotlab("predict", toy_bundle, images, "--out", home.runs / "x"), "belongs to the Slotlab folder")


@pytest.mark.parametrize("command", ["predict", "batch"])
def test_a_bundle_names_blind_images_where_its_lab_is(
    home: Home, slotlab: Slotlab, bundled: Project, tmp_path: Path, command: str
) -> None:
    """Another lab has a run of the same name. It knows nothing about the bundle's images."""
    bundle = shutil.copytree(home.bundles / "0001-bundle", tmp_path / "reader")
    image = tmp_path / "image.png"
    image.write_bytes(remove_labels(home, bundled, "val")[0])
    options = ["--out", tmp_path / "here"] if command == "batch" else ["--json"]

    here = slotlab(command, bundle, image, *options)

    assert here.returncode == 0
    assert here.stderr.endswith(BLIND)
    if command == "predict":
        assert json.loads(here.stdout)["blind"] is True
    with opened(home.db) as db, write(db):
        db.execute("UPDATE runs SET dataset_sha256 = 'another'")
    options = ["--out", tmp_path / "there"] if command == "batch" else ["--json"]
    there = slotlab(command, bundle, image, *options)
    assert there.returncode == 0
    assert BLIND not in there.stderr
    assert '"blind"' not in there.stdout


def test_a_bundle_needs_no_lab(home: Home, slotlab: Slotlab, images: Path, toy_bundle: Path) -> None:
    """A damaged database costs no reading."""
    home.db.write_bytes(b"no database " * 1000)

    done = slotlab("predict", toy_bundle, next(images.iterdir()), "--json")

    assert (done.returncode, done.stderr) == (0, "")


def test_an_empty_folder_has_no_line_once_it_has_files(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    out = tmp_path / "out.jsonl"
    assert slotlab("predict", toy_bundle, tmp_path / "new", "--out", out).returncode == 1
    shutil.copy(next(images.iterdir()), tmp_path / "new" / "a.png")

    assert slotlab("predict", toy_bundle, tmp_path / "new", "--out", out).returncode == 0

    assert [line["file"] for line in lines(out.read_text())] == [str(tmp_path / "new" / "a.png")]
