"""The probe: measured choices, unless the settings make them."""

from dataclasses import replace

import pytest
import torch

from core.errors import OptionError
from core.model.network import autocast
from core.training.probe import probe
from tests.helpers import toy

CHOICES = {"device": "cpu", "image_size": [32, 64], "centers": [0.3, 0.7], "sigma": 0.3}


def test_the_fastest_is_chosen_and_its_timings_recorded() -> None:
    """The choice was measured, and no other measured candidate is much faster."""
    result = probe(replace(toy.CONFIG, layout="auto", precision="auto"), toy.SPEC, CHOICES)

    chosen = result["probe_ms"][f"{result['precision']}, {result['layout']}, threads {result['threads']}"]
    assert 0 < chosen <= min(result["probe_ms"].values()) / 0.85 + 0.01
    assert set(result["probe_ms"]) >= {
        f"float32, {layout}, threads {torch.get_num_threads()}" for layout in ("channels_last", "contiguous")
    }


def test_a_named_layout_and_precision_are_used_without_measuring() -> None:
    """Then equal seeds give equal results, independent of machine load."""
    result = probe(replace(toy.CONFIG, layout="contiguous", precision="float32"), toy.SPEC, CHOICES)

    threads = torch.get_num_threads()
    assert result == {"layout": "contiguous", "precision": "float32", "threads": threads, "probe_ms": {}}


@pytest.mark.parametrize("able", [{"amx_bf16": True}, {"avx512_bf16": True}, {"avx2": True}, {}])
def test_bfloat16_is_tried_only_where_the_cpu_has_instructions_for_it(
    able: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere a single step could take minutes."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)

    timings = probe(replace(toy.CONFIG, layout="auto", precision="auto"), toy.SPEC, CHOICES)["probe_ms"]

    assert any("bfloat16" in name for name in timings) == any("bf16" in name for name in able)
    with autocast({"device": "cpu", "precision": "bfloat16"}):
        assert torch.is_autocast_enabled("cpu") == any("bf16" in name for name in able)


def test_a_precision_that_the_cpu_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(OptionError, match="no instructions for bfloat16"):
        probe(replace(toy.CONFIG, precision="bfloat16"), toy.SPEC, CHOICES)


def test_the_probe_leaves_chance_and_threads_as_they_were() -> None:
    """A run depends on its seed, not on the probe."""
    torch.manual_seed(3)
    expected, threads = torch.rand(4), torch.get_num_threads()
    torch.manual_seed(3)
    probe(replace(toy.CONFIG, layout="auto", precision="auto"), toy.SPEC, CHOICES)
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads
