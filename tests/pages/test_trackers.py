"""The download for trackers on the Train page."""

import sys
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from core.jobs.jobdir import JobDir
from db.records import Project
from tests.helpers.trained import RUN

OpenPage = Callable[..., AppTest]


def captions(app: AppTest) -> str:
    return "\n".join(each.value for each in app.caption).replace("\\", "")


def test_an_ended_run_has_a_download(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page also shows the command. A run without a step has nothing to download."""
    app = open_page("train", project=trained.name, run=RUN)

    assert not app.exception
    assert len(app.get("download_button")) == 1
    assert "`slotlab export-run 1 --to tensorboard`" in captions(app)
    JobDir(home.run(RUN)).remove("status.json")
    assert not app.run().get("download_button")


def test_without_the_package_the_page_says_what_to_install(
    open_page: OpenPage, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no button."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)

    app = open_page("train", project=trained.name, run=RUN)

    assert not app.exception
    assert not app.get("download_button")
    assert 'The package tensorboardX is missing. Install it: pip install "slotlab[trackers]"' in captions(app)
