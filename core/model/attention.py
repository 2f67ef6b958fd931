"""Where each position of a run looked in an image.

With the head `query` this is the attention that the position read the map by. The other heads have none: there it is
the gradient of the character that was read, times the map, cell by cell. Grad-CAM proper averages that gradient over
the map first, and would show the same place for every position of the head `flatten`, which weighs each cell by
itself. The kept libraries (captum, grad-cam, torchcam) install matplotlib, one of them scikit-learn too, for these
lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.images.pixels import Pixels
from core.model.network import QueryPool, Recognizer, to_input
from core.model.predictor import Predictor


@dataclass(frozen=True)
class Attention:
    """Where the positions of a run looked in one image."""

    weights_PHW: NDArray[np.float32]
    """Share of each cell of the map; those of a position sum to 1, or to 0 where no cell speaks for what it read."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the map in the whole image, as fractions of its sides."""


def attention_of(predictor: Predictor, images: Sequence[Pixels]) -> list[Attention]:
    """For H x W x 3 images of any size, as they are, without other views."""
    if not images:
        return []
    images_B3HW = to_input(predictor.frame.stack(images), predictor.device, predictor.layout)
    weights_BPHW = weights(predictor.model, images_B3HW).cpu().numpy()
    attentions = []
    for image, weights_PHW in zip(images, weights_BPHW, strict=True):
        height, width, _ = image.shape
        x0, y0, x1, y1 = predictor.frame.pixels(height, width)
        attentions.append(Attention(weights_PHW, (x0 / width, y0 / height, x1 / width, y1 / height)))
    return attentions


def weights(model: Recognizer, images_B3HW: Tensor) -> Tensor:
    """B x P x rows x columns of the map."""
    if isinstance(model.pool, QueryPool):
        with torch.no_grad():
            weights_BPL = model.pool.attention(model.tokens(images_B3HW))
    else:
        weights_BPL = _relevance(model, images_B3HW)
    return weights_BPL.reshape(*weights_BPL.shape[:2], *model.grid)


def _relevance(model: Recognizer, images_B3HW: Tensor) -> Tensor:
    """What each cell adds to the logit of the character that is read, where it adds; B x P x L."""
    with torch.no_grad():
        tokens_BLD = model.tokens(images_B3HW)
    tokens_BLD.requires_grad_()
    with torch.enable_grad():
        best_BP = model.heads(model.pool(tokens_BLD)).amax(dim=2)
        parts = []
        for position in range(best_BP.shape[1]):
            (gradient_BLD,) = torch.autograd.grad(best_BP[:, position].sum(), tokens_BLD, retain_graph=True)
            parts.append((gradient_BLD * tokens_BLD).sum(dim=2).clamp_min(0))
    relevance_BPL = torch.stack(parts, dim=1).detach()
    return relevance_BPL / relevance_BPL.sum(dim=2, keepdim=True).clamp_min(1e-12)
