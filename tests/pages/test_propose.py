"""The Propose page: the verdict on the readers, and what can be done with their readings."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from db import jobs
from db.connection import opened, write
from db.records import Project
from db.samples import select_samples
from tests.helpers.readings import add_proposals
from tests.helpers.runs import add_unlabeled

OpenPage = Callable[..., AppTest]


@pytest.fixture
def read(home: Home, portal: Project) -> Project:
    """The readers agree on all but one of the unlabeled images, and rapidocr does not know the character 9."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=30)
        images = select_samples(db, portal.id, state="unlabeled")
        texts = {image.id: (f"{image.id:06}",) * 2 for image in images}
        add_proposals(db, portal, texts | {images[0].id: ("111111", "111112")}, missing="9")
    return portal


def test_the_verdict_names_characters_that_readers_do_not_know(open_page: OpenPage, read: Project) -> None:
    app = open_page("propose", project=read.name)

    assert not app.exception
    (verdict,) = (each.value.replace("\\", "") for each in app.success)
    assert "can be used here. rapidocr does not know the character 9." in verdict
    assert "label such images by hand" in verdict


def test_readers_that_cannot_read_say_what_to_check(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The most frequent cause is a wrong text length. The page leads to Label."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=30)
        add_proposals(db, portal, {image.id: ("111111", None) for image in select_samples(db, portal.id)})

    app = open_page("propose", project=portal.name)

    assert not app.exception
    (verdict,) = (each.value.replace("\\", "") for each in app.warning)
    assert "Check that the images have 6 characters and only 0123456789. Otherwise, label by hand." in verdict
    assert "Label images" in [each.proto.label for each in app.get("page_link")]


def test_a_failed_attempt_leaves_the_verdict_before(home: Home, open_page: OpenPage, read: Project) -> None:
    """The page says that it failed, and what the verdict is based on."""
    with opened(home.db) as db, write(db):
        (finished,) = jobs.list_jobs(db, project_id=read.id, kind="propose")
        job = jobs.insert_job(
            db, id="0009-propose", number=9, kind="propose", project_id=read.id, request_id="propose 9"
        )
        jobs.set_state(db, job, "failed", reason="The disk is full.", final=True)

    app = open_page("propose", project=read.name)

    assert not app.exception
    assert finished.finished_at is not None
    day, said = (
        finished.finished_at[:10],
        "\n".join(each.value.replace("\\", "") for each in (*app.error, *app.caption)),
    )
    assert f"The last attempt failed: The disk is full. The verdict below is from {day}." in said
    assert f"Based on 34 images, read by ddddocr 1.6.1 + rapidocr 3.10.0 until {day}." in said
    assert any("can be used here" in each.value.replace("\\", "") for each in app.success)


def test_accepted_readings_are_removed_after_typing_their_number(open_page: OpenPage, read: Project) -> None:
    """Samples uses the same button and the same words."""
    app = open_page("propose", project=read.name)
    next(each for each in app.button if each.label.startswith("Accept ")).click().run()
    (field,) = (each for each in app.text_input if each.label.startswith("Type "))
    number = field.label.split()[1]
    assert app.button(key="remove readers").disabled

    field.set_value(number).run()
    app.button(key="remove readers").click().run()

    assert not app.exception
    assert f"Removed {number} labels of readers." in [each.value for each in app.success]
    assert [each.label for each in app.button if each.label.startswith("Accept ")] == [f"Accept {number} readings"]
