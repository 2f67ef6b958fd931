"""Kinds of labels on the pages: counted apart, filtered and removed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.home import Home
from db.connection import opened
from db.records import Project
from db.samples import label_counts, select_samples
from tests.helpers.kinds import READERS, give_all_kinds
from tests.helpers.runs import add_unlabeled

OpenPage = Callable[..., AppTest]


def texts(app: AppTest) -> str:
    return "\n".join(str(each.value) for each in (*app.caption, *app.markdown, *app.success))


def box(app: AppTest, label: str) -> Any:
    return next((each for each in app.selectbox if each.label == label), None)


@pytest.fixture
def mixed(home: Home, portal: Project) -> Project:
    """Eight imported labels, three of readers, two of a run and one that Ann typed."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=6)
        give_all_kinds(db, portal, readers=3, run=2, person=1)
    return portal


def test_without_readings_pages_do_not_mention_kinds(open_page: OpenPage, portal: Project) -> None:
    """Everything is as it was before readings existed."""
    assert "people" not in texts(open_page("home"))
    assert "The training images have" not in texts(open_page("train", project=portal.name))
    samples = open_page("samples", project=portal.name)
    assert "kind" not in samples.dataframe[0].value
    assert box(samples, "Kind") is None
    assert "labels:" not in texts(samples)
    assert box(open_page("review", project=portal.name), "Kind") is None


@pytest.mark.usefixtures("mixed")
def test_labels_are_counted_by_kind(open_page: OpenPage) -> None:
    """Home, Samples and Train use the same words. Train counts only training images."""
    counts = "people 1 · imports 8 · readers 3 · runs 2"

    assert counts in texts(open_page("home"))
    assert f"14 of 18 images · labels: {counts}" in texts(open_page("samples", project="portal", state="labeled"))
    assert "3 of readers and 2 of runs." in texts(open_page("train", project="portal"))


@pytest.mark.usefixtures("mixed")
def test_the_labeling_widget_gets_the_kinds(open_page: OpenPage) -> None:
    app = open_page("label", project="portal")

    data = next(json.loads(each.proto.json) for each in app.get("bidi_component") if "labeler" in each.key)
    assert data["counts"]["kinds"] == "people 1 · imports 8 · readers 3 · runs 2"


@pytest.mark.parametrize(("kind", "count"), [("people", 1), ("imports", 8), ("readers", 3), ("runs", 2)])
def test_samples_of_a_kind(open_page: OpenPage, mixed: Project, kind: str, count: int) -> None:
    """The address holds the filter."""
    app = open_page("samples", project=mixed.name, kind=kind)

    assert not app.exception
    assert list(app.dataframe[0].value["kind"]) == [kind] * count
    assert box(app, "Kind").value is not None


def test_readers_are_not_offered_as_operators(open_page: OpenPage, mixed: Project) -> None:
    app = open_page("review", project=mixed.name)

    assert READERS not in box(app, "Operator").options
    assert box(app, "Labeled by").options == ["everyone", "others", "Ann", "import"]


def test_labels_of_readers_are_removed_after_typing_their_number(
    home: Home, open_page: OpenPage, mixed: Project
) -> None:
    """One that a person confirmed stays, and labels of other kinds too."""
    with opened(home.db) as db:
        confirmed = select_samples(db, mixed.id, kind="readers")[0]
        event = {"event": "confirm", "action": "confirm", "sample": confirmed.sha256, "base": confirmed.version}
        apply_events(db, mixed, "Ann", [event])
    app = open_page("samples", project=mixed.name)

    def remove() -> Any:
        return next(each for each in app.button if each.key == "remove readers")

    field = next(each for each in app.text_input if each.label == "Type 2 to confirm")
    field.set_value("3").run()
    assert remove().disabled
    field.set_value("2").run()
    remove().click().run()

    assert not app.exception
    assert [each.value for each in app.success] == [
        "Removed 2 labels of readers. Confirmed by people, so not removed: 1."
    ]
    with opened(home.db) as db:
        kinds = label_counts(db, mixed.id)
        assert sum(n for (_, kind), n in kinds.items() if kind == "readers") == 1
        assert sum(n for (_, kind), n in kinds.items() if kind in ("run", "person")) == 3
    assert next(each for each in app.button if each.key == "remove readers").disabled


def test_readers_cannot_contradict_their_own_labels(home: Home, open_page: OpenPage, portal: Project) -> None:
    """Suspected says so, instead of counting 0 of 0 labels."""
    with opened(home.db) as db:
        for sample in select_samples(db, portal.id, state="labeled"):
            event = {"event": sample.sha256, "action": "undo", "sample": sample.sha256, "base": sample.version}
            apply_events(db, portal, "Ann", [event])
        add_unlabeled(db, portal, train=3)
        give_all_kinds(db, portal, readers=3, run=0, person=0)

    app = open_page("review", project=portal.name, show="Suspected")

    assert "The labels left are from readings, so only folds can contradict them. With folds: 0 of 3" in texts(app)
