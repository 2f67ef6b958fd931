"""Differences between the settings of two runs."""

from core.images.augment_settings import DEFAULT_AUGMENT
from core.model.config import TrainConfig
from core.runs.differences import NOT_RECORDED, run_differences, setting_differences


def test_only_differences_are_listed() -> None:
    """Nested settings have dotted names; missing values are marked."""
    first = {"lr": 0.002, "ink": True, "image_size": None, "max_steps": None, "same": [1, 2], "deep": {"p": 0.5}}
    second = {"lr": 0.001, "ink": False, "image_size": [48, 192], "max_steps": 60, "same": [1, 2], "deep": {"q": {}}}

    assert setting_differences(first, second) == {
        "lr": ("0.002", "0.001"),
        "ink": ("on", "off"),
        "image_size": ("auto", "48, 192"),
        "max_steps": ("none", "60"),
        "deep.p": ("0.5", NOT_RECORDED),
        "deep.q": (NOT_RECORDED, "{}"),
    }


def test_runs_differ_in_settings_and_results() -> None:
    """Differences are grouped. The default augmentation equals itself, written out or not."""
    first = {
        "preset": "fast", "config": TrainConfig().to_dict(), "dataset": {"sha256": "ab", "train": 4, "val": 2},
        "choices": {"threads": 2, "probe_ms": {"a": 1}}, "versions": {"torch": "2.14.1"}, "operator": "ada",
    }  # fmt: skip
    second = first | {
        "config": TrainConfig(lr=0.001, augment=DEFAULT_AUGMENT).to_dict(),
        "choices": {"threads": 1, "probe_ms": {"a": 2}},
        "operator": "bob",
    }

    assert run_differences(first, second) == {
        "Settings": {"lr": ("0.002", "0.001")},
        "Chosen automatically": {"threads": ("2", "1")},
    }
    assert run_differences(first, {}).keys() == {"Settings", "Images", "Chosen automatically", "Versions"}


def test_runs_from_before_initial_weights_equal_those_from_scratch() -> None:
    """`auto` counts as what it chose."""
    old = {name: value for name, value in TrainConfig(lr=0.002).to_dict().items() if name not in ("init", "auto_lr")}
    first = {"preset": "fast", "config": old, "choices": {}}
    scratch = {"preset": "fast", "config": TrainConfig().to_dict(), "choices": {"init": "scratch", "lr": 0.002}}
    rendered = scratch | {"choices": {"init": "rendered", "init_sha256": "ab", "lr": 0.0003}}

    assert run_differences(first, scratch) == {}
    assert run_differences(first, rendered) == {
        "Settings": {"init": ("scratch", "rendered"), "lr": ("0.002", "0.0003")},
        "Chosen automatically": {"init_sha256": (NOT_RECORDED, "ab")},
    }


def test_runs_from_before_the_loss_over_the_columns_equal_those_without_it() -> None:
    """`auto` counts as what it chose."""
    config = TrainConfig().to_dict()
    old = {name: value for name, value in config.items() if name != "column_loss"}
    first = {"config": old, "choices": {"init": "rendered"}}
    without = {"config": config, "choices": {"init": "rendered", "column_loss": 0.0}}
    scratch = {"config": config, "choices": {"init": "rendered", "column_loss": 1.0}}

    assert run_differences(first, without) == {}
    assert run_differences(first, scratch) == {"Settings": {"column_loss": ("0", "1")}}
