"""The second loss of a run from scratch: CTC over the columns of the feature map, as a CRNN has it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.model.network import Recognizer


class Columns(nn.Module):
    """One layer that names the character in each column of the map, or none. It only trains, and reads no image.

    A head must find its character before a label can teach it the name. This layer is the same in all columns, and CTC
    asks only for the order of the characters. So a label teaches its characters wherever they stand.
    """

    def __init__(self, model: Recognizer, classes: int) -> None:
        super().__init__()
        self.grid = model.grid
        self.layer = nn.Linear(model.width, classes + 1)  # class 0 is CTC's blank

    def forward(self, tokens_BLD: Tensor, targets_BP: Tensor) -> Tensor:
        """Return the loss of each image per character, B.

        It is 0 for a text that needs more columns than the map has: a blank must separate equal neighbors.
        """
        (count, length), (rows, columns) = targets_BP.shape, self.grid
        columns_BWD = tokens_BLD.float().view(count, rows, columns, -1).mean(dim=1)
        losses_B: Tensor = functional.ctc_loss(
            self.layer(columns_BWD).log_softmax(dim=2).transpose(0, 1),
            targets_BP + 1,
            torch.full((count,), columns),
            torch.full((count,), length),
            reduction="none",
            zero_infinity=True,
        )
        return losses_B / length
