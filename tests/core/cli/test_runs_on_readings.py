"""Commands on a run that validated against readers: programs cannot mistake its number for an exact match."""

import json

import numpy as np
import pytest

from core.data.labeling import apply_events
from core.evaluation.acceptance import Acceptance
from core.evaluation.predictions import Predictions
from core.home import Home
from core.images.pixels import encode_png
from core.images.renderer import render
from db import samples
from db.connection import opened
from db.records import Project
from tests.helpers.command_line import command_here
from tests.helpers.trained import ON_READINGS


@pytest.mark.usefixtures("trained_on_readings")
def test_runs_and_evaluations_name_their_reference(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field of the exact match is null, and the text says agreement."""

    def slotlab(*arguments: str) -> str:
        done = command_here(home.root, capsys, monkeypatch, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (run,) = json.loads(slotlab("runs", "--json"))
    evaluation = json.loads(slotlab("evaluate", "1", "--no-tta", "--json"))

    assert (run["reference"], run["val_exact"]) == ("readers", None)
    assert run["val_agreement"] == run["val_correct"] / run["val_n"]
    assert (evaluation["reference"], evaluation["exact_match"]) == ("readers", None)
    assert evaluation["agreement"] == evaluation["correct"] / evaluation["n"]
    assert "val agreement with readers " in slotlab("runs")
    assert slotlab("evaluate", "1", "--no-tta").startswith("agreement with readers ")


def test_predict_says_that_readers_chose_the_threshold(
    home: Home, trained_on_readings: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a label of a person may still accept readings."""
    assert trained_on_readings.length == 3
    directory = home.run(ON_READINGS)
    step = Predictions.load(directory / "predictions-val.npz").step
    Acceptance(
        step=step, tta=False, temperature=1.0, threshold=0.0, max_risk=0.9, reference="readers", n=9, used=9, wrong=1,
        risk_bound=0.5,
    ).save(directory)  # fmt: skip
    image = home.root / "image.png"
    image.write_bytes(encode_png(render("012", np.random.default_rng(0))))

    done = command_here(home.root, capsys, monkeypatch, "predict", "1", str(image), "--no-tta", "--json")

    assert json.loads(done.stdout)["accepted"] is True
    assert "calibrated against readers" in done.stderr


def test_predict_names_blind_images(
    home: Home, trained_on_readings: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of the run and by its directory. After a label the image is not blind."""
    image = home.root / "image.png"
    with opened(home.db) as db:
        sample = samples.select_samples(db, trained_on_readings.id, split="val")[0]
        image.write_bytes(samples.image_bytes(db, [sample.id])[sample.id])
    for run in ("1", str(home.run(ON_READINGS))):
        done = command_here(home.root, capsys, monkeypatch, "predict", run, str(image), "--json")
        record = json.loads(done.stdout)
        assert (done.returncode, len(record["text"]), record["blind"]) == (0, 3, True)
        assert "must not see these readings" in done.stderr

    with opened(home.db) as db:
        event = {"event": "e", "action": "label", "sample": sample.sha256, "text": "000", "base": 0}
        apply_events(db, trained_on_readings, "Ann", [event])

    done = command_here(home.root, capsys, monkeypatch, "predict", "1", str(image), "--json")
    assert json.loads(done.stdout)["blind"] is False
    assert "must not see" not in done.stderr
