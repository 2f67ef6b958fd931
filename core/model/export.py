"""Export of a network to ONNX: in one file, for batches of any size, as onnxruntime reads it fastest.

The exporter that traces is used, although torch calls it deprecated. It takes 0.3 s for preset fast and 2.5 s for
article. The newer one takes up to two minutes on a busy machine, and needs two more packages.
"""

import copy
import io
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import Tensor, nn
from torch.nn import functional

from core.model.network import QueryPool, Recognizer

OPSET = 17
STANDARDIZED = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)


def to_onnx(model: Recognizer, size: tuple[int, int]) -> bytes:
    """Return the network as ONNX: `images` B x 3 x H x W with values 0..1 to `logits` B x P x C.

    Ink normalization stays outside, in core.bundle.reader: the median has no ONNX function.
    """
    network = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()
    network.ink = False
    fold(network)
    if isinstance(network.pool, QueryPool):
        network.pool = FoldedPool(network.pool)
    file: Any = io.BytesIO()  # torch's types name only paths, although it documents files
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # it is deprecated, and tracing warns of shapes that are constants here
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, *size),),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "B"}, "logits": {0: "B"}},
        )
    data: bytes = file.getvalue()
    return data


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Replace convolutions that standardize their weights at each call, as NFNet has them, by plain ones.

    The exporter would write them as batch norms in training mode, and with them wrong answers.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, STANDARDIZED):
                setattr(parent, name, _plain(child))


def _plain(conv: Any) -> nn.Module:
    """Return a convolution with the standardized weights of one of STANDARDIZED."""
    gain = conv.gain * conv.scale if isinstance(conv, ScaledStdConv2d | ScaledStdConv2dSame) else None
    rows_1OI = conv.weight.reshape(1, conv.out_channels, -1)
    weight = functional.batch_norm(
        rows_1OI, None, None, weight=None if gain is None else gain.view(-1), training=True, momentum=0.0, eps=conv.eps
    )
    kind = Conv2dSame if getattr(conv, "same_pad", False) else nn.Conv2d
    plain = kind(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
        bias=conv.bias is not None,
    )  # fmt: skip
    plain.weight = nn.Parameter(weight.reshape_as(conv.weight))
    if conv.bias is not None:
        plain.bias = nn.Parameter(conv.bias)
    return plain.eval()


class FoldedPool(nn.Module):
    """QueryPool with everything computed that does not depend on the image.

    The queries are constant, so scores need one row of weights for each position and head instead of all keys. And
    values are projected after the attention, at a few positions instead of all cells. The file of preset fast is 3.0 MB
    instead of 3.5.
    """

    def __init__(self, pool: QueryPool) -> None:
        super().__init__()
        self.pool = pool
        width = pool.pos.shape[1]
        key_HdD, value_HdD = pool.key_value.weight.detach().view(2, pool.heads, -1, width)
        key_bias_Hd, value_bias_Hd = pool.key_value.bias.detach().view(2, pool.heads, -1)
        query_HPd = pool.query(pool.pos).view(pool.pos.shape[0], pool.heads, -1).transpose(0, 1)
        query_HPd = query_HPd.detach() / query_HPd.shape[2] ** 0.5
        self.register_buffer("score_HDP", (query_HPd @ key_HdD).transpose(1, 2).contiguous())
        self.register_buffer("score_bias_H1P", (query_HPd @ key_bias_Hd[:, :, None]).transpose(1, 2).contiguous())
        self.register_buffer("value_HDd", value_HdD.transpose(1, 2).contiguous())
        self.register_buffer("value_bias_PD", value_bias_Hd.flatten()[None] + pool.pos.detach())

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        cells_B1LD = (tokens_BLD + self.pool.map_pos)[:, None]
        scores_BHLP = cells_B1LD @ self.get_buffer("score_HDP") + self.get_buffer("score_bias_H1P")
        weights_BHPL = (scores_BHLP.transpose(2, 3) + self.pool.prior(tokens_BLD)[:, None]).softmax(dim=3)
        read_BHPd = weights_BHPL @ cells_B1LD @ self.get_buffer("value_HDd")
        slots_BPD = read_BHPd.transpose(1, 2).flatten(2) + self.get_buffer("value_bias_PD")
        out_BPD: Tensor = slots_BPD + self.pool.mlp(self.pool.norm(slots_BPD))
        return out_BPD


def to_int8(onnx: bytes, batches: Iterable[NDArray[np.float32]]) -> bytes:
    """Return the network with weights and activations of 8 bits, calibrated on B x 3 x H x W inputs.

    A reduced range keeps the sums of processors without VNNI from overflowing.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Inputs(CalibrationDataReader):  # type: ignore[misc]  # without type information
        def __init__(self, batches: Iterator[NDArray[np.float32]]) -> None:
            self.batches = batches

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, small = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "small"))
        plain.write_bytes(onnx)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            small,
            Inputs(iter(batches)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return small.read_bytes()
