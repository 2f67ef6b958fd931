"""Verdicts of the portal on the pages."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.data.verdicts import apply_verdicts, new_verdict
from core.home import Home
from db.connection import opened
from db.records import Project, Sample
from db.samples import get_sample, select_samples
from tests.helpers import portal
from tests.helpers.kinds import give_label
from tests.helpers.readings import agreeing
from tests.helpers.runs import add_unlabeled

OpenPage = Callable[..., AppTest]


@pytest.fixture
def images(home: Home, portal: Project) -> list[Sample]:
    """30 unlabeled training images, then one of validation."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=30, val=1)
        return select_samples(db, portal.id)[-31:]


def table(app: AppTest, column: str) -> Any:
    """Return the table with a column; None if the page has none."""
    return next((each.value for each in app.dataframe if column in each.value.columns), None)


def captions(app: AppTest) -> str:
    return "\n".join(each.value for each in app.caption)


def test_samples_show_what_the_portal_said(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample]
) -> None:
    """The newest first. The reading that it rejected is marked in the history too."""
    with opened(home.db) as db:
        give_label(db, portal, images[0], "111111", "readers")
        for text, accepted, reason in (
            ("111111", False, "captcha"), ("222222", False, "password"), ("333333", True, None)
        ):  # fmt: skip
            verdict = new_verdict(images[0].sha256, text, accepted=accepted, reason=reason)
            apply_verdicts(db, portal, [verdict], "Eve")

    app = open_page("samples", project=portal.name, search=images[0].sha256)

    assert not app.exception
    said = table(app, "Verdict")
    assert list(zip(said["Text"], said["Verdict"], said["Brought in by"], strict=True)) == [
        ("333333", "accepted", "Eve"), ("222222", "rejected (password)", "Eve"),
        ("111111", "rejected by the portal", "Eve"),
    ]  # fmt: skip
    history = table(app, "Action")
    assert list(zip(history["Operator"], history["Action"], strict=True))[:2] == [
        ("portal", "accepted"), ("portal", "rejected")
    ]  # fmt: skip
    assert list(history["Action"])[2] == "read, rejected by the portal"


def test_samples_hide_verdicts_on_blind_images(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample]
) -> None:
    """Whoever sees a submitted text is no longer a judge of the image. After the label it is shown."""
    blind = images[-1]
    with opened(home.db) as db:
        apply_verdicts(db, portal, [new_verdict(blind.sha256, "333333", accepted=True)], "Eve")
    assert table(open_page("samples", project=portal.name, search=blind.sha256), "Verdict") is None

    with opened(home.db) as db:
        event = {"event": "1", "action": "label", "sample": blind.sha256, "text": "444444", "base": 0}
        apply_events(db, portal, "Ann", [event])
        assert not get_sample(db, blind.id).disputed

    assert list(table(open_page("samples", project=portal.name, search=blind.sha256), "Verdict")["Text"]) == ["333333"]


def test_samples_hide_them_again_when_the_label_is_undone(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample]
) -> None:
    """The opinion of the portal stays in the ledger, and leaves the pages."""
    with opened(home.db) as db:
        event = {"event": "1", "action": "label", "sample": images[-1].sha256, "text": "444444", "base": 0}
        apply_events(db, portal, "Ann", [event])
        apply_verdicts(db, portal, [new_verdict(images[-1].sha256, "333333", accepted=True)], "Eve")
        undo = {"event": "2", "action": "undo", "sample": images[-1].sha256, "base": 1}
        apply_events(db, portal, "Ann", [undo])

    app = open_page("samples", project=portal.name, search=images[-1].sha256)

    assert not app.exception
    assert list(table(app, "Action")["Operator"]) == ["Ann", "Ann"]
    assert table(app, "Verdict") is None
    assert "333333" not in "\n".join(each.value for each in app.warning)


def test_pages_count_and_remove_labels_of_verdicts(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample]
) -> None:
    """Propose and Samples take them back after their number is typed."""
    with opened(home.db) as db:
        agreeing(db, portal, images, ["123456"] * len(images))
        for sample in images[:3]:
            give_label(db, portal, sample, "111111", "verdict")
    assert "verdicts 3" in captions(open_page("home"))
    assert "verdicts 3" in captions(open_page("samples", project=portal.name))
    app = open_page("propose", project=portal.name)

    next(each for each in app.text_input if each.label == "Type 3 to confirm").set_value("3").run()
    next(each for each in app.button if each.key == "remove verdict").click().run()

    assert not app.exception
    assert "Removed 3 labels of verdicts." in [each.value for each in app.success]
    assert next((each for each in app.button if each.key == "remove verdict"), None) is None


@pytest.mark.parametrize("queue", ["Unlabeled", "Skipped"])
def test_label_says_which_images_come_first(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample], queue: str
) -> None:
    """Each queue counts its own. Held-out images alone have none."""
    sentence = "Training images whose reading the portal rejected come before all others: 2."
    with opened(home.db) as db:
        for sample in images[:2]:
            if queue == "Skipped":
                event = {"event": f"{sample.id}", "action": "skip", "sample": sample.sha256, "base": 0}
                apply_events(db, portal, "Ann", [event])
            reject(db, portal, sample)

    assert sentence in captions(open_page("label", project=portal.name, queue=queue))
    other = "Skipped" if queue == "Unlabeled" else "Unlabeled"
    assert "portal rejected" not in captions(open_page("label", project=portal.name, queue=other))
    blind = open_page("label", project=portal.name, queue=queue, images="validation and test")
    assert "portal rejected" not in captions(blind)


def reject(db: Any, project: Project, sample: Sample) -> None:
    portal.reject(db, project, sample, "123456")


def test_proof_marks_a_reading_that_the_portal_rejected(
    home: Home, open_page: OpenPage, portal: Project, images: list[Sample]
) -> None:
    with opened(home.db) as db:
        agreeing(db, portal, images, ["123456"] * len(images))
        give_label(db, portal, images[-1], "123457", "person")
        reject(db, portal, images[-1])

    app = open_page("propose", project=portal.name)

    assert "Label 123457, readers 123456, rejected by the portal" in captions(app)
