"""The stored predictions of a run, and values derived from them."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from core.charset import TextSpec
from core.errors import LabelError, StorageError
from core.evaluation.calibration import confidence
from core.evaluation.metrics import evaluate_views
from core.evaluation.predictions import Predictions
from core.evaluation.views import DEFAULT, ORIGINAL, View

SPEC = TextSpec(2, "ab")


def predictions() -> Predictions:
    """Three images of two characters: right, wrong at position 2 with confidence, and right without."""
    probs_NPC = np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.9, 0.1], [0.99, 0.01]], [[0.6, 0.4], [0.4, 0.6]]])
    return Predictions(
        sha256=["1", "2", "3"], labels=["aa", "ab", "ab"], views=["as it is"], log_probs_VNPC=np.log(probs_NPC)[None]
    )


def test_confident_errors_come_first() -> None:
    """Right readings are omitted."""
    reading = predictions().reading(SPEC, tta=False)

    assert reading.wrong().tolist() == [1]
    assert reading.confidence_N == pytest.approx([0.81, 0.891, 0.36])


def test_the_confidence_is_that_of_the_calibration_at_temperature_one() -> None:
    """They are identical, because a threshold chosen on one is applied to the other."""
    stored = predictions()

    assert stored.reading(SPEC, tta=False).confidence_N.tolist() == confidence(stored.log_probs_VNPC[0]).tolist()


def test_each_position_has_its_matrix() -> None:
    """Rows are true characters, columns the characters read."""
    reading = predictions().reading(SPEC, tta=False)

    assert reading.confusion_PCC()[1].tolist() == [[1, 0], [1, 1]]


def test_views_can_outvote_the_first() -> None:
    """TTA reads the mean of the views' log-probabilities."""
    first = np.log(np.array([[[0.6, 0.4]]]))
    other = np.log(np.array([[[0.1, 0.9]]]))
    stored = Predictions(
        sha256=["1"], labels=["b"], views=["as it is", "left"], log_probs_VNPC=np.stack([first, other])
    )

    assert not stored.reading(TextSpec(1, "ab"), tta=False).right_NP.any()
    assert stored.reading(TextSpec(1, "ab"), tta=True).right_NP.all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """The error names the file and the way to fix it."""
    path = tmp_path / "predictions-val.npz"
    path.write_bytes(content)

    with pytest.raises(StorageError, match=r"predictions-val\.npz is missing or damaged"):
        Predictions.load(path)


def large() -> Predictions:
    """Return two views of 40 images, with all stored values."""
    rng = np.random.default_rng(0)
    return Predictions(
        sha256=[f"{index:064x}" for index in range(40)],
        labels=[SPEC.decode(row) for row in rng.integers(0, 2, (40, 2))],
        views=["as it is", "left"],
        log_probs_VNPC=rng.normal(-2, 1, (2, 40, 2, 2)).astype(np.float32),
        step=7,
        moves_V4=np.array([ORIGINAL.geometry, (-0.05, 0, 1, 0)]),
        seconds_V=np.array([2.0, 1.5]),
        colors_N23=rng.integers(0, 256, (40, 2, 3), dtype=np.uint8),
    )


def test_stored_predictions_are_read_back(tmp_path: Path) -> None:
    """All values are identical, including the views."""
    made, path = large(), tmp_path / "predictions-val.npz"
    made.save(path)

    found = Predictions.load(path)

    assert (found.sha256, found.labels, found.views, found.step) == (made.sha256, made.labels, made.views, 7)
    for name in ("log_probs_VNPC", "moves_V4", "seconds_V", "colors_N23"):
        assert np.array_equal(getattr(found, name), getattr(made, name)), name
    assert found.view_set == (ORIGINAL, View("left", shift_x=-0.05))


def test_log_probabilities_are_loaded_on_demand(tmp_path: Path) -> None:
    """This holds for any offset in the file, and after another evaluation replaced it."""
    made, path = large(), tmp_path / "predictions-val.npz"
    for count in range(1, 9):
        replace(made, sha256=["a" * count] * 40).save(path)
        found = Predictions.load(path)

        assert found.log_probs_VNPC.base is not None
        assert not found.log_probs_VNPC.flags.writeable
        assert np.array_equal(found.log_probs_VNPC, made.log_probs_VNPC)
    replace(made, log_probs_VNPC=made.log_probs_VNPC - 1).save(path)
    assert np.array_equal(found.log_probs_VNPC, made.log_probs_VNPC)


def test_a_file_replaced_while_reading_stays_consistent(tmp_path: Path) -> None:
    """Labels and log-probabilities come from the same evaluation."""
    path, stop = tmp_path / "predictions-val.npz", threading.Event()
    one = large()
    both = one, replace(one, sha256=["longer" * 9] * 40, step=8, log_probs_VNPC=one.log_probs_VNPC - 1)
    one.save(path)

    def write() -> None:
        while not stop.is_set():
            for made in both:
                made.save(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [Predictions.load(path) for _ in range(200)]
    finally:
        stop.set()
        writer.join()

    for each in found:
        np.testing.assert_array_equal(each.log_probs_VNPC, both[each.step == 8].log_probs_VNPC)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has no moves, times or colors, and always the default views."""
    path = tmp_path / "predictions-val.npz"
    names = [view.name for view in DEFAULT]
    arrays = {
        "sha256": np.array(["1", "2"]), "labels": np.array(["ab", "ba"]), "views": np.array(names),
        "log_probs": np.full((9, 2, 2, 2), -0.7, dtype=np.float32),
    }  # fmt: skip
    np.savez(path, **arrays)

    found = Predictions.load(path)

    assert found.view_set == DEFAULT
    assert (found.step, found.seconds_V, found.colors_N23) == (-1, None, None)
    assert found.reading(SPEC, tta=True).targets_NP.tolist() == [[0, 1], [1, 0]]
    assert found.tta_effect(SPEC).together.time_ratio is None
    np.savez(path, **arrays | {"views": np.array([*names[:-1], "other"])})
    unknown = Predictions.load(path)
    assert unknown.view_set is None
    with pytest.raises(StorageError, match="Evaluate the run again"):
        unknown.choice(unknown.tta_effect(SPEC), use=True)


def test_a_file_cut_short_is_damage(tmp_path: Path) -> None:
    """This includes a file whose zip directory is intact."""
    path = tmp_path / "predictions-val.npz"
    large().save(path)
    content = path.read_bytes()
    for damaged in (content[:-30], content[: len(content) // 2], content.replace(b"log_probs", b"lag_probs")):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="missing or damaged"):
            Predictions.load(path)


@pytest.mark.parametrize("charset", ["ab", "ba", "0123456789", "zyx∀é🙂"])
def test_labels_become_the_classes_of_the_charset(charset: str) -> None:
    """They equal `TextSpec.encode`, for any order of the charset."""
    spec, rng = TextSpec(5, charset), np.random.default_rng(1)
    labels = ["".join(rng.choice(list(charset), 5)) for _ in range(200)]
    made = replace(predictions(), labels=labels)

    assert made.targets_NP(spec).tolist() == [spec.encode(label) for label in labels]


@pytest.mark.parametrize(("label", "sentence"), [("a", "has 1 character"), ("abb", "3 characters"), ("ac", "'c'")])
def test_a_label_that_does_not_fit_is_named(label: str, sentence: str) -> None:
    """This can happen after a manual change of the project."""
    with pytest.raises(LabelError, match=sentence):
        replace(predictions(), labels=["aa", label, "bb"]).targets_NP(SPEC)


def test_a_reading_is_made_once() -> None:
    """Pages request it at every click, so it is cached with its derived values."""
    stored = predictions()

    assert stored.reading(SPEC, tta=False) is stored.reading(TextSpec(2, "ab"), tta=False)
    assert stored.reading(SPEC, tta=False) is not stored.reading(SPEC, tta=True)
    assert stored.reading(TextSpec(2, "abc"), tta=False) is not stored.reading(SPEC, tta=False)


def test_derived_values_are_computed_once() -> None:
    """The cache belongs to one object."""
    stored, other = predictions(), predictions()

    assert stored.cached("sum", lambda: 1) == stored.cached("sum", lambda: 2) == 1
    assert other.cached("sum", lambda: 3) == 3


def test_a_subset_keeps_its_readings() -> None:
    """For all images in their order, it is the same object."""
    reading = predictions().reading(SPEC, tta=False)

    assert reading.at(np.arange(3)) is reading
    assert reading.at(np.array([2, 1])).confidence_N == pytest.approx([0.36, 0.891])
    assert reading.at(np.array([1, 0, 2])).right_N.tolist() == [False, True, True]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux reports memory maps")
def test_the_other_views_are_released_from_memory(tmp_path: Path) -> None:
    """After all views were read, most of the file is no longer in memory. The values are unchanged."""
    log_probs_VNPC = np.log(np.random.default_rng(0).dirichlet([1, 1], (9, 100_000, 2))).astype(np.float32)
    names = [f"{number}" for number in range(100_000)]
    path = tmp_path / "predictions-val.npz"
    Predictions(
        sha256=names, labels=["ab"] * len(names), views=list("123456789"), log_probs_VNPC=log_probs_VNPC
    ).save(path)  # fmt: skip

    stored = Predictions.load(path)
    stored.reading(SPEC, tta=True)
    stored.tta_effect(SPEC)

    assert in_memory(path) < log_probs_VNPC.nbytes / 4
    np.testing.assert_array_equal(stored.log_probs_VNPC, log_probs_VNPC)
    assert in_memory(path) >= log_probs_VNPC.nbytes


def in_memory(path: Path) -> int:
    """Return the resident bytes of a mapped file."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return 1024 * int(next(each for each in lines if each.startswith("Rss")).split()[1])
    return 0


@pytest.mark.parametrize("tta", [False, True])
def test_the_result_is_that_of_the_evaluation(tta: bool) -> None:
    """The page shows the same result as the job."""
    rng = np.random.default_rng(0)
    log_probs_VNPC = log_softmax(rng.normal(0, 2, (3, 50, 2, 2)), axis=3)
    labels = ["".join(rng.choice(["a", "b"], 2)) for _ in range(50)]
    stored = Predictions(sha256=labels, labels=labels, views=["a", "b", "c"], log_probs_VNPC=log_probs_VNPC)
    seen_N = rng.random(50) < 0.5

    result = stored.result(SPEC, tta=tta, seen_N=seen_N)

    assert result == evaluate_views(log_probs_VNPC, stored.targets_NP(SPEC), tta=tta, seen_N=seen_N)
