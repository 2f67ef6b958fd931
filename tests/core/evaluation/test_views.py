"""Views: their limits, and the TTA settings of a run."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import OptionError, StorageError
from core.evaluation.views import (
    DEFAULT,
    FILE,
    ORIGINAL,
    WITHOUT_RUN,
    View,
    ViewChoice,
    check_views,
    choice_of,
    fingerprint,
    from_dicts,
    move_image,
    to_dicts,
)

LEFT = View("left", shift_x=-0.05)


def test_the_standard_views_are_a_set_that_is_allowed() -> None:
    """They are far from turning a 6 into a 9."""
    assert check_views(DEFAULT) == DEFAULT
    assert all(abs(view.degrees) <= 5 and 0.9 <= view.zoom <= 1.1 for view in DEFAULT)


@pytest.mark.parametrize(
    ("views", "sentence"),
    [
        ([], "0 views are not allowed. Use 1 to 16"),
        ([ORIGINAL, *(View(f"{place}", zoom=1 + place / 100) for place in range(1, 17))], "17 views are not allowed"),
        ([LEFT, ORIGINAL], "The first view, 'left', moves the image"),
        ([ORIGINAL, replace(LEFT, name="as it is")], "Two views are named 'as it is'"),
        ([ORIGINAL, View("nothing")], "'as it is' and 'nothing' are identical"),
        ([ORIGINAL, LEFT, replace(LEFT, name="west")], "'left' and 'west' are identical"),
        ([ORIGINAL, replace(LEFT, name=" ")], "View 2 has no name"),
        ([ORIGINAL, replace(LEFT, name="a" * 41)], "at most 40 characters"),
        ([ORIGINAL, replace(LEFT, name="a\nb")], "must be printable"),
        ([ORIGINAL, View("far", shift_x=0.11)], "shifts by 11.0% of the width. The limit is 10%"),
        ([ORIGINAL, View("far", shift_y=-0.2)], "shifts by -20.0% of the height. The limit is 10%"),
        ([ORIGINAL, View("tiny", zoom=0.5)], "zooms to 50%. Use 80% to 125%"),
        ([ORIGINAL, View("huge", zoom=1.26)], "zooms to 126%"),
        ([ORIGINAL, View("mirrored", zoom=-1)], "zooms to -100%"),
        ([ORIGINAL, View("over", degrees=180)], "turns by 180 degrees. The limit is 10"),
        ([ORIGINAL, View("none", degrees=math.nan)], "needs a number for degrees"),
        ([ORIGINAL, View("text", zoom="1")], "needs a number for zoom"),  # type: ignore[arg-type]
        ([ORIGINAL, View("bool", shift_x=True)], "needs a number for shift_x"),
        ([ORIGINAL, View(7, zoom=1.1)], "View 2 has no name"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_bad_set_is_one_sentence(views: list[View], sentence: str) -> None:
    """It names the view and the limit."""
    with pytest.raises(OptionError, match=sentence) as refused:
        check_views(views)

    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("values", [None, {}, [1], [{}], [{"name": "as it is", "flip": True}], []])
def test_json_that_holds_no_views_is_refused(values: Any) -> None:
    """A view cannot flip the image."""
    with pytest.raises(OptionError):
        from_dicts(values)


def test_views_come_back_from_json_as_they_were() -> None:
    """Missing keys have no effect."""
    assert from_dicts(json.loads(json.dumps(to_dicts(DEFAULT)))) == DEFAULT
    assert from_dicts([{"name": "as it is"}, {"name": "left", "shift_x": -0.05}]) == (ORIGINAL, LEFT)


def test_a_fingerprint_ignores_names_and_order() -> None:
    """TTA does not depend on names or order."""
    assert fingerprint([ORIGINAL, LEFT]) == fingerprint([replace(LEFT, name="west"), ORIGINAL])
    assert fingerprint([ORIGINAL, LEFT]) != fingerprint([ORIGINAL])
    assert fingerprint([ORIGINAL, View("a", zoom=1)]) == fingerprint([ORIGINAL, View("a", zoom=1.0)])
    assert fingerprint([ORIGINAL, View("a", 0.0, 0.05)]) == fingerprint([ORIGINAL, View("a", -0.0, 0.05)])


def test_a_view_moves_the_picture_as_it_says() -> None:
    """Positive shifts go right and down. The original view returns the same array."""
    image = np.zeros((20, 100, 3), dtype=np.uint8)
    image[5, 40] = 200

    moved = move_image(image, View("", shift_x=0.1, shift_y=0.1))

    assert moved[7, 50].tolist() == [200] * 3
    assert int(moved.sum()) == 600
    assert move_image(image, ORIGINAL) is image


def test_the_choice_of_a_run_is_read_back(tmp_path: Path) -> None:
    """The default is the default views, not used."""
    assert choice_of(tmp_path) == ViewChoice(views=DEFAULT, use=False)
    assert choice_of(None) == WITHOUT_RUN
    assert check_views(WITHOUT_RUN.views) == WITHOUT_RUN.views

    made = ViewChoice(views=(ORIGINAL, LEFT), use=True, by="ada", n=610, fixed=9, broken=1, p=0.02, step=400)
    made.save(tmp_path)

    assert ViewChoice.load(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"views": []}', '{"views": [{"name": "as it is"}], "use": 1}',
     '{"views": [{"name": "as it is"}], "p": NaN}', '{"views": [{"name": "as it is", "zoom": 2}]}',
     '{"views": [{"name": "as it is"}], "wings": 2}'],
)  # fmt: skip
def test_a_damaged_choice_is_reported(tmp_path: Path, text: str) -> None:
    """A damaged file is an error."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(StorageError, match="Choose its views again"):
        choice_of(tmp_path)


def test_a_choice_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """This happens if the run's directory was deleted."""
    with pytest.raises(StorageError, match="views of the run could not be saved"):
        ViewChoice().save(tmp_path / "gone")


def test_views_are_known_without_torch() -> None:
    """The page that edits them opens without torch."""
    modules = "core.evaluation.views, core.evaluation.tta_effect, core.evaluation.predictions"
    script = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
