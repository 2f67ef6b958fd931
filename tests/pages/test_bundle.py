"""The Bundle tab of Evaluate: make one, follow it, download it, and see that it is outdated."""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.evaluation.views import choice_of
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from db import jobs
from db.connection import opened
from db.records import Project
from tests.helpers.bundling import work
from tests.helpers.trained import RUN

OpenPage = Callable[..., AppTest]


def said(app: AppTest) -> str:
    return "\n".join(each.value for each in [*app.markdown, *app.caption, *app.warning, *app.error]).replace("\\", "")


def test_a_bundle_is_made_and_downloaded(
    home: Home, open_page: OpenPage, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker works here. A change of the views makes the bundle outdated."""
    monkeypatch.setattr(control, "RUNNER", (sys.executable, "-c", ""))
    app = open_page("evaluate", project=trained.name, section="bundle")
    assert not app.exception
    assert not app.get("download_button")
    app.button(key="make bundle").click().run()
    with opened(home.db) as db:
        (job,) = jobs.list_jobs(db, kind="bundle")
    code, status = work(JobDir(home.run(job.id)))
    assert code == 0, status
    JobDir(home.run(job.id)).write("exit.json", {"code": 0, "signal": None})

    app = open_page("evaluate", project=trained.name, section="bundle")

    assert not app.exception
    assert f"{job.id} reads all" in said(app)
    assert "validation images as the run does" in said(app)
    assert "have changed since" not in said(app)
    assert len(app.get("download_button")) == 1
    choice = choice_of(home.run(RUN))
    replace(choice, use=not choice.use, by="Ann").save(home.run(RUN))
    assert "The checkpoint, the views or the threshold have changed since." in said(app.run())


def test_a_failed_bundle_says_why(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A checkpoint is damaged. There is nothing to download, and the button is still there."""
    app = open_page("evaluate", project=trained.name, section="bundle")
    for path in home.run(RUN).glob("checkpoints/*.pt"):
        path.write_bytes(path.read_bytes()[:-100])
    app.button(key="make bundle").click().run()
    with opened(home.db) as db:
        (job,) = jobs.list_jobs(db, kind="bundle")
        control.follow(db, home, job.id, lambda _: None)

    app = open_page("evaluate", project=trained.name, section="bundle")

    assert not app.exception
    assert f"{job.id} failed: The checkpoint best-000002.pt is damaged" in said(app)
    assert not app.get("download_button")
    assert app.button(key="make bundle")
