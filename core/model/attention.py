"""Attention of each position over the cells of an image's feature map.

The head `query` has attention weights. The other heads have none: for them it is gradient times activation of the
character read, cell by cell. Grad-CAM averages the gradient over the map first. That would show the same place for
every position of the head `flatten`, which weighs each cell separately. No library is used: captum, grad-cam and
torchcam would install matplotlib, and one of them scikit-learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bundle.reader import box_pixels
from core.images.pixels import Pixels
from core.model.network import QueryPool, Recognizer, to_input
from core.model.predictor import Predictor


@dataclass(frozen=True)
class Attention:
    """Attention of every position over one image."""

    weights_PHW: NDArray[np.float32]
    """Share of each cell. The shares of a position sum to 1, or to 0 if no cell supports its reading."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom of the map in the whole image, as fractions of its width and height."""


def attention_of(predictor: Predictor, images: Sequence[Pixels]) -> list[Attention]:
    """Return the attention for H x W x 3 images of any size, without test-time augmentation."""
    if not images:
        return []
    images_B3HW = to_input(predictor.frame.stack(images), predictor.device, predictor.layout)
    weights_BPHW = weights(predictor.model, images_B3HW).cpu().numpy()
    attentions = []
    for image, weights_PHW in zip(images, weights_BPHW, strict=True):
        height, width, _ = image.shape
        x0, y0, x1, y1 = box_pixels(image, predictor.frame.box)
        attentions.append(Attention(weights_PHW, (x0 / width, y0 / height, x1 / width, y1 / height)))
    return attentions


def weights(model: Recognizer, images_B3HW: Tensor) -> Tensor:
    """Return B x P x rows x columns."""
    if isinstance(model.pool, QueryPool):
        with torch.no_grad():
            weights_BPL = model.pool.attention(model.tokens(images_B3HW))
    else:
        weights_BPL = _relevance(model, images_B3HW)
    return weights_BPL.reshape(*weights_BPL.shape[:2], *model.grid)


def _relevance(model: Recognizer, images_B3HW: Tensor) -> Tensor:
    """Return the positive contribution of each cell to the logit of the character read, B x P x L."""
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
