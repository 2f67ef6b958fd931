"""Drift on the Models page and on Home."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from core.jobs import control
from core.runs.drift import ADVICE
from db.connection import opened
from db.jobs import list_jobs
from db.promotions import list_promotions
from db.records import Project
from pages.components.charts import HIGHEST, drift_figure
from tests.helpers.drifting import come, inverted, look, new_images, use

OpenPage = Callable[..., AppTest]
PLAIN, TTA = "0001-bundle", "0002-bundle"


def said(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.info, *app.warning, *app.success, *app.error]
    return "\n".join(each.value for each in shown).replace("\\", "").replace("*", "")


@pytest.fixture
def drifted(home: Home, bundled: Project, tmp_path: Path) -> Project:
    """Return a project whose bundle in use has an alarm."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "usual", new_images(30))
    come(home, bundled, tmp_path / "changed", inverted(new_images(30, seed=2)))
    assert look(home, bundled).alarms
    return bundled


def test_an_alarm_shows_images_of_both_sides_until_the_bundle_is_kept(
    home: Home, open_page: OpenPage, drifted: Project
) -> None:
    """Home links to it. The history says who kept the bundle, which stays in use since it was chosen."""
    app = open_page("home")
    assert "of rendered" in said(app)
    (link,) = [link.proto for link in app.main.get("page_link") if link.proto.label == "See the change"]
    assert link.page == "models"

    app = open_page("models", project=drifted.name)
    assert not app.exception
    assert "of rendered" in app.warning[0].value
    assert ADVICE in app.warning[0].value
    assert len(app.main.get("image")) == 12
    assert "Answers" in app.dataframe[1].value.columns

    app.button(key="keep bundle").click().run()
    with opened(home.db) as db:
        job = list_jobs(db, project_id=drifted.id, kind="drift")[0]
        control.finish(db, home, job.id, lambda _: None)
        assert [each.job_id for each in list_promotions(db, drifted.id)] == [PLAIN, PLAIN]

    app = open_page("models", project=drifted.name)
    assert "of rendered" not in said(app)
    assert f"No drift in 60 answers of {PLAIN}." in said(app)
    assert f"{PLAIN} has been in use" in said(app)
    assert app.dataframe[-1].value["Decision"].tolist() == ["kept", "chosen"]
    app = open_page("home")
    assert "of rendered" not in said(app)
    assert "See the change" not in [link.proto.label for link in app.main.get("page_link")]


def test_another_bundle_in_use_has_its_own_alarms(home: Home, open_page: OpenPage, drifted: Project) -> None:
    """The alarm of the former one is gone at once."""
    use(home, TTA)

    app = open_page("models", project=drifted.name)

    assert not app.exception
    assert not app.warning
    assert f"These are answers of {PLAIN}, from before the last decision in the history." in said(app)


def test_without_answers_nothing_is_called_usual(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The page says which images a bundle reads."""
    use(home, PLAIN)
    assert not look(home, bundled).answers

    app = open_page("models", project=bundled.name)

    assert not app.exception
    assert not app.success
    assert f"{PLAIN} has no answers yet." in said(app)


def test_a_bundle_without_files_is_refused(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The sentence stands beside the button. Before the first search there is no table."""
    use(home, PLAIN)
    (home.bundles / PLAIN).rename(home.bundles / "elsewhere")

    app = open_page("models", project=bundled.name)
    app.button(key="look for drift").click().run()

    assert len(app.dataframe) == 2
    assert f"The files of {PLAIN} are gone." in said(app)


def test_a_long_change_does_not_flatten_the_curve() -> None:
    """The evidence grows with every changed image. A name cannot change the figure."""
    figure = drift_figure({"<b>mail": [(1, "2026-11-30T00:00:00+00:00", 0.4), (2, "2026-11-30T00:00:00+00:00", 90.0)]})

    (curve,) = figure.data
    assert list(curve.y) == [0.4, HIGHEST]
    assert curve.name == "&lt;b&gt;mail"
