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
from core.model.network import QueryPool, Recognizer
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


def sinusoidal(pool: QueryPool) -> None:
    _freeze(pool.pos, sinusoids(*pool.pos.shape))


def no_position(pool: QueryPool) -> None:
    _freeze(pool.pos, 0.0)


def prior_over_columns(pool: QueryPool) -> None:
    """Give every cell the same amount of text for good, so the place of a column is its own."""
    _freeze(pool.text.weight, 0.0)
    _freeze(pool.text.bias, 0.0)


def no_prior(pool: QueryPool) -> None:
    _freeze(pool.prior_log_sigma, math.log(FLAT))


NETWORKS: dict[str, Callable[[QueryPool], None]] = {
    "pos-sinusoidal": sinusoidal,
    "pos-none": no_position,
    "prior-columns": prior_over_columns,
    "prior-none": no_prior,
}


def run_of(variant: str) -> type[Run]:
    """Return the training of a variant."""
    if variant == "no-ema":
        return WithoutAverage

    class Changed(Run):
        def build(self, *, starts: bool) -> nn.Module:
            model = super().build(starts=starts)
            assert isinstance(model, Recognizer)
            assert isinstance(model.pool, QueryPool)
            NETWORKS[variant](model.pool)
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
