"""The worker of a cell with a variant: `python -m bench.accuracy.ablated JOB_DIR`.

A variant sets parameters of the network and freezes them, or changes the run. The network has the same parts, so its
weights are read like those of any run.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from core.jobs.work import Work, run_worker
from core.model.network import AveragePool, QueryPool, Recognizer
from core.runs import worker
from core.training.engine import Run

FLAT = 1e4
"""Width of a prior that is nearly equal everywhere, in widths of an image."""


def sinusoids(positions: int, width: int) -> Tensor:
    """Return the embedding of Vaswani et al. (2017), positions x width."""
    place_P1 = torch.arange(positions)[:, None].float()
    rate_D = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.cat([(place_P1 * rate_D).sin(), (place_P1 * rate_D).cos()], dim=1)


def _freeze(parameter: Tensor, value: Tensor | float) -> None:
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(value))
    parameter.requires_grad_(False)


def sinusoidal(model: Recognizer) -> None:
    pool = _query(model)
    _freeze(pool.pos, sinusoids(*pool.pos.shape))


def no_position(model: Recognizer) -> None:
    _freeze(_query(model).pos, 0.0)


def prior_over_columns(model: Recognizer) -> None:
    """Give every cell the same amount of text for good, so the place of a column is its own."""
    _freeze(_query(model).text.weight, 0.0)
    _freeze(_query(model).text.bias, 0.0)


def no_prior(model: Recognizer) -> None:
    _freeze(_query(model).prior_log_sigma, math.log(FLAT))


def literal(model: Recognizer) -> None:
    """Give the heads the average of the map plus the embedding of the position, and nothing between."""
    assert isinstance(model.pool, AveragePool)
    for parameter in model.pool.mlp[-1].parameters():
        _freeze(parameter, 0.0)


def _query(model: Recognizer) -> QueryPool:
    assert isinstance(model.pool, QueryPool)
    return model.pool


NETWORKS: dict[str, Callable[[Recognizer], None]] = {
    "pos-sinusoidal": sinusoidal,
    "pos-none": no_position,
    "prior-columns": prior_over_columns,
    "prior-none": no_prior,
    "literal": literal,
}


def run_of(variant: str) -> type[Run]:
    """Return the training of a variant."""
    if variant == "no-ema":
        return WithoutAverage

    class Changed(Run):
        def build(self, *, starts: bool) -> nn.Module:
            model = super().build(starts=starts)
            assert isinstance(model, Recognizer)
            NETWORKS[variant](model)
            return model

    return Changed


class WithoutAverage(Run):
    """A run that reads with the weights of its last step."""

    ema_decay = 0.0


def run_job(work: Work) -> dict[str, Any] | None:
    if work.spec["kind"] == "train":
        return worker.train(work, run_of(work.spec["variant"]))
    return worker.evaluate(work)


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], run_job))
