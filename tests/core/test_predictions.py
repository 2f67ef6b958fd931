"""What follows from the stored predictions of a run."""

from pathlib import Path

import numpy as np
import pytest

from core.charset import TextSpec
from core.errors import StorageError
from core.predictions import Predictions

SPEC = TextSpec(2, "ab")


def predictions() -> Predictions:
    """Three images of two characters; the second is read wrongly at position 2, surely; the third unsurely right."""
    probs_NPC = np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.9, 0.1], [0.99, 0.01]], [[0.6, 0.4], [0.4, 0.6]]])
    return Predictions(
        sha256=["1", "2", "3"], labels=["aa", "ab", "ab"], views=["as it is"], log_probs_VNPC=np.log(probs_NPC)[None]
    )


def test_sure_errors_come_first() -> None:
    """Errors are listed without the right answers, and the least sure list holds all."""
    reading = predictions().reading(SPEC, tta=False)

    assert reading.wrong().tolist() == [1]
    assert reading.least_sure().tolist() == [2, 0, 1]
    assert reading.confidence_N == pytest.approx([0.81, 0.891, 0.36])


def test_a_cell_of_the_matrix_names_its_images() -> None:
    """Rows are true characters, columns what was read; each cell's count is the number of its images."""
    reading = predictions().reading(SPEC, tta=False)

    assert reading.confusion_PCC()[1].tolist() == [[1, 0], [1, 1]]
    assert reading.in_cell(1, true=1, read=0).tolist() == [1]
    assert reading.nearest(1, true=1, read=0).tolist() == [1, 2]
    assert reading.nearest(1, true=0, read=1).tolist() == [0]


def test_views_can_outvote_the_first() -> None:
    """With test-time augmentation the mean of the views' log-probabilities decides."""
    first = np.log(np.array([[[0.6, 0.4]]]))
    other = np.log(np.array([[[0.1, 0.9]]]))
    stored = Predictions(
        sha256=["1"], labels=["b"], views=["as it is", "left"], log_probs_VNPC=np.stack([first, other])
    )

    assert not stored.reading(TextSpec(1, "ab"), tta=False).right_NP.any()
    assert stored.reading(TextSpec(1, "ab"), tta=True).right_NP.all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """A file torn by a full disk is named, with what to do."""
    path = tmp_path / "predictions-val.npz"
    path.write_bytes(content)

    with pytest.raises(StorageError, match=r"predictions-val\.npz is missing or damaged"):
        Predictions.load(path)
