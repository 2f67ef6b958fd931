"""The initial weights that `init` asks for, and their fit to a network. It needs no torch."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import CheckpointError, OptionError
from core.files import open_regular
from core.model.config import TrainConfig, with_options

RENDERED = Path(__file__).parent / "rendered"
"""Folder of the weights trained on rendered text, see bench.rendered."""
NAMES = ("auto", "rendered", "scratch")
FORMAT = "slotlab-any-length-1"
"""Format of a file with weights for every length, core.model.any_length."""
NETWORK = ("backbone", "stride", "head", "width")
"""Settings that must equal those of the weights."""
MAX_HEADER = 1 << 20


def is_run_name(init: str) -> bool:
    """Return True for the name of a run, False for a path or one of NAMES."""
    return init not in NAMES and not Path(init).is_absolute()


def located(config: TrainConfig, runs: Path) -> TrainConfig:
    """Return `config` with the directory of the run that `init` names. `runs` is the folder of all runs."""
    return replace(config, init=str((runs / config.init).resolve())) if is_run_name(config.init) else config


def choose_init(config: TrainConfig, length: int) -> tuple[str, str]:
    """Return `scratch`, `rendered` or a path, and why `auto` does not use the rendered weights.

    Raises OptionError if weights do not exist or do not fit, CheckpointError if they are damaged. A checkpoint's fit is
    checked when it is loaded.
    """
    if config.init == "auto":
        reason = _misfit_of_rendered(config, length)
        return "scratch" if reason else "rendered", reason
    if config.init == "scratch":
        return "scratch", ""
    if config.pretrained not in ("auto", "none"):
        raise OptionError(f"`init={config.init}` and `pretrained={config.pretrained}` both set weights. Set only one.")
    path = RENDERED / "weights.safetensors" if config.init == "rendered" else Path(config.init)
    if config.init != "rendered" and not (path.is_absolute() and path.exists()):
        raise OptionError(f"`init={config.init}`: there is no such file or run.")
    if path.suffix == ".safetensors":
        check_fit(config, length, *read_header(path))
    elif path.is_dir() and not list(path.glob("checkpoints/*.json")):
        raise OptionError(f"`init={config.init}`: this directory has no checkpoint of a run.")
    elif path.is_file() and path.suffix != ".pt":
        raise OptionError(f"`init={config.init}` is neither a .safetensors file nor a checkpoint of a run (.pt).")
    return config.init, ""


def check_fit(config: TrainConfig, length: int, network: TrainConfig, longest: int | None = None) -> None:
    """Raise OptionError if initial weights of `network` for texts of up to `longest` characters do not fit a run."""
    if reason := misfit(config, length, network, longest):
        raise OptionError(f"`init={config.init}`: the weights do not fit, because {reason}. Use `init=scratch`.")


def misfit(config: TrainConfig, length: int, network: TrainConfig, longest: int | None = None) -> str:
    """Return why weights do not fit a run; empty if they do."""
    for name in NETWORK:
        if (theirs := getattr(network, name)) != (ours := getattr(config, name)):
            return f"they are for `{name}={theirs}` and this run has `{name}={ours}`"
    if longest is not None and length > longest:
        return f"they read texts of up to {longest} characters and this project uses {length}"
    return ""


def read_header(path: Path) -> tuple[TrainConfig, int]:
    """Return the network of a file with weights for every length, and the longest length. Raises CheckpointError."""
    try:
        with open_regular(path) as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= MAX_HEADER else None
    except FileNotFoundError:
        raise CheckpointError(f"The weights {path.name} are missing.") from None
    except OSError as error:
        raise CheckpointError(f"The weights {path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"The weights {path.name} are damaged or not a safetensors file.")
    about: Any = header.get("__metadata__")
    try:
        if about["format"] == FORMAT:
            return with_options(TrainConfig(), {name: about[name] for name in NETWORK}), int(about["longest"])
    except (KeyError, TypeError, ValueError, AttributeError, OptionError):  # it may hold anything
        pass
    raise CheckpointError(f"{path.name} does not hold weights in the format {FORMAT}.")


def _misfit_of_rendered(config: TrainConfig, length: int) -> str:
    if config.pretrained not in ("auto", "none"):
        return f"`pretrained={config.pretrained}` is set"
    try:
        return misfit(config, length, *read_header(RENDERED / "weights.safetensors"))
    except CheckpointError as error:
        return str(error).rstrip(".")
