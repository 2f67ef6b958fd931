"""ImageNet weights for a backbone: from a file, the local cache or the hub, and never at the price of a hang."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import timm

from core.errors import OptionError

HUB_SECONDS = 10.0
"""How long the hub may take to answer at all."""
DOWNLOAD_SECONDS = 300.0

T = TypeVar("T")


def find_weights(backbone: str, wanted: str) -> tuple[str | None, str]:
    """The file of weights to start from, or None, and a phrase that says which and why.

    `wanted` is auto, hub, none or a path. Only auto may end without weights; raises OptionError otherwise.
    """
    if wanted == "none":
        return None, "from scratch, as asked"
    if wanted not in ("auto", "hub"):
        if not Path(wanted).is_file():
            raise OptionError(f"pretrained={wanted}: there is no such file.")
        return str(Path(wanted).resolve()), f"weights of {Path(wanted).name}"
    try:
        return _from_hub(backbone)
    except Exception as error:  # the network fails in many ways, and to auto all are the same
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if wanted == "hub":
            raise OptionError(f"pretrained=hub: the weights of {backbone} cannot be had ({reason}).") from error
        return None, f"from scratch, for its ImageNet weights are neither here nor on a hub in reach ({reason[:120]})"


def _from_hub(backbone: str) -> tuple[str, str]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    tag = timm.get_pretrained_cfg(backbone)
    repo = tag.hf_hub_id if tag else None
    if not repo:
        raise OptionError("timm knows no weights for it")
    for name in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repo, name)
        if isinstance(cached, str):
            return cached, f"ImageNet weights {repo} from the local cache"
    name = "model.safetensors"
    _within(HUB_SECONDS, lambda: get_hf_file_metadata(hf_hub_url(repo, name), timeout=HUB_SECONDS / 2))
    path = _within(DOWNLOAD_SECONDS, lambda: hf_hub_download(repo, name, etag_timeout=HUB_SECONDS / 2))
    return path, f"ImageNet weights {repo} from the hub"


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`, or TimeoutError. A timeout of the client's own does not cover a stuck name look-up."""
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
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return results[0]
