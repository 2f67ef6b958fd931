"""Shapes of results: those of real jobs fit, and damaged ones do not."""

import json
from typing import Any

import pytest

from core.data.importing import Report
from core.home import Home
from core.jobs.results import check_result
from db import jobs
from db.connection import opened
from db.records import Project

FOLDS = {"n": 20, "correct": 19}
ROUND = {"run": "0001-fast", "accepted": 3, "proved": 0, "next_run": None, "rare": []}
READER = {"name": "ddddocr", "version": "1.5", "sha256": "ab"}
PROPOSE = {
    "readers": [READER, READER], "images": 9, "usable": True, "verdict": "They agree.", "unread": [0, 1],
    "by_position": [1.0, None], "by_character": {"1": [3, 4]}, "confusions": [["1", "7", 2]],
}  # fmt: skip
BUNDLE = {
    "n": 18, "largest_difference": 1e-6, "bytes": 2_000_000, "int8_bytes": None, "int8_changed": 1, "settings": {},
}  # fmt: skip
EVALUATE = {"n": 10, "correct": 9, "tta": True, "per_position": [1, 0.9]}
RESULTS: dict[str, dict[str, Any]] = {
    "import": Report(files=2, rejected=1, reasons=[{"name": "a.png", "reason": "It is empty."}]).to_dict(),
    "train": {"val": {"correct": 5}},
    "evaluate": EVALUATE, "propose": PROPOSE, "round": ROUND, "folds": FOLDS, "bundle": BUNDLE,
}  # fmt: skip


@pytest.mark.parametrize("kind", RESULTS)
def test_a_whole_result_fits(kind: str) -> None:
    check_result(kind, json.loads(json.dumps(RESULTS[kind])))


def test_results_of_real_jobs_fit(home: Home, bundled: Project) -> None:
    """An import, a run and two bundles. So a shape asks for nothing that a worker does not write."""
    with opened(home.db) as db:
        made = [job for job in jobs.list_jobs(db, project_id=bundled.id) if job.result]

    for job in made:
        check_result(job.kind, json.loads(job.result or ""))
    assert {job.kind for job in made} >= {"train", "bundle"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((kind, {next(iter(result)): None}) for kind, result in RESULTS.items() if kind != "round"),
        *((kind, {next(iter(result)): [7]}) for kind, result in RESULTS.items()),
        ("round", {"run": None}),
        ("import", {"reasons": [{"name": "a.png"}]}),
        ("propose", {"readers": [READER | {"version": 1}]}),
        ("propose", {"by_character": {"1": [3]}}),
        ("propose", {"by_position": ["high"]}),
        ("bundle", {"bytes": 10**400}),
        ("bundle", {"largest_difference": float("nan")}),
        ("bundle", {"settings": []}),
    ],
)
def test_a_damaged_result_does_not_fit(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"not the result of a job of kind {kind}"):
        check_result(kind, RESULTS[kind] | change)


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_without_one_of_its_values_does_not_fit(kind: str) -> None:
    name = next(iter(RESULTS[kind]))
    with pytest.raises(ValueError, match="not the result"):
        check_result(kind, {key: value for key, value in RESULTS[kind].items() if key != name})
