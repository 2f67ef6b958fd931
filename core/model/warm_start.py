"""A run's start from weights trained on rendered text, from a file of weights, or from another run."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from core.charset import TextSpec
from core.errors import CheckpointError
from core.files import open_regular, read_small
from core.images.frame import input_size
from core.model import checkpoint, init_choice
from core.model.any_length import AnyLength
from core.model.config import TrainConfig
from core.model.network import Heads, Recognizer, load_model
from core.readers.builtin import CHARS


@dataclass(frozen=True, kw_only=True)
class Initial:
    """Weights to start from, in a network of their own length, charset and image size."""

    title: str
    sha256: str
    charset: str
    network: Recognizer


@cache
def load_rendered() -> AnyLength:
    """Return the network trained on rendered text. All callers share it, so it must not be changed.

    Raises CheckpointError if its files are missing or damaged.
    """
    return read_any_length(init_choice.RENDERED / "weights.safetensors", rendered_card()["sha256"])[0]


def rendered_card() -> dict[str, Any]:
    """Return card.json of the weights trained on rendered text. Raises CheckpointError."""
    try:
        card = json.loads(read_small(init_choice.RENDERED / "card.json"))
    except OSError as error:
        raise CheckpointError(f"The card of the rendered weights cannot be read: {error.strerror}.") from error
    except ValueError:
        card = None
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str) or type(card.get("images")) is not int:
        raise CheckpointError("The card of the rendered weights, card.json, is damaged. Install Slotlab again.")
    return card


def read_any_length(path: Path, sha256: str | None = None) -> tuple[AnyLength, str]:
    """Return a network for every length from a file of bench.rendered.publish, and the SHA-256 of the file.

    Raises CheckpointError if it is missing, damaged or another than `sha256`.
    """
    config, _ = init_choice.read_header(path)
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise CheckpointError(f"The weights {path.name} are damaged: their SHA-256 is not the one of their card.")
    try:
        state = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"The weights {path.name} are damaged or not a safetensors file.") from error
    with torch.device("meta"):
        outline = AnyLength(config).state_dict()
    if {name: value.shape for name, value in state.items()} != {name: one.shape for name, one in outline.items()}:
        raise CheckpointError(f"The weights {path.name} do not match the network in their header.")
    with torch.random.fork_rng(devices=[]):  # the randomness of a run must not depend on what this process has loaded
        model = AnyLength(config)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False), digest


def load_initial(config: TrainConfig, spec: TextSpec, init: str, size: tuple[int, int]) -> Initial:
    """Return the weights that a run starts from. `init` is `rendered` or an absolute path, `size` is height and width.

    Raises CheckpointError if they are missing or damaged, OptionError if they do not fit.
    """
    path = Path(init)
    if init == "rendered":
        card = rendered_card()
        return _for_length(load_rendered(), spec, size, f"rendered text, {card['images']:,} images", card["sha256"])
    if path.suffix == ".safetensors":
        model, sha256 = read_any_length(path)
        return _for_length(model, spec, size, path.name, sha256)
    return _of_run(path, config, spec)


def start_from(model: Recognizer, config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> None:
    """Copy the initial weights in a run's choices into its new network. Raises CheckpointError or OptionError."""
    if (init := choices.get("init", "scratch")) == "scratch":
        return
    initial = load_initial(config, spec, init, input_size(choices))
    if initial.sha256 != choices.get("init_sha256"):
        raise CheckpointError(f"The initial weights, {initial.title}, have changed since this run started. Clone it.")
    copy_weights(initial, model, spec.charset)


@torch.no_grad()
def copy_weights(initial: Initial, model: Recognizer, charset: str) -> None:
    """Copy weights into a network of another length, charset or image size.

    Position and map embeddings are interpolated. Heads of characters without weights keep their initialization. Raises
    CheckpointError if the networks differ in anything else.
    """
    positions, source = len(model.heads.own), initial.network
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("heads.")}
    for name in ("pool.pos", "pool.prior_center", "pool.prior_log_sigma"):
        if name in state:
            state[name] = _resized_prior(name, state[name], positions)
    if "pool.map_pos" in state and source.grid != model.grid:
        map_1DHW = state["pool.map_pos"].T.reshape(1, -1, *source.grid)
        map_1DHW = functional.interpolate(map_1DHW, model.grid, mode="bilinear", align_corners=False)
        state["pool.map_pos"] = map_1DHW.flatten(2)[0].T
    expected = {name: value.shape for name, value in model.state_dict().items() if not name.startswith("heads.")}
    if {name: value.shape for name, value in state.items()} != expected:
        raise CheckpointError(f"The initial weights, {initial.title}, do not fit this run's head or image size.")
    model.load_state_dict(state, strict=False)
    _copy_heads(source.heads, initial.charset, model.heads, charset)


def _resized_prior(name: str, values: Tensor, positions: int) -> Tensor:
    """Interpolate embeddings or the column prior of each position. Centers and widths scale with the positions."""
    before = len(values)
    if before == positions:
        return values
    if name.endswith("prior_center"):
        return _resized(values - _even(before), positions) + _even(positions)
    if name.endswith("prior_log_sigma"):
        return _resized(values, positions) + torch.tensor(before / positions).log()
    return _resized(values, positions)


def _resized(values: Tensor, positions: int) -> Tensor:
    """Interpolate along the first dimension."""
    rows_1DP = values.reshape(len(values), -1).T[None]
    resized_1DP = functional.interpolate(rows_1DP, positions, mode="linear", align_corners=False)
    return resized_1DP[0].T.reshape(positions, *values.shape[1:])


def _even(positions: int) -> Tensor:
    return (torch.arange(positions) + 0.5) / positions


def _copy_heads(source: Heads, source_charset: str, heads: Heads, charset: str) -> None:
    """Copy the heads of shared characters. Checkpoints hold independent heads, so tied ones get their mean."""
    known = [place for place, char in enumerate(charset) if char in source_charset]
    if not known:
        return
    theirs = [source_charset.index(charset[place]) for place in known]
    positions, is_tied = len(heads.own), heads.shared.weight.requires_grad
    for shared, own, source_shared, source_own in (
        (heads.shared.weight, heads.own, source.shared.weight, source.own),
        (heads.shared.bias, heads.own_bias, source.shared.bias, source.own_bias),
    ):
        mean_K = source_own[:, theirs].mean(dim=0)
        own_PK = source_own[:, theirs] - mean_K
        if len(own_PK) != positions:
            own_PK = _resized(own_PK, positions)
        shared_K = source_shared[theirs] + mean_K
        if is_tied:
            shared[known] = shared_K
        own[:, known] = own_PK if is_tied else own_PK + shared_K


def _for_length(model: AnyLength, spec: TextSpec, size: tuple[int, int], title: str, sha256: str) -> Initial:
    """Return the weights for one length and image size, with all characters."""
    network = model.for_length(spec.length, CHARS, size)
    return Initial(title=title, sha256=sha256, charset=CHARS, network=network)


def _of_run(path: Path, config: TrainConfig, spec: TextSpec) -> Initial:
    """Return the selected weights in the directory of a run, or those of one checkpoint."""
    folder = path / "checkpoints" if path.is_dir() else None
    state = checkpoint.load_for_prediction(folder) if folder else checkpoint.load_file(path)
    checkpoint.check_format(state)
    with checkpoint.fitting():
        theirs, their_spec = TrainConfig.from_dict(state["config"]), TextSpec.from_dict(state)
        init_choice.check_fit(config, spec.length, theirs)
        sha256 = checkpoint.hash_of(folder, int(state["step"])) if folder else checkpoint.hash_of_file(path)
        with torch.random.fork_rng(devices=[]):
            network = load_model(theirs, their_spec, state["choices"], state["model"])
    title = f"run {path.name}" if folder else path.name
    return Initial(title=title, sha256=sha256, charset=their_spec.charset, network=network)


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > checkpoint.MAX_BYTES:
                raise CheckpointError(f"The weights {path.name} are larger than {checkpoint.MAX_BYTES:,} bytes.")
            return file.read()
    except OSError as error:
        raise CheckpointError(f"The weights {path.name} cannot be read: {error.strerror}.") from error
