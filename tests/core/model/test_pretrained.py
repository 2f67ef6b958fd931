"""ImageNet weights from a file, the cache or the hub."""

import threading
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants

from core.errors import OptionError
from core.model.pretrained import _within, find_weights
from tests.helpers.networks import make


def test_weights_of_a_file_reach_the_backbone(tmp_path: Path) -> None:
    """They load bit for bit, also into a cut backbone."""
    torch.manual_seed(1)
    whole = timm.create_model("test_resnet")
    torch.save(whole.state_dict(), tmp_path / "weights.pth")

    weights, source = find_weights("test_resnet", str(tmp_path / "weights.pth"))
    model = make(weights=weights)

    assert "weights.pth" in source
    parameters = dict(model.backbone.named_parameters())
    assert torch.equal(parameters["layer2.0.conv1.weight"], whole.get_parameter("layer2.0.conv1.weight"))


def test_a_missing_file_is_refused() -> None:
    """A named file is required, not optional."""
    with pytest.raises(OptionError, match="file not found"):
        find_weights("resnet10t", "/nowhere/weights.safetensors")


def test_none_downloads_nothing() -> None:
    """The phrase says so."""
    assert find_weights("resnet10t", "none") == (None, "from scratch, as set")


def test_without_a_hub_auto_starts_from_scratch_and_hub_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say why."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    weights, source = find_weights("resnet10t", "auto")

    assert weights is None
    assert source.startswith("from scratch")
    with pytest.raises(OptionError, match="`pretrained=hub`"):
        find_weights("resnet10t", "hub")


def test_a_call_that_hangs_is_left_behind() -> None:
    """Some DNS lookups have no timeout."""
    released, answers = threading.Event(), []

    def hang() -> None:
        released.wait(60)
        answers.append("late")

    with pytest.raises(TimeoutError, match=r"0\.1 seconds"):
        _within(0.1, hang)

    assert answers == []
    released.set()
