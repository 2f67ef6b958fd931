"""Images of val that need a label again: no page shows their reading."""

import json
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from db.records import Project
from tests.helpers.labs import remove_labels

OpenPage = Callable[..., AppTest]


@pytest.fixture
def blind(home: Home, trained: Project) -> list[bytes]:
    """All images of val, which a run has read when they had labels."""
    return remove_labels(home, trained, "val")


def captions(app: AppTest) -> str:
    return "\n".join(each.value for each in app.caption)


@pytest.mark.parametrize("section", ["errors", "tta"])
def test_evaluate_hides_readings(open_page: OpenPage, blind: list[bytes], section: str) -> None:
    app = open_page("evaluate", project="portal", section=section, tta="true")

    assert not app.exception
    assert blind
    assert "hidden" in captions(app)
    gallery = [json.loads(each.proto.json) for each in app.get("bidi_component") if "gallery" in each.key]
    assert [each["tiles"] for each in gallery] == [[]] * (section == "errors")
    assert not [table for table in app.dataframe if {"Image", "Reading"} & set(table.value.columns)]


def test_predict_reads_no_upload_of_a_blind_image(open_page: OpenPage, blind: list[bytes]) -> None:
    """Neither does it list the image among those of the project."""
    app = open_page("predict", project="portal")
    app.segmented_control(key="images").set_value("val").run()
    assert "no labeled validation images" in app.info[0].value

    app.segmented_control(key="images").set_value("upload").run()
    app.file_uploader(key="uploads").set_value([("again.png", blind[0], "image/png")]).run()

    assert not app.exception
    assert "again.png: This is a validation or test image" in app.info[0].value.replace("\\", "")
    assert not app.dataframe
