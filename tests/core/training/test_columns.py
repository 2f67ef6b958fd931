"""The loss over the columns: its value, what it trains, when a run has it, and that it is not in what reads."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.charset import TextSpec
from core.model import checkpoint
from core.model.config import PRESETS, TrainConfig
from core.model.network import build_model
from core.training import engine
from core.training.columns import Columns
from core.training.engine import Run
from core.training.snapshot import Snapshot
from tests.helpers import toy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return toy.snapshot(tmp_path_factory.mktemp("toy"))


def start(data: Snapshot, folder: Path, **options: float | None) -> Run:
    config = replace(toy.CONFIG, **options)  # type: ignore[arg-type]
    choices = engine.choose(data, config, toy.SPEC, say=lambda _: None) | {"threads": 1}
    return Run(data, config, toy.SPEC, choices, folder)


def zeroed(columns: Columns) -> Columns:
    """Make all symbols equally likely in each column, and so all alignments."""
    torch.nn.init.zeros_(columns.layer.weight)
    torch.nn.init.zeros_(columns.layer.bias)
    return columns


def test_it_is_the_share_of_all_alignments_per_character(data: Snapshot, tmp_path: Path) -> None:
    """A blank must come between equal neighbors, so they have fewer alignments."""
    run = start(data, tmp_path)
    images_B3HW, targets_BP, _ = next(run.batches())
    assert run.columns is not None
    losses_B = zeroed(run.columns)(run.model.tokens(images_B3HW), targets_BP)  # type: ignore[operator]

    columns, length, symbols = run.columns.grid[1], toy.SPEC.length, toy.SPEC.num_classes + 1
    repeats_B = (targets_BP[:, 1:] == targets_BP[:, :-1]).sum(dim=1).tolist()
    assert set(repeats_B) == {0, 1}
    alignments_B = [math.comb(columns + length - repeats, 2 * length) for repeats in repeats_B]
    expected_B = [(columns * math.log(symbols) - math.log(count)) / length for count in alignments_B]
    assert losses_B.tolist() == pytest.approx(expected_B, rel=1e-4)


def test_it_is_zero_where_the_map_has_too_few_columns() -> None:
    model = build_model(
        toy.CONFIG, toy.SPEC, {"image_size": [32, 32], "centers": [0.3, 0.7], "sigma": 0.2}, weights=None
    )
    columns = Columns(model, toy.SPEC.num_classes)
    assert columns.grid[1] == 2  # two characters fit, two equal ones with a blank between them do not
    different, equal = columns(torch.randn(2, 4, 32), torch.tensor([[0, 1], [1, 1]])).tolist()
    assert different > 0
    assert equal == 0


def test_readings_weigh_less_in_it_too(data: Snapshot, tmp_path: Path) -> None:
    run = start(data, tmp_path)
    images_B3HW, targets_BP, _ = next(run.batches())
    weights_B = torch.tensor([0.25, 1.0] * (len(targets_BP) // 2))
    assert run.columns is not None
    losses_B = run.columns(run.model.tokens(images_B3HW), targets_BP)  # type: ignore[operator]

    total, loss, _ = run.losses_of(images_B3HW, targets_BP, weights_B)

    assert (total - loss).item() == pytest.approx(np.average(losses_B.detach(), weights=weights_B), rel=1e-4)


def test_the_figures_of_a_step_are_those_of_the_heads(data: Snapshot, tmp_path: Path) -> None:
    """So they compare to the loss on val and to guessing. A loss that is not finite ends the run all the same."""
    run = start(data, tmp_path)
    images_B3HW, targets_BP, _ = next(run.batches())
    _, expected, _ = run.losses_of(images_B3HW, targets_BP, None)
    run.train_step(images_B3HW, targets_BP, None)
    assert run.step_line()["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert run.total > run.loss
    run.total = torch.tensor(math.nan)
    with pytest.raises(engine.NonFiniteError):
        run.step_line()


def test_its_layer_learns_and_what_reads_is_without_it(data: Snapshot, tmp_path: Path) -> None:
    run, without = start(data, tmp_path / "with"), start(data, tmp_path / "without", column_loss=0.0)
    assert run.columns is not None
    assert without.columns is None
    before = run.columns.layer.weight.clone()
    for batch, _ in zip(run.batches(), range(2), strict=False):
        run.train_step(*batch)
    assert not torch.equal(before, run.columns.layer.weight)
    assert run.exported().keys() == without.exported().keys()
    run.save()
    state = checkpoint.load(tmp_path / "with", "step")
    assert state is not None
    assert "columns" in state


def test_a_weight_of_zero_trains_as_earlier_versions_did(data: Snapshot, tmp_path: Path) -> None:
    """Their runs have no such choice, and resume without the loss."""
    zero = start(data, tmp_path, column_loss=0.0)
    zero.train_step(*next(zero.batches()))
    zero.save()
    choices = {name: value for name, value in zero.choices.items() if name != "column_loss"}
    earlier = Run(data, zero.config, toy.SPEC, choices, tmp_path)
    assert earlier.resume() == []
    for run in (zero, earlier):
        run.train_step(*next(run.batches()))
    assert earlier.step == 2
    assert earlier.columns is None
    assert torch.equal(zero.total, zero.loss)
    for left, right in zip(zero.model.parameters(), earlier.model.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("column_loss", "length", "warm", "expected"),
    [(None, 6, False, 1.0), (None, 6, True, 0.0), (None, 1, False, 0.0), (0.5, 6, True, 0.5), (0.0, 6, False, 0.0)],
)
def test_a_run_has_it_from_new_weights(column_loss: float | None, length: int, warm: bool, expected: float) -> None:
    config = TrainConfig(column_loss=column_loss)
    assert config.planned_column_loss(length, starts_warm=warm) == expected


def test_the_network_of_the_reference_and_runs_of_earlier_versions_have_none() -> None:
    assert PRESETS["article"].column_loss == PRESETS["article-cut"].column_loss == 0
    values = TrainConfig().to_dict()
    del values["column_loss"]
    assert TrainConfig.from_dict(values).column_loss == 0
    assert TrainConfig.from_dict(values | {"init": "rendered"}).column_loss is None  # another start then decides


def test_the_log_says_that_a_run_has_it(data: Snapshot) -> None:
    said: list[str] = []
    engine.choose(data, replace(toy.CONFIG, column_loss=0.5), toy.SPEC, say=said.append)
    assert "CTC over the columns trains the map too, with weight 0.5." in said


def test_a_single_character_trains_without_it(tmp_path: Path) -> None:
    data, spec = toy.snapshot(tmp_path), TextSpec(1, toy.SPEC.charset)
    one = replace(data, labels=[label[:1] if label else label for label in data.labels])
    assert engine.choose(one, toy.CONFIG, spec, say=lambda _: None)["column_loss"] == 0
