"""A run has one result on val, and all pages and commands show the same."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.charset import spec_of
from core.cli.commands import _run_line, _run_record
from core.home import Home
from db import evaluations, jobs, runs
from db.connection import opened, write
from db.records import Project
from tests.helpers.trained import RUN, stored

OpenPage = Callable[..., AppTest]
EVALUATION = "0002-evaluate"


@pytest.fixture
def corrected(home: Home, trained: Project) -> tuple[int, int]:
    """Evaluate the run of `trained` after all labels of val were corrected to what it reads. Return right and all."""
    before, spec = stored(home), spec_of(trained)
    read_NP = before.reading(spec, tta=False).predicted_NP
    after = replace(before, labels=[spec.decode(read_P) for read_P in read_NP])
    n = len(after.labels)
    with opened(home.db) as db, write(db):
        job = jobs.insert_job(
            db, id=EVALUATION, number=2, kind="evaluate", project_id=trained.id, request_id="evaluation"
        )
        evaluations.insert_evaluation(
            db, run_id=RUN, job_id=job.id, split="val", tta=False, n=n, correct=n, result="{}"
        )
        jobs.set_state(db, job, "finished", result="{}", final=True)
    home.run(EVALUATION).mkdir()
    after.save(home.run(EVALUATION) / "predictions-val.npz")
    assert int(before.reading(spec, tta=False).right_N.sum()) < n
    return n, n


def test_a_newer_evaluation_is_the_number_of_all_pages(
    home: Home, open_page: OpenPage, trained: Project, corrected: tuple[int, int]
) -> None:
    """Home and Train say which evaluation it is."""
    correct, n = corrected

    app = open_page("evaluate", project=trained.name, run="1")
    assert any(caption.value.startswith(f"{correct} of {n}, ") for caption in app.caption)

    app = open_page("home", project=trained.name)
    assert [metric.value for metric in app.metric][-1] == f"{correct} of {n}"
    assert any(caption.value.endswith(f"{RUN}, evaluation {EVALUATION}") for caption in app.caption)

    app = open_page("train", project=trained.name, run="1")
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown[f"Exact match ({EVALUATION})"].startswith(f"{correct}/{n} = ")
    assert "Exact match with TTA" not in shown  # it was measured on the labels before
    table = app.dataframe[-1].value
    assert table["Exact match on validation (95% interval)"][0].startswith(f"{correct}/{n} = ")

    with opened(home.db) as db:
        run = runs.find_run(db, RUN)
        assert run is not None
        record = _run_record(db, run)
    assert (record["val_correct"], record["val_n"], record["evaluation"]) == (correct, n, EVALUATION)
    assert f"{correct}/{n} = " in _run_line(record)


def test_a_result_with_tta_says_so(open_page: OpenPage, trained: Project) -> None:
    """The same run shows another number with TTA."""
    app = open_page("evaluate", project=trained.name, run="1", tta="true")

    assert "Exact match on val, with TTA" in [metric.label for metric in app.metric]
