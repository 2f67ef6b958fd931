"""The Label page: the data sent to its widget. tests/browser tests the widget itself."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data import managing
from core.data.labeling import apply_events
from core.data.priorities import update
from core.data.suggestions import is_withheld, suggestions
from core.home import Home
from core.images.pixels import encode_png, pixel_hash, split_of
from db import labels, projects
from db.connection import opened, write
from db.queues import Queue
from db.records import Project
from db.samples import insert_sample, select_samples
from pages.components.widgets.labeler import server
from tests.helpers.readings import add_proposals

OpenPage = Callable[..., AppTest]


@pytest.fixture
def project(home: Home) -> Project:
    """A project of three images: one labeled, one skipped, one unlabeled."""
    with opened(home.db, create=True) as db:
        with write(db):
            project = projects.insert_project(db, "portal", 6, "0123456789")
            source = projects.insert_source(db, project.id, "mail", "owner", "reference")
            hashes = []
            for gray in (10, 20, 30):
                pixels = np.full((20, 60, 3), gray, np.uint8)
                hashes.append(pixel_hash(pixels))
                insert_sample(
                    db,
                    project_id=project.id,
                    source_id=source.id,
                    sha256=hashes[-1],
                    name=f"{gray:06}.png",
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
    """Return the widget data as the browser gets it."""
    assert not app.exception
    (data,) = (json.loads(each.proto.json) for each in app.get("bidi_component") if each.key == "labeler")
    return dict(data)


def message(have: list[str], tab: str = "one", **more: Any) -> dict[str, Any]:
    """Return a message of a browser tab that wants images."""
    queue = asdict(Queue())
    return {"tab": tab, "id": 1, "project": "many", "queue": queue, "have": have, "wants": True, "events": []} | more


def answer(project: Project, received: dict[str, Any]) -> dict[str, Any]:
    return server._data(project, "Ann", Queue(), server._store(received))


@pytest.fixture
def many(sixty: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of sixty unlabeled images, and an empty session state."""
    monkeypatch.setattr("streamlit.session_state", {})
    return sixty


@pytest.fixture
def sixty(home: Home) -> Project:
    """A project of sixty unlabeled images."""
    with opened(home.db, create=True) as db, write(db):
        project = projects.insert_project(db, "many", 6, "0123456789")
        source = projects.insert_source(db, project.id, "mail", "owner", "reference")
        for number in range(60):
            insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=f"{number:064x}", name=f"{number}.png", width=60,
                height=20, split="train", image=b"image",
            )  # fmt: skip
    return project


def test_the_widget_starts_without_images(open_page: OpenPage, project: Project) -> None:
    """The images depend on the browser tab, which is unknown until its first message."""
    data = sent(open_page("label", project="portal"))

    assert (data["project"], data["length"], data["charset"]) == ("portal", 6, "0123456789")
    assert data["counts"] == {"labeled": 1, "skipped": 1, "total": 3, "disputed": 0, "second": False, "kinds": ""}
    assert (data["images"], data["more"], data["error"]) == ([], None, None)
    assert data["queue"] == {
        "kind": "unlabeled", "order": "import", "source_id": None, "day": None, "blind": False, "flag": None,
    }  # fmt: skip


def test_the_queues_have_addresses(open_page: OpenPage, project: Project) -> None:
    """A link can open a filtered queue."""
    data = sent(
        open_page("label", project="portal", queue="Skipped", order="random", flag="skipped for later", source="mail")
    )

    assert data["queue"] == {
        "kind": "skipped", "order": "random", "source_id": 1, "day": None, "blind": False, "flag": "passed",
    }  # fmt: skip
    assert sent(open_page("label", project="portal", queue="Second opinion"))["queue"]["kind"] == "second"
    assert sent(open_page("label", project="portal", images="validation and test"))["queue"]["blind"]


def test_a_day_without_images_left_stays_chosen(open_page: OpenPage, project: Project) -> None:
    """The queue is then empty; it does not fall back to all days."""
    assert sent(open_page("label", project="portal", day="2026-01-02"))["queue"]["day"] == "2026-01-02"
    assert sent(open_page("label", project="portal", day="whenever"))["queue"]["day"] is None


def test_today_counts_the_work_of_the_operator(open_page: OpenPage, project: Project) -> None:
    """Labels and second opinions minus undos, and the median of the measured times."""
    work = [
        ("", "label", 1000),
        ("", "second", 3000),
        ("", "label", None),
        ("", "skip", 9),
        ("", "undo label", 5),
        ("", "undo skip", 5),
    ]

    assert server.summary(work) == {"labels": 2, "median_ms": 2000}
    assert server.summary([("", "undo label", 5)]) == {"labels": 0, "median_ms": None}
    assert sent(open_page("label", project="portal"))["today"]["labels"] == 0


def test_today_is_recounted_when_a_label_is_repeated(many: Project) -> None:
    """After a server restart, the figures may already include the label; adding it would count it twice."""
    label = {"event": "1", "action": "label", "sample": f"{1:064x}", "text": "123456", "base": 0, "operator": "Ann"}
    first = server._data(many, "Ann", Queue(), None)
    saved = answer(many, message([], events=[label]))
    again = answer(many, message([], events=[label]))

    assert (first["today"]["labels"], saved["today"]) == (0, None)
    assert [each["status"] for each in saved["answers"] + again["answers"]] == ["saved", "repeated"]
    assert again["today"]["labels"] == 1


def test_the_first_batch_is_small_and_no_tab_takes_more_than_a_quarter(many: Project) -> None:
    """The first image appears soon, and images remain for a second operator."""
    first = answer(many, message([]))
    have = [image["sample"] for image in first["images"]]
    second = answer(many, message(have, reply=first["reply"]))

    assert (len(first["images"]), first["more"], first["low"]) == (12, True, 15)
    assert (len(second["images"]), second["more"]) == (3, True)
    assert not {image["sample"] for image in second["images"]} & set(have)


def test_images_on_their_way_stay_leased(many: Project) -> None:
    """A message sent before an answer arrived does not release the images of that answer."""
    arrived = answer(many, message([], wants=False))["reply"]
    coming = answer(many, message([], reply=arrived))
    answer(many, message([], reply=arrived, wants=False))
    other = answer(many, message([], tab="two", reply="none"))

    assert not {image["sample"] for image in other["images"]} & {image["sample"] for image in coming["images"]}


def test_the_holder_of_the_remaining_images_is_known(many: Project) -> None:
    """No images left means done. Images on other screens mean that asking again is worthwhile."""
    waiting = [f"{number:064x}" for number in range(60)]
    answer(many, message(waiting, reply="none"))
    blocked = answer(many, message([], tab="two", reply="none"))
    assert (blocked["images"], blocked["more"], blocked["elsewhere"]) == ([], True, True)

    events = [
        {"event": sample, "action": "label", "sample": sample, "text": "123456", "base": 0, "ms": 5}
        for sample in waiting
    ]
    done = answer(many, message([], reply="none", events=events))
    assert {each["status"] for each in done["answers"]} == {"saved"}
    assert (done["images"], done["more"], done["elsewhere"]) == ([], False, False)


def test_the_end_of_the_queue_leads_to_the_next_step(open_page: OpenPage, home: Home, project: Project) -> None:
    """That of the project's card on Home. While an image waits, there is none."""
    assert sent(open_page("label", project="portal"))["next"] is None
    with opened(home.db) as db:
        for sample in select_samples(db, project.id, state="unlabeled"):
            event = {"event": sample.sha256, "action": "label", "sample": sample.sha256, "base": 0, "text": "123456"}
            apply_events(db, project, "Ann", [event])

    assert sent(open_page("label", project="portal"))["next"] == {
        "text": "Train a model", "link": "train?project=portal",
    }  # fmt: skip
    assert "Train a model" in [link.proto.label for link in open_page("home").get("page_link")]


def test_a_message_of_another_queue_keeps_its_events(many: Project) -> None:
    """It may arrive after the operator has changed the queue. It then gets no images."""
    event = {"event": "e", "action": "label", "sample": f"{0:064x}", "text": "123456", "base": 0}
    data = answer(many, message([], queue=asdict(Queue(kind="skipped")), events=[event]))

    assert ([each["status"] for each in data["answers"]], data["images"]) == (["saved"], [])


def test_an_unreadable_message_gets_an_error(many: Project) -> None:
    """The answer is an error sentence. An exception would remove the widget and lose what is being typed."""
    data = answer(many, message([], events=[{"event": ["list"], "action": {}, "sample": 7}]))
    assert [each["status"] for each in data["answers"]] == ["refused"]

    data = answer(many, message([], id=2, project="gone"))
    assert data["error"] == "There is no project 'gone'."
    assert answer(many, message([], events=None))["error"].startswith("Server error")


def test_labels_follow_a_renamed_project(home: Home, many: Project) -> None:
    """The browser sends them under the old name until it gets the new one."""
    event = {"event": "e", "action": "label", "sample": f"{0:064x}", "text": "123456", "base": 0}
    with opened(home.db) as db:
        renamed = managing.rename_project(db, many, "Main portal")
    data = answer(renamed, message([], events=[event]))

    assert ([each["status"] for each in data["answers"]], data["error"]) == (["saved"], None)
    assert (data["id"], data["project"], len(data["images"]) > 0) == (many.id, "Main portal", True)


def test_an_open_page_leads_on_to_the_new_name(home: Home, open_page: OpenPage, project: Project) -> None:
    """A name that another project has got since leads to that project."""
    app = open_page("label", project="portal")
    with opened(home.db) as db:
        managing.rename_project(db, project, "Main portal")
    app.run()
    assert (sent(app)["project"], list(app.error), app.query_params["project"]) == ("Main portal", [], "Main portal")

    with opened(home.db) as db:
        managing.rename_project(db, project, "portal")
        with write(db):
            projects.insert_project(db, "Main portal", 6, "0123456789")
    assert sent(app.run())["id"] != project.id


def test_projects_of_the_same_second_are_named(home: Home, many: Project) -> None:
    """So the browser tells apart what it stored under names."""
    with opened(home.db) as db, write(db):
        for name in ("twin", "later"):
            projects.insert_project(db, name, 6, "0123456789")
        db.execute("UPDATE projects SET created_at = ? WHERE name = 'twin'", [many.created_at])
        db.execute("UPDATE projects SET created_at = '2100' WHERE name = 'later'")

    assert answer(many, message([]))["twins"] == ["twin"]


def test_labels_of_another_folder_are_refused(many: Project) -> None:
    """Another folder at this address may have a project of the same name and some of the same images."""
    event = {"event": "e", "action": "label", "sample": f"{0:064x}", "text": "123456", "base": 0}
    data = answer(many, message([], events=[event], created="2020-01-01T00:00:00+00:00"))
    assert (data["answers"], data["error"]) == (
        [], "These labels belong to a different project named 'many'."
    )  # fmt: skip

    data = answer(many, message([], events=[event], created=data["created"]))
    assert [each["status"] for each in data["answers"]] == ["saved"]


def whose() -> None:
    """A page that lists the accepted events by operator."""
    import streamlit as st

    from pages.components.widgets.messages import events_by_operator

    events = [{"event": "1", "operator": "Bo"}, {"event": "2", "operator": "ann@portal.example"}, {"event": "3"}]
    for name, own in events_by_operator(events):
        st.text(f"{name}: {' '.join(event['event'] for event in own)}")


def test_with_login_nobody_signs_for_another() -> None:
    """Events of another operator in a shared browser are neither applied nor answered. Without login they are."""
    app = AppTest.from_function(whose, default_timeout=30)
    app.session_state["operator name"] = "Dana"
    app.run()
    assert [text.value for text in app.text] == ["Bo: 1", "ann@portal.example: 2", "Dana: 3"]

    app.user = {"is_logged_in": True, "email": "ann@portal.example", "sub": "1"}
    app.run()
    assert [text.value for text in app.text] == ["ann@portal.example: 2 3"]


def test_the_name_of_an_image_is_not_sent(many: Project) -> None:
    """File names often contain the label, and an operator who sees it would not read the image."""
    data = answer(many, message([]))

    assert all(image.keys() == {"sample", "version", "url", "suggestion"} for image in data["images"])
    assert ".png" not in json.dumps(data)


def propose(home: Home, project: Project, differing: int = 0) -> None:
    """Let both readers read all images. On the first `differing` they disagree."""
    with opened(home.db) as db:
        texts = {
            sample.id: ("123456", "123450" if number < differing else "123456")
            for number, sample in enumerate(select_samples(db, project.id))
        }
        add_proposals(db, project, texts)
        update(db, project)


@pytest.fixture
def mixed(home: Home, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of 120 unlabeled images in all splits, and an empty session state."""
    monkeypatch.setattr("streamlit.session_state", {})
    monkeypatch.setattr(server, "FIRST", 120)
    monkeypatch.setattr(server, "MIN_SHARE", 120)
    with opened(home.db, create=True) as db, write(db):
        project = projects.insert_project(db, "many", 6, "0123456789")
        source = projects.insert_source(db, project.id, "mail", "owner", "reference")
        for number in range(120):
            sha256 = pixel_hash(np.full((1, 1, 3), number, np.uint8))
            insert_sample(
                db, project_id=project.id, source_id=source.id, sha256=sha256, name=f"{number}.png", width=60,
                height=20, split=split_of(sha256), image=b"image",
            )  # fmt: skip
    return project


def test_only_training_images_are_sent_with_a_suggestion(home: Home, mixed: Project) -> None:
    """The reading of a validation or test image never leaves the server, nor that of one training image in ten."""
    propose(home, mixed)

    images = answer(mixed, message([]))["images"]

    train = [image for image in images if split_of(image["sample"]) == "train"]
    held_out = [image for image in images if split_of(image["sample"]) != "train"]
    assert len(train) + len(held_out) == 120
    assert len(held_out) >= 10
    assert "123456" not in json.dumps(held_out)
    for image in train:
        expected = None if is_withheld(image["sample"]) else {"text": "123456", "unsure": 0}
        assert image["suggestion"] == expected
    assert any(is_withheld(image["sample"]) for image in train)


def test_a_second_opinion_has_no_suggestion(home: Home, mixed: Project) -> None:
    """Its operator must not see any reading."""
    propose(home, mixed)
    with opened(home.db) as db:
        events = [
            {"event": s.sha256, "action": "label", "sample": s.sha256, "text": "123456", "base": 0}
            for s in select_samples(db, mixed.id)
        ]
        apply_events(db, mixed, "Ben", events)
    second = Queue(kind="second")

    received = server._store(message([], queue=asdict(second)))
    images = server._data(mixed, "Ann", second, received)["images"]

    assert len(images) == 120
    assert all(image["suggestion"] is None for image in images)


def test_a_batch_costs_one_query_for_its_suggestions(home: Home, mixed: Project) -> None:
    """The number of images does not matter."""
    propose(home, mixed)
    statements: list[str] = []
    with opened(home.db) as db:
        db.conn.set_trace_callback(statements.append)
        suggestions(db, mixed, select_samples(db, mixed.id))

    assert sum("FROM proposals" in statement for statement in statements) == 1


def test_a_browser_reports_which_suggestions_it_showed(home: Home, mixed: Project) -> None:
    propose(home, mixed)
    (image, *_) = [image for image in answer(mixed, message([]))["images"] if image["suggestion"]]
    event = {"event": "e", "action": "label", "sample": image["sample"], "text": "123456", "base": 0}

    answer(mixed, message([], events=[event | {"suggested": True}]))

    with opened(home.db) as db:
        stored = labels.find_event(db, "e")
    assert stored
    assert (stored.suggestion, stored.suggestion_shown) == ("123456", 1)


def test_disagreement_of_readers_is_the_default_order(open_page: OpenPage, home: Home, sixty: Project) -> None:
    """The page gives the reason. The order of the import stays one choice away."""
    assert sent(open_page("label", project="many"))["queue"]["order"] == "import"
    propose(home, sixty, differing=9)

    app = open_page("label", project="many")

    assert sent(app)["queue"]["order"] == "disagree"
    assert [caption.value for caption in app.caption if "disagree" in caption.value] == [
        "Training images on which the readers disagree come first: 9. One training image in 4 is random."
    ]
    blind = open_page("label", project="many", images="validation and test")
    assert not [caption.value for caption in blind.caption if "disagree" in caption.value]
    assert app.selectbox(key="order").options == ["import", "random", "readers disagree", "rare characters"]
    assert sent(open_page("label", project="many", order="import"))["queue"]["order"] == "import"


def test_an_order_by_rank_ends_with_its_queue(open_page: OpenPage, home: Home, sixty: Project) -> None:
    """Skipped images have no ranks, so the filter must not name one."""
    propose(home, sixty, differing=9)
    app = open_page("label", project="many")

    app.segmented_control(key="queue").set_value("skipped").run()

    assert not app.exception
    assert sent(app)["queue"]["order"] == "import"
    assert app.get("popover")[0].proto.popover.label == "Filter"
    assert app.selectbox(key="order").options == ["import", "random"]


def test_readers_that_cannot_read_a_portal_leave_the_order(open_page: OpenPage, home: Home, sixty: Project) -> None:
    propose(home, sixty, differing=40)

    app = open_page("label", project="many")

    assert sent(app)["queue"]["order"] == "import"
    assert app.selectbox(key="order").options == ["import", "random"]


def test_an_order_without_images_says_so(open_page: OpenPage, sixty: Project) -> None:
    """A bookmark may name it after its last image."""
    app = open_page("label", project="many", order="rare characters")

    assert sent(app)["queue"]["order"] == "rare"
    assert "No unlabeled image has a rank in this order, so all come at random." in [c.value for c in app.caption]


def test_second_opinions_are_offered_only_if_some_are_waiting(
    home: Home, open_page: OpenPage, project: Project
) -> None:
    """Nobody gives a second opinion on an own label. The count needs a scan, so it waits for the last image."""
    with opened(home.db) as db:
        for image in select_samples(db, project.id, state="unlabeled"):
            event = {"event": f"e{image.id}", "action": "label", "sample": image.sha256, "text": "111111", "base": 0}
            apply_events(db, project, "Ann", [event])
        operators = {image.operator for image in select_samples(db, project.id, state="labeled")}

        waiting = {name: server._has_second(db, project, name) for name in ("Ann", "Ben")}

    assert waiting == {"Ann": operators != {"Ann"}, "Ben": operators != {"Ben"}}
