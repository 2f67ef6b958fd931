"""Cost of augmentation."""

import numpy as np
import pytest

from core.errors import OptionError
from core.images.augment_settings import DEFAULT_AUGMENT
from core.images.costs import Cost, Costs, measure, step_seconds

IMAGES = [np.random.default_rng(seed).integers(0, 256, (48, 128, 3), dtype=np.uint8) for seed in range(3)]


def test_the_cost_of_a_recipe_weights_its_transforms_by_probability() -> None:
    """Calculated by hand: 0.1 base, half of 2, a tenth of 5."""
    costs = Costs(base_ms=0.1, transforms=[Cost(key="a", ms=2.0, p=0.5), Cost(key="b", ms=5.0, p=0.1)])

    assert costs.total_ms == pytest.approx(0.1 + 1.0 + 0.5)


def test_every_transform_that_is_on_is_measured() -> None:
    """Costs are in order of application, per application; transforms that are off have none."""
    found = measure(IMAGES, DEFAULT_AUGMENT | {"blur": {"p": 0.0}}, rounds=2)

    assert [cost.key for cost in found.transforms] == [key for key in DEFAULT_AUGMENT if key != "blur"]
    assert all(0 <= cost.ms < 100 for cost in found.transforms)
    assert 0 < found.base_ms < found.total_ms
    assert [cost.p for cost in found.transforms] == [
        values["p"] for key, values in DEFAULT_AUGMENT.items() if key != "blur"
    ]


def test_nothing_costs_next_to_nothing() -> None:
    """Without transforms only a copy is left."""
    found = measure(IMAGES, {}, rounds=2)

    assert found.transforms == []
    assert found.total_ms == found.base_ms


def test_wrong_settings_are_refused() -> None:
    """Invalid settings raise an error."""
    with pytest.raises(OptionError, match="no transform 'flip'"):
        measure(IMAGES, {"flip": {"p": 1}})


def test_seconds_of_a_step_leave_validation_out() -> None:
    """Lines are five steps apart; one gap contains a 30-second validation."""
    lines = [
        {"kind": "step", "step": 5, "seconds": 4.0},
        {"kind": "step", "step": 10, "seconds": 5.0},
        {"kind": "val", "step": 10, "seconds": 35.0},
        {"kind": "step", "step": 15, "seconds": 36.0},
        {"kind": "step", "step": 20, "seconds": 37.0},
    ]

    assert step_seconds(lines) == pytest.approx(0.2)


@pytest.mark.parametrize("lines", [[], [{"kind": "step", "step": 1, "seconds": 1.0}], [{"kind": "val", "step": 1}]])
def test_a_run_that_has_hardly_begun_has_no_step_time(lines: list[dict[str, object]]) -> None:
    """A step time needs two lines."""
    assert step_seconds(lines) is None
