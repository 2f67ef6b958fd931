"""The reason of a failure: a sentence for people, a cause for programs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import NonFiniteError, OptionError
from core.jobs.failures import explain
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig


def array_too_large() -> None:
    np.empty(1 << 60, np.uint8)


def tensor_too_large() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def gpu_too_small() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def backbone_too_large() -> None:
    try:
        array_too_large()
    except MemoryError as error:
        raise OptionError("The backbone cannot be built.") from error


@pytest.mark.parametrize("fail", [array_too_large, tensor_too_large, gpu_too_small, backbone_too_large])
def test_every_library_without_memory_gives_the_same_reason(fail: Callable[[], None]) -> None:
    """The reason names the settings of a run. Other jobs have none to change."""
    run = {"kind": "train", "config": TrainConfig(batch_size=8).to_dict(), "choices": {"image_size": [48, 192]}}
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test checks the reason derived from it
        fail()

    reason, cause = explain(caught.value, run)

    assert cause == "out_of_memory"
    assert "with `batch_size=8` and `image_size=48x192`. Smaller values need less memory." in reason
    assert explain(caught.value, {"kind": "import"}) == (
        "Out of memory. Close other programs and try again.",
        "out_of_memory",
    )


def test_a_full_disk_has_its_own_cause() -> None:
    """The cause is also found behind another error."""
    error = OptionError("The weights cannot be written.")
    error.__cause__ = OSError(28, "No space left on device")

    reason, cause = explain(error, {"kind": "train"})

    assert cause == "disk_full"
    assert reason.startswith("The disk or quota is full")
    assert reason.endswith("then resume. Earlier checkpoints are intact.")


@pytest.mark.parametrize("kind", ["import", "propose", "round", "evaluate"])
def test_a_job_without_checkpoints_promises_none_on_a_full_disk(kind: str) -> None:
    assert explain(OSError(28, "No space left on device"), {"kind": kind}) == (
        "The disk or quota is full. Free some space, then start the job again.",
        "disk_full",
    )


def test_an_error_of_ours_brings_its_sentence_and_its_cause() -> None:
    """The class decides the cause, whatever the sentence says."""
    assert explain(NonFiniteError("Reworded."), {"kind": "train"}) == ("Reworded.", "non_finite")
    assert explain(OptionError("lr is wrong."), {"kind": "train"}) == ("lr is wrong.", None)


def test_an_error_of_nobody_names_its_kind() -> None:
    """The log has the details."""
    reason, cause = explain(ZeroDivisionError(), {"kind": "import"})

    assert cause is None
    assert "unexpected ZeroDivisionError" in reason


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("The loss became nan by step 40; the last good checkpoint is kept. Try a lower lr.", "non_finite"),
        ("The memory ran out with batch_size=32 and image_size=48x192; smaller ones need less.", "out_of_memory"),
        ("The images are too small.", None),
    ],
)
def test_a_failure_of_an_earlier_version_keeps_its_diagnosis(tmp_path: Path, reason: str, cause: str | None) -> None:
    """Its directory has a sentence but no cause."""
    job = JobDir(tmp_path)
    job.write("status.json", {"state": "running", "step": 40, "reason": reason})
    job.write("exit.json", {"code": 1, "signal": None})

    assert job.outcome() == ("failed", reason, cause)


def test_a_failure_of_this_version_is_not_judged_by_its_words(tmp_path: Path) -> None:
    """A null cause means there is none."""
    job = JobDir(tmp_path)
    job.write("status.json", {"state": "running", "reason": "Not that the memory ran out.", "cause": None})
    job.write("exit.json", {"code": 1, "signal": None})

    assert job.outcome().cause is None
