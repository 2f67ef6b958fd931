"""`slotlab export-run`: what it writes and prints, what it refuses, and which machines it asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.home import Home
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.outside import Recorder
from tests.helpers.repository import ROOT
from tests.helpers.trained import RUN


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """The command in this process."""
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.mark.usefixtures("trained")
def test_the_folder_is_named(slotlab: Slotlab, tmp_path: Path) -> None:
    """For people and for programs. The log folder may hold other runs."""
    (tmp_path / "logs" / "other").mkdir(parents=True)

    done = slotlab("export-run", "1", "--to", "tensorboard", "--out", tmp_path / "logs", "--json")

    record = json.loads(done.stdout)
    assert (done.returncode, record["run"], record["to"]) == (0, RUN, "tensorboard")
    assert Path(record["path"]) == tmp_path / "logs" / RUN
    done = slotlab("export-run", RUN, "--to", "tensorboard", "--out", tmp_path / "more")
    assert done.stdout == f"{tmp_path / 'more' / RUN}: {record['points']} points of {RUN}.\n"


@pytest.mark.usefixtures("trained")
def test_what_it_cannot_export_is_refused(home: Home, slotlab: Slotlab, tmp_path: Path) -> None:
    """Nothing is written."""
    out = tmp_path / "logs"
    refused(slotlab("export-run", "1", "--to", "wandb", "--out", out), "choose tensorboard or mlflow.")
    refused(slotlab("export-run", "8", "--to", "tensorboard", "--out", out), "There is no run or job '8'.")
    inside = slotlab("export-run", "1", "--to", "tensorboard", "--out", home.runs)
    refused(inside, "belongs to the Slotlab folder")

    assert not out.exists()


@pytest.mark.parametrize(("tracker", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_without_its_packages_it_says_what_to_install(
    slotlab: Slotlab, monkeypatch: pytest.MonkeyPatch, tracker: str, package: str
) -> None:
    """`make install` does not bring them."""
    monkeypatch.setitem(sys.modules, package, None)

    done = slotlab("export-run", "1", "--to", tracker)

    refused(done, f'slotlab: The package {package} is missing. Install it: pip install "slotlab[trackers]"\n')


@pytest.mark.long
@pytest.mark.usefixtures("trained")
def test_no_other_machine_is_asked(home: Home, tmp_path: Path) -> None:
    """MLflow would report its use, except in tests: so the command runs without the variables that tell it."""
    recorder = Recorder(tmp_path)
    hints = ("CI", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    env = {name: value for name, value in os.environ.items() if name not in hints}

    for tracker in ("tensorboard", "mlflow"):
        done = subprocess.run(
            [sys.executable, "-m", "core.cli", "export-run", "1", "--to", tracker], cwd=tmp_path, check=False,
            env=env | {"SLOTLAB_HOME": str(home.root)} | recorder.env, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

    assert recorder.outside() == []
    assert {path.name for path in tmp_path.iterdir()} >= {"tensorboard", "mlflow"}
    assert not (tmp_path / "mlruns").exists()
    assert ROOT not in tmp_path.parents
