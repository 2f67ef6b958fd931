"""The confidence from which readings of a run are accepted, and the command that sets it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from sqlite_utils import Database

from core.evaluation.acceptance import Acceptance
from core.evaluation.predictions import Predictions
from core.home import Home
from core.runs.bundles import find_bundle, manifest_of
from core.runs.evaluated import load_evaluated
from core.runs.thresholds import by_validation, by_verdicts
from core.training.snapshot import write_snapshot
from db import jobs, runs
from db.answers import select_judged
from db.connection import opened, write
from db.records import Project, Run
from db.verdicts import NewVerdict, insert_verdict
from tests.helpers.command_line import command_here
from tests.helpers.verdicts import hash_of, judge, name_of


def make_run(db: Database, home: Home, project: Project, n: int, wrong: int) -> Run:
    """Return a run that reads `n` validation images, and only the `wrong` least confident ones not right."""
    with write(db):
        job = jobs.insert_job(db, id="0001-fast", number=1, kind="train", project_id=project.id, request_id="first")
        runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=n)
        jobs.set_state(db, job, "finished", result="{}", final=True)
    directory = home.run(job.id)
    directory.mkdir(parents=True)
    write_snapshot(directory / "dataset.npz", [("a", "train", "000000", "a.png", b"")])
    logits_NPC = np.zeros((n, 6, 10), dtype=np.float32)
    logits_NPC[:, :, 1] = np.linspace(4, 9, n)[:, None]
    Predictions(
        sha256=[f"{index}" for index in range(n)],
        labels=["222222"] * wrong + ["111111"] * (n - wrong),
        views=["as it is"],
        log_probs_VNPC=log_softmax(logits_NPC, axis=2)[None],
        step=5,
    ).save(directory / "predictions-val.npz")
    found = runs.find_run(db, job.id)
    assert found is not None
    return found


def test_the_command_sets_the_threshold_of_the_page(
    db: Database,
    home: Home,
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It prints what it stores."""
    run = make_run(db, home, project, n=800, wrong=3)
    judged = by_validation(load_evaluated(db, home, run, "val"))
    chosen = judged.choose(0.01)
    assert chosen is not None

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1", "--max-risk", "0.01", "--json")

    saved = Acceptance.load(home.run("0001-fast"))
    assert done.returncode == 0, done.stderr
    assert saved == judged.acceptance(chosen, max_risk=0.01, tries=3)
    assert json.loads(done.stdout)["threshold"] == saved.threshold
    assert (saved.n, saved.reference, saved.tta) == (800, "people", False)
    assert saved.used >= 505
    assert saved.wrong <= 3
    text = command_here(home.root, capsys, monkeypatch, "threshold", "1").stdout
    assert f"Of 800 validation images that accepts {saved.used:,}, {saved.wrong} of them wrong" in text


def test_too_few_images_set_nothing(
    db: Database,
    home: Home,
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sentence says how many are needed, and a former threshold stays."""
    make_run(db, home, project, n=40, wrong=0)

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1")

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "You need at least 505 validation images to show an error rate of at most 1%. You have 40: "
        "label more validation images, or allow a higher error rate."
    ) in done.stderr
    assert Acceptance.load(home.run("0001-fast")) is None


def test_errors_among_the_sure_readings_are_named(db: Database, home: Home, project: Project) -> None:
    """Many images and no threshold. The sentence says what to do, by who gave the right texts."""
    run = make_run(db, home, project, n=1200, wrong=1100)
    judged = by_validation(load_evaluated(db, home, run, "val"))

    assert judged.choose(0.01) is None
    assert judged.shown_instead() == []
    assert "No threshold guarantees an error rate of at most 1%." in judged.why_none(0.01)
    assert "Check these errors on the Errors tab" in judged.why_none(0.01)
    by_portal = replace(judged, judge="portal").why_none(0.01)
    assert by_portal.endswith("Train again with the verdicts, or allow a higher error rate.")


def test_too_few_confident_readings_ask_for_more(db: Database, home: Home, project: Project) -> None:
    """Nothing is wrong among the most confident half, but the other half is."""
    run = make_run(db, home, project, n=600, wrong=290)
    judged = by_validation(load_evaluated(db, home, run, "val"))

    assert judged.why_none(0.01).endswith("label more validation images, or allow a higher error rate.")
    by_portal = replace(judged, judge="portal").why_none(0.01)
    assert "most confident readings are all right" in by_portal
    assert judged.shown_instead() == ["They show that at most one reading in 50 is wrong."]
    assert judged.choose(1 / 50) is not None
    assert by_portal.endswith("You need 505 without an error: collect more verdicts, or allow a higher error rate.")


def test_verdicts_of_the_portal_set_a_threshold(
    home: Home, bundled: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with a dozen validation images gets a threshold from what its bundle submitted."""
    with opened(home.db) as db:
        bundle = find_bundle(db, home, "0001-bundle")
        assert bundle is not None
        judge(db, bundled, name_of(bundle.directory), np.linspace(0.5, 1, 900).tolist(), wrong=20)
        judge(db, bundled, "bundle of elsewhere", [0.99] * 50, wrong=50)
    (home.bundles / "0002-bundle" / "manifest.json").write_text("[]")  # a damaged bundle has no answers

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1", "--verdicts", "--json")

    saved = Acceptance.load(home.run(bundle.run_id))
    assert done.returncode == 0, done.stderr
    assert saved is not None
    assert (saved.reference, saved.n, saved.tta) == ("portal", 900, False)
    assert saved.temperature == manifest_of(bundle)["temperature"]
    assert saved.used >= 505
    assert saved.risk_bound <= 0.01
    assert json.loads(done.stdout)["threshold"] == saved.threshold
    text = command_here(home.root, capsys, monkeypatch, "threshold", "1", "--verdicts").stdout
    assert f"Of 900 submitted images that accepts {saved.used:,}" in text


def test_a_reading_less_sure_than_all_submitted_ones_is_not_accepted(home: Home, bundled: Project) -> None:
    """The portal accepted every submitted text, so the threshold is the lowest confidence that was submitted."""
    with opened(home.db) as db:
        bundle = find_bundle(db, home, "0001-bundle")
        assert bundle is not None
        judge(db, bundled, name_of(bundle.directory), np.linspace(0.9, 1, 600).tolist(), wrong=0)
        run = runs.find_run(db, bundle.run_id)
        assert run is not None
        judged = by_verdicts(db, home, run)

    assert judged is not None
    chosen = judged.choose(0.01)

    assert chosen is not None
    assert (chosen.threshold, chosen.used) == (0.9, 600)


def test_a_text_that_the_portal_accepted_and_rejected_proves_nothing(home: Home, bundled: Project) -> None:
    """Nor does another reason than the image, or an image that no threshold accepts."""
    with opened(home.db) as db:
        judge(db, bundled, "one", [0.9, 0.8, 0.7, 0.6], wrong=1)
        assert select_judged(db, bundled.id, ["one"]) == [(0.9, False), (0.8, True), (0.7, True), (0.6, True)]
        with write(db):
            both = NewVerdict(
                key="x", sha256=hash_of("one", 1), text="012", accepted=False, reason="captcha", at="2026-12-01"
            )
            insert_verdict(db, bundled.id, both, "Ann")
            db.execute("UPDATE verdicts SET reason = 'timeout' WHERE sha256 = ?", [hash_of("one", 0)])
            db.execute("UPDATE answers SET unfamiliar = 'Its colors.' WHERE sha256 = ?", [hash_of("one", 2)])

        assert select_judged(db, bundled.id, ["one"]) == [(0.6, True)]


def test_without_verdicts_the_sentence_says_what_to_do(
    home: Home, bundled: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log comes first."""
    assert bundled.length == 3

    done = command_here(home.root, capsys, monkeypatch, "threshold", "1", "--verdicts")

    assert done.returncode == 1
    assert "Keep a log with the reader, and import it with `slotlab verdicts`." in done.stderr
