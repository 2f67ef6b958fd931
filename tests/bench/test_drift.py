"""The bench of drift: its changes, and a whole cell."""

import random
from pathlib import Path

import numpy as np
import pytest

from bench import drift
from bench.cells import Bench
from core.evaluation.drift import NAMES
from core.images.pixels import decode
from core.images.renderer import samples

((*_, DATA),) = samples(1, 7)
IMAGE = decode(DATA)
SIZES = ("larger canvas", "two columns cut")


@pytest.mark.parametrize("kind", sorted(drift.LOOKED | drift.FRESH))
def test_every_change_differs_and_keeps_what_its_kind_keeps(kind: str) -> None:
    """Two kinds change the size."""
    made = (drift.LOOKED | drift.FRESH)[kind](IMAGE, random.Random(0))

    assert made.dtype == np.uint8
    assert (made.shape == IMAGE.shape) == (kind not in SIZES)
    assert not np.array_equal(made, IMAGE)


def test_half_of_the_kinds_keep_size_and_colors() -> None:
    """At least that many, or the bench would be too easy."""
    kinds = {*drift.LOOKED, *drift.FRESH, drift.OTHER, drift.DISGUISED}

    assert set(drift.OTHERS) < kinds
    assert 2 * len(drift.OTHERS) < len(kinds)


def test_a_cell_counts_alarms_and_delays(tmp_path: Path) -> None:
    """Another size is noticed at once."""
    result = drift.measure(drift.QUICK, Bench(kind="drift", work=tmp_path, results=tmp_path))

    assert result["n"] == {"train": 30, "val": 30, "streams": 120}
    assert result["false"]["images"] == 10_000
    assert result["false"]["alarms"] <= 2
    canvas = result["kinds"]["larger canvas"]
    assert (canvas["n"] + canvas["early"], canvas["soon"]) == (2, canvas["n"])
    assert canvas["median"] < 15


def test_simulated_streams_have_every_score() -> None:
    """Streams without a baseline have them too."""
    streams = drift.simulated(np.random.default_rng(0))

    assert len(streams) == 40
    for stream, before in (streams[0], streams[-1]):
        assert set(stream) == set(before) == set(NAMES)
