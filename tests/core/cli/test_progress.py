"""Progress in a terminal and in a log."""

import os
import pty
import subprocess
import sys

import pytest

from core.cli.progress import LINE_SECONDS, Progress
from core.jobs.jobdir import JobStatus, duration
from tests.helpers.repository import ROOT

SHOW = """
from core.cli.progress import Progress
with Progress() as progress:
    progress.show(0, 0, "Starting")
    progress.show(0, 10, "Importing")
    progress.show(5, 10, "Importing", 90.0)
    progress.show(5, 10, "Importing", 90.0)
    progress.note("Half of it")
    progress.show(5, 10, "Importing", 90.0)
    progress.show(10, 10, "Importing", 0.0)
print("result")
"""


def test_in_a_log_there_is_a_line_now_and_then(capfd: pytest.CaptureFixture[str]) -> None:
    """The first, the last and one line every ten seconds go to stderr."""
    with Progress() as progress:
        for done in range(1001):
            progress.show(done, 1000, "Importing")

    out, errors = capfd.readouterr()
    assert out == ""
    assert errors.splitlines() == ["[░░░░░░░░░░░░░░░░░░░░] Importing", "[████████████████████] Importing"]
    assert LINE_SECONDS >= 10


def test_a_job_is_shown_with_its_progress(capfd: pytest.CaptureFixture[str]) -> None:
    """The line has progress, message and remaining time."""
    with Progress() as progress:
        progress.show_job(JobStatus(id="1", state="running", step=30, steps=120, message="Training", eta_s=4000.0))

    assert capfd.readouterr().err == "[█████░░░░░░░░░░░░░░░] Training, 1.1 h left\n"


def test_nothing_shown_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """There is not even an empty line."""
    with Progress():
        pass

    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_one_line_moves() -> None:
    """The line is redrawn and continues below a note; stdout has only the result."""
    master, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=True, timeout=60
    )
    os.close(terminal)
    shown = os.read(master, 10_000).decode()
    os.close(master)

    assert done.stdout == b"result\n"
    assert shown.count("\n") == 2
    assert shown.endswith("\n")
    lines = [line.removeprefix("\x1b[K") for line in shown.strip().split("\r") if line]
    assert lines == [
        "Starting",
        "[░░░░░░░░░░░░░░░░░░░░] Importing",
        "[██████████░░░░░░░░░░] Importing, 2 min left",
        "Half of it",
        "\n",
        "[██████████░░░░░░░░░░] Importing, 2 min left",
        "[████████████████████] Importing, 0 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (90, "2 min"), (3000, "50 min"), (3600, "1.0 h"), (100_000, "27.8 h")],
)
def test_a_duration_is_easy_to_read(seconds: float, text: str) -> None:
    """The precision depends on the length."""
    assert duration(seconds) == text
