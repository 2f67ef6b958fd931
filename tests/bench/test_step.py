"""The parts of a training step that the speed bench times."""

from dataclasses import replace
from pathlib import Path

from bench.accuracy import speed, step
from bench.accuracy.accuracy import QUICK
from bench.cells import Bench
from bench.repeat import in_turn
from bench.tables.speed import step_table


def test_a_step_is_timed_beside_its_layers_and_a_bare_convolution(tmp_path: Path) -> None:
    bench = Bench(kind="speed", work=tmp_path / "work", results=tmp_path / "results")
    result = step.measure(replace(QUICK, group="step"), bench, rounds=3)
    names = {layer["name"] for layer in result["layers"]}
    assert "backbone.conv1" in names or "backbone.conv1.0" in names
    assert "pool.key_value" in names
    assert not any(name.startswith("heads") for name in names)
    assert result["macs"] == sum(layer["macs"] for layer in result["layers"])
    assert all(value > 0 for value in [*result["ms"].values(), *result["gmacs"].values()])


def test_the_macs_of_a_layer_are_those_of_its_output(tmp_path: Path) -> None:
    bench = Bench(kind="speed", work=tmp_path / "work", results=tmp_path / "results")
    layers = {layer["name"]: layer for layer in step.measure(replace(QUICK, group="step"), bench, rounds=2)["layers"]}
    # Neck: a linear layer over the 12 cells of a map of 32 x 96 pixels at stride 8, to 32 channels.
    neck = layers["neck.1"]
    assert neck["macs"] % (4 * 12 * 32) == 0


def test_tasks_take_turns_and_the_first_round_is_not_timed() -> None:
    order: list[tuple[str, int]] = []
    ms = in_turn({"a": lambda round_: order.append(("a", round_)), "b": lambda round_: order.append(("b", round_))}, 3)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert set(ms) == {"a", "b"}


def test_steps_that_were_not_measured_are_named() -> None:
    assert step_table({}).count("not run") == len(speed.STEPS)
