"""The bundle in use: chosen, rolled back, never deleted, and shown first."""

import json
from dataclasses import replace

import pytest

from core.bundle.reader import MODEL
from core.errors import ExportError, OptionError, StorageError
from core.home import Home
from core.runs.bundle_comparison import compare_bundles
from core.runs.bundles import delete_bundle, find_bundle, list_bundles, manifest_of
from core.runs.promotions import before_present, default_run, former, promote
from db import promotions
from db.connection import opened, write
from db.records import Project
from tests.helpers.runs import add_finished
from tests.helpers.trained import RUN

PLAIN, TTA = "0001-bundle", "0002-bundle"


@pytest.mark.parametrize(
    ("promoted", "below"),
    [
        ("", ""), ("A", ""), ("AB", "A"), ("ABC", "AB"), ("ABCB", "A"), ("ABCBA", ""), ("ABA", ""), ("ABAC", "A"),
        ("ABCA", "ABC"), ("AA", ""), ("ABB", "A"), ("ABBA", ""),
    ],
)  # fmt: skip
def test_a_rollback_goes_back_one_bundle(promoted: str, below: str) -> None:
    """A second one goes back another bundle, not forward again. A kept bundle is there once."""
    assert before_present(list(promoted)) == list(below)


def test_the_run_in_use_is_shown_first_then_the_best_then_the_newest(home: Home, bundled: Project) -> None:
    """A newer run that reads less does not hide the best one."""
    with opened(home.db) as db:
        best, worst, newest = (add_finished(db, bundled, "people", correct, 10) for correct in (10, 0, None))
        names = [newest, worst, best, RUN]

        assert default_run(db, home, bundled, names) == (best, "best")
        assert default_run(db, home, bundled, [newest, worst]) == (newest, "newest")
        assert default_run(db, home, bundled, []) is None

        bundle = find_bundle(db, home, PLAIN)
        assert bundle is not None
        promote(db, bundle, operator="ann")

        assert default_run(db, home, bundled, names) == (RUN, "in use")
        assert default_run(db, home, bundled, names[:3]) == (best, "best")


def test_a_bundle_is_promoted_rolled_back_and_deleted(home: Home, bundled: Project) -> None:
    """The history says who did it. The bundle in use cannot be deleted."""
    with opened(home.db) as db:
        second, first = list_bundles(db, home, bundled)
        assert (first.job.id, first.run_id, second.job.id) == (PLAIN, RUN, TTA)
        assert former(db, home, bundled) is None
        promote(db, first, operator="ann")
        promote(db, second, operator="bob")

        with pytest.raises(OptionError, match=r"^0002-bundle is already in use\.$"):
            promote(db, second, operator="ann")
        with pytest.raises(OptionError, match=r"^0002-bundle is in use\. Use another bundle first\.$"):
            delete_bundle(db, second)
        assert former(db, home, bundled) == first
        promote(db, first, operator="ann")
        delete_bundle(db, second)

        assert [(each.job_id, each.operator) for each in promotions.list_promotions(db, bundled.id)] == [
            (PLAIN, "ann"), (TTA, "bob"), (PLAIN, "ann"),
        ]  # fmt: skip
        assert list_bundles(db, home, bundled) == [first]
        assert not second.directory.exists()
        with pytest.raises(OptionError, match=r"^The files of 0002-bundle are gone\."):
            promote(db, second, operator="ann")
        with pytest.raises(StorageError, match=r"^The files of 0002-bundle could not be deleted "):
            delete_bundle(db, second)


def test_two_bundles_are_compared_on_images_that_trained_neither(home: Home, bundled: Project) -> None:
    """The newest labeled validation images and unlabeled training images. No blind image, no test image."""
    with opened(home.db) as db:
        second, first = list_bundles(db, home, bundled)
        with write(db):
            db.execute("UPDATE samples SET state = 'unlabeled', label = NULL, kind = NULL WHERE split <> 'val'")
            db.execute(
                "UPDATE samples SET state = 'unlabeled', label = NULL, kind = NULL"
                " WHERE id = (SELECT max(id) FROM samples WHERE split = 'val')"
            )
        found = compare_bundles(db, bundled, first, second)
        same = compare_bundles(db, bundled, first, first)
        expected = db.execute("SELECT count(*) FROM samples WHERE split <> 'test'").fetchone()[0] - 1
        val = db.execute("SELECT count(*) FROM samples WHERE split = 'val'").fetchone()[0] - 1

    assert (len(found.pairs), len(found.labeled)) == (expected, val)
    assert [pair.sample.id for pair in found.pairs] == sorted((pair.sample.id for pair in found.pairs), reverse=True)
    assert (same.alike, same.fixed, same.broken, same.p) == (expected, 0, 0, 1.0)
    assert any(pair.first.confidence != pair.second.confidence for pair in found.pairs)  # the second uses TTA


def test_only_labels_tell_which_bundle_is_better(home: Home, bundled: Project) -> None:
    """Eight images that only the second reads right are evidence, and two are not."""
    with opened(home.db) as db:
        found = compare_bundles(db, bundled, *list_bundles(db, home, bundled))
    pair = found.pairs[0]
    label = pair.sample.label
    assert label is not None
    right, wrong = replace(pair.first, text=label), replace(pair.first, text=label[::-1] + "?")
    fixed = replace(pair, first=wrong, second=right)

    few, many = (replace(found, pairs=[fixed] * count) for count in (2, 8))

    assert (few.right, few.fixed, few.broken, few.p) == ((0, 2), 2, 0, 0.5)
    assert (many.fixed, many.broken, len(many.differing)) == (8, 0, 8)
    assert many.p < 0.05


def test_damaged_bundles_are_refused_with_one_sentence(home: Home, bundled: Project) -> None:
    with opened(home.db) as db:
        second, first = list_bundles(db, home, bundled)
        (first.directory / MODEL).write_bytes(b"nothing")
        with pytest.raises(ExportError, match=r"^model\.onnx of this bundle is damaged\. "):
            compare_bundles(db, bundled, first, second)
        (second.directory / "manifest.json").write_text("{")
        with pytest.raises(StorageError, match=r"^The manifest of 0002-bundle is damaged\. Make the bundle again\.$"):
            manifest_of(second)
        assert json.loads((first.directory / "manifest.json").read_text()) == manifest_of(first)
