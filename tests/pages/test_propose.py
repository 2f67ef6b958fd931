"""The Propose page: the verdict on the readers, and what can be done with their readings."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from db.connection import opened
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
