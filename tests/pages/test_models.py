"""The Models page: which bundle is in use, what another one would change, and a way back."""

import shutil
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.bundle.reader import MANIFEST
from core.data.managing import describe_run
from core.home import Home
from core.jobs.jobdir import JobDir
from core.runs.bundles import find_bundle
from core.runs.promotions import promote
from db import jobs
from db.connection import opened, write
from db.projects import insert_project
from db.promotions import list_promotions
from db.records import Project
from db.runs import find_run
from tests.helpers.trained import RUN

OpenPage = Callable[..., AppTest]
PLAIN, TTA = "0001-bundle", "0002-bundle"


def said(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(each.value for each in shown).replace("\\", "").replace("*", "")


def use(home: Home, name: str) -> None:
    with opened(home.db) as db:
        bundle = find_bundle(db, home, name)
        assert bundle is not None
        promote(db, bundle, operator="ann")


def test_without_a_bundle_the_page_says_where_to_make_one(open_page: OpenPage, trained: Project) -> None:
    app = open_page("models", project=trained.name)

    assert not app.exception
    assert "No bundles yet. Make one on the Bundle tab of Evaluate." in said(app)
    assert [link.proto.label for link in app.main.get("page_link")] == [f"Make a bundle of {RUN}"]


def test_without_a_run_there_is_one_next_step(home: Home, open_page: OpenPage) -> None:
    """A bundle is made of a run, so the first thing to do is to train one."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")

    app = open_page("models", project="portal")

    assert not app.exception
    assert [info.value for info in app.info] == ["No trained model yet. Start a run on the Train page."]


def test_a_bundle_is_used_and_rolled_back(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The newest one is selected at first. The history grows by each decision."""
    app = open_page("models", project=bundled.name)
    assert not app.exception
    assert "No bundle is in use yet." in said(app)

    app.button(key=f"use {TTA}").click().run()
    assert f"{TTA} has been in use for less than a minute" in said(app)
    assert not [button for button in app.button if button.key == "roll back"]
    use(home, PLAIN)
    app = open_page("models", project=bundled.name)
    assert f"{PLAIN} has been in use" in said(app)
    app.button(key="roll back").click().run()

    assert f"{TTA} has been in use" in said(app)
    with opened(home.db) as db:
        assert [each.job_id for each in list_promotions(db, bundled.id)] == [TTA, PLAIN, TTA]


def test_a_bundle_with_a_damaged_result_has_failed(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The other one is listed, and the Bundle tab says why."""
    with opened(home.db) as db, write(db):
        jobs.set_state(db, jobs.get_job(db, TTA), "running")
    JobDir(home.run(TTA)).write("result.json", {"n": 18})

    app = open_page("models", project=bundled.name)

    assert not app.exception
    assert list(app.dataframe[0].value["Bundle"]) == [PLAIN]
    tab = open_page("evaluate", project=bundled.name, section="bundle")
    assert not tab.exception
    assert f"{TTA} failed: result.json is damaged." in said(tab)


def test_two_bundles_are_compared_and_one_is_deleted(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The selected one is in use, so the other one can be deleted after the choice changed."""
    use(home, PLAIN)
    app = open_page("models", project=bundled.name)
    app.button(key="compare bundles").click().run()
    assert not app.exception
    assert "alike" in said(app)
    assert "that trained neither run" in said(app)
    assert not [button for button in app.button if button.key == f"delete {PLAIN}"]
    use(home, TTA)
    (home.bundles / TTA / "model.onnx").write_bytes(b"nothing")

    app = open_page("models", project=bundled.name)
    app.button(key="compare bundles").click().run()

    assert "model.onnx of this bundle is damaged." in said(app)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"[" * 100_000, b'{"format": 1}'])
def test_a_bundle_with_a_damaged_manifest_can_be_deleted(
    home: Home, open_page: OpenPage, bundled: Project, manifest: bytes
) -> None:
    """The other one can be used meanwhile."""
    use(home, PLAIN)
    (home.bundles / TTA / MANIFEST).write_bytes(manifest)

    app = open_page("models", project=bundled.name)

    assert not app.exception
    shown = app.dataframe[0].value
    assert list(shown["Bundle"]) == [TTA, PLAIN]
    assert shown["Validation"][0] == "damaged"
    assert shown["Validation"][1] != "damaged"


def test_a_bundle_in_use_without_files_is_an_error(home: Home, open_page: OpenPage, bundled: Project) -> None:
    use(home, PLAIN)
    for path in (home.bundles / PLAIN).iterdir():
        path.unlink()
    (home.bundles / PLAIN).rmdir()

    app = open_page("models", project=bundled.name)

    assert f"The files of {PLAIN} are gone. Use another bundle, or make it again." in said(app)


def test_without_any_files_the_page_says_which_bundle_is_gone(
    home: Home, open_page: OpenPage, bundled: Project
) -> None:
    """Not that there never was one. The Bundle tab of the run says the same of its newest one."""
    use(home, PLAIN)
    shutil.rmtree(home.bundles)

    app = open_page("models", project=bundled.name)
    tab = open_page("evaluate", project=bundled.name, section="bundle")

    assert not app.exception
    assert f"The files of {PLAIN} are gone." in said(app)
    assert "No bundles yet" not in said(app)
    assert list(app.dataframe[0].value["Bundle"]) == [PLAIN]  # of the history
    assert not tab.exception
    assert f"The files of {TTA} are gone." in said(tab)


def test_evaluate_shows_the_run_in_use(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """Home names it as well."""
    use(home, PLAIN)

    app = open_page("evaluate", project=bundled.name)
    assert app.main.selectbox[0].value == RUN
    card = open_page("home")

    assert any(metric.label.startswith("Run in use") for metric in card.metric)


def test_a_bundle_has_the_name_of_its_run(home: Home, open_page: OpenPage, bundled: Project) -> None:
    with opened(home.db) as db:
        run = find_run(db, RUN)
        assert run is not None
        describe_run(db, run, name="wide crop")

    app = open_page("models", project=bundled.name)

    assert list(app.dataframe[0].value["Run"]) == [f"{RUN}, wide crop"] * 2
    assert f"Errors of {RUN}, wide crop" in [link.proto.label.replace("\\", "") for link in app.main.get("page_link")]
