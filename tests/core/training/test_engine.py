"""The training loop on a toy portal: reproducible, resumable bit for bit, and learning."""

import re
import shutil
import time
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import CheckpointError, OptionError, TrainingError
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.predictor import Predictor
from core.training import engine
from core.training.engine import Outcome, evaluation_interval, learning_rate_factor, replaces_best
from core.training.snapshot import Snapshot, load_snapshot, write_snapshot
from tests.helpers import toy

SHORT = replace(toy.CONFIG, max_steps=14, augment=None)
"""Full augmentation, whose randomness must be reproducible too."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """72 training images (4 steps of 16 per epoch, 8 left over) and 18 validation images."""
    return toy.snapshot(tmp_path_factory.mktemp("toy"))


class Watch:
    """Collect the lines of a run, and stop it at a given step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps: list[dict[str, Any]] = []
        self.vals: list[dict[str, Any]] = []
        self.sentences: list[str] = []
        self.stop_at = stop_at

    def should_stop(self) -> bool:
        return bool(self.steps) and self.steps[-1]["step"] == self.stop_at


def fit(
    data: Snapshot, config: TrainConfig, folder: Path, watch: Watch, kind: type[engine.Run] = engine.Run
) -> Outcome:  # fmt: skip
    choices = engine.choose(data, config, toy.SPEC, say=lambda _: None) | {"threads": 1}
    return engine.fit(
        data, config, toy.SPEC, choices, folder,
        on_step=watch.steps.append, on_val=watch.vals.append, should_stop=watch.should_stop, say=lambda _: None,
        on_damage=watch.sentences.append, kind=kind,
    )  # fmt: skip


Short = tuple[Path, Watch, Outcome]


@pytest.fixture(scope="module")
def short(data: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Short:
    """A finished run of SHORT. Copy its folder before training in it."""
    folder, watch = tmp_path_factory.mktemp("short"), Watch()
    return folder, watch, fit(data, SHORT, folder, watch)


def numbers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def same(a: Any, b: Any) -> bool:
    """Compare nested states bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def newest(folder: Path) -> dict[str, Any]:
    state = checkpoint.load(folder, "step")
    assert state is not None
    return state


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(
    data: Snapshot, short: Short, tmp_path: Path
) -> None:
    """Every logged figure and every weight is equal."""
    folder, first, _ = short
    again, other = Watch(), Watch(stop_at=1)
    fit(data, SHORT, tmp_path / "again", again)
    fit(data, replace(SHORT, seed=1), tmp_path / "other", other)

    assert numbers(first.steps) == numbers(again.steps)
    assert numbers(first.vals) == numbers(again.vals)
    assert same(newest(folder)["model"], newest(tmp_path / "again")["model"])
    assert first.steps[0]["loss"] != other.steps[0]["loss"]


def test_batches_are_the_same_whoever_makes_them(data: Snapshot, tmp_path: Path) -> None:
    """Loader threads, as for a GPU, change neither pixels nor order, from any step."""
    config = replace(SHORT, augment=None)
    choices = engine.choose(data, config, toy.SPEC, say=lambda _: None)

    def first_ten(loaders: int) -> list[torch.Tensor]:
        run = engine.Run(data, config, toy.SPEC, choices, tmp_path)
        run.step, run.feed.loaders = 2, loaders
        made = []
        for images_B3HW, targets_BP, _ in run.batches():
            made += [images_B3HW, targets_BP]
            run.step += 1
            if len(made) == 20:
                return made
        raise AssertionError("the run is too short")

    alone, ahead = first_ten(0), first_ten(3)
    assert all(torch.equal(left, right) for left, right in zip(alone, ahead, strict=True))


def test_readings_weigh_less_than_labels_of_people(tmp_path: Path) -> None:
    """The loss of a step is the mean cross-entropy of its images, each with the weight of its label."""
    rows = toy.rows(90)
    kinds = {row[0]: kind for row, kind in zip(rows[:30], ["readers", "run", "verdict"] * 10, strict=True)}
    write_snapshot(tmp_path / "dataset.npz", rows, kinds)
    data = load_snapshot(tmp_path / "dataset.npz")
    config = replace(SHORT, augment={}, reading_weight=0.25)
    choices = engine.choose(data, config, toy.SPEC, say=lambda _: None) | {"threads": 1}
    run = engine.Run(data, config, toy.SPEC, choices, tmp_path)
    images_B3HW, targets_BP, weights_B = next(iter(run.batches()))
    assert weights_B is not None
    assert set(weights_B.tolist()) == {0.25, 1.0}
    run.model.train()
    with torch.no_grad():
        losses_PB = torch.nn.functional.cross_entropy(
            run.model(images_B3HW).transpose(1, 2), targets_BP, reduction="none"
        )
    expected = (losses_PB.mean(dim=1) * weights_B).sum() / weights_B.sum()

    run.train_step(images_B3HW, targets_BP, weights_B)

    assert run.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_weight_does_not_matter_if_all_labels_are_readings(data: Snapshot, short: Short, tmp_path: Path) -> None:
    """Every figure and weight is that of a run on the same labels from people."""
    folder, first, _ = short
    readings = replace(data, kinds=["readers" if split == "train" else "" for split in data.splits])
    again = Watch()

    fit(readings, SHORT, tmp_path, again)

    assert numbers(again.steps) == numbers(first.steps)
    assert same(newest(folder)["model"], newest(tmp_path)["model"])


@pytest.mark.parametrize("stop_at", [3, 8])
def test_a_resumed_run_ends_bit_for_bit_like_an_undisturbed_one(
    data: Snapshot, short: Short, tmp_path: Path, stop_at: int
) -> None:
    """Stop within an epoch and at its end: weights, averages, optimizer and best are equal."""
    folder, straight, _ = short
    first, second = Watch(stop_at), Watch()

    stopped = fit(data, SHORT, tmp_path, first)
    finished = fit(data, SHORT, tmp_path, second)

    assert (stopped.state, stopped.step) == ("stopped", stop_at)
    assert (finished.state, finished.step) == ("finished", 14)
    assert numbers(first.steps + second.steps) == numbers(straight.steps)
    left, right = newest(folder), newest(tmp_path)
    for state in (left, right):
        state["best"].pop("seconds")
    assert same(left, right)


def test_a_finished_run_is_not_trained_further(data: Snapshot, short: Short, tmp_path: Path) -> None:
    """Resuming it returns the old outcome."""
    folder, _, done = short
    watch = Watch()

    again = fit(data, SHORT, shutil.copytree(folder, tmp_path / "copy"), watch)

    assert (again.state, again.step, again.best) == ("finished", 14, done.best)
    assert watch.steps == []


def test_it_learns_the_toy_portal(toy_run: toy.Trained) -> None:
    """It goes from chance to nearly all of 18 unseen images, with a falling loss."""
    assert toy_run.best["correct"] >= 16
    assert toy_run.steps[0]["loss"] > 0.7
    assert toy_run.steps[-1]["loss"] < 0.3
    assert len(toy_run.vals) >= 8


def test_lines_have_the_keys_of_the_metrics_file(short: Short) -> None:
    """Readers of metrics.jsonl rely on these keys."""
    _, watch, _ = short

    assert list(watch.steps[0]) == ["kind", "step", "epoch", "loss", "accuracy", "lr", "seconds"]
    assert list(watch.vals[0]) == [
        "kind", "step", "epoch", "loss", "correct", "n", "exact", "per_position", "answers",
        "answers_per_position", "seconds", "kept",
    ]  # fmt: skip
    assert (watch.steps[0]["step"], watch.steps[0]["epoch"]) == (1, 1)
    assert (watch.vals[-1]["step"], watch.vals[-1]["epoch"], watch.vals[-1]["n"]) == (14, 4, 18)
    assert len(watch.vals[0]["per_position"]) == 2


def test_the_clock_ends_a_run_and_its_schedule(data: Snapshot, tmp_path: Path) -> None:
    """After max_minutes the run is finished, evaluated and saved, even with few steps."""
    watch = Watch()

    outcome = fit(data, replace(toy.CONFIG, steps=100_000, max_minutes=0.03), tmp_path, watch)

    assert outcome.state == "finished"
    assert outcome.step < 1000
    assert outcome.seconds > 1.8
    assert watch.vals[-1]["step"] == newest(tmp_path)["step"] == outcome.step


def test_the_shortest_clock_leaves_a_step_and_its_validation(data: Snapshot, tmp_path: Path) -> None:
    """max_minutes counts training, not decoding images and building networks."""
    watch = Watch()

    outcome = fit(data, replace(toy.CONFIG, max_minutes=1e-6), tmp_path, watch)

    assert (outcome.state, outcome.step) == ("finished", 1)
    assert outcome.best is not None
    assert outcome.best["step"] == 1


def test_a_run_out_of_time_validates_its_last_weights(data: Snapshot, tmp_path: Path) -> None:
    """max_minutes may run out anywhere between two steps."""
    for minutes in (0.002, 0.003, 0.004, 0.005):
        watch = Watch()
        folder = tmp_path / str(minutes)
        watch.should_stop = lambda: bool(time.sleep(0.03))  # type: ignore[method-assign]

        outcome = fit(data, replace(toy.CONFIG, steps=100_000, max_minutes=minutes), folder, watch)

        assert outcome.best is not None
        assert watch.vals[-1]["step"] == outcome.step


def test_damaged_checkpoints_do_not_start_the_run_over(data: Snapshot, tmp_path: Path) -> None:
    """They are set aside with an error, and each resume says so."""
    fit(data, SHORT, tmp_path, Watch(stop_at=8))
    for path in tmp_path.glob("step-*.pt"):
        path.write_bytes(b"torn")

    watch = Watch()
    for _ in range(2):
        with pytest.raises(CheckpointError, match="None of the run's checkpoints can be read"):
            fit(data, SHORT, tmp_path, watch)
    assert watch.steps == []


def test_a_damaged_newest_checkpoint_costs_its_steps_only(data: Snapshot, short: Short, tmp_path: Path) -> None:
    """The run says so, continues from the one before and reaches the same weights."""
    folder, _, outcome = short
    fit(data, SHORT, tmp_path, Watch(stop_at=5))
    shutil.copytree(tmp_path, tmp_path / "earlier")
    fit(data, SHORT, tmp_path, Watch(stop_at=8))
    for path in (tmp_path / "earlier").glob("step-000005.*"):
        path.replace(tmp_path / path.name)
    (tmp_path / "step-000008.pt").write_bytes(b"torn")
    (tmp_path / next(tmp_path.glob("best-*.pt")).name).write_bytes(b"torn")
    watch = Watch()

    resumed = fit(data, SHORT, tmp_path, watch)

    assert len(watch.sentences) == 1
    assert re.fullmatch(
        r"step-000008\.pt and best-00000\d\.pt cannot be read and was set aside\. The run continues from step 5\.",
        watch.sentences[0],
    )
    assert watch.steps[0]["step"] == 6
    assert (tmp_path / "step-000008.pt.corrupt").exists()
    assert resumed.best is not None
    assert outcome.best is not None
    assert resumed.best["step"] == outcome.best["step"]
    assert same(newest(tmp_path)["model"], newest(folder)["model"])
    assert same(checkpoint.load(tmp_path, "best")["model"], checkpoint.load(folder, "best")["model"])


def test_a_finished_training_selects_again_if_its_selection_is_damaged(
    data: Snapshot, short: Short, tmp_path: Path
) -> None:
    """No step is left to train, so it evaluates the last one."""
    folder = shutil.copytree(short[0], tmp_path / "run")
    for path in folder.glob("best-*.pt"):
        path.write_bytes(b"torn")
    watch = Watch()

    outcome = fit(data, SHORT, folder, watch)

    assert (len(watch.steps), len(watch.vals), len(watch.sentences)) == (0, 1, 1)
    assert outcome.best is not None
    assert checkpoint.load_for_prediction(folder)["step"] == outcome.best["step"] == outcome.step


def test_a_nan_loss_ends_the_run(data: Snapshot, tmp_path: Path) -> None:
    """The error names the step, and the last good checkpoint stays."""
    fit(data, SHORT, tmp_path, Watch(stop_at=5))
    state = newest(tmp_path)
    next(iter(state["training_model"].values())).fill_(float("nan"))
    checkpoint.save(tmp_path, "step", 6, state | {"step": 6}, {})

    with pytest.raises(TrainingError, match="nan by step 7"):
        fit(data, SHORT, tmp_path, Watch())

    assert sorted(path.name for path in tmp_path.glob("step-*.pt")) == ["step-000005.pt", "step-000006.pt"]


def test_a_checkpoint_of_another_network_is_refused(data: Snapshot, tmp_path: Path) -> None:
    """Both resume and prediction refuse it with one sentence."""
    fit(data, replace(SHORT, max_steps=1), tmp_path / "checkpoints", Watch())

    with pytest.raises(CheckpointError, match="does not match the network"):
        fit(data, replace(SHORT, width=16), tmp_path / "checkpoints", Watch())
    state = newest(tmp_path / "checkpoints")
    for change, sentence in (({"charset": "|-x+"}, "does not match the network"), ({"format": 9}, "format 9")):
        checkpoint.save(tmp_path / "checkpoints", "best", 1, state | change, {})
        with pytest.raises(CheckpointError, match=sentence):
            Predictor.load(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_a_gpu_that_is_not_there_is_refused_before_any_work(data: Snapshot) -> None:
    """It uses the CPU with device=auto."""
    with pytest.raises(OptionError, match="device=cuda"):
        engine.choose(data, replace(toy.CONFIG, device="cuda"), toy.SPEC)
    assert engine.choose(data, replace(toy.CONFIG, device="auto"), toy.SPEC)["device"] == "cpu"


def test_a_set_smaller_than_a_batch_trains(tmp_path: Path) -> None:
    """Ten labels are enough to try the loop."""
    outcome = fit(toy.snapshot(tmp_path, count=28), replace(toy.CONFIG, max_steps=3), tmp_path / "c", Watch())

    assert outcome.step == 3


def test_no_labels_are_refused(tmp_path: Path) -> None:
    """The error is one sentence."""
    write_snapshot(tmp_path / "dataset.npz", [])
    with pytest.raises(TrainingError, match="no labels yet"):
        engine.choose(load_snapshot(tmp_path / "dataset.npz"), toy.CONFIG, toy.SPEC)


def test_the_learning_rate_rises_then_falls() -> None:
    """It warms up, peaks, and decays by cosine to 1%."""
    factors = [learning_rate_factor(step / 1000) for step in range(1001)]

    assert factors[0] < 0.05
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert factors[-1] == pytest.approx(0.01)
    assert factors.index(max(factors)) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("steps", "per_epoch", "batch", "val"), [(30, 15, 32, 56), (2000, 15, 32, 56), (2000, 90, 32, 351), (40, 90, 8, 9)]
)
def test_a_curve_moves_at_a_tenth_of_the_cost(steps: int, per_epoch: int, batch: int, val: int) -> None:
    """There are at least eight evaluations, unless they cost over a tenth of the training."""
    every = evaluation_interval(steps, per_epoch, batch, val)

    assert steps // every >= 8 or every * batch * 0.1 <= val / 3 + batch * 0.1
    assert steps // every >= 3


def test_the_latest_weights_are_kept_unless_they_are_clearly_worse() -> None:
    """Clearly worse is more than a standard error below the highest count so far."""

    def least(most: int, n: int) -> int:
        return min(correct for correct in range(most + 1) if replaces_best(correct, most, n))

    assert [least(most, 400) for most in (400, 399, 390, 300)] == [399, 398, 387, 290]
    assert [least(most, 400) for most in (200, 100, 19, 2, 1, 0)] == [190, 93, 16, 1, 1, 0]
    assert [least(n, n) for n in (1, 2, 8)] == [1, 1, 7]


def test_the_weights_kept_are_those_of_the_last_line_that_says_so(data: Snapshot, tmp_path: Path) -> None:
    """Each count is compared with the highest before it."""
    counts = [2, 7, 6, 18, 15, 8, 18, 17, 12, 15]

    class Fluctuating(engine.Run):
        def read_val(self) -> dict[str, Any]:
            return super().read_val() | {"correct": counts[len(watch.vals)]}

    watch = Watch()
    outcome = fit(data, replace(toy.CONFIG, max_steps=40), tmp_path, watch, kind=Fluctuating)

    assert [line["correct"] for line in watch.vals] == counts
    highest = list(accumulate(counts, max))
    selected = [line["step"] for line in watch.vals if line["kept"]]
    assert [line["kept"] for line in watch.vals] == [
        replaces_best(correct, most, watch.vals[0]["n"]) for correct, most in zip(counts, highest, strict=True)
    ]
    assert 0 < len(selected) < len(counts)
    state = checkpoint.load(tmp_path, "best")
    assert state is not None
    assert outcome.best is not None
    assert (state["step"], outcome.best["step"], outcome.best["most"]) == (selected[-1], selected[-1], highest[-1])
