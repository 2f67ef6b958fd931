"""The Compare page: two runs on the same images, and the empty states."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest

from core.charset import TextSpec
from core.evaluation.predictions import Predictions
from core.home import Home
from db import evaluations, jobs, projects, runs
from db.connection import opened, write
from db.records import Project
from tests.helpers.labs import add_unreadable, remove_labels

OpenPage = Callable[..., AppTest]
SPEC = TextSpec(3, "0123")


def path_of(home: Home, run: str, split: str = "val") -> Path:
    return home.run(run) / f"predictions-{split}.npz"


def read(predictions: Predictions, wrong: list[int]) -> Predictions:
    """Return readings in which every view reads the images in `wrong` wrong at position 2, and all others right."""
    log_probs_VNPC = np.full_like(predictions.log_probs_VNPC, np.log(0.1))
    for place, label in enumerate(predictions.labels):
        for position, char in enumerate(SPEC.encode(label)):
            log_probs_VNPC[:, place, position, (char + (position == 1 and place in wrong)) % 4] = np.log(0.7)
    return replace(predictions, log_probs_VNPC=log_probs_VNPC)


@pytest.fixture
def pair(home: Home, trained: Project) -> Project:
    """Add a second run with another learning rate, and give both known readings.

    Of the val images the first run misreads 0 and 1, the second 1, 2 and 3.
    """
    with opened(home.db) as db:
        first = runs.find_run(db, "0001-fast")
        assert first is not None
        with write(db):
            job = jobs.insert_job(
                db, id="0002-fast", number=2, kind="train", project_id=trained.id, request_id="second"
            )
            jobs.set_state(db, job, "finished", final=True)
            config = json.dumps(json.loads(first.config) | {"lr": 0.001})
            runs.insert_run(
                db, job_id=job.id, preset="fast", config=config, dataset_sha256=first.dataset_sha256,
                train_n=first.train_n, val_n=first.val_n,
            )  # fmt: skip
            runs.set_val_correct(db, job.id, 1)
    shutil.copytree(home.run("0001-fast"), home.run("0002-fast"))
    spec = json.loads((home.run("0002-fast") / "run.json").read_text())
    spec["config"]["lr"] = 0.001
    (home.run("0002-fast") / "run.json").write_text(json.dumps(spec))
    found = Predictions.load(path_of(home, "0001-fast"))
    found = replace(found, log_probs_VNPC=np.array(found.log_probs_VNPC))
    read(found, [0, 1]).save(path_of(home, "0001-fast"))
    read(found, [1, 2, 3]).save(path_of(home, "0002-fast"))
    return trained


def test_unreadable_images_are_wrong_for_both(open_page: OpenPage, home: Home, pair: Project) -> None:
    """A row counts them; the differences stay the same."""
    n = len(Predictions.load(path_of(home, "0001-fast")).labels)
    add_unreadable(home, pair, "val", 3)

    rows = measures(open_page("compare", project="portal", run="1", other="2"))

    first, second, *differences = rows["… 3 unreadable as wrong"]
    assert first.startswith(f"{n - 2}/{n + 3} = ")
    assert second.startswith(f"{n - 3}/{n + 3} = ")
    assert differences == rows["Exact match"][2:]


def test_no_unreadable_image_adds_no_row(open_page: OpenPage, pair: Project) -> None:
    """Nothing is added where there is none."""
    rows = measures(open_page("compare", project="portal", run="1", other="2"))

    assert not [title for title in rows if "unreadable" in title]


def texts(elements: object) -> str:
    return " | ".join(element.value for element in elements).replace("\\", "")  # type: ignore[attr-defined]


def measures(app: AppTest) -> dict[str, list[str]]:
    table = app.dataframe[0].value
    return {row[0]: list(row[1:]) for row in table.to_numpy().tolist()}


def test_two_runs_side_by_side(open_page: OpenPage, home: Home, pair: Project) -> None:
    """Counts with interval, the paired test and its sentence. The address names the runs by number."""
    app = open_page("compare", project="portal", run="1", other="2")

    assert not app.exception
    n = len(Predictions.load(path_of(home, "0001-fast")).labels)
    ends = binomtest(n - 2, n).proportion_ci(0.95, "exact")
    rows = measures(app)
    assert rows["Exact match"][0] == f"{n - 2}/{n} = {(n - 2) / n:.1%} ({ends.low:.1%} to {ends.high:.1%})"
    assert rows["Exact match"][1].startswith(f"{n - 3}/{n} = ")
    assert rows["Exact match"][2:] == ["2", "1", "1"]
    assert rows["Position 1"][0].startswith(f"{n}/{n} = 100.0%")
    assert rows["Position 2"][2:] == ["2", "1", "1"]
    assert rows["Log loss"][0] == f"{-(np.log(0.7) * (3 * n - 2) + np.log(0.1) * 2) / (3 * n):.4f}"
    assert f"not significant. Of {n} images, 2 are right only with 0001-fast and 1 only with 0002-fast" in texts(
        app.markdown
    )
    assert [app.session_state["run"], app.session_state["other"]] == ["0001-fast", "0002-fast"]


def test_the_images_on_which_two_runs_differ(open_page: OpenPage, home: Home, pair: Project) -> None:
    """Each list shows its count, both readings and a link to the label."""
    labels = Predictions.load(path_of(home, "0001-fast")).labels
    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast")

    lists = app.segmented_control(key="list")
    assert lists.options == [
        "Only 0001-fast right (2)",
        "Only 0002-fast right (1)",
        "Both wrong, different readings (0)",
        "Both wrong, same reading (1)",
    ]
    shown = texts(app.caption)
    assert f"Label: {labels[2]}" in shown
    assert f"Label: {labels[3]}" in shown
    assert len(app.main.get("page_link")) == 2

    app = lists.set_value("same").run()
    assert f"Label: {labels[1]}" in texts(app.caption)
    assert "the label may be wrong" in texts(app.caption)
    app = app.segmented_control(key="list").set_value("differently").run()
    assert not app.exception
    assert "No images" in texts(app.caption)


def test_a_run_evaluated_without_tta_is_marked(open_page: OpenPage, home: Home, pair: Project) -> None:
    """The rows with TTA show its results without TTA."""
    path = path_of(home, "0002-fast")
    found = Predictions.load(path)
    log_probs_VNPC = np.array(found.log_probs_VNPC[:1])
    replace(found, views=found.views[:1], log_probs_VNPC=log_probs_VNPC, moves_V4=None, seconds_V=None).save(path)

    app = open_page("compare", project="portal", run="1", other="2")

    assert not app.exception
    plain, with_tta, *_ = app.dataframe[0].value.to_numpy().tolist()
    assert (plain[0], with_tta[0]) == ("Exact match", "… with TTA")
    assert with_tta[2] == plain[2]
    assert "0002-fast was evaluated without TTA" in texts(app.caption)
    assert "0001-fast was evaluated without TTA" not in texts(app.caption)


def test_settings_show_only_what_differs(open_page: OpenPage, pair: Project) -> None:
    """There is one row, for the learning rate. The images were the same."""
    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast", section="Settings")

    assert not app.exception
    assert app.dataframe[1].value.to_numpy().tolist() == [["Settings", "lr", "0.002", "0.001"]]
    assert "on the same images with the same labels" in texts(app.caption)


def test_curves_are_overlaid(open_page: OpenPage, pair: Project) -> None:
    """The x axis can be steps or minutes."""
    app = open_page("compare", project="portal", section="Curves", by="minutes")

    assert not app.exception
    figures = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    assert len(figures) == 2
    assert [trace["name"] for trace in figures[0]["data"]] == [
        "0002-fast, train", "0002-fast, validation", "0001-fast, train", "0001-fast, validation",
    ]  # fmt: skip
    assert figures[1]["layout"]["xaxis"]["title"]["text"] == "minutes"


def test_only_common_images_are_compared(open_page: OpenPage, home: Home, pair: Project) -> None:
    """Images of one run only and changed labels are omitted and counted."""
    found = Predictions.load(path_of(home, "0002-fast"))
    n = len(found.labels)
    labels = [found.labels[0], found.labels[1], "000" if found.labels[2] != "000" else "111", *found.labels[3:]]
    kept = slice(0, n - 1)
    replace(
        found, sha256=found.sha256[kept], labels=labels[kept], log_probs_VNPC=np.array(found.log_probs_VNPC[:, kept]),
        colors_N23=None,
    ).save(path_of(home, "0002-fast"))  # fmt: skip

    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast")

    assert not app.exception
    assert (
        f"Compared on {n - 2} images that both evaluated with the same label. Excluded: 1 only in 0001-fast, 1 with d"
        in texts(app.caption)
    )
    assert measures(app)["Exact match"][2:4] == ["1", "1"]


def test_the_test_set_is_not_used_here(open_page: OpenPage, home: Home, pair: Project) -> None:
    """Both runs need an earlier evaluation. A missing one is a sentence with a link."""
    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast", split="test")
    assert not app.exception
    assert texts(app.info).count("has not been evaluated on test yet") == 2
    assert "not been used yet" in texts(app.caption)
    shutil.copy(path_of(home, "0001-fast"), path_of(home, "0001-fast", "test"))

    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast", split="test")

    assert texts(app.info) == (
        "Run 0002-fast has not been evaluated on test yet. Every use of the test set is recorded: unlock it on the "
        "Evaluate page."
    )
    with opened(home.db) as db:
        assert evaluations.count_test_uses(db, pair.id) == 0
        assert jobs.list_jobs(db, kind="evaluate") == []


def test_one_run_is_too_few(open_page: OpenPage, trained: Project) -> None:
    """The page says so and links to Train."""
    app = open_page("compare", project="portal")

    assert not app.exception
    assert "You need two trained runs to compare" in texts(app.info)


@pytest.mark.parametrize("asked", ["0002-fast", "2"])
def test_the_other_run_is_another_one(open_page: OpenPage, pair: Project, asked: str) -> None:
    """A run is not compared with itself."""
    app = open_page("compare", project="portal", run="0002-fast", other=asked)

    assert not app.exception
    assert not app.error
    assert app.session_state["other"] == "0001-fast"


def test_choosing_the_other_run_as_the_first_turns_to_another(open_page: OpenPage, pair: Project) -> None:
    """The second box follows."""
    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast")

    app.selectbox(key="run").set_value("0002-fast").run()

    assert not app.exception
    assert not app.error
    assert app.selectbox(key="other").value == "0001-fast"


def test_damaged_predictions_are_one_sentence(open_page: OpenPage, home: Home, pair: Project) -> None:
    """The sentence is the same as on Evaluate."""
    path_of(home, "0002-fast").write_bytes(b"no archive")

    app = open_page("compare", project="portal")

    assert not app.exception
    assert texts(app.error) == "predictions-val.npz is missing or damaged. Evaluate the run again."


def test_another_project_has_other_runs(open_page: OpenPage, home: Home, pair: Project) -> None:
    """The server sets the boxes, because otherwise the browser keeps showing the former runs."""
    with opened(home.db) as db, write(db):
        first = runs.find_run(db, "0001-fast")
        assert first is not None
        second = projects.insert_project(db, "second", 3, "0123")
        for number in (3, 4):
            job = jobs.insert_job(
                db, id=f"000{number}-fast", number=number, kind="train", project_id=second.id, request_id=str(number)
            )
            jobs.set_state(db, job, "finished", final=True)
            runs.insert_run(
                db, job_id=job.id, preset="fast", config=first.config, dataset_sha256=first.dataset_sha256,
                train_n=first.train_n, val_n=first.val_n,
            )  # fmt: skip
            shutil.copytree(home.run("0001-fast"), home.run(job.id))
    app = open_page("compare", project="portal", run="1", other="2")
    app.selectbox(key="project").select("second").run()

    assert not app.exception
    boxes = [app.selectbox(key=key) for key in ("run", "other")]
    assert [box.value for box in boxes] == ["0004-fast", "0003-fast"]
    assert [box.proto.set_value for box in boxes] == [True, True]
    assert not app.error


def test_a_deep_link_is_the_first_request(open_page_first: OpenPage, pair: Project) -> None:
    """On an unused server, the page opens inside the app with its runs."""
    app = open_page_first("compare", project="portal", run="0001-fast", other="0002-fast")

    assert not app.exception
    assert [title.value for title in app.title] == ["Compare"]


def test_readings_of_images_that_need_a_label_again_are_hidden(open_page: OpenPage, home: Home, pair: Project) -> None:
    remove_labels(home, pair, "val")

    app = open_page("compare", project="portal", run="0001-fast", other="0002-fast")

    assert not app.exception
    assert "Its reading is hidden until someone labels it" in texts(app.caption)
    assert "Label:" not in texts(app.caption)
