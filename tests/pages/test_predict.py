"""The Predict page, on a run of two steps made by the real worker."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from core.evaluation.percent import percent
from core.evaluation.views import DEFAULT, ORIGINAL, View, ViewChoice
from core.home import Home
from core.images.pixels import encode_png
from db.connection import opened, write
from db.projects import insert_project
from db.records import Project
from tests.core.data.test_proposing import add_renders
from tests.helpers.runs import add_unlabeled

OpenPage = Callable[..., AppTest]


def test_a_project_without_runs_is_read_by_the_built_in_reader(
    home: Home, open_page: OpenPage, portal: Project
) -> None:
    """The page says so, and where to get a trained model."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=3)  # damaged: too small
        add_renders(db, portal, ["123456"] * 6)

    app = open_page("predict", project=portal.name)

    assert not app.exception
    assert "No trained model yet. The built-in reader" in app.info[0].value
    assert [link.proto.label for link in app.get("page_link")] == ["Train a model"]
    assert len(app.dataframe[0].value) >= 2
    assert len(app.error) == 3
    assert all(len(text) == portal.length for text in app.dataframe[0].value["Reading"])


def test_a_project_that_the_built_in_reader_cannot_read_points_to_training(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "long", 12, "0123456789")

    app = open_page("predict", project="long")

    assert not app.exception
    assert "No trained model yet. Start a run" in app.info[0].value


def test_characters_that_the_built_in_reader_does_not_know_are_named(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "digits", 6, "0123456789")
        insert_project(db, "accents", 6, "0123é漢")

    app = open_page("predict", project="accents")

    assert not app.exception
    (sentence,) = (each.value.replace("\\", "") for each in app.warning)
    assert "does not know the characters é 漢, so it misreads images that have them." in sentence
    assert len(open_page("predict", project="digits").warning) == 0


def test_a_run_and_the_built_in_reader_can_both_read(open_page: OpenPage, trained: Project) -> None:
    app = open_page("predict", project=trained.name)
    of_run = app.dataframe[0].value["Confidence"].tolist()

    app.segmented_control[0].set_value("builtin").run()

    assert not app.exception
    assert app.dataframe[0].value["Confidence"].tolist() != of_run


def test_each_project_has_its_own_choice_of_a_reader(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A project without a run leaves only the built-in reader. A run reads again when its project is back."""
    with opened(home.db) as db, write(db):
        new = insert_project(db, "new", 6, "0123456789")
    app = open_page("predict", project=trained.name)
    readers = [app.segmented_control[0].value]

    for name in (new.name, trained.name):
        app.selectbox(key="project").set_value(name).run()
        readers.append(app.segmented_control[0].value)

    assert not app.exception
    assert readers == ["run", "builtin", "run"]


def test_validation_images_are_read_beside_their_labels(open_page: OpenPage, trained: Project) -> None:
    """The page opens with validation images, their readings and whether they are right."""
    app = open_page("predict", project=trained.name, run="0001-fast")

    table = app.dataframe[0].value
    assert not app.exception
    assert (table["Right"] == (table["Reading"] == table["Label"])).all()
    assert len(app.get("plotly_chart")) == 1


def test_every_view_is_shown(open_page: OpenPage, trained: Project) -> None:
    """Each view of TTA is shown with its image, its reading and its confidence."""
    app = open_page("predict", project=trained.name)

    captions = [caption.value for caption in app.caption]
    assert all(any(caption.startswith(f"{view.name}, ") for caption in captions) for view in DEFAULT)
    assert len(app.image) == 2 + len(DEFAULT)


def test_predict_uses_the_views_of_the_run_by_default(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The toggle starts with the run's choice, and the table follows it."""
    views = (ORIGINAL, *(View(f"{turn}", degrees=turn) for turn in (-9, 9)))
    app = open_page("predict", project=trained.name)
    toggle = app.toggle(key="tta of 0001-fast")
    assert not toggle.value
    plain = app.dataframe[0].value["Confidence"].tolist()

    ViewChoice(views=views, use=True).save(home.run("0001-fast"))
    app = open_page("predict", project=trained.name)

    assert not app.exception
    assert app.toggle(key="tta of 0001-fast").value
    assert app.dataframe[0].value["Confidence"].tolist() != plain
    assert len(app.image) == 2 + len(views)
    assert (app.metric[0].label, app.metric[0].value) == ("Reading with TTA", app.dataframe[0].value["Reading"][0])
    app.toggle(key="tta of 0001-fast").set_value(False).run()
    assert app.dataframe[0].value["Confidence"].tolist() == plain
    assert (app.metric[0].label, app.metric[0].value) == ("Reading", app.dataframe[0].value["Reading"][0])
    assert f"Confidence {percent(plain[0] / 100)}" in app.caption[0].value.replace("\\", "")


def test_a_bad_upload_is_one_sentence_and_the_rest_is_read(
    home: Home, open_page: OpenPage, trained: Project
) -> None:  # fmt: skip
    """A file that is not an image is named with the reason. The other image is read."""
    import numpy as np

    app = open_page("predict", project=trained.name)
    app.segmented_control(key="images").set_value("upload").run()
    app.file_uploader(key="uploads").set_value(
        [("good.png", encode_png(np.full((32, 96, 3), 200, np.uint8)), "image/png"), ("bad.png", b"no", "image/png")]
    ).run()

    assert not app.exception
    assert ["bad" in error.value for error in app.error] == [True]
    assert list(app.dataframe[0].value["File"]) == ["good.png"]


def test_a_run_without_a_usable_checkpoint_is_one_sentence(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A damaged checkpoint is named, without a traceback."""
    for path in (home.run("0001-fast") / "checkpoints").glob("*.pt"):
        path.write_bytes(b"torn")

    app = open_page("predict", project=trained.name)

    assert not app.exception
    assert "checkpoint" in app.error[0].value
