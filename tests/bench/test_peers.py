"""The peer: its decoding equals a list of all paths, it learns and resumes, and its results have the form of others."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.accuracy import accuracy
from bench.accuracy.reading import parameters
from bench.accuracy.scores import score_reads
from bench.cells import ROOT, Bench, CellError, save_result
from bench.peers import peers
from bench.peers.crnn import Crnn, CrnnRun, build_crnn, ctc_loss, exactly, greedy
from bench.peers.search import Peer, best_rate, counterparts, searched
from bench.tables.peers import HARD, hard_table, peer_costs_table, peers_table
from core.charset import TextSpec
from core.evaluation.percent import counted
from core.model.config import preset
from core.model.network import build_model
from core.training import engine
from core.training.snapshot import Snapshot
from tests.helpers import toy


def best_of_all_paths(shares_TS: np.ndarray, spec: TextSpec) -> str:
    """Return the text of the best path with the right number of characters, by listing every path."""
    paths = product(range(shares_TS.shape[1]), repeat=len(shares_TS))
    texts = ((path, [symbol for symbol, _ in groupby(path) if symbol]) for path in paths)
    fitting = [(path, text) for path, text in texts if len(text) == spec.length]
    _, best = max(fitting, key=lambda each: np.prod(shares_TS[np.arange(len(shares_TS)), each[0]]))
    return spec.decode([symbol - 1 for symbol in best])


@pytest.mark.parametrize("seed", range(12))
def test_readings_of_exactly_n_characters_are_those_of_the_best_path(seed: int) -> None:
    """Half of the images are sharp around a text with equal neighbors."""
    rng, spec = np.random.default_rng(seed), TextSpec(3, "ab")
    logits_NTS = rng.normal(scale=2, size=(8, 6, 3))
    for logits_TS in logits_NTS[::2]:
        logits_TS[np.arange(5), [1, 0, 1, 0, 1]] += 4
    shares_NTS = np.exp(logits_NTS)
    shares_NTS /= shares_NTS.sum(axis=2, keepdims=True)

    assert exactly(shares_NTS, spec) == [best_of_all_paths(shares_TS, spec) for shares_TS in shares_NTS]


def test_greedy_reading_merges_equal_neighbors_without_a_blank() -> None:
    """Two equal characters need a blank between them, which exactly N characters can find."""
    spec = TextSpec(2, "12")
    shares_TS = np.array([[0.1, 0.8, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1]])

    assert greedy(shares_TS, spec) == "1"
    assert exactly(shares_TS[None], spec) == ["11"]


def test_the_peer_has_as_many_parameters_as_our_network() -> None:
    """Within 2%, for six digits at 48 x 192."""
    spec = TextSpec(6, "0123456789")
    choices: dict[str, Any] = {"image_size": [48, 192], "centers": [0.1] * 6, "sigma": 0.1}
    ours = build_model(preset("fast"), spec, choices, weights=None)
    ours.heads.fold()
    peer = sum(each.numel() for each in build_crnn(preset("fast"), spec, choices).parameters())

    assert peer == pytest.approx(parameters(ours)["total"], rel=0.02)


def test_a_few_steps_lower_the_loss_and_learn_equal_neighbors() -> None:
    """The batch is always the same. Half of its texts have equal neighbors."""
    torch.manual_seed(0)
    model = Crnn(4, 16)
    images_B3HW = torch.rand(8, 3, 16, 48)
    targets_BP = torch.tensor([[0, 0], [1, 2]] * 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(16):
        loss = ctc_loss(model(images_B3HW), targets_BP)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    shares_BTS = model(images_B3HW).softmax(dim=2).detach().numpy()

    assert losses[-1] < 0.5 * losses[0]
    assert exactly(shares_BTS, TextSpec(2, "abc")) == ["aa", "bc"] * 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return toy.snapshot(tmp_path_factory.mktemp("toy"))


def test_a_stopped_training_ends_with_the_same_weights(data: Snapshot, tmp_path: Path) -> None:
    """The loop is that of our network, so the same seed gives the same weights, with and without a stop."""
    config = replace(toy.CONFIG, column_loss=0.0)
    choices = engine.choose(data, config, toy.SPEC, say=lambda _: None) | {"threads": 1, "steps": 6}
    losses: dict[str, list[float]] = {"whole": [], "parts": []}

    def fit(name: str, stop_at: int | None) -> engine.Outcome:
        return engine.fit(
            data, config, toy.SPEC, choices, tmp_path / name, kind=CrnnRun, say=lambda _: None,
            on_step=lambda line: losses[name].append(line["loss"]), on_val=lambda _: None,
            should_stop=lambda: len(losses[name]) == stop_at,
        )  # fmt: skip

    whole = fit("whole", None)
    stopped, ended = fit("parts", 3), fit("parts", None)

    assert (whole.state, stopped.state, ended.state) == ("finished", "stopped", "finished")
    assert losses["parts"] == losses["whole"]
    assert whole.best is not None
    assert ended.best is not None
    assert (ended.best["loss"], ended.best["n"]) == (whole.best["loss"], whole.best["n"])


@pytest.mark.long
def test_a_cell_writes_the_form_of_other_cells(tmp_path: Path) -> None:
    """It has counts, intervals and the wrong images of both decodings, and the figures of both networks."""
    folders = ("--work", tmp_path / "work", "--results", tmp_path / "results")
    command = [sys.executable, "-m", "bench.peers", "--quick", "--only", "quick", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    test = result["splits"]["test"]

    assert (result["cell"], result["steps"], list(result["splits"])) == ("quick", 12, ["val", "test"])
    assert {way: test["audited"][way]["n"] for way in ("greedy", "exact")} == {"greedy": 16, "exact": 16}
    assert len(test["audited"]["wrong"]) == 16 - test["audited"]["exact"]["k"]
    assert sum(n for _, n in map(test["raw"]["greedy"]["slices"].get, ("repeat", "no_repeat"))) == 16
    assert sorted(result["parameters"]) == sorted(result["step_ms"]) == ["crnn", "ours"]
    assert sorted(result["read_ms"]) == ["crnn", "crnn_exact", "ours"]
    assert result["validation"][-1][0] == 12
    assert ".png" not in done.stdout


# The search


def rated(rate: str, exact: int, loss: float) -> dict[str, Any]:
    figures = {"greedy": {"k": exact - 1, "n": 400}, "exact": {"k": exact, "n": 400}}
    return {"cell": f"crnn-rate-{rate}", "splits": {"val": {"raw": figures}}, "val_loss": loss}


def test_the_search_takes_the_rate_with_the_most_right_then_the_lowest_loss() -> None:
    """A cell without a finished search says which cells it needs."""
    figures = dict(zip(peers.RATES, ((390, 0.1), (398, 0.05), (398, 0.04), (250, 0.9)), strict=True))
    results = {f"crnn-rate-{rate}": rated(rate, *each) for rate, each in figures.items()}

    assert best_rate(searched(results, peers.rates_of("hard4000"))) == "0.002"

    del results["crnn-rate-0.0005"]
    with pytest.raises(CellError, match=r"needs crnn-rate-0\.0005\."):
        searched(results, peers.rates_of("hard4000"))


def test_the_winner_of_a_search_is_not_trained_twice(tmp_path: Path) -> None:
    """On the same images with the same settings, its result is that of the cell, under the name of the cell."""
    cell = next(cell for cell in peers.CELLS if cell.name == "crnn-digits4-seed0")
    for number, (name, rate) in enumerate(peers.rates_of("digits4").items()):
        searching = next(each for each in peers.CELLS if each.name == name)
        result = rated(rate, 300 + number, 0.1) | {"cell": name, "config": searching.config().to_dict()}
        save_result(tmp_path / f"{name}.json", result | {"data": {"name": "digits4"}, "seconds": number})
    result = peers.measure(cell, Bench(kind="peers", work=tmp_path, results=tmp_path))

    assert (result["cell"], result["what"], result["options"]["lr"]) == (cell.name, cell.what, "0.004")
    assert (result["seconds"], [each["exact"] for each in result["search"]]) == (3, [300, 301, 302, 303])


def test_a_set_with_a_search_of_its_own_has_its_rate() -> None:
    """Other sets have the rate of the hard style."""
    searches = {cell.name: next(iter(cell.rates)) for cell in peers.CELLS if isinstance(cell, Peer)}

    assert searches["crnn-digits4-200-seed0"] == searches["crnn-digits4-seed0"] == "crnn-rate-digits4-0.0005"
    assert searches["crnn-portal6-fold3"] == "crnn-rate-portal6-0.0005"
    assert searches["crnn-henan4-seed0"] == searches["crnn-hard4000-seed0"] == "crnn-rate-0.0005"
    assert searches.keys() - {cell.name for cell in peers.CELLS if cell.group == "peers"} == set()


def test_cells_of_the_peer_have_counterparts() -> None:
    """Each has our runs on the same images, from scratch and from rendered weights."""
    ours = {cell.name: cell.images for cell in accuracy.CELLS}
    compared = [cell for cell in peers.CELLS if cell.group == "peers"]

    assert len({cell.name for cell in compared}) == len(compared) > 20
    for cell in compared:
        assert [ours[name] for name in counterparts(cell.name)] == [cell.images] * 2


def test_the_search_on_the_hard_style_has_no_test_image() -> None:
    """The other searches read theirs, and only val chooses."""
    parts = peers.CELLS[0].image_set.parts

    assert [count for part in parts for count in part.counts] == [("train", 3600), ("val", 400)]


# Tables


def score(wrong: set[int], ways: tuple[str, str]) -> dict[str, Any]:
    """Return figures of 20 images, half of them with equal neighbors, of which both ways read `wrong` wrong."""
    labels = ["112" if index % 2 else "123" for index in range(20)]
    reads = ["999" if index in wrong else label for index, label in enumerate(labels)]
    sha256 = [f"{index:064x}" for index in range(20)]
    return {"test": score_reads(sha256, labels, dict.fromkeys(ways, reads), {}, listed=ways[1])}


def test_the_table_sets_the_peer_beside_our_run() -> None:
    """McNemar counts the images that only one of both reads right. An incomplete list of wrong images gives none."""
    common = {"choices": {"device": "cpu", "threads": 1}, "seconds": 90.0, "steps": 1500}
    peer = common | {
        "cell": "crnn-digits4-seed0",
        "splits": score({1, 2, 3, 4, 5}, ("greedy", "exact")),
        "parameters": {"crnn": 870_000, "ours": 880_000},
        "read_ms": {"crnn": 4.0, "crnn_exact": 5.0, "ours": 3.0},
        "step_ms": {"crnn": 300.0, "ours": 200.0},
        "validation": [[90, 20.0, 5, 10], [180, 42.0, 10, 10]],
    }
    ours = common | {"splits": score({5, 6}, ("tta", "plain"))}
    ours["splits"]["test"]["audited"]["wrong_plain"] = ours["splits"]["test"]["audited"]["wrong"]
    results, own = {"crnn-digits4-seed0": peer}, {"digits4-fast-seed0": ours}
    text = peers_table(results, own)

    row = f"{counted(15, 20)} | {counted(15, 20)} | {counted(18, 20)} | not run | 4, 1, 0.38 |"
    assert f"{row} 3/10, 3/10, 1/10, 2/10, 2/10, 1/10 |" in text
    assert "| `crnn-hard4000-200-seed0` | rendered, 6 digits, hard style, 200 labels | not run (needs the cells" in text
    ours["splits"]["test"]["audited"]["wrong_plain"] = []
    assert "4, 1" not in peers_table(results, own)

    times = "0.7 min, step 180; 0.7 min, step 180 | not recorded |"
    assert f"| 870,000, 880,000 | 4.0, 5.0, 3.0 | 300.0, 200.0 | {times}" in peer_costs_table(results, own)


def test_our_runs_on_the_hard_style_stand_beside_the_crnn_with_as_many_labels() -> None:
    common = {"choices": {"device": "cpu", "threads": 1}, "seconds": 90.0, "steps": 1500}
    peer = common | {"splits": score({1, 2, 3}, ("greedy", "exact"))}
    ours = common | {"splits": score({3}, ("plain", "tta"))}
    ours["splits"]["test"]["audited"]["wrong_plain"] = ours["splits"]["test"]["audited"]["wrong"]

    text = hard_table({"crnn-hard4000-1000-seed0": peer}, {"hard4000-1000-scratch-seed0": ours})

    took = "1.5 min, 1,500 steps, 1 thread"
    assert f"| `hard4000-1000-scratch-seed0` | {took} | 19 of 20 | 19 of 20 | 17 of 20 | {took} | 2, 0, 0.5 |" in text
    assert "| `hard4000-1000-rendered-seed0` | not run |" in text
    assert "| `hard4000-fast-seed0` | not run |" in text
    alone = hard_table({}, {"hard4000-1000-scratch-seed0": ours})
    assert "| `hard4000-1000-scratch-seed0` | `crnn-hard4000-1000-seed0` is not run |" in alone


def test_every_cell_beside_the_crnn_exists_and_has_as_many_labels() -> None:
    ours, crnn = {cell.name: cell for cell in accuracy.CELLS}, {cell.name: cell for cell in peers.CELLS}
    for name, beside in HARD:
        assert ours[name].image_set.few == crnn[beside].image_set.few
        assert ours[name].image_set.draw == crnn[beside].image_set.draw


def test_the_tables_have_the_other_tool_too() -> None:
    """Its last epoch stands beside the one that it chose, and its epochs beside its steps."""
    name = "plates-digits4-seed0"
    peer = {
        "cell": name,
        "choices": {"device": "cpu", "threads": 1},
        "seconds": 90.0,
        "steps": 1500,
        "epochs": 50,
        "splits": score({1, 2, 3}, ("greedy", "last", "exact")),
        "parameters": {"plates": 355_731},
        "read_ms": {"plates": 2.5},
        "step_ms": {},
        "validation": [[30, 2.0, 10, 10]],
    }

    text = peers_table({name: peer}, {})

    assert f"| `{name}` | real, 4 digits, all labels | {counted(17, 20)} | {counted(17, 20)}; last epoch" in text
    assert "not run (needs the cells plates-rate-*, fast-plate-ocr in SLOTLAB_BENCH_PLATES)" in text
    row = (
        "| 355,731 | 2.5 |  | 0.0 min, step 30; 0.0 min, step 30 | not run | 1.5 min, 1,500 steps, 1 thread, 50 epochs"
    )
    assert f"{row} | not run |" in peer_costs_table({name: peer}, {})
