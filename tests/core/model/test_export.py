"""The exported network gives the logits of torch, for every head and for convolutions that standardize weights."""

from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from core.model.export import FoldedPool, to_int8, to_onnx
from core.model.network import QueryPool, Recognizer
from tests.helpers.networks import make


def shaken(model: Recognizer) -> Recognizer:
    """Return the network with other biases, gains and statistics, which are zero or one in a new one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand_like(buffer))
    return model.eval()


def run(data: bytes, images_B3HW: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits_BPC,) = session.run(["logits"], {"images": images_B3HW})
    return np.asarray(logits_BPC)


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        *product(["test_resnet", "test_nfnet"], ["query", "flatten", "pool"]),
        pytest.param("dm_nfnet_f0", "flatten", marks=pytest.mark.long),
    ],
)
def test_the_logits_equal_those_of_torch(backbone: str, head: str) -> None:
    """Batches may have any size. The last backbone pads by the size of its input."""
    model = shaken(make(head=head, backbone=backbone, ink=False))
    images_B3HW = torch.rand(5, 3, 32, 96)
    with torch.no_grad():
        expected_BPC = model(images_B3HW).numpy()

    data = to_onnx(model, (32, 96))

    assert np.abs(run(data, images_B3HW.numpy()) - expected_BPC).max() <= 1e-5 * np.abs(expected_BPC).max()
    assert run(data, images_B3HW[:1].numpy()).shape == (1, 3, 10)
    operators = {node.op_type for node in onnx.load_from_string(data).graph.node}
    assert "BatchNormalization" not in operators
    with torch.no_grad():
        assert np.array_equal(model(images_B3HW).numpy(), expected_BPC)  # the network itself is unchanged


def test_folded_attention_equals_the_attention_of_training() -> None:
    """Also with queries and a prior that differ between positions."""
    pool = shaken(make(head="query")).pool
    assert isinstance(pool, QueryPool)
    tokens_BLD = torch.randn(4, 12, 32)

    with torch.no_grad():
        assert torch.allclose(FoldedPool(pool)(tokens_BLD), pool(tokens_BLD), atol=1e-5)


def test_eight_bits_take_less_room_and_change_little() -> None:
    """The answers are compared by the job that makes a bundle."""
    model = shaken(make(ink=False))
    images_B3HW = torch.rand(8, 3, 32, 96)
    with torch.no_grad():
        expected_BPC = model(images_B3HW).numpy()
    data = to_onnx(model, (32, 96))

    small = to_int8(data, [images_B3HW.numpy()])

    assert len(small) < 0.7 * len(data)
    assert 0 < np.abs(run(small, images_B3HW.numpy()) - expected_BPC).max() < 0.2 * np.abs(expected_BPC).max()
