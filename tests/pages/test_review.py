"""The Review page: the data sent to its widget. tests/browser tests the widget itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.home import Home
from core.runs.suspects import Suspect
from db.connection import opened
from db.records import Project
from db.reviews import Review
from db.samples import select_samples
from pages.components.widgets.reviewer import server
from tests.helpers.readings import add_proposals
from tests.helpers.runs import add_unlabeled

OpenPage = Callable[..., AppTest]


@pytest.fixture
def hashes(home: Home, portal: Project) -> list[str]:
    """The eight labeled images. Ben confirmed the first, relabeled the second and doubted the third."""
    with opened(home.db) as db:
        hashes = [sample.sha256 for sample in select_samples(db, portal.id, state="labeled")]
        events = [
            {"event": "1", "action": "confirm", "sample": hashes[0], "base": 1},
            {"event": "2", "action": "label", "sample": hashes[1], "base": 1, "text": "777771"},
            {"event": "3", "action": "doubt", "sample": hashes[2], "base": 1},
        ]
        apply_events(db, portal, "Ben", events)
    return hashes


def sent(app: AppTest) -> dict[str, Any]:
    """Return the widget data as the browser gets it."""
    assert not app.exception
    (data,) = (json.loads(each.proto.json) for each in app.get("bidi_component") if each.key == "reviewer")
    return dict(data)


def shown(app: AppTest) -> set[str]:
    return {tile["shown"] for tile in sent(app)["tiles"]}


def test_a_project_without_labels_says_so(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Without labels there is nothing to review."""
    with opened(home.db) as db:
        labeled = select_samples(db, portal.id, state="labeled")
        undos = [{"event": sample.sha256, "action": "undo", "sample": sample.sha256, "base": 1} for sample in labeled]
        apply_events(db, portal, "import", undos)

    app = open_page("review", project="portal")

    assert not app.exception
    assert "No labels to review" in app.info[0].value
    assert [each.key for each in app.main.get("bidi_component")] == ["help"]


@pytest.mark.usefixtures("hashes")
def test_the_widget_gets_unchecked_labels(open_page: OpenPage) -> None:
    """The confirmed and the doubted label are left out. Each tile has its image, version and history."""
    data = sent(open_page("review", project="portal"))

    assert (data["mode"], data["length"], data["charset"]) == ("labels", 6, "0123456789")
    assert (data["total"], data["disputed"], data["more"], data["answers"]) == (6, 1, False, [])
    assert {tile["shown"] for tile in data["tiles"]} == {
        "777771", "000003", "000004", "000005", "000006", "000007",
    }  # fmt: skip
    (changed,) = [tile for tile in data["tiles"] if tile["shown"] == "777771"]
    assert changed["url"].startswith("data:image/png;base64,")
    assert (changed["version"], changed["operator"]) == (2, "Ben")
    assert [(line["operator"], line["did"]) for line in changed["history"]] == [
        ("import", "imported"),
        ("Ben", "labeled"),
    ]


@pytest.mark.usefixtures("hashes")
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"checked": "all"}, 8),
        ({"by": "Ben"}, {"777771"}),
        ({"by": "others"}, 6),
        ({"text": "0005"}, {"000005"}),
        ({"ordered": "character", "position": "6", "char": "4"}, {"000004"}),
    ],
)
def test_the_filters_of_the_address(open_page: OpenPage, query: dict[str, str], wanted: set[str] | int) -> None:
    """A link with filters shows the matching labels, and the total counts the same labels."""
    app = open_page("review", project="portal", **query)

    assert (shown(app) if isinstance(wanted, set) else len(shown(app))) == wanted
    assert sent(app)["total"] == len(shown(app))


@pytest.mark.usefixtures("hashes")
def test_ones_own_labels_can_be_left_out(open_page: OpenPage) -> None:
    """Labels by others exclude those of the operator in the sidebar."""
    app = open_page("review", project="portal", by="others")
    app.session_state["operator name"] = "Ben"
    app.run()

    assert "777771" not in shown(app)
    assert len(shown(app)) == 5


@pytest.mark.usefixtures("hashes")
def test_disputed_images_come_with_their_opinions(open_page: OpenPage) -> None:
    """The doubted label, its operator and the operator who doubts it."""
    data = sent(open_page("review", project="portal", show="Disputed"))

    assert (data["mode"], data["disputed"], len(data["tiles"])) == ("disputed", 1, 1)
    assert data["tiles"][0]["choices"] == [
        {"text": "000002", "flag": None, "shown": "000002", "current": True,
         "voices": ["import imported it", "Ben doubted it"]},
    ]  # fmt: skip


@pytest.mark.usefixtures("hashes")
def test_the_name_of_an_image_is_not_sent(open_page: OpenPage) -> None:
    """File names often contain the label, and a reviewer who sees it would not read the image."""
    assert ".png" not in json.dumps(sent(open_page("review", project="portal"))).replace("image/png", "")


@pytest.mark.usefixtures("hashes")
def test_another_view_is_another_name(open_page: OpenPage) -> None:
    """So the browser starts over and ignores batches of the previous view."""
    views = {
        sent(open_page("review", project="portal", **query))["view"]
        for query in ({}, {"ordered": "label"}, {"by": "Ben"}, {"show": "Disputed"})
    }

    assert len(views) == 4


@pytest.mark.usefixtures("hashes")
def test_a_request_for_no_images_gets_no_end(portal: Project) -> None:
    """Otherwise a browser at the end would wait for images again."""
    message = {"view": "v", "id": portal.id, "project": "portal", "after": None, "want": 0, "events": []}
    data = server._data(portal, "Ben", "labels", Review(), server._store(message))

    assert (data["more"], data["cursor"], data["tiles"], data["error"]) == (None, None, [], None)


def test_an_answer_has_new_opinions(hashes: list[str], portal: Project) -> None:
    """The history of the image, and its opinions while it is disputed."""
    events = [
        {"event": action, "action": action, "sample": hashes[4], "base": 1, "text": "999999", "shown": "000004"}
        for action in ("second", "resolve")
    ]

    for event, disputed in zip(events, (True, False), strict=True):
        message = {"view": "v", "id": portal.id, "project": "portal", "after": None, "want": 0, "events": [event]}
        (answer,) = server._data(portal, "Eve", "disputed", None, server._store(message))["answers"]
        assert answer["now"]["disputed"] is disputed
        assert ("choices" in answer["now"]) is disputed
    assert [line["did"] for line in answer["now"]["history"]] == ["imported", "second opinion", "resolved"]


def test_suspected_labels_come_with_suggestion_and_reason(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The suggestion is the first choice, and the label the second. The page says what was compared."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=20)
        labeled = select_samples(db, portal.id, state="labeled")
        texts = {sample.id: (sample.label, sample.label) for sample in select_samples(db, portal.id)}
        wrong = labeled[2]
        assert wrong.label is not None
        suggested = ("1" if wrong.label[0] != "1" else "2") + wrong.label[1:]
        unlabeled = {sample.id: ("123456", "123456") for sample in select_samples(db, portal.id, state="unlabeled")}
        add_proposals(db, portal, texts | unlabeled | {wrong.id: (suggested, suggested)})

    app = open_page("review", project="portal", show="Suspected")

    data = sent(app)
    assert (data["mode"], data["total"], data["more"]) == ("suspected", len(data["tiles"]), False)
    tile = next(tile for tile in data["tiles"] if tile["sample"] == wrong.sha256)
    assert [(choice["shown"], choice["current"]) for choice in tile["choices"]] == [
        (suggested, False),
        (wrong.label, True),
    ]
    assert tile["choices"][0]["voices"] == [f"both readers read {suggested}"]
    assert any("Compared with readers: 8 of 8 labels" in caption.value for caption in app.caption)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_suggestion_for_a_suspected_label_of_val_or_test_is_typed(home: Home, portal: Project, split: str) -> None:
    """Enter on such an image keeps the label. The reasons are still shown."""
    with opened(home.db) as db:
        sample = replace(select_samples(db, portal.id, state="labeled")[0], split=split)
    reason = "both readers read 999999"
    suspect = Suspect(sample=sample, suggested="999999", reasons=(reason,), score=1)

    (tile,) = server._data(portal, "Eve", "suspected", None, server._Reply(), [suspect])["tiles"]

    assert [choice["shown"] for choice in tile["choices"]] == ["999999"] * (split == "train") + [sample.label]
    assert reason in [voice for choice in tile["choices"] for voice in choice["voices"]]


def test_batches_of_suspected_labels_leave_out_those_decided_since(home: Home, portal: Project) -> None:
    """All batches use the labels that were suspected when the page was opened."""
    with opened(home.db) as db:
        labeled = select_samples(db, portal.id, state="labeled")
        suspects = [
            Suspect(sample=sample, suggested="999999", reasons=("both readers read 999999",), score=1 - index / 10)
            for index, sample in enumerate(labeled[:4])
        ]
        confirm = {"event": "c", "action": "confirm", "sample": labeled[2].sha256, "base": labeled[2].version}
        apply_events(db, portal, "Ben", [confirm])

    data = server._data(portal, "Eve", "suspected", None, server._Reply(), suspects)
    last = server._data(portal, "Eve", "suspected", None, server._Reply(after=[-1.0, labeled[0].id]), suspects)

    assert [tile["sample"] for tile in data["tiles"]] == [labeled[place].sha256 for place in (0, 1, 3)]
    assert [tile["sample"] for tile in last["tiles"]] == [labeled[place].sha256 for place in (1, 3)]


def test_folds_with_too_few_labels_are_refused(open_page: OpenPage, portal: Project) -> None:
    """The sentence says how many are needed."""
    app = open_page("review", project="portal", show="Suspected")

    app.button(key="folds").click().run()

    assert "The project has 7 labeled images" in app.error[0].value
