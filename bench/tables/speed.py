"""Speed of training and reading."""

from collections.abc import Mapping
from typing import Any

from bench.accuracy import speed
from bench.tables.markdown import Results, cell_rows, table
from core.evaluation.percent import counted


def speed_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        reading = result["reading"]
        plain, tta = (counted(end["k"], end["n"]) for end in map(result["end"].get, ("plain", "tta")))
        return [
            *(_time_to(goal) for goal in result["times"]),
            f"{result['process_seconds'] / 60:.1f} min: {plain}, with TTA {tta}",
            f"{result['training_images_per_s']:g}",
            *(f"{reading[batch]['ms']:g} ms, {reading[batch]['images_per_s']:g}/s" for batch in ("batch1", "batch64")),
            f"{result['peak_mb']:,.0f} / {reading['peak_mb']:,.0f} MB",
            f"{reading['parameters']['total']:,}",
        ]

    head = ["speed", "images", *(f"val {goal:.0%} after" for goal in speed.GOALS), "val at the end"]
    head += ["images/s in training", "reading 1", "reading 64", "memory, training / reading", "parameters"]
    return table(head, cell_rows(speed.CELLS, results, len(head) - 2, row))


def _time_to(goal: Mapping[str, Any]) -> str:
    if goal["first"] is None:
        return "never"
    first, lasting = (goal[key] and f"{goal[key]['seconds'] / 60:.1f} min" for key in ("first", "lasting"))
    if first == lasting:
        return str(first)
    return f"{first}, for good {'never' if lasting is None else lasting}"


def step_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        ms, rate, choices = result["ms"], result["gmacs"], result["choices"]
        height, width = choices["image_size"]
        slowest = max(result["layers"], key=lambda layer: layer["ms"])
        return [
            f"{height} x {width}, {choices['precision']}, {choices['layout']}",
            f"{result['macs'] / 1e6:,.0f} million",
            *(f"{ms[name]:.2f}" for name in ("augment", "step", "layers")),
            *(f"{rate[name]:.0f}" for name in ("step", "layers", "bare")),
            f"`{slowest['name']}`: {slowest['ms'] / ms['step']:.0%}, {slowest['gmacs']:.0f} GMAC/s",
        ]

    head = ["step", "images", "size, format", "MACs an image, forward", "ms an image: augmentation", "step"]
    head += ["its layers alone", "GMAC/s: step", "its layers alone", "a bare convolution", "longest layer"]
    return table(head, cell_rows(speed.STEPS, results, len(head) - 2, row))
