"""Where a backbone's ImageNet weights come from, without ever hanging on a network that is not there."""

import os
import threading
from pathlib import Path

from core.errors import OptionError

HUB_SECONDS = 10.0
"""How long the hub may take to answer at all; a download that has begun is not cut off."""
FILE = "model.safetensors"


def find_weights(setting: str, backbone: str) -> tuple[str | None, str]:
    """A file of weights, or None for a start from scratch, and a sentence for the log and the record of the run.

    auto: a local copy, else the hub, else from scratch. hub and a path: that, or OptionError. none: from scratch.
    """
    if setting == "none":
        return None, "From scratch, as asked."
    if setting not in ("auto", "hub"):
        if not Path(setting).is_file():
            raise OptionError(f"pretrained={setting}: there is no such file.")
        return setting, f"Weights from {setting}."
    import timm

    known = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    repository = known.hf_hub_id if known is not None else None
    if not repository:
        if setting == "hub":
            raise OptionError(f"pretrained=hub: timm names no hub weights for {backbone!r}.")
        return None, f"From scratch: timm names no hub weights for {backbone}."
    try:
        return _from_hub(repository), f"ImageNet weights {repository}."
    except Exception as error:
        reason = f"the hub's weights {repository} cannot be had ({type(error).__name__})"
        if setting == "hub":
            raise OptionError(f"pretrained=hub: {reason}.") from error
        return None, f"From scratch: {reason}."


def _from_hub(repository: str) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return hf_hub_download(repository, FILE, local_files_only=True)
    except LocalEntryNotFoundError:
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", ""):
            raise
    answers: list[BaseException | None] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(repository, FILE), timeout=HUB_SECONDS)
            answers.append(None)
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            answers.append(error)

    # In a thread, because name look-ups and retries know no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if not answers:
        raise TimeoutError(f"no answer from the hub within {HUB_SECONDS:.0f} s")
    if answers[0] is not None:
        raise answers[0]
    return hf_hub_download(repository, FILE)
