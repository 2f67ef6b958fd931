"""The temperatures of a run without a threshold."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from core.charset import TextSpec
from core.errors import StorageError
from core.evaluation.predictions import Predictions
from core.evaluation.temperatures import FILE, learn, learn_missing, temperature_of
from core.evaluation.views import DEFAULT, ORIGINAL, View

SPEC = TextSpec(2, "012")
OTHER = (ORIGINAL, View("left", shift_x=-0.05))


def readings(views: tuple[View, ...], step: int = 7) -> Predictions:
    """Return readings of which every fifth is sure and wrong."""
    rng = np.random.default_rng(0)
    targets_NP = rng.integers(0, 3, (100, 2))
    logits_VNPC = rng.normal(0, 0.3, (len(views), 100, 2, 3))
    for place, target_P in enumerate(targets_NP):
        for position, target in enumerate(target_P):
            logits_VNPC[:, place, position, (target + (place % 5 == 0)) % 3] += 6
    return Predictions(
        sha256=[f"{place:064}" for place in range(100)],
        labels=[SPEC.decode(target_P.tolist()) for target_P in targets_NP],
        views=[view.name for view in views],
        moves_V4=np.array([view.geometry for view in views]),
        log_probs_VNPC=log_softmax(logits_VNPC, axis=3).astype(np.float32),
        step=step,
    )


def test_each_set_of_views_has_its_temperature(tmp_path: Path) -> None:
    """An evaluation with other views adds one. Those of an earlier checkpoint do not count."""
    first, second = readings(DEFAULT), readings(OTHER)
    learn(tmp_path, first, SPEC)
    learn(tmp_path, second, SPEC)

    assert temperature_of(tmp_path, 7, DEFAULT) == first.reading(SPEC, tta=True).temperature > 1
    assert temperature_of(tmp_path, 7, OTHER) == second.reading(SPEC, tta=True).temperature > 1
    assert temperature_of(tmp_path, 7, DEFAULT[:1]) == second.reading(SPEC, tta=False).temperature > 1
    assert temperature_of(tmp_path, 8, DEFAULT) == 1
    assert temperature_of(tmp_path, 7, DEFAULT[:3]) == 1
    learn(tmp_path, readings(OTHER, step=8), SPEC)
    assert temperature_of(tmp_path, 7, DEFAULT) == temperature_of(tmp_path, 8, DEFAULT) == 1


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"step": 7, "temperatures": {"a": 0}}', '{"step": 7, "temperatures": {"a": NaN}}', '{"step": 7}'],
)
def test_a_damaged_file_is_one_sentence_and_replaced(tmp_path: Path, text: str) -> None:
    """Its user learns what to do."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(
        StorageError, match=r"^temperatures\.json of this run is damaged\. Evaluate the run on val again\.$"
    ):
        temperature_of(tmp_path, 7, DEFAULT)
    learn(tmp_path, readings(DEFAULT), SPEC)

    assert temperature_of(tmp_path, 7, DEFAULT) > 1


def test_a_run_of_an_earlier_version_learns_from_its_own_readings(tmp_path: Path) -> None:
    """Only from those of its checkpoint, and never where temperatures are known."""
    own = tmp_path / "predictions-val.npz"
    learn_missing(tmp_path, 7, SPEC)
    own.write_bytes(b"damaged")
    learn_missing(tmp_path, 7, SPEC)
    readings(DEFAULT, step=6).save(own)
    learn_missing(tmp_path, 7, SPEC)
    assert not (tmp_path / FILE).exists()

    readings(DEFAULT).save(own)
    learn_missing(tmp_path, 7, SPEC)

    assert temperature_of(tmp_path, 7, DEFAULT) == Predictions.load(own).reading(SPEC, tta=True).temperature > 1
    known = (tmp_path / FILE).read_bytes()
    readings(OTHER).save(own)
    learn_missing(tmp_path, 7, SPEC)
    assert (tmp_path / FILE).read_bytes() == known
