"""The probe: measured choices, unless the settings make them."""

from dataclasses import replace

import torch

from core.training.probe import probe
from tests.helpers import toy

CHOICES = {"device": "cpu", "image_size": [32, 64], "centers": [0.3, 0.7], "sigma": 0.3}


def test_the_fastest_is_chosen_and_its_timings_recorded() -> None:
    """The choice was measured, and no other measured candidate is much faster."""
    result = probe(replace(toy.CONFIG, layout="auto"), toy.SPEC, CHOICES)

    chosen = result["probe_ms"][f"{result['layout']}, threads {result['threads']}"]
    assert 0 < chosen <= min(result["probe_ms"].values()) / 0.85 + 0.01
    assert set(result["probe_ms"]) >= {
        f"{layout}, threads {result['threads']}" for layout in ("channels_last", "contiguous")
    }


def test_a_named_layout_is_used_without_measuring() -> None:
    """Then equal seeds give equal results, independent of machine load."""
    result = probe(replace(toy.CONFIG, layout="contiguous"), toy.SPEC, CHOICES)

    assert result == {"layout": "contiguous", "threads": torch.get_num_threads(), "probe_ms": {}}


def test_the_probe_leaves_chance_and_threads_as_they_were() -> None:
    """A run depends on its seed, not on the probe."""
    torch.manual_seed(3)
    expected, threads = torch.rand(4), torch.get_num_threads()
    torch.manual_seed(3)
    probe(replace(toy.CONFIG, layout="auto"), toy.SPEC, CHOICES)
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads
