"""The Evaluate page, on a run of two steps made by the real worker."""

from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from core import jobs
from core.home import Home
from core.labeling import apply_events
from core.predictions import Predictions
from db.connection import opened
from db.evaluations import count_test_openings
from db.jobs import list_jobs
from db.records import Project
from db.samples import find_sample

OpenPage = Callable[..., AppTest]


def stored(home: Home) -> Predictions:
    return Predictions.load(home.run("0001-fast") / "predictions-val.npz")


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_a_project_without_runs_points_to_training(open_page: OpenPage, portal: Project) -> None:
    """Without a saved model there is nothing to evaluate, and the page says where to get one."""
    app = open_page("evaluate", project=portal.name)

    assert not app.exception
    assert "No run" in app.info[0].value


def test_numbers_stand_with_their_n_and_interval(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Exact match is shown as k of n with its 95% interval, and each position as k of n."""
    app = open_page("evaluate", project=trained.name, run="1")

    n = len(stored(home).labels)
    metric = next(metric for metric in app.metric if metric.label == "Exact match on val")
    assert not app.exception
    assert metric.value.endswith(f" of {n}")
    assert any("% to " in caption.value for caption in app.caption)
    assert [f"of {n}" in line.value for line in app.markdown if line.value.startswith("**Position")] == [True] * 3
    assert len(app.get("plotly_chart")) == 3


def test_views_change_is_counted(open_page: OpenPage, trained: Project) -> None:
    """With test-time augmentation on, the page says what the views mended and broke."""
    app = open_page("evaluate", project=trained.name, tta="true")

    assert not app.exception
    assert "Changed by the views" in [metric.label for metric in app.metric]


def test_errors_are_shown_with_their_images(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Each wrong answer stands with its image, what was read, and the way to its label."""
    app = open_page("evaluate", project=trained.name)

    wrong = len(stored(home).reading(jobs_spec(trained), tta=False).wrong())
    assert len(app.image) == min(wrong, 24)
    assert sum("red-background" in line.value for line in app.markdown) == min(wrong, 24)


def jobs_spec(project: Project) -> Any:
    from core.labeling import spec_of

    return spec_of(project)


def test_changed_labels_are_pointed_out(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Numbers made with labels that have changed since say so."""
    found = stored(home)
    with opened(home.db) as db:
        sample = find_sample(db, trained.id, found.sha256[0])
        assert sample is not None
        other = "".join("0" if char != "0" else "1" for char in found.labels[0])
        event = {
            "event": "e1", "action": "label", "sample": sample.sha256, "text": other, "base": sample.version,
        }  # fmt: skip
        apply_events(db, trained, "dana", [event])

    app = open_page("evaluate", project=trained.name)

    assert "1 of these labels" in app.warning[0].value


def test_the_test_split_is_opened_on_purpose_only(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Looking at test asks for a tick before its button works; then the opening is counted and shown."""
    app = open_page("evaluate", project=trained.name, split="test")
    button = next(button for button in app.button if button.label == "Evaluate on test")
    assert button.disabled
    assert "opened 0 times" in app.caption[0].value

    app.checkbox[0].check().run()
    press(app, "Evaluate on test")
    assert not app.exception
    with opened(home.db) as db:
        assert count_test_openings(db, trained.id) == 1
        job = list_jobs(db, kind="evaluate")[0]
        assert jobs.follow(db, home, job.id, lambda _: None).state == "finished"
    app.run()

    assert not app.exception
    assert "opened 1 time" in app.caption[0].value
    assert "Exact match on test" in [metric.label for metric in app.metric]


def test_a_damaged_result_is_one_sentence(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A torn predictions file is named; no traceback."""
    (home.run("0001-fast") / "predictions-val.npz").write_bytes(b"torn")

    app = open_page("evaluate", project=trained.name)

    assert not app.exception
    assert "evaluate the run again" in app.error[0].value
