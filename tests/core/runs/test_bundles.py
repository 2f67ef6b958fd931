"""Bundles of a toy run, made by the real worker: they read as the run does, and hold nothing of the portal."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.bundle import reader
from core.bundle.reader import MODEL_INT8, load
from core.errors import ExportError, StorageError
from core.evaluation import temperatures
from core.evaluation.acceptance import Acceptance
from core.evaluation.predictions import Predictions
from core.evaluation.views import DEFAULT, ViewChoice, fingerprint
from core.images.pixels import decode, pixel_hash
from core.jobs.jobdir import JobDir
from core.jobs.work import Work
from core.model.predictor import Predictor
from core.runs.bundle_worker import Comparison, _check, make_bundle
from core.runs.bundles import copy_out
from core.training.snapshot import load_snapshot, write_snapshot
from tests.helpers import bundling, toy
from tests.helpers.repository import ROOT

OLD = ROOT / "tests" / "old_home" / "data"
FILES = {
    "README.md", "SHA256SUMS", "familiar.npz", "manifest.json", "model.onnx", "reader.py", "test-1.png", "test-2.png",
    "test-3.png",
}  # fmt: skip


@pytest.mark.parametrize("tta", [False, True])
def test_a_bundle_reads_as_its_run(toy_run: toy.Trained, tmp_path: Path, tta: bool) -> None:
    """Text, confidence, positions and acceptance are equal, with the run's views, temperature and threshold."""
    run = bundling.place_run(tmp_path, toy_run.folder)
    ViewChoice(use=tta).save(run.path)
    predictor = Predictor.load(run.path)
    snapshot = load_snapshot(run.path / "dataset.npz")
    images = [snapshot.blob(index) for index in snapshot.labeled("val")]
    rule = Acceptance(
        step=predictor.step, tta=tta, views=fingerprint(DEFAULT), temperature=1.5, threshold=0.5, max_risk=0.1, n=18,
        used=9, wrong=0, risk_bound=0.3,
    )  # fmt: skip
    rule.save(run.path)
    middle = float(np.median([each.confidence for each in predictor.predict([decode(image) for image in images])]))
    replace(rule, threshold=middle).save(run.path)
    expected = predictor.predict([decode(image) for image in images])
    job = bundling.bundle_job(tmp_path)

    code, status = bundling.work(job)

    assert code == 0, status
    bundle = load(tmp_path / "bundles" / bundling.JOB)
    assert len(bundle.manifest["views"]) == (len(DEFAULT) if tta else 1)
    for image, prediction in zip(images, expected, strict=True):
        reading = bundle.read(image)
        assert reading.text == prediction.text
        assert reading.confidence == pytest.approx(prediction.confidence, abs=1e-4)
        assert [char for char, _ in reading.positions] == [char for char, _ in prediction.positions]
        if abs(prediction.confidence - middle) > 1e-4:
            assert reading.accepted == prediction.accepted
        assert reading.unfamiliar is None
    assert {bundle.read(image).accepted for image in images} == {True, False}
    result = job.read("result.json")
    assert result is not None
    assert (result["n"], result["bytes"]) == (18, (tmp_path / "bundles" / bundling.JOB / "model.onnx").stat().st_size)
    assert 0 <= result["largest_difference"] <= 1e-4


@pytest.mark.parametrize(("tta", "is_earlier"), [(False, False), (True, False), (True, True)])
def test_without_a_threshold_the_confidence_fits_validation_images(
    toy_run: toy.Trained, tmp_path: Path, tta: bool, is_earlier: bool
) -> None:
    """A bundle and its run say the same. A run of an earlier version has only its readings of them."""
    run = bundling.place_run(tmp_path, toy_run.folder)
    ViewChoice(use=tta).save(run.path)
    predictor, snapshot = Predictor.load(run.path), load_snapshot(run.path / "dataset.npz")
    indices = snapshot.labeled("val")
    images = [snapshot.pixels(index) for index in indices]
    raw = [each.confidence for each in predictor.predict(images)]
    labels = [snapshot.labels[index] or "" for index in indices]
    wrong = ["".join(toy.SPEC.charset[toy.SPEC.charset.index(char) - 1] for char in text) for text in labels[:3]]
    readings = Predictions(
        sha256=[snapshot.sha256[index] for index in indices], labels=wrong + labels[3:],
        views=[view.name for view in DEFAULT], moves_V4=np.array([view.geometry for view in DEFAULT]),
        log_probs_VNPC=predictor.read(images, DEFAULT)[0], step=predictor.step,
    )  # fmt: skip
    if is_earlier:
        (run.path / temperatures.FILE).unlink(missing_ok=True)
        readings.save(run.path / "predictions-val.npz")
    else:
        temperatures.learn(run.path, readings, predictor.spec)
    expected = readings.reading(predictor.spec, tta=tta)

    code, status = bundling.work(bundling.bundle_job(tmp_path))

    assert code == 0, status
    bundle = load(tmp_path / "bundles" / bundling.JOB)
    assert bundle.manifest["temperature"] == expected.temperature != 1
    assert bundle.manifest == bundle.manifest | {"threshold": None}
    predicted = predictor.predict(images)
    assert [each.confidence for each in predicted] == pytest.approx(expected.fitted_N.tolist(), abs=1e-5)
    assert [each.confidence for each in bundle.read_all(images)] == pytest.approx(expected.fitted_N.tolist(), abs=1e-4)
    assert {each.accepted for each in predicted} == {None}
    assert raw != pytest.approx(expected.fitted_N.tolist(), abs=1e-4)
    assert (
        "confidence is calibrated on validation images"
        in (tmp_path / "bundles" / bundling.JOB / "README.md").read_text()
    )


def test_the_card_has_the_result_on_a_later_source(toy_run: toy.Trained, tmp_path: Path) -> None:
    """That of another checkpoint is left out."""
    step = Predictor.load(bundling.place_run(tmp_path, toy_run.folder).path).step
    result = {
        "n": 40, "correct": 30, "exact_match": 0.75, "ci95": [0.588, 0.873], "reference": "people", "tta": False,
        "source": "June|26",
    }  # fmt: skip
    for at, rows in ((step, 1), (step - 1, 0)):
        shutil.rmtree(tmp_path / "runs" / bundling.JOB, ignore_errors=True)
        code, status = bundling.work(bundling.bundle_job(tmp_path, next_source=result | {"step": at}))
        assert code == 0, status
        card = (tmp_path / "bundles" / bundling.JOB / "README.md").read_text()
        assert card.count("| source June\\|26 | 30 of 40 | 75.00% | 58.80% to 87.30% |") == rows
        assert card.count("neither training nor selection saw any image of it") == rows


def test_a_bundle_holds_no_image_and_no_label_of_the_portal(toy_run: toy.Trained, toy_bundle: Path) -> None:
    """Its test images are rendered. No text names an image of the run."""
    snapshot = load_snapshot(toy_run.folder / "dataset.npz")
    names = {path.name for path in toy_bundle.iterdir()}

    assert names - {MODEL_INT8} == FILES
    for path in toy_bundle.glob("*.png"):
        assert pixel_hash(decode(path.read_bytes())) not in snapshot.sha256
    for name in ("manifest.json", "README.md"):
        text = (toy_bundle / name).read_text()
        assert not any(sha256 in text for sha256 in snapshot.sha256)
        assert not any(f'"{label}"' in text for label in snapshot.labels)
    assert (toy_bundle / "reader.py").read_bytes() == Path(reader.__file__).read_bytes()


def test_the_manifest_and_the_card_say_what_the_bundle_is(toy_run: toy.Trained, toy_bundle: Path) -> None:
    """Owner and authorization, figures with their number and interval, hashes, and what training saw."""
    manifest, text = json.loads((toy_bundle / "manifest.json").read_text()), (toy_bundle / "README.md").read_text()
    val = manifest["metrics"]["val"]

    assert (manifest["length"], manifest["charset"]) == (toy.SPEC.length, toy.SPEC.charset)
    assert manifest["sources"] == bundling.SOURCES
    assert manifest["training"]["sizes"] == [{"width": 64, "height": 32, "images": 72}]
    assert sum(color["share"] for color in manifest["training"]["colors"]) == pytest.approx(1, abs=0.01)
    assert (val["n"], val["correct"]) == (18, toy_run.best["correct"])
    assert all(len(value) == 64 for value in manifest["hashes"].values())
    assert f"{val['correct']} of 18" in text
    assert r"owner the \*team\*, authorization ticket 1" in text
    assert "nobody has set a threshold" in text
    assert text.startswith("---\nlibrary_name: onnx\n")


def test_eight_bits_read_all_validation_images_alike(toy_run: toy.Trained, toy_bundle: Path) -> None:
    """Without that, the bundle has no such model, and says how many images it would change."""
    changed = json.loads((toy_bundle / "manifest.json").read_text())["export"]["int8_changed"]
    if not (toy_bundle / MODEL_INT8).exists():
        assert changed > 0
        return
    snapshot, small, plain = (
        load_snapshot(toy_run.folder / "dataset.npz"),
        load(toy_bundle, int8=True),
        load(toy_bundle),
    )
    images = [snapshot.blob(index) for index in snapshot.labeled("val")]

    assert changed == 0
    assert [small.read(image).text for image in images] == [plain.read(image).text for image in images]
    assert [small.read(image).confidence for image in images] != [plain.read(image).confidence for image in images]


def comparison(difference: float, wrong: int) -> Comparison:
    log_probs_NPC = np.log(np.full((4, 2, 3), 0.1) + 0.7 * np.eye(3)[[[0, 1]] * 4])
    answers_NP = np.array([[0, 1]] * (4 - wrong) + [[0, 2]] * wrong)
    return Comparison(log_probs_NPC=log_probs_NPC, answers_NP=answers_NP, largest_difference=difference)


def test_other_answers_are_refused(toy_run: toy.Trained) -> None:
    """One sentence says how many of how many, or by how much a logit differs."""
    predictor = Predictor.load(toy_run.folder)
    _check(comparison(1e-4, 0), predictor, 4)

    with pytest.raises(ExportError, match=r"^The exported network differs from the run's by 0.0002 in a logit\. "):
        _check(comparison(2e-4, 0), predictor, 4)
    with pytest.raises(ExportError, match=r"differs from the run's by nan"):
        _check(comparison(float("nan"), 0), predictor, 4)
    with pytest.raises(ExportError, match=r"^A bundle of this run would read 1 of 4 validation images differently\.$"):
        _check(comparison(0, 1), predictor, 4)
    predictor.frame = replace(predictor.frame, resize="opencv")
    with pytest.raises(ExportError, match=r"differently\. It was trained on images that an earlier version resized\. "):
        _check(comparison(0, 1), predictor, 4)


def test_a_refused_bundle_leaves_nothing(toy_run: toy.Trained, tmp_path: Path) -> None:
    """This run lost its validation images."""
    run = bundling.place_run(tmp_path, toy_run.folder)
    write_snapshot(run.path / "dataset.npz", [row for row in toy.rows(90) if row[1] == "train"])
    job = bundling.bundle_job(tmp_path)

    code, status = bundling.work(job)

    assert (code, status["reason"]) == (
        1, "The run has no validation images to compare the exported network with.",
    )  # fmt: skip
    assert not (job.path / "bundle").exists()
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_canceled_bundle_leaves_nothing(toy_run: toy.Trained, tmp_path: Path) -> None:
    """The worker looks for the request between chunks of images."""
    bundling.place_run(tmp_path, toy_run.folder)
    work = Work(bundling.bundle_job(tmp_path))
    work._stop()

    assert make_bundle(work) is None
    assert not (work.job.path / "bundle").exists()
    assert list((tmp_path / "bundles").iterdir()) == []


def test_the_result_of_another_checkpoint_on_test_is_left_out(toy_run: toy.Trained, tmp_path: Path) -> None:
    """A bundle shows only figures of its own weights and views."""
    bundling.place_run(tmp_path, toy_run.folder)
    step = toy_run.best["step"]
    test = {"n": 9, "correct": 8, "exact_match": 8 / 9, "ci95": [0.5, 1.0], "reference": "people", "tta": False}
    job = bundling.bundle_job(tmp_path, test=test | {"step": step})
    assert bundling.work(job)[0] == 0
    bundle = tmp_path / "bundles" / bundling.JOB
    assert "| test | 8 of 9 | 88.89% | 50.00% to 100.00% |" in (bundle / "README.md").read_text()
    shutil.rmtree(job.path)

    for other in ({"step": step + 1}, {"step": step, "tta": True}):
        shutil.rmtree(job.path, ignore_errors=True)
        assert bundling.work(bundling.bundle_job(tmp_path, test=test | other))[0] == 0
        assert json.loads((bundle / "manifest.json").read_text())["metrics"]["test"] is None
        assert "There is no test figure for this checkpoint." in (bundle / "README.md").read_text()


def test_a_copy_that_fails_leaves_nothing(toy_bundle: Path, tmp_path: Path) -> None:
    """The folder above is a file. A copy into an empty folder is complete."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()

    with pytest.raises(StorageError, match=r"^The bundle could not be written to .*file/bundle \(File exists\)\.$"):
        copy_out(toy_bundle, tmp_path / "file" / "bundle")
    copy_out(toy_bundle, tmp_path / "empty")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {path.name for path in toy_bundle.iterdir()}


def test_a_run_of_an_earlier_version_gets_a_bundle_if_it_reads_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images were resized by OpenCV. Its network is compared on these, its answers on those of the reader."""
    shutil.copytree(OLD / "runs", tmp_path / "runs")
    (tmp_path / "bundles").mkdir()
    monkeypatch.setattr(bundling, "JOB", "0009-bundle")
    job = bundling.bundle_job(tmp_path, run="0002-fast")

    code, status = bundling.work(job)

    assert "resize" not in (JobDir(tmp_path / "runs" / "0002-fast").read("run.json") or {})["choices"]
    assert code == 0, status
    bundle = load(tmp_path / "bundles" / job.id)
    assert bundle.manifest["frame"]["resize"] == "bilinear"
    run = tmp_path / "runs" / "0002-fast"
    predictor, snapshot = Predictor.load(run), load_snapshot(run / "dataset.npz")
    images = [snapshot.pixels(index) for index in snapshot.labeled("val")]
    assert predictor.frame.resize == "opencv"
    log_probs_NPC = predictor.log_probs(images)[0]
    assert np.array_equal(bundle.log_probs(images).argmax(axis=2), log_probs_NPC.argmax(axis=2))
    assert np.abs(bundle.log_probs(images) - log_probs_NPC).max() > 1e-3
