"""A bundle as its owner uses it: loaded in an environment with three packages, by threads, and damaged."""

import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.bundle.reader import BundleError, UnreadableImageError, load
from core.model.predictor import Predictor
from core.training.snapshot import load_snapshot
from tests.helpers import bundling, toy
from tests.helpers.bad_images import GOOD_TEXT, bad_images, good_images


@pytest.fixture
def bundle(toy_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that the test may damage."""
    return shutil.copytree(toy_bundle, tmp_path / "bundle")


def test_the_command_reads_with_three_packages(
    toy_run: toy.Trained, bundle: Path, three_packages: Path, tmp_path: Path
) -> None:
    """Its lines are those of torch, and a bad file is reported and passed over. Nothing else can be imported."""
    snapshot, paths = load_snapshot(toy_run.folder / "dataset.npz"), []
    for index in snapshot.labeled("val"):
        paths.append(tmp_path / snapshot.names[index])
        paths[-1].write_bytes(snapshot.blob(index))
    (tmp_path / "bad.png").write_bytes(b"no image")
    predictions = Predictor.load(toy_run.folder).predict([snapshot.pixels(index) for index in snapshot.labeled("val")])

    ended = bundling.bare(three_packages, bundle, "reader.py", *paths, tmp_path / "bad.png")

    *lines, bad = map(json.loads, ended.stdout.splitlines())
    assert ended.returncode == 1, ended.stderr
    assert bad == {"file": str(tmp_path / "bad.png"), "error": "This is not a PNG, JPEG, GIF, WEBP, BMP or TIFF image."}
    assert [line["file"] for line in lines] == [str(path) for path in paths]
    for line, prediction in zip(lines, predictions, strict=True):
        assert set(line) == {"file", "text", "confidence", "accepted", "unfamiliar", "positions"}
        assert line["text"] == prediction.text
        assert line["confidence"] == pytest.approx(prediction.confidence, abs=1e-4)
        assert [each["char"] for each in line["positions"]] == list(line["text"])
    missing = bundling.bare(three_packages, bundle, "-c", "import torch")
    assert "No module named 'torch'" in missing.stderr


def test_a_reader_of_its_lines_may_stop(bundle: Path) -> None:
    """There is no traceback behind `| head -1`."""
    command = [sys.executable, "reader.py", *["test-1.png"] * 200]
    with subprocess.Popen(command, cwd=bundle, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["file"] == "test-1.png"
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (1, "")


def test_without_onnxruntime_it_says_what_to_install(bundle: Path, three_packages: Path, tmp_path: Path) -> None:
    """One sentence and exit code 1."""
    (tmp_path / "two").mkdir()
    for path in three_packages.iterdir():
        if not path.name.startswith("onnxruntime"):
            (tmp_path / "two" / path.name).symlink_to(path.resolve())

    ended = bundling.bare(tmp_path / "two", bundle, "reader.py", bundle / "test-1.png")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "reader.py: The reader needs the package onnxruntime. Install it with pip.\n"


def test_threads_share_a_reader(bundle: Path) -> None:
    """Each gets the answers that one thread gets."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(toy.draw(a + b, rng)) for a in "|-x" for b in "|-x"] * 10
    shared = load(bundle)
    expected = [shared.read(image) for image in images]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.read, images)) == expected


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "familiar.npz", "test-2.png"])
def test_a_changed_file_is_refused(bundle: Path, name: str) -> None:
    """Every byte counts."""
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)

    with pytest.raises(BundleError, match=f"^{name} of this bundle is damaged. Copy the whole bundle again.$"):
        load(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "familiar.npz", "test-3.png", "SHA256SUMS"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    """The copy of a bundle may have failed."""
    (bundle / name).unlink()

    with pytest.raises(BundleError, match=rf"^{name} of this bundle cannot be read \(No such file or directory\)\."):
        load(bundle)


def test_other_answers_than_at_the_export_are_refused(bundle: Path) -> None:
    """A processor or a version of onnxruntime may compute something else."""
    tests = json.loads((bundle / "manifest.json").read_bytes())["self_test"]
    tests[1]["model.onnx"][0] = np.log(np.roll(np.exp(tests[1]["model.onnx"][0]), 1)).tolist()
    bundling.change_manifest(bundle, self_test=tests)

    with pytest.raises(BundleError, match=r"^The bundle reads its test image test-2.png differently here than when"):
        load(bundle)


def test_another_input_fails_the_self_test(bundle: Path) -> None:
    """It would find a reader that crops or resizes in another way."""
    frame = json.loads((bundle / "manifest.json").read_bytes())["frame"]
    bundling.change_manifest(bundle, frame=frame | {"box": [0, 0, 0.9, 1]})

    with pytest.raises(BundleError, match=r"^The bundle reads its test image test-1.png differently here"):
        load(bundle)


def test_a_bundle_of_a_later_format_is_refused(bundle: Path) -> None:
    """Its files were mixed with an older reader.py."""
    bundling.change_manifest(bundle, format=2)

    with pytest.raises(BundleError, match=r"^The bundle has format 2\. This reader\.py reads format 1\.$"):
        load(bundle)


def test_eight_bits_are_refused_if_the_bundle_has_none(bundle: Path) -> None:
    """They are left out where they would change an answer."""
    (bundle / "model-int8.onnx").unlink(missing_ok=True)
    lines = (bundle / "SHA256SUMS").read_text().splitlines(keepends=True)
    (bundle / "SHA256SUMS").write_text("".join(line for line in lines if "int8" not in line))

    with pytest.raises(BundleError, match=r"^This bundle has no INT8 model\. Load it without int8\.$"):
        load(bundle, int8=True)


def test_bad_images_are_refused_in_one_sentence_each(toy_bundle: Path) -> None:
    """The reader stays usable."""
    shared = load(toy_bundle)
    good = toy.draw("x-", np.random.default_rng(3))
    before = shared.read(Image.fromarray(good))

    for data in bad_images().values():
        with pytest.raises(UnreadableImageError) as refusal:
            shared.read(data)
        assert str(refusal.value).endswith(".")
        assert "\n" not in str(refusal.value)
    assert shared.read(Image.fromarray(good)) == before


def test_every_good_file_is_read(toy_bundle: Path) -> None:
    """The text stays legible in gray, 1 bit, palettes, CMYK, 16 bit and with transparency, and whatever lies beside."""
    shared = load(toy_bundle)

    for name, data in good_images().items():
        assert shared.read(data).text == GOOD_TEXT, name
        assert shared.read(Image.open(io.BytesIO(data))).text == GOOD_TEXT, name
