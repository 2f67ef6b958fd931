"""Why a job failed: one sentence for people, and a cause for what decides by it (core.errors.Cause).

Signal 9 leaves nobody to explain it: core.jobs.jobdir concludes from exit.json.
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
"""How torch, its CPU and GPU libraries and the system say it; only Python and NumPy have an exception of their own."""


def explain(error: BaseException, spec: Mapping[str, Any]) -> tuple[str, Cause | None]:
    """One sentence on why the work failed, with what to do where that is known, and the cause.

    `spec` is the job's run.json.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    codes = [cause.errno for cause in causes if isinstance(cause, OSError)]
    if errno.ENOSPC in codes or errno.EDQUOT in codes or errno.EFBIG in codes:
        return "The disk or its quota is full; make room and resume. Earlier checkpoints are intact.", "disk_full"
    if any(map(_lacks_memory, causes)):
        return _out_of_memory(spec), "out_of_memory"
    if isinstance(error, SlotlabError):
        return str(error), error.cause
    return f"An unexpected {type(error).__name__} ended it; the log has the details.", None


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in MEMORY_WORDS)


def _out_of_memory(spec: Mapping[str, Any]) -> str:
    """The sentence with which a job fails that found no memory; a training names what needs so much."""
    batch_size = spec.get("config", {}).get("batch_size")
    if batch_size is None:
        return "The memory ran out; end other programs, then try again."
    size = (spec.get("choices") or {}).get("image_size") or spec["config"].get("image_size")
    pixels = f" and image_size={size[0]}x{size[1]}" if size else ""
    return f"The memory ran out with batch_size={batch_size}{pixels}; smaller ones need less."


def legacy_cause(reason: str) -> Cause | None:
    """Return the cause of a failure that an earlier version wrote down; it kept the sentence alone."""
    if re.search(r"loss became (nan|-?inf)", reason):
        return "non_finite"
    return "out_of_memory" if "memory ran out" in reason else None
