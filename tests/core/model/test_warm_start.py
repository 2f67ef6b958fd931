"""Starts from rendered text, a file or another run: what is copied, what is interpolated, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from bench.rendered.publish import card_of, publish, write_weights
from core.charset import TextSpec
from core.errors import CheckpointError, OptionError
from core.model import checkpoint, init_choice, warm_start
from core.model.any_length import AnyLength
from core.model.config import TrainConfig
from core.model.init_choice import choose_init
from core.model.network import Recognizer, build_model, load_model
from core.model.warm_start import copy_weights, load_initial, load_rendered, start_from
from core.readers.builtin import CHARS
from core.training import engine
from core.training.snapshot import Snapshot
from tests.helpers import toy

CHOICES: dict[str, Any] = {"image_size": [32, 64], "centers": [0.3, 0.7], "sigma": 0.3}
RENDERED = replace(toy.CONFIG, init="rendered")


def any_length(config: TrainConfig = toy.CONFIG) -> AnyLength:
    """Return a network in which every weight differs from its initial value."""
    torch.manual_seed(3)
    model = AnyLength(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value), alpha=0.1)
    return model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A published network with random weights, in place of the one in the repository."""
    weights, published = tmp_path / "weights.safetensors", tmp_path / "rendered"
    write_weights(any_length(), weights)
    publish(published, card_of(weights, {"step": 10, "seconds": 60.0}, [], [], 0), weights)
    monkeypatch.setattr(init_choice, "RENDERED", published)
    load_rendered.cache_clear()
    yield published
    load_rendered.cache_clear()


def network(config: TrainConfig, spec: TextSpec, **choices: Any) -> Recognizer:
    """Return a new network of a run."""
    torch.manual_seed(4)
    made = CHOICES | {"centers": np.linspace(0.1, 0.9, spec.length).tolist()} | choices
    return build_model(config, spec, made, weights=None).eval()


def started(config: TrainConfig, spec: TextSpec, init: str, **choices: Any) -> Recognizer:
    model = network(config, spec, **choices)
    copy_weights(load_initial(config, spec, init, model_size(choices)), model, spec.charset)
    return model


def model_size(choices: dict[str, Any]) -> tuple[int, int]:
    height, width = choices.get("image_size", CHOICES["image_size"])
    return height, width


def read(model: torch.nn.Module, *arguments: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(*arguments)
    return logits


@pytest.mark.parametrize("tied", [True, False])
def test_a_start_from_rendered_text_reads_like_the_whole_network(folder: Path, tied: bool) -> None:
    """Any order of the characters, any length and image size; with shared and with independent heads."""
    spec, images_B3HW = TextSpec(3, "9a0Z"), torch.rand(4, 3, 48, 96)
    model = started(replace(RENDERED, tied_heads=tied), spec, "rendered", image_size=[48, 96])

    expected_BPC = read(load_rendered(), images_B3HW, 3)[:, :, [CHARS.index(char) for char in spec.charset]]
    torch.testing.assert_close(read(model, images_B3HW), expected_BPC)
    assert load_rendered() is load_rendered()


def test_characters_without_weights_keep_their_initialization(folder: Path) -> None:
    """`|` and `-` are outside of the 62 characters, `x` is inside."""
    model, untouched = started(RENDERED, toy.SPEC, "rendered"), network(RENDERED, toy.SPEC)

    for place, char in enumerate(toy.SPEC.charset):
        is_kept = torch.equal(model.heads.shared.weight[place], untouched.heads.shared.weight[place])
        assert is_kept == (char not in CHARS)
    assert not model.heads.own.any()


def test_a_charset_without_any_known_character_starts_too(folder: Path) -> None:
    """All heads then begin from the initialization."""
    spec = TextSpec(2, "äöü")
    model, untouched = started(RENDERED, spec, "rendered"), network(RENDERED, spec)

    assert torch.equal(model.heads.shared.weight, untouched.heads.shared.weight)
    assert not torch.equal(model.neck[1].weight, untouched.neck[1].weight)


def run_network(run: toy.Trained) -> Recognizer:
    state = checkpoint.load_for_prediction(run.folder / "checkpoints")
    return load_model(TrainConfig.from_dict(state["config"]), toy.SPEC, state["choices"], state["model"]).eval()


@pytest.mark.parametrize("tied", [True, False])
def test_a_start_from_a_run_takes_all_its_weights(toy_run: toy.Trained, tied: bool) -> None:
    """A network with the same length and charset reads like the run."""
    images_B3HW = torch.rand(4, 3, 32, 64)
    model = started(replace(toy.CONFIG, tied_heads=tied), toy.SPEC, str(toy_run.folder))

    torch.testing.assert_close(read(model, images_B3HW), read(run_network(toy_run), images_B3HW))


def test_a_start_from_one_checkpoint_file_equals_that_from_its_run(toy_run: toy.Trained) -> None:
    (path,) = (toy_run.folder / "checkpoints").glob("best-*.pt")
    one, other = (load_initial(toy.CONFIG, toy.SPEC, str(place), (32, 64)) for place in (path, toy_run.folder))

    assert (one.sha256, one.charset) == (other.sha256, other.charset)
    assert one.sha256 == json.loads(path.with_suffix(".json").read_text())["sha256"]


def test_a_run_with_another_charset_gives_the_heads_of_shared_characters(toy_run: toy.Trained) -> None:
    spec = TextSpec(2, "x+|")
    model, untouched = started(toy.CONFIG, spec, str(toy_run.folder)), network(toy.CONFIG, spec)
    images_B3HW = torch.rand(4, 3, 32, 64)

    torch.testing.assert_close(
        read(model, images_B3HW)[:, :, [0, 2]], read(run_network(toy_run), images_B3HW)[:, :, [2, 0]]
    )
    assert torch.equal(model.heads.shared.weight[1], untouched.heads.shared.weight[1])


def test_a_run_of_another_length_and_size_is_interpolated(toy_run: toy.Trained) -> None:
    """Positions stay in order, and the column prior scales with their number."""
    source = run_network(toy_run).state_dict()
    model = started(toy.CONFIG, TextSpec(4, "|-x"), str(toy_run.folder), image_size=[48, 128]).state_dict()

    assert torch.equal(model["pool.pos"][[0, 3]], source["pool.pos"])
    torch.testing.assert_close(model["pool.map_pos"].mean(dim=0), source["pool.map_pos"].mean(dim=0), atol=2e-2, rtol=0)
    assert model["pool.prior_center"].diff().gt(0).all()
    torch.testing.assert_close(model["pool.prior_log_sigma"].exp()[[0, 3]], source["pool.prior_log_sigma"].exp() / 2)


@pytest.mark.parametrize(
    ("changes", "length", "sentence"),
    [
        ({"backbone": "resnet10t"}, 2, "`backbone=test_resnet` and this run has `backbone=resnet10t`"),
        ({"stride": 8}, 2, "`stride=16` and this run has `stride=8`"),
        ({"head": "flatten"}, 2, "`head=query` and this run has `head=flatten`"),
        ({"width": 64}, 2, "`width=32` and this run has `width=64`"),
        ({}, 11, "up to 10 characters and this project uses 11"),
        ({"pretrained": "hub"}, 2, "`pretrained=hub` both set weights"),
        ({"init": "/nowhere/weights.safetensors"}, 2, "no such file or run"),
        ({"init": "weights.safetensors"}, 2, "no such file or run"),
        ({"init": "/"}, 2, "this directory has no checkpoint of a run"),
        ({"init": __file__}, 2, "neither a .safetensors file nor a checkpoint"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, changes: dict[str, Any], length: int, sentence: str) -> None:
    """The sentence names the setting and both values."""
    with pytest.raises(OptionError, match=sentence) as error:
        choose_init(replace(RENDERED, **changes), length)

    assert str(error.value).startswith("`init=")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"width": 64}, "`width=32` and this run has `width=64`"),
        ({"pretrained": "hub"}, "`pretrained=hub` is set"),
    ],
)
def test_auto_uses_rendered_text_only_where_it_fits(folder: Path, changes: dict[str, Any], reason: str) -> None:
    """It gives the reason otherwise."""
    init, why = choose_init(replace(toy.CONFIG, init="auto", **changes), 2)

    assert init == ("scratch" if reason else "rendered")
    assert reason in why
    shutil.rmtree(folder)
    assert choose_init(replace(toy.CONFIG, init="auto"), 2) == (
        "scratch",
        "The weights weights.safetensors are missing",
    )


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def rename_weight(path: Path) -> None:
    state = safetensors.torch.load_file(path)
    state["other"] = state.pop("pos.0")
    safetensors.torch.save_file(state, path, {"format": init_choice.FORMAT, "longest": "10", **NETWORK})


NETWORK = {name: str(getattr(toy.CONFIG, name)) for name in init_choice.NETWORK}
DAMAGE: dict[str, tuple[Any, str]] = {
    "gone": (Path.unlink, "are missing"),
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a safetensors file"),
    "text": (lambda path: path.write_text("no weights at all"), "damaged or not a safetensors file"),
    "list": (lambda path: path.write_bytes((2).to_bytes(8, "little") + b"[]"), "damaged or not a safetensors file"),
    "truncated": (truncate, "damaged or not a safetensors file"),
    "other": (
        lambda path: safetensors.torch.save_file({"a": torch.zeros(2)}, path),
        "does not hold weights in the format",
    ),
    "renamed": (rename_weight, "do not match the network in their header"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused(folder: Path, damage: str) -> None:
    """Each in one sentence. The card's hash reveals damage that the format does not."""
    path = folder / "weights.safetensors"
    change, sentence = DAMAGE[damage]
    change(path)

    with pytest.raises(CheckpointError, match=sentence) as error:
        load_initial(toy.CONFIG, toy.SPEC, str(path), (32, 64))
    assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError):
        load_rendered()


def test_one_changed_bit_in_the_rendered_weights_is_found(folder: Path) -> None:
    flip(folder / "weights.safetensors")

    with pytest.raises(CheckpointError, match="SHA-256 is not the one of their card"):
        load_rendered()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"sha256": 3, "images": 1}'])
def test_a_missing_or_damaged_card_is_refused(folder: Path, text: str | None) -> None:
    (folder / "card.json").unlink()
    if text is not None:
        (folder / "card.json").write_text(text)

    with pytest.raises(CheckpointError, match="card"):
        load_rendered()


def test_other_files_and_empty_runs_are_refused(toy_run: toy.Trained, tmp_path: Path) -> None:
    (path,) = (toy_run.folder / "checkpoints").glob("best-*.pt")
    alone, renamed = tmp_path / path.name, tmp_path / "weights.pt"
    for copy in (alone, renamed):
        shutil.copy(path, copy)
    (tmp_path / "checkpoints").mkdir()

    for place, sentence in (
        (alone, "its note is missing"),
        (renamed, "weights.pt is not a checkpoint"),
        (tmp_path, "no usable checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=sentence):
            load_initial(toy.CONFIG, toy.SPEC, str(place), (32, 64))


def test_a_run_with_another_network_is_refused(toy_run: toy.Trained) -> None:
    config = replace(toy.CONFIG, width=64, init=str(toy_run.folder))

    with pytest.raises(OptionError, match="`width=32` and this run has `width=64`"):
        load_initial(config, toy.SPEC, config.init, (32, 64))


def test_dense_pooling_fits_one_image_size_only(tmp_path: Path, data: Snapshot) -> None:
    """Its weights belong to cells of the map."""
    config = replace(toy.CONFIG, head="flatten", max_steps=1)
    fit(data, config, tmp_path)

    assert started(config, toy.SPEC, str(tmp_path))
    with pytest.raises(CheckpointError, match="do not fit this run's head or image size"):
        started(config, toy.SPEC, str(tmp_path), image_size=[48, 64])


# Runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return toy.snapshot(tmp_path_factory.mktemp("toy"))


def choose(data: Snapshot, config: TrainConfig) -> tuple[dict[str, Any], list[str]]:
    """Return the choices of a run and the lines of its log."""
    said: list[str] = []
    return engine.choose(data, config, toy.SPEC, say=said.append) | {"threads": 1}, said


def fit(
    data: Snapshot, config: TrainConfig, folder: Path, *, choices: dict[str, Any] | None = None, stop: bool = False
) -> dict[str, Any]:
    """Train like the worker of a run in `folder`, to its end or for four steps, and return the newest state."""
    steps: list[dict[str, Any]] = []
    engine.fit(
        data, config, toy.SPEC, choices or choose(data, config)[0], folder / "checkpoints",
        on_step=steps.append, on_val=lambda _: None, should_stop=lambda: stop and len(steps) == 4, say=lambda _: None,
    )  # fmt: skip
    state = checkpoint.load(folder / "checkpoints", "step")
    assert state is not None
    return state


def test_a_run_says_and_records_its_start_and_looks_for_no_other_weights(
    folder: Path, data: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(backbone: str, wanted: str) -> None:
        raise AssertionError(backbone, wanted)

    monkeypatch.setattr(engine, "find_weights", refuse)
    choices, said = choose(data, replace(RENDERED, pretrained="auto"))

    sha256 = json.loads((folder / "card.json").read_text())["sha256"]
    assert (choices["init"], choices["init_sha256"], choices["weights"]) == ("rendered", sha256, None)
    assert choices["lr"] < TrainConfig().auto_lr
    assert f"Initial weights: rendered text, 640 images, SHA-256 {sha256}." in said


def test_auto_says_why_it_begins_from_scratch(folder: Path, data: Snapshot) -> None:
    choices, said = choose(data, replace(toy.CONFIG, init="auto", width=64))

    assert choices["init"] == "scratch"
    assert "init_sha256" not in choices
    assert choices["lr"] == TrainConfig().auto_lr
    reason = "they are for `width=32` and this run has `width=64`"
    assert f"Initial weights: not those of rendered text, because {reason}." in said


def test_a_stopped_run_resumes_bit_for_bit_without_the_file(folder: Path, data: Snapshot, tmp_path: Path) -> None:
    """Its checkpoints hold everything."""
    config = replace(RENDERED, max_steps=8, augment=None)
    whole = fit(data, config, tmp_path / "whole")
    choices = choose(data, config)[0]
    assert fit(data, config, tmp_path / "parts", choices=choices, stop=True)["step"] == 4
    shutil.rmtree(folder)
    load_rendered.cache_clear()
    parts = fit(data, config, tmp_path / "parts", choices=choices)

    assert parts["step"] == whole["step"] == 8
    for name in ("model", "training_model"):
        assert all(torch.equal(value, parts[name][key]) for key, value in whole[name].items())
    assert torch.equal(whole["random"], parts["random"])


def test_weights_that_change_before_the_first_step_are_refused(folder: Path, data: Snapshot) -> None:
    """A run that was killed before its first checkpoint reads them again."""
    choices = choose(data, RENDERED)[0] | {"init_sha256": "0" * 64}

    with pytest.raises(CheckpointError, match="rendered text, 640 images, have changed since this run started"):
        start_from(network(RENDERED, toy.SPEC), RENDERED, toy.SPEC, choices)


def test_a_warm_start_reads_what_it_has_learned_at_once(toy_run: toy.Trained, data: Snapshot, tmp_path: Path) -> None:
    """After one step from another run, the validation images are read as before."""
    init = replace(toy.CONFIG, init=str(toy_run.folder), max_steps=1)
    warm = fit(data, init, tmp_path / "warm")["best"]
    cold = fit(data, replace(init, init="scratch"), tmp_path / "cold")["best"]

    assert warm["correct"] >= toy_run.best["correct"] - 1
    assert cold is None or cold["correct"] < 9


# The repository


def test_the_weights_in_the_repository_load() -> None:
    """They match their card and the preset `fast`."""
    load_rendered.cache_clear()
    model = load_rendered()

    assert choose_init(TrainConfig(init="rendered"), 10) == ("rendered", "")
    assert read(model, torch.rand(2, 3, 48, 160), 4).shape == (2, 4, 62)
    assert warm_start.rendered_card()["lengths"] == [1, 10]
