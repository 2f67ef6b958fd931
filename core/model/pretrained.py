"""ImageNet weights for a backbone from a file, the local cache or the hub, with timeouts."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import timm

from core.errors import OptionError

HUB_SECONDS = 10.0
"""Timeout for the first response of the hub."""
DOWNLOAD_SECONDS = 300.0

T = TypeVar("T")


def find_weights(backbone: str, wanted: str) -> tuple[str | None, str]:
    """Return the file of initial weights, or None, and a phrase that explains it.

    `wanted` is auto, hub, none or a path. Only auto may return None for missing weights. The others raise OptionError.
    """
    if wanted == "none":
        return None, "from scratch, as set"
    if wanted not in ("auto", "hub"):
        if not Path(wanted).is_file():
            raise OptionError(f"`pretrained={wanted}`: file not found.")
        return str(Path(wanted).resolve()), f"weights of {Path(wanted).name}"
    try:
        return _from_hub(backbone)
    except Exception as error:  # the network fails in many ways, and auto treats them all alike
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if wanted == "hub":
            raise OptionError(f"`pretrained=hub`: could not download the weights of {backbone} ({reason}).") from error
        return (
            None,
            f"from scratch, because its ImageNet weights could not be downloaded ({reason[:120]})",
        )


def _from_hub(backbone: str) -> tuple[str, str]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    tag = timm.get_pretrained_cfg(backbone)
    repo = tag.hf_hub_id if tag else None
    if not repo:
        raise OptionError("timm has no weights for it")
    for name in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repo, name)
        if isinstance(cached, str):
            return cached, f"ImageNet weights {repo} from the local cache"
    name = "model.safetensors"
    _within(HUB_SECONDS, lambda: get_hf_file_metadata(hf_hub_url(repo, name), timeout=HUB_SECONDS / 2))
    path = _within(DOWNLOAD_SECONDS, lambda: hf_hub_download(repo, name, etag_timeout=HUB_SECONDS / 2))
    return path, f"ImageNet weights {repo} from the hub"


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`, or raise TimeoutError. The client's timeout does not cover a stuck DNS lookup."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no response within {seconds:g} seconds")
    return results[0]
