"""The label page up to its widget: what the browser is sent. What the widget does is tested in tests/browser."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from core.images import encode_png, pixel_hash
from core.labeling import apply_events
from db import projects
from db.connection import opened, write
from db.records import Project
from db.samples import insert_sample

OpenPage = Callable[..., AppTest]


@pytest.fixture
def project(home: Home) -> Project:
    """Three images, of which one is labelled and one skipped."""
    with opened(home.db, create=True) as db:
        with write(db):
            project = projects.insert_project(db, "portal", 6, "0123456789")
            source = projects.insert_source(db, project.id, "mail", "owner", "reference")
            hashes = []
            for grey in (10, 20, 30):
                pixels = np.full((20, 60, 3), grey, np.uint8)
                hashes.append(pixel_hash(pixels))
                insert_sample(
                    db,
                    project_id=project.id,
                    source_id=source.id,
                    sha256=hashes[-1],
                    name=f"{grey:06}.png",
                    width=60,
                    height=20,
                    split="train",
                    image=encode_png(pixels),
                )
        label = {"event": "1", "action": "label", "sample": hashes[0], "text": "123456", "base": 0}
        skip = {"event": "2", "action": "skip", "sample": hashes[1], "text": None, "base": 0}
        apply_events(db, project, "Ann", [label, skip])
    return project


def sent(app: AppTest) -> dict[str, Any]:
    """The data of the widget as the browser gets it."""
    assert not app.exception
    data: dict[str, Any] = json.loads(app.get("bidi_component")[0].proto.json)
    return data


def test_the_widget_gets_the_unlabelled_images(open_page: OpenPage, project: Project) -> None:
    """The image that is labelled and the one that is skipped are not offered again."""
    data = sent(open_page("label", project="portal"))

    assert (data["project"], data["length"], data["charset"]) == ("portal", 6, "0123456789")
    assert data["counts"] == {"labelled": 1, "skipped": 1, "total": 3}
    assert len(data["images"]) == 1
    assert data["images"][0]["url"].startswith("data:image/png;base64,")
    assert data["more"] is False


def test_the_skipped_queue_has_an_address(open_page: OpenPage, project: Project) -> None:
    """A link can lead straight to the images that were skipped."""
    data = sent(open_page("label", project="portal", queue="Skipped"))

    assert data["queue"] == "skipped"
    assert data["images"][0]["version"] == 1


def test_the_name_of_an_image_is_not_sent(open_page: OpenPage, project: Project) -> None:
    """File names often hold the label; an operator who sees it does not read the image."""
    data = sent(open_page("label", project="portal"))

    assert "000030" not in json.dumps(data)
