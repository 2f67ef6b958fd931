"""The reason of a failure: a sentence for people and a cause for programs (core.errors.Cause).

A worker killed by signal 9 cannot explain itself, so core.jobs.jobdir derives the reason from exit.json.
"""

import errno
import re
from collections.abc import Mapping
from typing import Any

from core.errors import Cause, SlotlabError

MEMORY_WORDS = (
    "out of memory",
    "n't allocate memory",
    "cannot allocate memory",
    "insufficient memory",
    "bad_alloc",
    "alloc_failed",
)
"""Out-of-memory messages of torch, its CPU and GPU libraries and the system. They have no exception class."""


def explain(error: BaseException, spec: Mapping[str, Any]) -> tuple[str, Cause | None]:
    """Return one sentence on why the work failed and what to do, and the cause.

    `spec` is the job's run.json.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    codes = [cause.errno for cause in causes if isinstance(cause, OSError)]
    if errno.ENOSPC in codes or errno.EDQUOT in codes or errno.EFBIG in codes:
        return f"The disk or quota is full. Free some space, then {_again(spec)}", "disk_full"
    if any(map(_lacks_memory, causes)):
        return _out_of_memory(spec), "out_of_memory"
    if isinstance(error, SlotlabError):
        return str(error), error.cause
    return f"An unexpected {type(error).__name__} stopped the job; see the log.", None


def _again(spec: Mapping[str, Any]) -> str:
    """Return the end of the sentence. Only trainings can be resumed from checkpoints."""
    return (
        "resume. Earlier checkpoints are intact." if spec.get("kind") in ("train", "folds") else "start the job again."
    )


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in MEMORY_WORDS)


def _out_of_memory(spec: Mapping[str, Any]) -> str:
    """Return the sentence for an out-of-memory failure. For a training it names the options that need memory."""
    batch_size = spec.get("config", {}).get("batch_size")
    if batch_size is None:
        return "Out of memory. Close other programs and try again."
    size = (spec.get("choices") or {}).get("image_size") or spec["config"].get("image_size")
    pixels = f" and `image_size={size[0]}x{size[1]}`" if size else ""
    return f"Out of memory with `batch_size={batch_size}`{pixels}. Smaller values need less memory."


def legacy_cause(reason: str) -> Cause | None:
    """Return the cause of a failure recorded by an earlier version, which stored only the sentence."""
    if re.search(r"loss became (nan|-?inf)", reason):
        return "non_finite"
    return "out_of_memory" if "memory ran out" in reason else None
