"""Reading a run directory that came from someone else: a sentence or a reading, nothing else."""

import contextlib
import hashlib
import io
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.charset import TextSpec
from core.errors import CheckpointError, OptionError, SlotlabError, StorageError
from core.evaluation import acceptance, views
from core.evaluation.predictions import Predictions
from core.images.frame import Frame
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.predictor import Predictor
from core.training.snapshot import load_snapshot, training_strings
from tests.helpers import toy


class Missing:
    """A value that is not there. Its text is the same in every process, as the names of parallel tests must be."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()
VALUES = (MISSING, None, "x", "", -1, 0, 10**30, 1e308, float("nan"), True, [], [[]], {}, {"a": 1}, [10**9, 10**9])
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def run_dir(toy_run: toy.Trained, tmp_path: Path) -> Path:
    """A copy of the toy run that the test may change."""
    return shutil.copytree(toy_run.folder, tmp_path / "run")


@pytest.fixture
def original(run_dir: Path) -> dict[str, Any]:
    """The selected checkpoint of the toy run."""
    state = checkpoint.load(run_dir / "checkpoints", "best")
    assert state is not None
    return state


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect every address that the process asks for, and refuse it."""
    asked: list[Any] = []

    def refuse(*args: Any, **_: Any) -> Any:
        asked.append(args)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


def read(run_dir: Path, original: dict[str, Any], change: Change) -> str:
    """Read an image with a changed checkpoint. Return the sentence of a refusal, else the reading."""
    state = {key: dict(value) if key in ("config", "choices") else value for key, value in original.items()}
    change(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = next((run_dir / "checkpoints").glob("best-*.pt"))
    path.write_bytes(buffer.getvalue())
    note = {"step": int(path.stem.removeprefix("best-")), "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(note))
    try:
        return Predictor.load(run_dir).predict([toy.draw("x-", np.random.default_rng(1))])[0].text
    except SlotlabError as error:
        return str(error)


def put(state: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        state = state[key]
    if value is MISSING:
        del state[path[-1]]
    else:
        state[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("config", "backbone"), "hf-hub:timm/resnet10t.c3_in1k", "is not a model of timm"),
        (("config", "backbone"), "hf_hub:timm/resnet10t.c3_in1k", "is not a model of timm"),
        (("config", "backbone"), "local-dir:/tmp/model", "is not a model of timm"),
        (("config", "backbone"), "../resnet10t", "is not a model of timm"),
        (("config", "backbone"), "vit_giant_patch14_224", "The backbone 'vit_giant_patch14_224'"),
        (("config", "backbone"), "x" * 100_000, "backbone has a value of the wrong type or length"),
        (("config", "backbone"), "resnet18", "does not match the network"),
        (("config", "width"), 1_000_000, "width must be between 1 and 2,048"),
        (("config", "width"), 2048, "does not match the network"),
        (("config", "head"), "flatten", "does not match the network"),
        (("config", "wings"), 2, "does not know: wings"),
        (("config",), [1], "settings of the run are missing or damaged"),
        (("choices", "image_size"), [100_000, 100_000], "image_size must be height and width"),
        (("choices", "image_size"), [2048, 2048], "image_size must be height and width"),
        (("choices", "box"), [0, 0, 9, 9], "box must be left, top, right, bottom"),
        (("choices", "centers"), [0.5] * 10_000, "needs 2 centers"),
        (("choices", "layout"), "round", "layout must be"),
        (("choices",), MISSING, "does not match the network"),
        (("charset",), "".join(map(chr, range(0x4E00, 0x9000))), "length and charset|The limit is 10,000"),
        (("length",), 33, "between 1 and 32"),
        (("length",), "2", "length and charset"),
        (("model",), {"heads.own": "text"}, "has no weights"),
        (("step",), "x", "does not match the network"),
    ],
    ids=lambda value: f"{value!s:.24}",
)
def test_a_hostile_checkpoint_is_refused_with_one_sentence(
    run_dir: Path,
    original: dict[str, Any],
    addresses: list[Any],
    path: tuple[str, ...],
    value: Any,
    sentence: str,
) -> None:
    """Nothing is downloaded, and no memory is taken that the file does not fill."""
    with pytest.raises(SlotlabError, match=sentence):
        raise CheckpointError(read(run_dir, original, lambda state: put(state, path, value)))
    assert addresses == []


@pytest.mark.long
@pytest.mark.parametrize("part", [None, "config", "choices"])
def test_any_change_of_a_checkpoint_gives_a_sentence_or_a_reading(
    run_dir: Path, original: dict[str, Any], addresses: list[Any], part: str | None
) -> None:
    """Each field gets each value; no other exception leaves."""
    paths = [(part, name) for name in original[part]] if part else [(name,) for name in original]
    texts = [
        read(run_dir, original, lambda state, path=path, value=value: put(state, path, value))
        for path in paths
        for value in VALUES
    ]

    assert len(texts) > 100
    assert {"x-"} < set(texts)
    assert addresses == []


def test_any_value_in_the_settings_of_a_run_gives_a_sentence_or_a_setting() -> None:
    """The same for run.json, which pages and workers read."""
    values = toy.CONFIG.to_dict()
    for name in values:
        for value in VALUES:
            changed = {key: one for key, one in values.items() if key != name}
            if value is not MISSING:
                changed[name] = value
            with contextlib.suppress(OptionError):
                TrainConfig.from_dict(changed)
    for value in VALUES[1:]:
        for read_part in (
            lambda value=value: Frame.from_dict({"box": value, "image_size": [32, 64]}),
            lambda value=value: Frame.from_dict({"box": [0, 0, 1, 1], "image_size": value}),
            lambda value=value: TextSpec.from_dict({"length": value, "charset": "01"}),
            lambda value=value: TextSpec.from_dict({"length": 2, "charset": value}),
        ):
            try:
                read_part()
            except OptionError:
                continue


@pytest.mark.parametrize("module", [acceptance, views])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"1", b"{}", b"[" * 100_000, b'{"views": 1}', b'{"a": ' + b"9" * 4000 + b"}", b" " * 2_000_000],
)
def test_a_damaged_choice_is_one_sentence(tmp_path: Path, module: Any, content: bytes) -> None:
    """It says what to choose again."""
    (tmp_path / module.FILE).write_bytes(content)

    with pytest.raises(StorageError, match=f"{module.FILE} of this run is damaged"):
        (acceptance.Acceptance if module is acceptance else views.ViewChoice).load(tmp_path)


@pytest.mark.parametrize("name", ["step", "temperature", "threshold", "tries", "n", "views"])
def test_a_threshold_with_a_wrong_value_is_one_sentence(tmp_path: Path, name: str) -> None:
    """A number of any size is JSON."""
    sound = {
        "step": 1, "tta": False, "views": "a", "temperature": 1.0, "threshold": 0.5, "max_risk": 0.1, "tries": 3,
        "n": 9, "used": 9, "wrong": 0, "risk_bound": 0.1,
    }  # fmt: skip
    for value in (None, [], 10**400):
        (tmp_path / acceptance.FILE).write_text(json.dumps(sound | {name: value}))
        with pytest.raises(StorageError, match="Set a threshold again"):
            acceptance.Acceptance.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"log_probs": np.zeros((1, 3, 2, 3), np.float32)},
        {"log_probs": np.zeros((1, 2, 2, 3))},
        {"log_probs": np.zeros(4, np.float32)},
        {"labels": np.array(["x-"])},
        {"labels": np.array([1, 2])},
        {"views": np.array([], dtype="U1")},
        {"moves": np.zeros((1, 3))},
        {"colors": np.array(["a"])},
        {"step": np.array([1, 2])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_predictions_that_do_not_fit_each_other_are_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    """So is a compressed file, which could expand to any size."""
    arrays = {
        "sha256": np.array(["a", "b"]), "labels": np.array(["x-", "-x"]), "views": np.array(["as it is"]),
        "log_probs": np.zeros((1, 2, 2, 3), np.float32), "step": np.array(1),
    }  # fmt: skip
    path = tmp_path / "predictions-val.npz"
    np.savez(path, **arrays)
    assert Predictions.load(path).step == 1

    for save, values in ((np.savez, arrays | change), (np.savez_compressed, arrays)):
        save(path, **values)
        with pytest.raises(StorageError, match=r"predictions-val\.npz is missing or damaged"):
            Predictions.load(path)


def test_a_snapshot_whose_columns_do_not_fit_is_damaged(run_dir: Path) -> None:
    """So is a compressed one."""
    path = run_dir / "dataset.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    for change in (
        {"labels": arrays["labels"][1:]}, {"offsets": arrays["offsets"][1:]}, {"offsets": -arrays["offsets"]},
        {"data": arrays["data"][1:]}, {"data": arrays["data"].astype(float)},
    ):  # fmt: skip
        np.savez(path, **arrays | change)
        with pytest.raises(StorageError, match=r"dataset\.npz is damaged"):
            load_snapshot(path)
    np.savez_compressed(path, **arrays)
    with pytest.raises(StorageError, match="damaged"):
        training_strings(path)
