"""The threshold stored with a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import StorageError
from core.evaluation.acceptance import FILE, Acceptance
from core.evaluation.views import DEFAULT

RULE = Acceptance(
    step=40, tta=True, temperature=1.4, threshold=0.97, max_risk=0.01, n=400, used=380, wrong=1, risk_bound=0.0095
)  # fmt: skip


def test_a_stored_threshold_is_read_back(tmp_path: Path) -> None:
    """A new threshold replaces the old one."""
    assert Acceptance.load(tmp_path) is None

    RULE.save(tmp_path)
    RULE.save(tmp_path)

    assert Acceptance.load(tmp_path) == RULE
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_it_says_nothing_about_other_readings() -> None:
    """It does not apply to other checkpoints or views. Names of views do not matter."""
    renamed = (DEFAULT[0], replace(DEFAULT[1], name="other"), *DEFAULT[2:])
    moved = (DEFAULT[0], replace(DEFAULT[1], shift_x=-0.02), *DEFAULT[2:])

    assert RULE.applies_to(40, tta=True, views=DEFAULT)
    assert RULE.applies_to(40, tta=True, views=renamed)
    assert not RULE.applies_to(41, tta=True, views=DEFAULT)
    assert not RULE.applies_to(40, tta=False, views=DEFAULT)
    assert not RULE.applies_to(40, tta=True, views=moved)
    assert not RULE.applies_to(40, tta=True, views=DEFAULT[:-1])
    assert not RULE.applies_to(40, tta=True, views=None)
    assert replace(RULE, tta=False).applies_to(40, tta=False, views=moved)


def test_one_of_an_earlier_version_is_for_the_standard_views(tmp_path: Path) -> None:
    """Earlier versions had only the default views."""
    RULE.save(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    del values["views"]
    (tmp_path / FILE).write_text(json.dumps(values))

    assert Acceptance.load(tmp_path) == RULE


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"threshold": 1}', "null"])
def test_a_damaged_file_is_reported(tmp_path: Path, text: str) -> None:
    """A damaged threshold is an error."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(StorageError, match="Set a threshold again"):
        Acceptance.load(tmp_path)


def test_numbers_that_are_none_are_damage_too(tmp_path: Path) -> None:
    """JSON of other programs may contain NaN, and every comparison with it is false."""
    RULE.save(tmp_path)
    file = tmp_path / FILE
    file.write_text(file.read_text().replace("0.97", "NaN"))

    with pytest.raises(StorageError, match="damaged"):
        Acceptance.load(tmp_path)


@pytest.mark.parametrize("value", [None, "12", float("nan")])
@pytest.mark.parametrize("name", ["step", "max_risk", "n", "used", "wrong", "risk_bound"])
def test_numbers_that_are_only_shown_are_read_as_strictly(tmp_path: Path, name: str, value: object) -> None:
    """They would crash the page on which a new threshold is chosen."""
    RULE.save(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(values | {name: value}))

    with pytest.raises(StorageError, match="Set a threshold again"):
        Acceptance.load(tmp_path)
