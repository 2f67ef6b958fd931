"""Differences between the settings of two runs, as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from core.images.augment_settings import DEFAULT_AUGMENT
from core.model.config import OPTIONS

NOT_RECORDED = "not recorded"
DERIVED = {"probe_ms", "centers", "sigma", "box_reason", "weights", "init", "lr", "column_loss", "guessing"}
"""Choices in run.json that follow from other settings or are measurements."""


def run_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, str]]]:
    """Compare the run.json of two runs by group, like `setting_differences`. Omit equal groups."""
    groups, others = _groups(first), _groups(second)
    by_group = {title: setting_differences(groups[title], others[title]) for title in groups}
    return {title: differences for title, differences in by_group.items() if differences}


def setting_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the values that differ, as text, by name. Nested names are joined with dots.

    A missing value is NOT_RECORDED.
    """
    one, other = dict(_flat(first)), dict(_flat(second))
    pairs = {name: (one.get(name, NOT_RECORDED), other.get(name, NOT_RECORDED)) for name in [*one, *other]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def expand_augment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings with the default augmentation written out, so equal settings compare equal."""
    augment = config.get("augment")
    return {**config, "augment": DEFAULT_AUGMENT if augment is None else augment}


def _groups(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Group the settings in a run.json by the titles on screen."""
    return {
        # Earlier versions had no readings to weigh, and held no source out.
        "Settings": {"preset": spec.get("preset")}
        | {name: OPTIONS[name].default for name in ("reading_weight", "hold_out_source")}
        | expand_augment(spec.get("config", {}))
        | {"init": _init(spec), "lr": _lr(spec), "auto_lr": None, "column_loss": _column_loss(spec)},
        "Validation": {"reference": spec.get("reference", "people")},
        "Images": spec.get("dataset", {}),
        "Chosen automatically": {name: value for name, value in spec.get("choices", {}).items() if name not in DERIVED},
        "Versions": spec.get("versions", {}),
    }


def _init(spec: Mapping[str, Any]) -> str:
    """Return the initial weights; for `auto`, the chosen ones. Runs of earlier versions started from scratch."""
    wanted: str = spec.get("config", {}).get("init", "scratch")
    return str(spec.get("choices", {}).get("init", wanted)) if wanted == "auto" else wanted


def _lr(spec: Mapping[str, Any]) -> float | None:
    """Return the learning rate; for `auto`, the chosen one."""
    config = spec.get("config", {})
    lr: float | None = config.get("lr") or spec.get("choices", {}).get("lr") or config.get("auto_lr")
    return lr


def _column_loss(spec: Mapping[str, Any]) -> float | None:
    """Return the weight of the loss over the columns; for `auto`, the chosen one. Earlier versions had no such loss."""
    wanted: float | None = spec.get("config", {}).get("column_loss", 0.0)
    return spec.get("choices", {}).get("column_loss") if wanted is None else wanted


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", "none" if value is None and name.startswith("max") else _text(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return "auto"
        case bool():
            return "on" if value else "off"
        case list() | tuple():
            return ", ".join(map(_text, value))
        case float():
            return f"{value:g}"
        case _:
            return str(value) or "none"
