"""The probe: measured choices, and none where the settings make them."""

from dataclasses import replace

import torch

from core.training.probe import probe
from tests.helpers import toy

CHOICES = {"device": "cpu", "image_size": [32, 64], "centers": [0.3, 0.7], "sigma": 0.3}


def test_the_fastest_is_chosen_and_its_timings_recorded() -> None:
    """What is chosen was measured, and nothing measured beats it by much."""
    found = probe(replace(toy.CONFIG, layout="auto"), toy.SPEC, CHOICES)

    chosen = found["probe_ms"][f"{found['layout']}, threads {found['threads']}"]
    assert 0 < chosen <= min(found["probe_ms"].values()) / 0.85 + 0.01
    assert set(found["probe_ms"]) >= {
        f"{layout}, threads {found['threads']}" for layout in ("channels_last", "contiguous")
    }


def test_a_named_layout_is_taken_unmeasured() -> None:
    """Equal seeds then give equal numbers whatever else the machine does."""
    found = probe(replace(toy.CONFIG, layout="contiguous"), toy.SPEC, CHOICES)

    assert found == {"layout": "contiguous", "threads": torch.get_num_threads(), "probe_ms": {}}


def test_the_probe_leaves_chance_and_threads_as_they_were() -> None:
    """A run is a function of its seed, however long the probe took."""
    torch.manual_seed(3)
    expected, threads = torch.rand(4), torch.get_num_threads()
    torch.manual_seed(3)
    probe(replace(toy.CONFIG, layout="auto"), toy.SPEC, CHOICES)
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads
