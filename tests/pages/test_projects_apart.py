"""Two projects in one folder: no page of one shows an image of the other, whoever knows its hash."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.home import Home
from core.images.pixels import data_url, encode_png, pixel_hash
from db import projects
from db.connection import opened, write
from db.queues import Queue
from db.records import Project
from db.samples import insert_sample
from pages.components.widgets.labeler import server as labeler
from pages.components.widgets.reviewer import server as reviewer

OpenPage = Callable[..., AppTest]
SECRET = np.full((20, 60, 3), 77, np.uint8)
HASH = pixel_hash(SECRET)
URL = data_url(encode_png(SECRET))
LABEL = "424242"


@pytest.fixture
def mine(home: Home) -> Project:
    """My project has one labeled image. Project `theirs` has another one with the label LABEL."""
    with opened(home.db, create=True) as db:
        mine = add_project(db, "mine", np.full((20, 60, 3), 5, np.uint8), "111111")
        add_project(db, "theirs", SECRET, LABEL)
    return mine


def add_project(db: Any, name: str, pixels: Any, label: str) -> Project:
    with write(db):
        project = projects.insert_project(db, name, 6, "0123456789")
        source = projects.insert_source(db, project.id, "mail", "owner", "reference")
        insert_sample(
            db, project_id=project.id, source_id=source.id, sha256=pixel_hash(pixels), name=f"{name}.png", width=60,
            height=20, split="val", image=encode_png(pixels),
        )  # fmt: skip
    apply_events(
        db, project, "Ann",
        [{"event": name, "action": "label", "sample": pixel_hash(pixels), "text": label, "base": 0}],
    )  # fmt: skip
    return project


def ledger(home: Home) -> list[tuple[str, str]]:
    """Return event id and text of all events."""
    with opened(home.db) as db:
        return [(event, text) for event, text in db.execute("SELECT event_id, text FROM labels ORDER BY id")]


@pytest.mark.parametrize("page", ["samples", "augment", "predict", "label", "review", "evaluate", "compare"])
def test_no_address_shows_an_image_of_another_project(open_page: OpenPage, mine: Project, page: str) -> None:
    """Whichever key of the address carries the hash."""
    query = dict.fromkeys(("search", "q", "sample", "image", "run", "text", "hash"), HASH)
    app = open_page(page, project=mine.name, **query)
    shown = str(app.main) + json.dumps([each.proto.json for each in app.get("bidi_component")])

    assert not app.exception
    assert URL not in shown
    assert LABEL not in shown
    assert "theirs.png" not in shown


@pytest.mark.parametrize("field", ["have", "lacks", "passed"])
def test_the_labeling_widget_gets_no_image_of_another_project(
    mine: Project, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """A tab that claims to have it, or to have lost it, gets no image and no lease."""
    monkeypatch.setattr("streamlit.session_state", {})
    names = {"tab": "one", "id": mine.id, "project": mine.name, "queue": asdict(Queue())}
    message = names | {"have": [], "wants": True, "events": []}
    data = labeler._data(mine, "Bo", Queue(), labeler._store(message | {field: [HASH]}))

    assert data["error"] is None
    assert data["images"] == []
    assert URL not in json.dumps(data)


@pytest.mark.parametrize("action", ["label", "skip", "second", "confirm", "doubt", "resolve", "undo"])
@pytest.mark.parametrize("store", [labeler._store, reviewer._store])
def test_no_event_reaches_an_image_of_another_project(
    home: Home, mine: Project, monkeypatch: pytest.MonkeyPatch, store: Callable[[Any], Any], action: str
) -> None:
    """Neither with the hash of the image, nor with the id of the event that labeled it. The answer tells no label."""
    monkeypatch.setattr("streamlit.session_state", {})
    before = ledger(home)
    event = {"event": "new", "action": action, "sample": HASH, "text": "999999", "base": 1, "seen": 1}
    repeat = event | {"event": "theirs"}
    undo = event | {"event": "later", "after": "theirs"}
    message = {"id": mine.id, "project": mine.name, "created": mine.created_at, "after": None, "want": 10, "view": "x"}
    stored = store(message | {"events": [event, repeat, undo]})

    answers = stored.outcomes if hasattr(stored, "outcomes") else [answer.outcome for answer in stored.answers]
    assert [(each.status, each.message) for each in answers] == [("refused", "This image is not in the project.")] * 3
    assert LABEL not in repr(stored)
    assert ledger(home) == before


def test_an_event_of_another_project_is_not_repeated_for_my_image(home: Home, mine: Project) -> None:
    """The id of an event is unique in the folder. A known one does not reveal the label that it gave."""
    my_hash = pixel_hash(np.full((20, 60, 3), 5, np.uint8))
    event = {"event": "theirs", "action": "label", "sample": my_hash, "text": "999999", "base": 1}
    with opened(home.db) as db:
        (outcome,) = apply_events(db, mine, "Bo", [event])

    assert outcome.status == "refused"
    assert LABEL not in repr(outcome)


def test_a_cursor_of_another_project_shows_my_images_only(mine: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reviewing widget sends the cursor of its last tile."""
    monkeypatch.setattr("streamlit.session_state", {})
    for mode in ("disputed", "suspected"):
        for after in (None, [0, 0], [1, 1], [2, 2]):
            data = reviewer._data(mine, "Bo", mode, None, reviewer._Reply(after=after, want=10))
            assert data["tiles"] == []
            assert URL not in json.dumps(data)
