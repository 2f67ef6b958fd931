"""The Propose page: the verdict on the readers, and what can be done with their readings."""

import json
import sys
from collections.abc import Callable

import pytest
from sqlite_utils import Database
from streamlit.testing.v1 import AppTest

from core.data import priorities
from core.data.labeling import apply_events
from core.data.proposals import accept_agreed, proof
from core.data.proposing import report
from core.home import Home
from core.jobs import control
from db import jobs, runs
from db.connection import opened, write
from db.projects import insert_project
from db.proposals import insert_proposal, open_reader
from db.queues import count_ranked
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
    assert "Label images" in [each.proto.label for each in app.main.get("page_link")]


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


def test_accepted_readings_are_removed_after_typing_their_number(
    home: Home, open_page: OpenPage, read: Project
) -> None:
    """Samples uses the same button and the same words. The images get their ranks back."""
    with opened(home.db) as db:
        priorities.update(db, read)
        ranked = count_ranked(db, read.id)
    app = open_page("propose", project=read.name)
    next(each for each in app.button if each.label.startswith("Accept ")).click().run()
    (field,) = (each for each in app.text_input if each.label.startswith("Type "))
    number = field.label.split()[1]
    assert app.button(key="remove readers").disabled

    field.set_value(number).run()
    app.button(key="remove readers").click().run()

    assert not app.exception
    with opened(home.db) as db:
        assert count_ranked(db, read.id) == ranked
    assert f"Removed {number} labels of readers." in [each.value for each in app.success]
    assert [each.label for each in app.button if each.label.startswith("Accept ")] == [f"Accept {number} readings"]


def test_a_wrong_reading_leads_to_its_label(home: Home, open_page: OpenPage, read: Project) -> None:
    """The proof says how many blind images are left. Without any, it does not offer to label them."""
    with opened(home.db) as db:
        texts = {image.id: (f"{image.id:06}",) * 2 for image in select_samples(db, read.id)}
        add_proposals(db, read, texts)
    with opened(home.db) as db:
        blind = [image for image in select_samples(db, read.id, state="unlabeled") if image.is_blind]
        shown = proof(db, read)
    app = open_page("propose", project=read.name)

    assert not app.exception
    assert (shown.blind, shown.blind_agreed) == (len(blind), len(blind))
    links = [each.proto.label for each in app.main.get("page_link")]
    assert ("Label blind images" in links) is bool(blind)
    assert links.count("Correct label") == min(12, len(shown.wrong)) > 0


def test_accepting_says_what_became_labels_and_what_comes_next(
    home: Home, open_page: OpenPage, portal: Project
) -> None:
    """Images of val and test stay blind, also where the readers agree."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=30, val=3)
        images = select_samples(db, portal.id, state="unlabeled")
        (first, *_) = select_samples(db, portal.id, state="unlabeled", split="train")
        texts = {image.id: (f"{image.id:06}",) * 2 for image in images}
        add_proposals(db, portal, texts | {first.id: ("111111", "111112")})
        priorities.update(db, portal)
        n = len(select_samples(db, portal.id, state="unlabeled", split="train")) - 1

    app = open_page("propose", project=portal.name)
    next(each for each in app.button if each.label == f"Accept {n} readings").click().run()

    assert not app.exception
    assert (
        f"{n} readings became labels of training images. The other agreed ones are in validation and test, and stay "
        "blind."
    ) in [each.value for each in app.success]
    links = [each.proto.label for each in app.main.get("page_link")]
    assert "Label 1 disagreement" in links
    assert "Train a model" in links


def add_finished_round(db: Database, project: Project, next_run: str | None) -> None:
    """Add a finished run, and a round with it that labeled nothing."""
    with write(db):
        job = jobs.insert_job(db, id="0007-fast", number=7, kind="train", project_id=project.id, request_id="train 7")
        runs.insert_run(db, job_id=job.id, preset="fast", config="{}", dataset_sha256="", train_n=9, val_n=2)
        runs.set_val_correct(db, job.id, 1)
        jobs.set_state(db, job, "finished", final=True)
        if next_run:
            stopped = jobs.insert_job(
                db, id=next_run, number=9, kind="train", project_id=project.id, request_id="train 9"
            )
            runs.insert_run(db, job_id=next_run, preset="fast", config="{}", dataset_sha256="", train_n=9, val_n=2)
            jobs.set_state(db, stopped, "canceled", final=True)
        done = jobs.insert_job(
            db, id="0010-round", number=10, kind="round", project_id=project.id, request_id="round 10"
        )
        result = {"run": job.id, "accepted": 0, "proved": 0, "next_run": next_run}
        jobs.set_state(db, done, "finished", result=json.dumps(result), final=True)


@pytest.mark.parametrize(
    ("next_run", "sentence", "button"),
    [
        (None, "That is too little for another run.", "Start a round with 0007-fast"),
        ("0009-fast", "0009-fast trains on them, but is canceled.", "Resume 0009-fast"),
    ],
)
def test_a_finished_round_says_its_result(
    home: Home, open_page: OpenPage, read: Project, next_run: str | None, sentence: str, button: str
) -> None:
    with opened(home.db) as db:
        add_finished_round(db, read, next_run)

    app = open_page("propose", project=read.name)

    assert not app.exception
    shown = [each.value.replace("\\", "") for each in app.info]
    assert any(f"0007-fast: 0 more labels. {sentence}" in each for each in shown)
    assert button in [each.label for each in app.button]


def test_no_round_is_offered_if_nothing_is_unlabeled(home: Home, open_page: OpenPage, read: Project) -> None:
    with opened(home.db) as db:
        add_finished_round(db, read, None)
        for image in select_samples(db, read.id, state="unlabeled"):
            event = {"event": f"e{image.id}", "action": "label", "sample": image.sha256, "text": "111111", "base": 0}
            apply_events(db, read, "Ann", [event])

    app = open_page("propose", project=read.name)

    assert not app.exception
    assert not [each for each in app.button if "round" in each.label]
    assert any("No training image is unlabeled" in each.value for each in app.markdown)


def test_home_leads_from_readings_to_labels_to_a_run(home: Home, open_page: OpenPage, read: Project) -> None:
    """Images of val and test stay unlabeled, and a run needs none of them."""

    def next_steps() -> list[str]:
        return [each.proto.label for each in open_page("home").main.get("page_link")]

    with opened(home.db) as db:
        for sample in select_samples(db, read.id, state="labeled"):
            event = {"event": sample.sha256, "action": "undo", "sample": sample.sha256, "base": sample.version}
            apply_events(db, read, "Ann", [event])
    assert "Accept readings" in next_steps()

    with opened(home.db) as db:
        accept_agreed(db, read, "Ann")
    assert "Train a model" in next_steps()
    assert "Accept readings" not in next_steps()


def test_an_empty_project_leads_to_the_import(home: Home, open_page: OpenPage) -> None:
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "empty", 6, "0123456789")

    app = open_page("propose", project="empty")

    assert not app.exception
    assert not [each for each in app.button if each.label.startswith("Read ")]
    assert [each.proto.label for each in app.main.get("page_link")] == ["Import images"]


def test_a_project_without_unlabeled_images_says_what_readers_can_do(
    home: Home, open_page: OpenPage, portal: Project
) -> None:
    with opened(home.db) as db:
        for sample in select_samples(db, portal.id, state="unlabeled"):
            event = {"event": sample.sha256, "action": "label", "sample": sample.sha256, "base": 0, "text": "123456"}
            apply_events(db, portal, "Ann", [event])

    app = open_page("propose", project=portal.name)

    assert "propose --labeled" in app.info[-1].value
    assert not [each for each in app.button if each.label.startswith("Read ")]


def test_without_any_reader_the_page_does_not_say_that_all_is_labeled(
    home: Home, open_page: OpenPage, portal: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The general readers are not installed, and the built-in one does not read 12 characters."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with opened(home.db) as db:
        with write(db):
            long = insert_project(db, "long", 12, "0123456789")
        add_unlabeled(db, long, train=2)

    app = open_page("propose", project="long")

    assert not app.exception
    assert ["They are not installed" in each.value for each in app.info] == [True]
    (button,) = [each for each in app.button if each.label.startswith("Read ")]
    assert button.disabled
    assert 'pip install "slotlab[readers]"' in button.help


def test_without_general_readers_the_built_in_one_can_read(
    home: Home, open_page: OpenPage, portal: Project, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The button of the others is disabled, and says how to install them."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    app = open_page("propose", project=portal.name)

    offered = {each.label: not each.disabled for each in app.button if each.label.startswith("Read ")}
    assert offered == {
        "Read 4 images with general readers": False,
        "Read 4 images with the built-in reader": True,
    }


def test_new_images_wait_for_readers_that_are_gone(
    home: Home, open_page: OpenPage, read: Project, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The readers of the result have been uninstalled since."""
    with opened(home.db) as db:
        add_unlabeled(db, read, train=2)

    def reads_new() -> bool:
        app = open_page("propose", project=read.name)
        (button,) = [each for each in app.button if each.label.endswith(" new images")]
        return not button.disabled

    assert reads_new()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert not reads_new()


def test_each_project_has_its_own_choice_of_readers(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The general readers are the default, also after the built-in reader was chosen for another project."""
    with opened(home.db) as db:
        with write(db):
            others = [insert_project(db, f"other {length}", length, "0123456789") for length in (4, 12)]
        for project in others:
            add_unlabeled(db, project, train=2)
    app = open_page("propose", project=portal.name)
    app.button_group[0].set_value(["builtin"]).run()
    assert app.button_group[0].value == ["builtin"]

    for project in (*others, portal):
        app.selectbox(key="project").set_value(project.name).run()
        assert not app.exception
        assert app.button_group[0].value == ["rapidocr", "ddddocr"], project.name


@pytest.mark.long
def test_suggestions_of_one_reader_lead_to_label(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The page gives the built-in reader the same name as its button."""
    with opened(home.db) as db:
        add_unlabeled(db, portal, train=30)
        with write(db):
            reader = open_reader(db, kind="general", name="builtin", version="0fcdf913", sha256="0" * 64)
            for image in select_samples(db, portal.id, state="unlabeled"):
                insert_proposal(db, image.id, reader, text="111111", confidence=0.95, positions=[0.99] * 6)
            job = jobs.insert_job(
                db, id="0009-propose", number=9, kind="propose", project_id=portal.id, request_id="propose 9"
            )
            result = json.dumps(report(db, portal, [reader], {"builtin": ""}))
            jobs.set_state(db, job, "finished", result=result, final=True)

    app = open_page("propose", project=portal.name)

    assert not app.exception
    assert any("suggestions on the Label page" in each.value for each in app.info)
    assert "Label images" in [each.proto.label for each in app.main.get("page_link")]
    assert any("read by built-in 0fcdf913 until" in each.value.replace("\\", "") for each in app.caption)

    with opened(home.db) as db:
        add_unlabeled(db, portal, train=2)
    app = open_page("propose", project=portal.name)
    next(each for each in app.button if each.label.endswith(" new images")).click().run()
    assert not app.error
    with opened(home.db) as db:
        job = jobs.find_newest(db, portal.id, "propose")
        assert job is not None
        assert job.id != "0009-propose"
        assert control.finish(db, home, job.id, lambda _: None).state == "finished"
