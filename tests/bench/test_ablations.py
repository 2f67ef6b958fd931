"""Ablations: what a variant freezes, the interval of a difference, and cells that name an unchanged run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.accuracy.ablated import NETWORKS, run_of, sinusoids
from bench.accuracy.ablations import ABLATIONS, GROUPS, base_of, changed, paired95
from bench.accuracy.accuracy import CELLS, QUICK, measure
from bench.cells import Bench
from bench.tables.ablations import ablation_table
from core.charset import TextSpec
from core.images.augment_settings import DEFAULT_AUGMENT
from core.model.config import TrainConfig
from core.model.network import Recognizer, build_model
from core.training import engine
from tests.helpers import toy

CELLS_BY_NAME = {cell.name: cell for cell in CELLS}
SPEC = TextSpec(4, "0123456789")
CHOICES = {"image_size": [32, 96], "centers": [0.1, 0.3, 0.5, 0.7], "sigma": 0.1}
CONFIG = TrainConfig(backbone="test_resnet", width=32)


def network(variant: str, **options: str) -> Recognizer:
    torch.manual_seed(0)
    model = build_model(replace(CONFIG, **options), SPEC, CHOICES, weights=None)
    NETWORKS[variant](model)
    return model.eval()


def columns_of(model: Recognizer) -> torch.Tensor:
    """Return the prior of each position over the columns, P x W."""
    tokens_BLD = torch.randn(1, model.grid[0] * model.grid[1], 32)
    return model.pool.prior(tokens_BLD)[0, :, : model.grid[1]]  # type: ignore[operator]


def test_without_embeddings_all_positions_have_the_same_query() -> None:
    model = network("pos-none")
    queries_HPd = model.pool._split(torch.zeros(1, model.grid[0] * model.grid[1], 32))[0]  # type: ignore[operator]
    assert torch.equal(queries_HPd[:, 0], queries_HPd[:, 3])


def test_sinusoids_differ_at_every_position() -> None:
    table_PD = sinusoids(6, 32)
    assert table_PD.shape == (6, 32)
    assert len({tuple(row.tolist()) for row in table_PD}) == 6
    assert torch.equal(network("pos-sinusoidal").pool.pos.detach(), sinusoids(4, 32))


def test_a_prior_over_columns_ignores_the_image() -> None:
    model = network("prior-columns")
    assert torch.equal(columns_of(model), columns_of(model))
    assert columns_of(model)[0].argmax() < columns_of(model)[3].argmax()


def test_no_prior_prefers_no_column() -> None:
    assert columns_of(network("prior-none")).abs().max() < 1e-6


def test_the_literal_network_adds_the_embedding_to_the_average() -> None:
    model = network("literal", head="pool")
    tokens_BLD = torch.randn(2, model.grid[0] * model.grid[1], 32)
    expected_BPD = tokens_BLD.mean(dim=1, keepdim=True) + model.pool.pos
    assert torch.equal(model.pool(tokens_BLD), expected_BPD)


@pytest.mark.parametrize("variant", sorted(NETWORKS))
def test_what_a_variant_sets_stays_as_it_is(variant: str) -> None:
    options = {"head": "pool"} if variant == "literal" else {}
    model = network(variant, **options)
    before = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    assert before
    model.train()(torch.rand(2, 3, 32, 96)).square().mean().backward()
    assert all(value.grad is None for name, value in model.named_parameters() if name in before)


def test_a_run_without_average_reads_with_its_last_weights(tmp_path: Path) -> None:
    data = toy.snapshot(tmp_path)
    choices = engine.choose(data, toy.CONFIG, toy.SPEC, say=lambda _: None)
    run = run_of("no-ema")(data, toy.CONFIG, toy.SPEC, choices, tmp_path)
    run.train_step(*next(run.batches()))
    for averaged, current in zip(run.ema.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(averaged, current)


def test_the_groups_are_all_default_transforms() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(DEFAULT_AUGMENT)


def test_every_ablation_has_an_unchanged_cell_with_its_images_and_seed() -> None:
    cells = {cell.name: cell for cell in CELLS}
    for cell in ABLATIONS:
        base = base_of(cell.name)
        if base is None:
            assert cell.name.startswith("ablation-portal6-base-")
            continue
        assert (cells[base].images, cells[base].options["seed"]) == (cell.images, cell.options["seed"])
        assert cells[base].config() != cell.config() or cell.variant


def result(wrong: list[str], n: int = 10) -> dict[str, object]:
    part = {"k": n - len(wrong), "n": n}
    return {"splits": {"test": {"audited": {"tta": part, "plain": part, "wrong": wrong, "wrong_plain": wrong}}}}


def test_a_difference_counts_images_that_only_one_run_reads() -> None:
    assert changed(result(["a", "b"]), result(["b", "c", "d"])) == (1, 2, 10)


def test_no_difference_without_the_whole_list_of_errors() -> None:
    cut = result(["a", "b"])
    cut["splits"]["test"]["audited"]["wrong"] = ["a"]  # type: ignore[index]
    assert changed(cut, result([])) is None


def test_the_interval_of_a_difference() -> None:
    low, high = paired95(40, 20, 10_000)
    # Wald's interval of 20 points of 10,000 is 4.8 to 35.2.
    assert (10_000 * low, 10_000 * high) == (pytest.approx(4.7, abs=0.3), pytest.approx(35.3, abs=0.3))
    assert paired95(0, 0, 100)[0] < 0 < paired95(0, 0, 100)[1]


def test_a_change_is_not_set_beside_a_result_of_former_settings() -> None:
    """Its base may have learned without a part that the change has."""
    now = CELLS_BY_NAME["hard4000-fast-seed0"].config()
    base = {"config": now.to_dict(), "data": {"n": {"train": 3600}}, "steps": 3360, "choices": {}}
    cell = {"cell": "ablation-no-ema-seed0"} | result(["a"])
    former = base | {"config": replace(now, column_loss=0.0).to_dict()}

    assert "0, 1; p = 1" in ablation_table({cell["cell"]: cell, "hard4000-fast-seed0": base | result([])})
    assert "has former settings" in ablation_table({cell["cell"]: cell, "hard4000-fast-seed0": former | result([])})


@pytest.mark.long
def test_a_cell_with_a_variant_trains_and_is_read(tmp_path: Path) -> None:
    bench = Bench(kind="accuracy", work=tmp_path / "work", results=tmp_path / "results")
    cell = replace(QUICK, variant="pos-none", worker="bench.accuracy.ablated")
    assert measure(cell, bench)["splits"]["test"]["raw"]["tta"]["n"] == 16
