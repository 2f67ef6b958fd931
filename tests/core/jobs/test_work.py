"""The status that a worker reports."""

from pathlib import Path

from core.jobs.jobdir import JobDir
from core.jobs.work import Work


def test_no_time_is_left_after_the_last_step(tmp_path: Path) -> None:
    """The work after it, such as reading the validation images, has no estimate."""
    directory = JobDir(tmp_path)
    directory.write("run.json", {"format": 1, "kind": "train"})
    work = Work(directory)

    def left(message: str, step: int) -> float | None:
        work.say(message, step=step, steps=3)
        status = directory.read("status.json")
        assert status is not None
        return status["eta_s"]  # type: ignore[no-any-return]

    assert left("First", 1) is None
    assert left("Second", 2) is not None
    assert left("Last", 3) is None
    work.say("Reading")
    assert (directory.read("status.json") or {})["eta_s"] is None
