"""Attention, compared with weights computed by hand and with networks built to look at one place."""

import numpy as np
import pytest
import torch

from core.charset import TextSpec
from core.images.frame import WHOLE, Frame
from core.model.attention import attention_of, weights
from core.model.network import FlattenPool, QueryPool, Recognizer
from core.model.predictor import Predictor

SIZE = (32, 96)


def make(head: str) -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(
        positions=3, classes=10, image_size=SIZE, backbone="test_resnet", stride=8, head=head, width=32, ink=True,
        centers=[0.2, 0.5, 0.8], sigma=0.2,
    ).eval()  # fmt: skip


def reader(model: Recognizer, frame: Frame) -> Predictor:
    return Predictor(
        model, TextSpec(3, "0123456789"), frame, device=torch.device("cpu"), layout=torch.contiguous_format, step=0
    )


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def test_attention_equals_the_weights_of_forward() -> None:
    """Compute the weights with einsum. Weighted with them, the values equal the output of forward."""
    model = make("query")
    pool = model.pool
    assert isinstance(pool, QueryPool)
    torch.nn.init.normal_(pool.text.weight)
    torch.nn.init.normal_(pool.pos)
    with torch.no_grad():
        tokens_BLD = model.tokens(torch.rand(2, 3, *SIZE))
        slots_BPD, given_BPL = pool(tokens_BLD).numpy(), pool.attention(tokens_BLD).numpy()
    p = {name: value.detach().numpy().astype(np.float64) for name, value in pool.named_parameters()}
    tokens, (rows, columns) = tokens_BLD.numpy().astype(np.float64), model.grid

    seen = tokens + p["map_pos"]
    kv = np.einsum("bld,ed->ble", seen, p["key_value.weight"]) + p["key_value.bias"]
    key, value = (part.reshape(2, -1, pool.heads, 8) for part in (kv[..., :32], kv[..., 32:]))
    query = (p["pos"] @ p["query.weight"].T + p["query.bias"]).reshape(3, pool.heads, 8)
    text = np.log1p(np.exp(np.einsum("bld,d->bl", tokens, p["text.weight"][0]) + p["text.bias"]))
    text = text.reshape(2, rows, columns).mean(axis=1) + 1e-3
    place = (np.cumsum(text, axis=1) - text / 2) / text.sum(axis=1, keepdims=True)
    away = (place[:, None] - p["prior_center"][:, None]) / np.exp(p["prior_log_sigma"])[:, None]
    prior = np.tile(-0.5 * away**2, (1, 1, rows))
    weights_BHPL = softmax(np.einsum("phd,blhd->bhpl", query, key) / np.sqrt(8) + prior[:, None])

    np.testing.assert_allclose(given_BPL, weights_BHPL.mean(axis=1), atol=1e-6)
    read = np.einsum("bhpl,blhd->bphd", weights_BHPL, value).reshape(2, 3, 32) + p["pos"]
    normed = (read - read.mean(-1, keepdims=True)) / np.sqrt(read.var(-1, keepdims=True) + 1e-5)
    hidden = torch.tensor(normed * p["norm.weight"] + p["norm.bias"], dtype=torch.float32)
    np.testing.assert_allclose(slots_BPD, read + pool.mlp(hidden).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("head", ["query", "flatten", "pool"])
def test_every_head_has_attention_shares(head: str) -> None:
    """Every cell has a non-negative share, and the shares of a position sum to 1."""
    model = make(head)

    weights_BPHW = weights(model, torch.rand(2, 3, *SIZE))

    assert weights_BPHW.shape == (2, 3, 4, 12)
    assert weights_BPHW.min() >= 0
    assert weights_BPHW.sum(dim=(2, 3)).numpy() == pytest.approx(1, abs=1e-4)
    assert not weights_BPHW.requires_grad


@pytest.mark.parametrize("column", [0, 5, 11])
def test_a_query_drawn_to_a_column_peaks_there(column: int) -> None:
    """A narrow prior moves one position. The others do not change."""
    model = make("query")
    pool = model.pool
    assert isinstance(pool, QueryPool)
    pool.prior_center.data[1] = (column + 0.5) / 12
    pool.prior_log_sigma.data[1] = -4.0

    columns_BPW = weights(model, torch.rand(2, 3, *SIZE)).sum(dim=2)

    assert columns_BPW[:, 1].argmax(dim=1).tolist() == [column, column]
    assert columns_BPW[:, 1, column].min() > 0.9
    assert columns_BPW[:, 0].max() < 0.9


def test_a_flat_layer_that_sees_one_column_shows_that_column() -> None:
    """Cells without weight in the layer contribute nothing."""
    model = make("flatten")
    pool = model.pool
    assert isinstance(pool, FlattenPool)
    layer = pool.mlp[0]
    assert isinstance(layer, torch.nn.Linear)
    layer.weight.data.view(32, 4, 12, 8)[:, :, [column for column in range(12) if column != 7]] = 0

    columns_BPW = weights(model, torch.rand(2, 3, *SIZE)).sum(dim=2)

    assert columns_BPW[:, :, 7].min() > 0.999


def test_the_map_covers_the_crop_of_the_image() -> None:
    """The box is the crop that the network saw, exact to the pixel, for any image size."""
    frame = Frame((0.25, 0.1, 0.75, 0.9), SIZE)
    images = [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 200, 3), (33, 71, 3))]

    for image, attention in zip(images, attention_of(reader(make("query"), frame), images), strict=True):
        height, width, _ = image.shape
        left, top, right, bottom = np.array(attention.box) * [width, height, width, height]
        seen = image[round(top) : round(bottom), round(left) : round(right)]
        assert (Frame(WHOLE, SIZE).apply(seen) == frame.apply(image)).all()
        assert attention.weights_PHW.shape == (3, 4, 12)


def test_no_images_have_no_attention() -> None:
    """An empty page does not run the network."""
    assert attention_of(reader(make("query"), Frame(WHOLE, SIZE)), []) == []
