"""Pages with a run that validated against readers, because people have labeled no validation image."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.data.labeling import apply_events
from core.evaluation.predictions import Predictions
from core.evaluation.reference import Reference
from core.home import Home
from db import jobs, runs, samples
from db.connection import opened, write
from db.records import Project
from tests.helpers.trained import ON_READINGS

OpenPage = Callable[..., AppTest]


def texts(app: AppTest) -> str:
    """Return all texts of the page, with the columns of its tables."""
    shown = [
        str(value) for element in app.main for value in (getattr(element, "label", ""), getattr(element, "value", ""))
    ]
    columns = [name for table in app.dataframe for name in table.value.columns]
    return "\n".join([*shown, *columns])


def add_run(home: Home, reference: Reference) -> None:
    """Add a copy of the run, measured against `reference`."""
    with opened(home.db) as db, write(db):
        first = runs.find_run(db, ON_READINGS)
        assert first is not None
        number = jobs.next_number(db, "train")
        job = jobs.insert_job(
            db, id=f"{number:04}-fast", number=number, kind="train", project_id=first.job.project_id, request_id="copy"
        )
        runs.insert_run(
            db, job_id=job.id, preset="fast", config=first.config, dataset_sha256=first.dataset_sha256,
            train_n=first.train_n, val_n=first.val_n, reference=reference,
        )  # fmt: skip
        jobs.set_state(db, job, "finished", result=first.job.result, final=True)
        runs.set_val_correct(db, job.id, 1)
    shutil.copytree(home.run(ON_READINGS), home.run(job.id))
    path = home.run(job.id) / "predictions-val.npz"
    replace(Predictions.load(path), reference=reference).save(path)


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("home", {}),
        ("train", {"run": ON_READINGS}),
        ("train", {}),
        ("evaluate", {"section": "errors"}),
        ("evaluate", {"section": "slices"}),
        ("evaluate", {"section": "tta", "tta": "true"}),
        ("evaluate", {"section": "confidence"}),
        ("evaluate", {"section": "report"}),
    ],
)
def test_no_page_calls_it_exact_match(
    trained_on_readings: Project, open_page: OpenPage, page: str, query: dict[str, str]
) -> None:
    """Every number on validation images is an agreement with readers."""
    app = open_page(page, project=trained_on_readings.name, **query)

    assert not app.exception
    shown = texts(app).lower()
    assert "agreement with readers" in shown or "readers agree on" in shown
    assert "exact match" not in shown.replace("not exact match", "")
    assert "accuracy" not in shown.replace("does not prove accuracy", "")


def test_images_of_val_stay_hidden(trained_on_readings: Project, open_page: OpenPage) -> None:
    """People label them without having seen a reading."""
    for section in ("errors", "slices", "tta"):
        app = open_page("evaluate", project=trained_on_readings.name, section=section, tta="true")

        assert not app.exception
        assert not [table for table in app.dataframe if {"Image", "Reading"} & set(table.value.columns)]
        if section != "slices":  # which has images of a clicked row only
            assert any("Validation images stay hidden" in caption.value for caption in app.caption)


def test_readings_are_compared_with_agreed_readings(trained_on_readings: Project, open_page: OpenPage) -> None:
    """The axis of the confusion matrices and the help of the filter say so."""
    app = open_page("evaluate", project=trained_on_readings.name, section="errors")
    (matrices,) = (json.loads(each.proto.json) for each in app.get("bidi_component") if "matrices" in each.key)
    assert matrices["target"] == "agreed reading"
    assert any("Rows: characters of the agreed reading" in caption.value for caption in app.caption)

    app = open_page("evaluate", project=trained_on_readings.name, section="slices")
    assert any("text of the agreed reading" in each.value for each in app.markdown)


def test_labels_of_people_are_pointed_out_once_they_measure(
    home: Home, trained_on_readings: Project, open_page: OpenPage
) -> None:
    """The page offers to measure the exact match. One label alone would measure nothing."""
    with opened(home.db) as db:
        chosen = samples.select_samples(db, trained_on_readings.id, split="val")

    def label(number: int) -> str:
        event = {"event": f"e{number}", "action": "label", "sample": chosen[number].sha256, "text": "000", "base": 0}
        with opened(home.db) as db:
            apply_events(db, trained_on_readings, "Ann", [event])
        app = open_page("evaluate", project=trained_on_readings.name)
        assert "Evaluate on val" in [button.label for button in app.button]
        return " ".join(warning.value for warning in app.warning)

    assert "since. Evaluate again" not in label(0)
    for number in range(1, len(chosen) - 1):
        label(number)
    assert f"People have labeled {len(chosen)} validation images since" in label(len(chosen) - 1)


def test_runs_with_different_references_are_not_compared(
    home: Home, trained_on_readings: Project, open_page: OpenPage
) -> None:
    """Neither side by side, nor in one column of a table, nor as overlaid curves."""
    add_run(home, "people")

    app = open_page("compare", project=trained_on_readings.name)
    assert "cannot be compared" in app.error[0].value

    app = open_page("train", project=trained_on_readings.name, run=ON_READINGS)
    assert not [box for box in app.selectbox if box.label == "Overlay another run"]
    table = app.dataframe[0].value
    exact, agreement = (
        table[f"{title} on validation (95% interval)"] for title in ("Exact match", "Agreement with readers")
    )
    assert (exact.notna() != agreement.notna()).all()


def test_two_runs_on_readings_are_compared_by_their_agreement(
    home: Home, trained_on_readings: Project, open_page: OpenPage
) -> None:
    """The images on which they disagree stay hidden."""
    add_run(home, "readers")

    app = open_page("compare", project=trained_on_readings.name)

    assert not app.exception
    assert not app.error
    assert app.dataframe[-1].proto.placeholder == "–"  # instead of None in the columns of the other reference
    shown = texts(app)
    assert "Agreement with readers" in shown
    assert "Exact match" not in shown
    assert any("Validation images stay hidden" in caption.value for caption in app.caption)


def test_a_clone_lists_the_kinds_of_labels_that_changed(
    home: Home, trained_on_readings: Project, open_page: OpenPage
) -> None:
    """A checked reading counts as a label of a person, and the reference may change."""
    app = open_page("train", project=trained_on_readings.name, run=ON_READINGS)
    with opened(home.db) as db, write(db):
        first = samples.select_samples(db, trained_on_readings.id, split="train")[0]
        db.execute("UPDATE samples SET checked = 1 WHERE id = ?", [first.id])
        n = samples.count_samples(db, trained_on_readings.id, split="train")

    app = next(button for button in app.button if button.label == "Clone").click().run()

    assert not app.exception
    assert f"training labels of readers: {n} → **{n - 1}**" in texts(app)
    assert f"The training images have {n} labels of readers." in texts(app)


def test_the_form_counts_agreed_readings_not_as_labels(trained_on_readings: Project, open_page: OpenPage) -> None:
    app = open_page("train", project=trained_on_readings.name)

    shown = texts(app)
    assert "**0** for validation" in shown
    assert "that the general readers agree on, until people have labeled 30 validation images." in shown


def test_predict_opens_with_the_upload(trained_on_readings: Project, open_page: OpenPage) -> None:
    """No validation image has a label, so there is none to read."""
    app = open_page("predict", project=trained_on_readings.name)

    assert not app.exception
    assert app.segmented_control(key="images").value == "upload"
    assert len(app.get("file_uploader")) == 1
