"""The Predict page, on a run of two steps made by the real worker."""

import json
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.evaluation.acceptance import Acceptance
from core.evaluation.percent import percent
from core.evaluation.views import DEFAULT, ORIGINAL, View, ViewChoice, fingerprint
from core.home import Home
from core.images.pixels import encode_png, pixel_hash
from db.connection import opened, write
from db.jobs import insert_job
from db.projects import insert_project, insert_source
from db.records import Project
from db.runs import insert_run
from db.samples import insert_sample
from db.sqlite import Database
from pages.components import layout
from pages.components.predict.table import WITH_IMAGES
from tests.core.data.test_proposing import add_renders
from tests.helpers.pictures import pixels
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
    assert [link.proto.label for link in app.main.get("page_link")] == ["Train a model"]
    assert len(app.dataframe[0].value) >= 2
    assert len(app.error) == 3
    assert all(len(text) == portal.length for text in app.dataframe[0].value["Reading"])


def test_a_project_that_the_built_in_reader_cannot_read_points_to_training(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "long", 12, "0123456789")

    app = open_page("predict", project="long")

    assert not app.exception
    assert "No trained model yet. Start a run" in app.info[0].value


def test_the_first_run_is_named_while_it_trains(home: Home, open_page: OpenPage, portal: Project) -> None:
    with opened(home.db) as db, write(db):
        job = insert_job(db, id="0001-fast", number=1, kind="train", project_id=portal.id, request_id="first")
        insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=1, val_n=1)
    app = open_page("predict", project=portal.name)

    assert "No trained model yet. Run 0001-fast is starting. The built-in reader" in app.info[0].value
    assert [link.proto.label for link in app.main.get("page_link")] == ["View run"]


def test_without_any_model_a_run_in_the_address_is_not_found(portal: Project, open_page: OpenPage) -> None:
    """Train offers a new run instead."""
    app = open_page("evaluate", project=portal.name, run="0007-fast")
    train = open_page("train", project=portal.name, run="0007-fast")

    assert [error.value for error in app.error] == [layout.plain("This project has no run '0007-fast' with a model.")]
    assert [error.value for error in train.error] == [layout.plain("This project has no run '0007-fast'.")]
    assert "New run" in [link.proto.label for link in train.main.get("page_link")]


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


def add_images(db: Database, project: Project, split: str, count: int) -> None:
    """Add unlabeled images of noise that can be read, all in one split."""
    source = insert_source(db, project.id, "more", "tests", "own images")
    for number in range(count):
        image = pixels(number, width=96, height=32)
        insert_sample(
            db, project_id=project.id, source_id=source.id, sha256=pixel_hash(image), name=f"{number:03}.png",
            width=96, height=32, split=split, image=encode_png(image),
        )  # fmt: skip


def test_all_unlabeled_images_are_read_at_once(home: Home, open_page: OpenPage, trained: Project) -> None:
    """First the page reads a few. Blind images are not among them."""
    with opened(home.db) as db, write(db):
        add_images(db, trained, "train", 70)
    app = open_page("predict", project=trained.name)
    app.segmented_control(key="images").set_value("unlabeled").run()
    first = app.dataframe[0].value
    assert len(first) == 24
    assert any("first 24 of 70 unlabeled" in caption.value for caption in app.caption)

    app.button(key=f"button to read all of {trained.id} unlabeled").click().run()

    assert not app.exception
    table = app.dataframe[0].value
    assert len(table) == 70
    assert table.head(24)["Confidence"].tolist() == first["Confidence"].tolist()
    assert not any("of 70" in caption.value for caption in app.caption)


def test_a_table_of_many_images_has_no_pictures(home: Home, open_page: OpenPage, trained: Project) -> None:
    """They would take gigabytes in the browser. The selected image is below."""
    with opened(home.db) as db, write(db):
        add_images(db, trained, "train", WITH_IMAGES + 1)
    app = open_page("predict", project=trained.name)
    app.segmented_control(key="images").set_value("unlabeled").run()
    assert "Image" in app.dataframe[0].value
    app.button(key=f"button to read all of {trained.id} unlabeled").click().run()

    assert not app.exception
    assert (len(app.dataframe[0].value), "Image" in app.dataframe[0].value) == (WITH_IMAGES + 1, False)
    assert len(app.image) == 2 + len(DEFAULT)


def test_any_number_of_uploads_is_read(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The first that cannot be read are named, the others counted. The page says what is unlike training."""
    app = open_page("predict", project=trained.name)
    app.segmented_control(key="images").set_value("upload").run()
    good = [(f"{number}.png", encode_png(pixels(number)), "image/png") for number in range(40)]
    bad = [(f"bad-{number}.png", b"no", "image/png") for number in range(7)]

    app.file_uploader(key="uploads").set_value([*good, *bad]).run()

    assert not app.exception
    assert len(app.dataframe[0].value) == 40
    assert app.dataframe[0].value["Unfamiliar"].str.startswith("The image has 40 x 16").all()
    assert app.warning[0].value.startswith("The image has 40 x 16")
    sentences = [error.value.replace("\\", "") for error in app.error]
    assert sentences[0] == "bad-0.png: This is not a PNG, JPEG, GIF, WEBP, BMP or TIFF image."
    assert sentences[5:] == ["2 more images that cannot be read."]


@pytest.mark.parametrize("tta", [False, True])
def test_an_image_has_one_answer(home: Home, open_page: OpenPage, trained: Project, tta: bool) -> None:
    """The table, the large reading and its views have the temperature of the run's threshold."""
    directory = home.run("0001-fast")
    step = json.loads((directory / "result.json").read_text())["best_step"]
    Acceptance(
        step=step, tta=tta, views=fingerprint(DEFAULT), temperature=0.2, threshold=0.5, max_risk=0.1, n=9, used=9,
        wrong=0, risk_bound=0.1,
    ).save(directory)  # fmt: skip
    app = open_page("predict", project=trained.name)

    app.toggle(key="tta of 0001-fast").set_value(tta).run()

    assert not app.exception
    row = app.dataframe[0].value.iloc[0]
    captions = [caption.value.replace("\\", "") for caption in app.caption]
    shown = percent(row["Confidence"] / 100)
    assert app.metric[0].value == row["Reading"]
    assert any(caption.startswith(f"Confidence {shown}") for caption in captions)
    assert (f"{DEFAULT[0].name}, {shown}" in captions) is not tta
    assert row["Accepted"] == (row["Confidence"] >= 50)


def test_reader_images_search_and_views_stand_in_the_address(
    home: Home, open_page: OpenPage, trained: Project
) -> None:  # fmt: skip
    """A link opens them, and a choice that is the default leaves the address."""
    with opened(home.db) as db:
        add_images(db, trained, "train", 3)
    app = open_page(
        "predict", project=trained.name, run="1", reader="builtin", images="unlabeled", search="train 1", tta="true"
    )

    assert not app.exception
    assert [group.value for group in app.segmented_control] == ["builtin", "unlabeled"]
    assert app.toggle(key="tta of builtin").value
    app.segmented_control(key=f"reader of {trained.id}").set_value("run").run()
    app.text_input(key="search").set_value("").run()
    assert {"reader", "search"}.isdisjoint(app.query_params)
    assert app.query_params["images"] == "unlabeled"


def test_an_unknown_choice_in_the_address_is_named(open_page: OpenPage, trained: Project) -> None:
    app = open_page("predict", project=trained.name, images="all")

    assert [error.value for error in app.main.error] == ["There are no images 'all'\\."]
