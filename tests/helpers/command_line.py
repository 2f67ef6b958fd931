"""The `slotlab` command, in a process and in this one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli import commands
from tests.helpers.repository import ROOT

Slotlab = Callable[..., subprocess.CompletedProcess[str]]


def command(home: Path, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *map(str, arguments)],
        check=False,
        cwd=cwd,
        env=os.environ | {"SLOTLAB_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def command_here(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    monkeypatch.setenv("SLOTLAB_HOME", str(home))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["slotlab", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        commands.main()
    return subprocess.CompletedProcess(sys.argv, int(end.value.code or 0), *capsys.readouterr())


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    """Assert exit code 1, one sentence on stderr, nothing on stdout, no traceback."""
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
