"""Drift of a real bundle: it reads what came after its run, and a change of the images is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.bundle.reader import FAMILIAR, SUMS
from core.errors import OptionError
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.runs import drift_worker
from core.runs.drift import KIND, UNUSED, newest_drift, sentence, start_drift
from core.runs.drift_streams import UNCLEAR, by_week, scores_of, streams_of
from core.runs.promotions import keep
from db import jobs, samples
from db.answers import Streamed
from db.connection import opened, write
from db.records import Project
from tests.helpers.drifting import come, inverted, look, new_images, use
from tests.helpers.repository import ROOT

PLAIN = "0001-bundle"


def answer(**changes: object) -> Streamed:
    """Return an answer of an image from mail."""
    fields = {
        "sha256": "a" * 64, "at": "2026-11-29T12:00:00+00:00", "text": "012", "confidence": 0.9, "accepted": 1,
        "unfamiliar": None, "distance": 0.0, "surprise": 1.0, "sample_id": 1, "source": "mail", "verdict": None,
        "reason": None, "blind": 0,
    }  # fmt: skip
    return Streamed(**fields | changes)  # type: ignore[arg-type]


def test_a_change_of_the_images_is_noticed(home: Home, bundled: Project, tmp_path: Path) -> None:
    """The alarm names the first changed image, and shows images of both sides. The bundle reads nothing twice."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "usual", new_images(60))

    before = look(home, bundled)

    assert (before.read, before.answers, before.alarms, before.has_look) == (60, 60, [], True)
    come(home, bundled, tmp_path / "changed", inverted(new_images(30, seed=2)))
    found = look(home, bundled)
    assert (found.read, found.answers, found.bundle) == (30, 90, PLAIN)
    ((source, change),) = found.alarms
    assert source == "rendered"
    assert change.images <= 30
    with opened(home.db) as db:
        stored = samples.select_samples(db, bundled.id)
        usual, changed = {each.id for each in stored[60:120]}, {each.id for each in stored[120:]}
        assert [each.sha256 for each in stored].index(change.sha256) in range(117, 123)
        assert len(set(change.before) & usual) >= 5
        assert len(set(change.since) & changed) >= 4
        (stream,) = found.streams
        assert (stream.n, max(height for *_, height in stream.curve) > 1) == (90, True)
        assert newest_drift(db, bundled) == found
    assert "of rendered" in sentence(source, change)
    assert look(home, bundled).read == 0


@pytest.mark.long
def test_a_kept_bundle_counts_from_there(home: Home, bundled: Project, tmp_path: Path) -> None:
    """The alarm is gone at once. The changed images are as usual then."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "changed", inverted(new_images(60)))
    assert len(look(home, bundled).alarms) == 1

    with opened(home.db) as db:
        with write(db):  # they came earlier
            db.execute("UPDATE samples SET created_at = '2026-01-01T00:00:00+00:00'")
            db.execute("UPDATE answers SET at = '2026-01-01T00:00:00+00:00'")
        keep(db, bundled, operator="bob")
        shown = newest_drift(db, bundled)
        db.execute("UPDATE promotions SET at = '2026-01-02T00:00:00+00:00'")
    assert shown is not None
    assert (shown.is_current, shown.alarms) == (False, [])

    come(home, bundled, tmp_path / "again", inverted(new_images(60, seed=2)))
    found = look(home, bundled)
    assert (found.is_current, found.alarms, found.streams[0].n) == (True, [], 60)
    come(home, bundled, tmp_path / "back", new_images(60, seed=3))
    ((_, change),) = look(home, bundled).alarms
    assert change.images < 60


def test_a_canceled_job_keeps_what_it_has_read(home: Home, bundled: Project, tmp_path: Path) -> None:
    """The next one reads the rest."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "new", [*new_images(64, seed=1), *new_images(64, seed=2)])
    with opened(home.db) as db:
        job = start_drift(db, home, bundled, operator="ann")
        assert start_drift(db, home, bundled, operator="ann").id == job.id
        while not db.execute("SELECT count(*) FROM answers").fetchone()[0]:
            assert control.observe(home, job.id).active
        control.cancel(db, home, job.id)
        assert control.follow(db, home, job.id, lambda _: None).state in ("canceled", "finished")
        first = db.execute("SELECT count(*) FROM answers").fetchone()[0]

        found = look(home, bundled)

    assert first >= drift_worker.BATCH
    assert (found.read, found.answers) == (2 * drift_worker.BATCH - first, 2 * drift_worker.BATCH)


def test_the_worker_needs_no_torch() -> None:
    """Its process starts within a second."""
    code = "import sys, core.runs.drift_worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_without_a_bundle_in_use_one_sentence_says_what_to_do(home: Home, bundled: Project) -> None:
    """The same if its files are gone."""
    with opened(home.db) as db:
        with pytest.raises(OptionError, match=UNUSED):
            start_drift(db, home, bundled, operator="ann")
        with pytest.raises(OptionError, match="has no bundle in use"):
            keep(db, bundled, operator="ann")
        assert newest_drift(db, bundled) is None
    use(home, PLAIN)
    shutil.rmtree(home.bundles / PLAIN)
    with opened(home.db) as db, pytest.raises(OptionError, match="The files of 0001-bundle are gone"):
        start_drift(db, home, bundled, operator="ann")


def test_a_bundle_without_a_look_shows_drift_by_confidence(home: Home, bundled: Project, tmp_path: Path) -> None:
    """Bundles of earlier versions have no familiar.npz."""
    use(home, PLAIN)
    sums = (home.bundles / PLAIN / SUMS).read_text().splitlines(keepends=True)
    (home.bundles / PLAIN / SUMS).write_text("".join(line for line in sums if FAMILIAR not in line))
    come(home, bundled, tmp_path / "changed", inverted(new_images(20)))

    found = look(home, bundled)

    assert (found.has_look, found.answers) == (False, 20)
    assert {change.score for _, change in found.alarms} <= {"confidence"}


@pytest.mark.parametrize("wrong", ["the run", "the images"])
def test_a_wrong_clock_hides_no_image(home: Home, bundled: Project, tmp_path: Path, wrong: str) -> None:
    """It was ahead when the run started, or behind when the images came."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "new", new_images(3))
    with opened(home.db) as db, write(db):
        if wrong == "the run":
            db.execute("UPDATE jobs SET created_at = '2099-01-01T00:00:00+00:00' WHERE kind = 'train'")
        else:
            db.execute("UPDATE samples SET created_at = '2020-01-01T00:00:00+00:00'")

    assert look(home, bundled).read == 3


def test_a_run_of_an_earlier_version_tells_only_when_it_started(home: Home, bundled: Project, tmp_path: Path) -> None:
    use(home, PLAIN)
    directory = JobDir(home.run("0001-fast"))
    spec = directory.spec()
    assert spec.pop("newest_sample") == 60
    directory.write("run.json", spec)
    come(home, bundled, tmp_path / "new", new_images(3))

    assert look(home, bundled).read == 3


def test_an_unreadable_image_is_left_out(home: Home, bundled: Project, tmp_path: Path) -> None:
    """One whose bytes are damaged stops nothing."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "new", new_images(3))
    with opened(home.db) as db, write(db):
        db.execute("UPDATE images SET bytes = x'00' WHERE sample_id = (SELECT max(id) FROM samples)")

    assert look(home, bundled).read == 2


def test_a_blind_image_is_neither_named_nor_shown() -> None:
    """An alarm about rejections would tell what the portal said about the first one."""
    known = [answer(sample_id=n, verdict=1) for n in range(60)]
    rejected = [answer(sample_id=n, verdict=0, sha256=f"{n:064}", blind=n % 2 == 0) for n in range(60, 90)]

    (stream,) = streams_of(rejected, known, None, [])
    (other,) = streams_of(rejected[1:], known, None, [])

    change, named = stream.change, other.change
    assert change is not None
    assert named is not None
    assert (change.score, change.sha256, named.sha256) == ("rejected", None, f"{61:064}")
    assert sentence("mail", change) == "The portal rejects more readings of images of mail since 2026-11-29."
    assert change.since
    assert all(sample_id % 2 for sample_id in change.since)


def test_a_damaged_result_counts_as_none(home: Home, bundled: Project, tmp_path: Path) -> None:
    """The page shows the one before, and the next job replaces it."""
    use(home, PLAIN)
    come(home, bundled, tmp_path / "new", new_images(3))
    before = look(home, bundled)
    look(home, bundled)
    with opened(home.db) as db:
        newest = jobs.list_jobs(db, project_id=bundled.id, kind=KIND)[0]
        for result in ("{}", "[]", '{"bundle": "0001-bundle"}', "5"):
            with write(db):
                db.execute("UPDATE jobs SET result = ? WHERE id = ?", [result, newest.id])

            assert newest_drift(db, bundled) == before


def test_the_table_counts_each_week_and_source() -> None:
    """Every share has its own number: verdicts, thresholds and readers are not there for all images."""
    answers = [
        answer(verdict=1), answer(verdict=0, accepted=0, sample_id=2, confidence=0.5),
        answer(accepted=None, unfamiliar="It is.", sample_id=3, confidence=0.7),
        answer(accepted=1, sample_id=4, confidence=0.8),
        answer(source=None, sample_id=None, at="2027-01-01T00:00:00+00:00"),
    ]  # fmt: skip

    later, first = by_week(answers, {1: "012", 2: "210"})

    assert (later.week, later.source, later.n, later.agreed) == ("2026-W53", None, 1, (0, 0))
    assert (first.week, first.source, first.n, first.confidence) == ("2026-W48", "mail", 4, 0.75)
    assert (first.accepted, first.abstained, first.unfamiliar, first.agreed) == ((1, 2), (1, 3), (1, 4), (1, 2))


def test_only_a_rejected_captcha_counts() -> None:
    """A wrong password says nothing about the reading. A portal that gives no reason may mean it."""
    verdicts = [(1, None), (0, "captcha"), (0, None), (0, "password"), (None, None)]
    scores = scores_of([answer(verdict=verdict, reason=reason) for verdict, reason in verdicts])

    assert scores["rejected"][:3].tolist() == [0, 1, 1]
    assert np.isnan(scores["rejected"][3:]).all()
    assert len(UNCLEAR) == 2


def test_a_source_with_its_own_baseline_is_not_compared_with_others() -> None:
    """A new source is compared with all of them."""
    rng = np.random.default_rng(0)
    known = [
        answer(distance=x, source=source) for source, mean in (("a", 0), ("b", 9)) for x in rng.normal(mean, 1, 99)
    ]
    answers = [
        answer(distance=x, source=source) for source, mean in (("b", 9), ("c", 20)) for x in rng.normal(mean, 1, 99)
    ]

    old, new = streams_of(answers, known, None, [])

    assert (old.source, old.change) == ("b", None)
    assert new.change is not None
    assert new.change.images < 30
    assert new.change.rank > 0.9
