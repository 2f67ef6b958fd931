"""Reading images with a trained run."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.bundle.reader import UNLIKE_COLORS
from core.errors import CheckpointError, StorageError
from core.evaluation import familiarity
from core.evaluation.acceptance import Acceptance
from core.evaluation.calibration import confidence
from core.evaluation.familiarity import Learner
from core.evaluation.views import DEFAULT, ORIGINAL, View, ViewChoice, fingerprint
from core.evaluation.views import FILE as VIEWS_FILE
from core.model.predictor import Predictor
from core.training.snapshot import load_snapshot
from tests.helpers import toy, unlike


@pytest.fixture
def run_dir(toy_run: toy.Trained, tmp_path: Path) -> Path:
    """A copy of the toy run that the test may change."""
    return shutil.copytree(toy_run.folder, tmp_path / "run")


def test_it_reads_unseen_images(run_dir: Path) -> None:
    """It needs only the run's directory."""
    rng = np.random.default_rng(9)
    texts = [a + b for a in "|-x" for b in "|-x"]

    predictions = Predictor.load(run_dir).predict([toy.draw(text, rng) for text in texts])

    assert sum(prediction.text == text for prediction, text in zip(predictions, texts, strict=True)) >= 8


def test_confidence_is_the_product_over_positions(run_dir: Path) -> None:
    """Every probability belongs to the character beside it."""
    prediction = Predictor.load(run_dir).predict([toy.draw("x|", np.random.default_rng(1))])[0]

    assert prediction.probs_PC.shape == (2, 3)
    assert prediction.probs_PC.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert [char for char, _ in prediction.positions] == list(prediction.text)
    assert prediction.confidence == pytest.approx(prediction.positions[0][1] * prediction.positions[1][1])
    assert [view.name for view in prediction.views] == [DEFAULT[0].name]
    assert prediction.views[0].text == prediction.text


def test_readings_are_accepted_by_the_saved_threshold(run_dir: Path) -> None:
    """The threshold applies at its temperature, and only to the same weights and views."""
    rng = np.random.default_rng(5)
    images = [toy.draw(text, rng) for text in ("x|", "-x", "||")]
    before = Predictor.load(run_dir)
    assert [prediction.accepted for prediction in before.predict(images)] == [None] * 3
    wanted_N = confidence(before.log_probs(images)[0], 2.0)
    rule = Acceptance(
        step=before.step, tta=False, temperature=2.0, threshold=float(np.sort(wanted_N)[1]), max_risk=0.1, n=9, used=9,
        wrong=0, risk_bound=0.1,
    )  # fmt: skip
    rule.save(run_dir)

    after = Predictor.load(run_dir).predict(images)

    assert [prediction.confidence for prediction in after] == pytest.approx(wanted_N.tolist(), rel=1e-5)
    assert sum(prediction.accepted is True for prediction in after) in (1, 2)
    assert [prediction.text for prediction in after] == [prediction.text for prediction in before.predict(images)]
    assert [prediction.accepted for prediction in Predictor.load(run_dir).predict(images, tta=True)] == [None] * 3


def test_an_unfamiliar_image_is_never_accepted(run_dir: Path) -> None:
    """A run without the file, of an earlier version, cannot tell."""
    image = toy.draw("x|", np.random.default_rng(5))
    images = [image, unlike.inverted(image)]
    before = Predictor.load(run_dir)
    rule = Acceptance(
        step=before.step, tta=False, temperature=1.0, threshold=0.0, max_risk=0.1, n=9, used=9, wrong=0, risk_bound=0.1,
    )  # fmt: skip
    rule.save(run_dir)
    earlier = before.predict(images)
    snapshot, learner = load_snapshot(run_dir / "dataset.npz"), Learner()
    for index in snapshot.labeled("train"):
        learner.train(snapshot.pixels(index))
    for index in snapshot.labeled("val"):
        learner.val(snapshot.pixels(index))
    familiar = learner.familiar()
    assert familiar is not None
    familiarity.save(familiar, run_dir)

    now = Predictor.load(run_dir).predict(images)

    assert [(each.unfamiliar, each.accepted) for each in earlier] == [(None, True)] * 2
    assert [(each.unfamiliar, each.accepted) for each in now] == [(None, True), (UNLIKE_COLORS, False)]
    assert [(each.text, each.confidence) for each in now] == [(each.text, each.confidence) for each in earlier]


def test_a_run_reads_with_its_own_views_where_that_was_chosen(run_dir: Path) -> None:
    """The caller can override this. A threshold for other views does not apply."""
    image = toy.draw("x-", np.random.default_rng(6))
    step = Predictor.load(run_dir).step
    views = (ORIGINAL, View("higher", shift_y=-0.05), View("nearer", zoom=1.1))
    assert len(Predictor.load(run_dir).predict([image])[0].views) == 1
    ViewChoice(views=views, use=True).save(run_dir)
    rule = Acceptance(
        step=step, tta=True, views=fingerprint(views), temperature=1.0, threshold=0.0, max_risk=0.1, n=9, used=9,
        wrong=0, risk_bound=0.1,
    )  # fmt: skip
    rule.save(run_dir)

    chosen = Predictor.load(run_dir)

    assert [view.name for view in chosen.predict([image])[0].views] == ["as it is", "higher", "nearer"]
    assert len(chosen.predict([image], tta=False)[0].views) == 1
    assert [shown.shape for shown in chosen.view_images(image)] == [(32, 64, 3)] * 3
    assert (chosen.predict([image])[0].accepted, chosen.predict([image], tta=False)[0].accepted) == (True, None)
    replace(rule, views=fingerprint(DEFAULT)).save(run_dir)
    assert Predictor.load(run_dir).predict([image])[0].accepted is None
    ViewChoice(views=views, use=False).save(run_dir)
    assert len(Predictor.load(run_dir).predict([image])[0].views) == 1


def test_images_are_read_as_they_are_whatever_the_views_file_holds(run_dir: Path) -> None:
    """A damaged file matters only to readings with views."""
    image = toy.draw("x-", np.random.default_rng(6))
    (run_dir / VIEWS_FILE).write_text("{")

    predictor = Predictor.load(run_dir)

    assert len(predictor.predict([image], tta=False)[0].views) == 1
    assert predictor.log_probs([image]).shape == (1, 1, 2, 3)
    for tta in (None, True):
        with pytest.raises(StorageError, match="Choose its views again"):
            predictor.predict([image], tta=tta)


def test_the_seconds_of_each_view_are_measured(run_dir: Path) -> None:
    """Their sum does not exceed the total time."""
    predictor, images = Predictor.load(run_dir), [toy.draw("x-", np.random.default_rng(7))] * 200
    predictor.read(images[:8], DEFAULT[:1])

    began = time.perf_counter()
    log_probs_VNPC, seconds_V = predictor.read(images, DEFAULT)
    took = time.perf_counter() - began

    assert log_probs_VNPC.shape == (len(DEFAULT), 200, 2, 3)
    assert (seconds_V > 0).all()
    assert seconds_V.sum() <= took


@pytest.mark.timing
def test_the_seconds_of_the_views_are_most_of_the_reading(run_dir: Path) -> None:
    """Overhead outside the views takes less time than the views."""
    predictor, images = Predictor.load(run_dir), [toy.draw("x-", np.random.default_rng(7))] * 200
    predictor.read(images[:8], DEFAULT[:1])

    began = time.perf_counter()
    _, seconds_V = predictor.read(images, DEFAULT)

    assert seconds_V.sum() > 0.5 * (time.perf_counter() - began)


def test_every_view_and_their_aggregate_are_reported(run_dir: Path) -> None:
    """The first view is the image itself, with and without the other views."""
    predictor = Predictor.load(run_dir)
    image = toy.draw("-x", np.random.default_rng(2))

    alone, together = predictor.predict([image])[0], predictor.predict([image], tta=True)[0]

    assert [view.name for view in together.views] == [view.name for view in DEFAULT]
    assert together.views[0].text == alone.text
    assert together.views[0].confidence == pytest.approx(alone.confidence, abs=1e-5)
    assert len({view.confidence for view in together.views}) > 1
    log_probs_VNPC = predictor.log_probs([image, image], tta=True)
    assert log_probs_VNPC.shape == (len(DEFAULT), 2, 2, 3)


def test_views_have_the_temperature_of_the_reading(run_dir: Path) -> None:
    """So the first of them is the prediction without TTA."""
    predictor, image = Predictor.load(run_dir), toy.draw("-x", np.random.default_rng(2))
    Acceptance(
        step=predictor.step, tta=False, temperature=3.0, threshold=0.5, max_risk=0.1, n=9, used=9, wrong=0,
        risk_bound=0.1,
    ).save(run_dir)  # fmt: skip

    alone, views = predictor.predict([image], tta=False)[0], predictor.predict_views(image, tta=False)

    assert [view.name for view in views] == [view.name for view in DEFAULT]
    assert views[0].confidence == pytest.approx(alone.confidence, abs=1e-6)
    assert alone.views[0].confidence == pytest.approx(alone.confidence, abs=1e-9)
    assert predictor.predict_views(image, tta=True)[0].confidence != pytest.approx(alone.confidence, abs=1e-3)


def test_images_of_any_size_are_read(run_dir: Path) -> None:
    """Sizes may be mixed in one call."""
    image = toy.draw("xx", np.random.default_rng(3))
    large = cv2.resize(image, (256, 128), interpolation=cv2.INTER_CUBIC)

    predictions = Predictor.load(run_dir).predict([image, large])

    assert [prediction.text for prediction in predictions] == ["xx", "xx"]
    assert Predictor.load(run_dir).predict([]) == []


def test_the_network_input_can_be_shown(run_dir: Path) -> None:
    """Return the image at the network's input size. With ink=true it is ink on black."""
    image, reader = toy.draw("||", np.random.default_rng(4)), Predictor.load(run_dir)
    assert np.array_equal(reader.preprocess(image), reader.frame.apply(image))

    reader.model.ink = True
    seen = reader.preprocess(image)

    assert (seen.shape, seen.dtype) == ((32, 64, 3), np.uint8)
    assert seen.max() == 255
    assert np.median(seen) < 60


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    """It fails at once, with one sentence."""
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        Predictor.load(tmp_path)


@pytest.mark.timing
def test_one_image_is_read_quickly(run_dir: Path) -> None:
    """The bound is generous: only a bug breaks it."""
    predictor, image = Predictor.load(run_dir), toy.draw("-|", np.random.default_rng(5))
    predictor.predict([image])

    start = time.monotonic()
    predictor.predict([image])

    assert time.monotonic() - start < 2
