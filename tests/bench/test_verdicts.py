"""The bench of the simulated portal: when it submits, and a whole cell."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cells import Bench
from bench.verdicts import QUICK, is_sure, measure
from core.bundle.reader import Reading

SURE = Reading("123456", 0.95, None, None, ())


@pytest.mark.parametrize(
    ("reading", "sure"),
    [
        (SURE, True),
        (replace(SURE, confidence=0.89), False),
        (replace(SURE, unfamiliar="The image has 98 x 39 pixels."), False),
        (replace(SURE, accepted=False), False),
        (replace(SURE, accepted=True, confidence=0.5), True),
    ],
)
def test_the_threshold_decides_and_a_fixed_confidence_without_one(reading: Reading, sure: bool) -> None:
    """An unfamiliar image is never submitted."""
    assert is_sure(reading) is sure


@pytest.mark.long
@pytest.mark.timeout(900)
def test_labels_come_from_verdicts_only(tmp_path: Path) -> None:
    """Each day adds some, every verdict is in the log, and a finished day is not lived again."""
    bench = Bench(kind="verdicts", work=tmp_path, results=tmp_path)

    result = measure(QUICK, bench)

    first, *others = result["days"]
    assert 0 < first["train"] + first["val"] < QUICK.hand  # the others are in test
    assert first["verdict"] == 0 < others[0]["verdict"] < others[1]["verdict"]
    for number, each in enumerate(result["days"]):
        day = each["day"]
        lines = [json.loads(line) for line in (bench.folder(QUICK) / f"day-{number}" / "log.jsonl").open()]
        assert sum("reading" in line for line in lines) == day["images"] >= day["submitted"] > day["right"] // 2
        assert [line["accepted"] for line in lines if "accepted" in line].count(True) == day["right"]
        assert (day["logins"], day["logins"] - day["by_person"]) == (30, day["right"])
    assert measure(QUICK, bench)["days"] == result["days"]
