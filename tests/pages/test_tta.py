"""The TTA tab of Evaluate, on a run of two steps made by the real worker."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import log_softmax
from streamlit.testing.v1 import AppTest

from core.charset import TextSpec
from core.data.labeling import apply_events
from core.errors import OptionError, StorageError
from core.evaluation.acceptance import Acceptance
from core.evaluation.predictions import Predictions
from core.evaluation.views import DEFAULT, View, ViewChoice, choice_of, fingerprint
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.runs.start import start_evaluation
from db.connection import opened
from db.jobs import list_jobs
from db.records import Project
from db.runs import find_run
from tests.helpers.working import work_here

OpenPage = Callable[..., AppTest]
SPEC = TextSpec(3, "0123")


def stored(home: Home) -> Predictions:
    return Predictions.load(home.run("0001-fast") / "predictions-val.npz")


def as_views_that_win(home: Home) -> Predictions:
    """Write 600 readings of the run's images. The first view misreads twenty that the others read right."""
    found = stored(home)
    chosen = np.arange(600) % len(found.labels)
    targets_NP = found.targets_NP(SPEC)[chosen]
    logits_VNPC = np.repeat(6 * np.eye(4, dtype=np.float32)[targets_NP][None], len(found.views), axis=0)
    logits_VNPC[0, :20] = np.roll(logits_VNPC[0, :20], 1, axis=2)
    made = replace(
        found,
        sha256=[found.sha256[place] for place in chosen],
        labels=[found.labels[place] for place in chosen],
        log_probs_VNPC=log_softmax(logits_VNPC, axis=3),
        colors_N23=None,
    )
    made.save(home.run("0001-fast") / "predictions-val.npz")
    return made


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label.startswith(label)).click().run()


def button(app: AppTest, label: str) -> bool:
    """Return whether the button is enabled."""
    return not next(button for button in app.button if button.label.startswith(label)).disabled


def edit(app: AppTest, **change: object) -> None:
    """Change the rows of the editor as a user would."""
    nothing = {"edited_rows": {}, "added_rows": [], "deleted_rows": []}
    app.session_state[app.data_editor[0].key] = nothing | change


def test_the_ledger_is_that_of_the_stored_readings(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The table has a row per view and one for all views. The verdict is a sentence."""
    app = open_page("evaluate", project=trained.name, section="tta")

    found = stored(home)
    worth = found.tta_effect(SPEC)
    table = app.dataframe[0].value
    entries = [*worth.views, worth.together]
    assert not app.exception
    assert table["View"].tolist() == [*found.views, "all together"]
    assert table["Right"].tolist() == [f"{entry.correct} of {worth.n}" for entry in entries]
    assert table["Fixed"].tolist()[1:] == [entry.fixed for entry in entries[1:]]
    assert table["p"].tolist()[1:] == [entry.p for entry in entries[1:]]
    assert table["Time"].iloc[0] == 1
    assert table["Time"].iloc[-1] == pytest.approx(table["Time"].iloc[:-1].sum())
    assert all(picture.startswith("data:image/png") for picture in table["Image"][:-1])
    assert len(set(table["Image"][:-1])) == len(found.views)
    assert any(worth.verdict in line.value for line in app.markdown)
    first = table["Image"][0]
    assert press(app, "Another image").dataframe[0].value["Image"][0] != first


def test_a_run_of_two_steps_reads_without_views(open_page: OpenPage, trained: Project) -> None:
    """The worker saved this choice at its end, and the toggle starts with it."""
    app = open_page("evaluate", project=trained.name, section="tta")

    assert not app.toggle(key="tta").value
    assert any("**does not use TTA** (chosen automatically" in line.value for line in app.markdown)


def test_views_are_used_and_left_again(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The choice is saved with its evidence, and the numbers of the page follow."""
    made, run = as_views_that_win(home), home.run("0001-fast")
    rule = Acceptance(
        step=made.step, tta=False, temperature=1.0, threshold=0.9, max_risk=0.01, n=600, used=600, wrong=0,
        risk_bound=0.01,
    )  # fmt: skip
    rule.save(run)
    app = open_page("evaluate", project=trained.name, section="tta")
    assert any("fixes 20 and breaks 0 of 600" in line.value and "Recommended." in line.value for line in app.markdown)
    assert not any("Set it again on the Confidence tab" in caption.value for caption in app.caption)

    press(app, "Use these views")

    assert not app.exception
    choice = choice_of(run)
    assert (choice.views, choice.use, choice.n, choice.fixed, choice.broken) == (DEFAULT, True, 600, 20, 0)
    assert choice.p == pytest.approx(2 * 0.5**20)
    assert choice.step == made.step
    assert app.toggle(key="tta").value
    assert any("Set it again on the Confidence tab" in caption.value for caption in app.caption)
    assert not button(app, "Use these views")
    assert open_page("evaluate", project=trained.name).toggle(key="tta").value

    press(app, "Read without TTA")

    assert not choice_of(run).use
    assert not app.toggle(key="tta").value


def test_an_edited_set_is_read_by_the_worker(
    home: Home, open_page: OpenPage, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are changed, removed and added. The run's choice stays until a user changes it."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", ""))  # the worker works here, where torch is loaded
    before = choice_of(home.run("0001-fast"))
    app = open_page("evaluate", project=trained.name, section="tta")
    edit(
        app,
        edited_rows={1: {"View": "west", "Right, %": -3.0}},
        deleted_rows=[3, 4, 5, 6, 7, 8],
        added_rows=[{"View": "nearer", "Right, %": 0, "Down, %": 0, "Zoom, %": 110, "Turn, °": 0}],
    )
    app.run()
    assert not app.exception
    assert button(app, "Evaluate with these 4 views")
    press(app, "Evaluate with these 4 views")
    with opened(home.db) as db:
        job = list_jobs(db, kind="evaluate")[0]
        assert work_here(JobDir(home.run(job.id))) == 0
        assert control.follow(db, home, job.id, lambda _: None).state == "finished"
    app.run()

    found = Predictions.load(home.run(job.id) / "predictions-val.npz")
    assert not app.exception
    assert found.view_set == (DEFAULT[0], View("west", shift_x=-0.03), DEFAULT[2], View("nearer", zoom=1.1))
    assert app.dataframe[0].value["View"].tolist() == ["as it is", "west", "right", "nearer", "all together"]
    assert choice_of(home.run("0001-fast")) == before
    press(app, "Use these views")
    assert fingerprint(choice_of(home.run("0001-fast")).views) == fingerprint(found.view_set)
    press(app, "Evaluate with these 4 views")
    assert [toast.value for toast in app.toast] == ["These views have already been evaluated."]

    # What is known is not read again; a label that has changed since makes it news.
    with opened(home.db) as db:
        run = find_run(db, "0001-fast")
        assert run is not None
        ask = partial(start_evaluation, db, home, run, "val", operator="ada")
        assert ask(tta=True, views=found.view_set).id == job.id
        begun, weights = home.run(job.id) / "run.json", max((home.run(run.job.id) / "checkpoints").glob("*.pt"))
        for seconds, known in ((0.001, False), (-60, True)):  # written while they were read, or before
            os.utime(weights, times=(begun.stat().st_mtime + seconds,) * 2)
            asked = ask(tta=True, views=found.view_set)
            assert (asked.id == job.id) is known
            control.cancel(db, home, asked.id)
            control.follow(db, home, asked.id, lambda _: None)
        apply_events(db, trained, "ada", [
            {"event": "e1", "action": "skip", "sample": found.sha256[0], "text": None, "base": 1, "after": None}
        ])  # fmt: skip
        anew = ask(tta=True, views=found.view_set)
        assert anew.id != job.id
        control.cancel(db, home, anew.id)
        control.follow(db, home, anew.id, lambda _: None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"edited_rows": {0: {"Right, %": 1.0}}}, "It must be the original image"),
        ({"edited_rows": {1: {"Turn, °": 180.0}}}, "The limit is 10"),
        ({"edited_rows": {1: {"View": "right"}}}, "Two views are named"),
        ({"edited_rows": {1: {"View": None}}}, "View 2 has no name"),
        ({"edited_rows": {1: {"Zoom, %": None}}}, "needs a number for zoom"),
        ({"deleted_rows": list(range(9))}, "Use 1 to 16"),
    ],
)
def test_a_bad_set_is_one_sentence(
    open_page: OpenPage, trained: Project, change: dict[str, object], sentence: str
) -> None:  # fmt: skip
    """The button stays disabled."""
    app = open_page("evaluate", project=trained.name, section="tta")
    edit(app, **change)
    app.run()

    assert not app.exception
    assert [sentence in error.value.replace("\\", "") for error in app.error] == [True]
    assert not button(app, "Evaluate with these")


def test_views_are_chosen_on_val_only(home: Home, open_page: OpenPage, trained: Project) -> None:
    """On test the table is shown without the buttons that choose."""
    stored(home).save(home.run("0001-fast") / "predictions-test.npz")

    app = open_page("evaluate", project=trained.name, split="test", section="tta")

    assert not app.exception
    labels = [button.label for button in app.button]
    assert "Another image" in labels
    assert not any("ith them." in line.value or "ithout them." in line.value for line in app.markdown)
    assert not {"Use these views", "Read without TTA"} & set(labels)
    assert not any(label.startswith("Evaluate with") for label in labels)


def test_readings_of_one_view_can_be_repeated_with_more(home: Home, open_page: OpenPage, trained: Project) -> None:
    """There is nothing to compare. The editor starts with the run's views."""
    found = stored(home)
    alone = replace(
        found, views=found.views[:1], log_probs_VNPC=found.log_probs_VNPC[:1], moves_V4=None, seconds_V=None
    )
    alone.save(home.run("0001-fast") / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name, section="tta")

    assert not app.exception
    assert any("Without TTA, " in line.value for line in app.markdown)
    assert not button(app, "Use these views")
    assert button(app, "Evaluate with these 9 views")


def test_readings_of_one_view_leave_the_run_its_views(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The user turns TTA off. The run keeps its views for a user who turns it on."""
    found, run = stored(home), home.run("0001-fast")
    views = (DEFAULT[0], View("nearer", zoom=1.1))
    ViewChoice(views=views, use=True).save(run)
    replace(found, views=found.views[:1], log_probs_VNPC=found.log_probs_VNPC[:1], moves_V4=None, seconds_V=None).save(
        run / "predictions-val.npz"
    )

    press(open_page("evaluate", project=trained.name, section="tta"), "Read without TTA")

    assert (choice_of(run).views, choice_of(run).use) == (views, False)


def test_readings_of_earlier_versions_have_a_ledger_too(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The table has no times. A run without a saved choice does not use TTA."""
    replace(stored(home), moves_V4=None, seconds_V=None, colors_N23=None).save(
        home.run("0001-fast") / "predictions-val.npz"
    )
    (home.run("0001-fast") / "views.json").unlink()

    app = open_page("evaluate", project=trained.name, section="tta")

    assert not app.exception
    assert app.dataframe[0].value["Time"].isna().all()
    assert any("(the default)" in line.value for line in app.markdown)
    press(app, "Use these views")
    assert choice_of(home.run("0001-fast")).use


def test_a_damaged_choice_is_reported_and_replaced(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page reports it and still draws the button that replaces it."""
    (home.run("0001-fast") / "views.json").write_text("{")

    app = open_page("evaluate", project=trained.name, section="tta")

    assert not app.exception
    assert ["Choose its views again" in error.value for error in app.error] == [True]
    press(app, "Read without TTA")
    assert not app.error
    assert not choice_of(home.run("0001-fast")).use


def test_a_set_that_is_not_allowed_starts_no_evaluation(home: Home, trained: Project) -> None:
    """This holds for every caller."""
    from db import runs

    with opened(home.db) as db:
        run = runs.find_run(db, "0001-fast")
        assert run is not None
        with pytest.raises(OptionError, match="180 degrees"):
            start_evaluation(db, home, run, "val", views=(DEFAULT[0], View("over", degrees=180)), operator="ada")
        assert list_jobs(db, kind="evaluate") == []


def test_an_evaluation_without_views_does_not_ask_which_they_are(home: Home, trained: Project) -> None:
    """It starts despite a damaged choice. An evaluation that needs the choice is refused."""
    (home.run("0001-fast") / "views.json").write_text("{")
    with opened(home.db) as db:
        run = find_run(db, "0001-fast")
        assert run is not None
        with pytest.raises(StorageError, match="Choose its views again"):
            start_evaluation(db, home, run, "val", operator="ada")
        job = start_evaluation(db, home, run, "val", tta=False, operator="ada")
        control.cancel(db, home, job.id)
        control.follow(db, home, job.id, lambda _: None)


def test_an_evaluation_uses_the_views_of_the_run_by_default(home: Home, trained: Project) -> None:
    """It uses the run's views."""
    from db import runs

    views = (DEFAULT[0], View("nearer", zoom=1.1))
    ViewChoice(views=views, use=True).save(home.run("0001-fast"))
    with opened(home.db) as db:
        run = runs.find_run(db, "0001-fast")
        assert run is not None
        job = start_evaluation(db, home, run, "val", operator="ada")
        spec = control.JobDir(home.run(job.id)).spec()
        control.cancel(db, home, job.id)
        control.follow(db, home, job.id, lambda _: None)

    assert (spec["tta"], [view["name"] for view in spec["views"]]) == (True, ["as it is", "nearer"])
