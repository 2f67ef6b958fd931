"""A new project from an old one: labels that fit, recipes, owner and authorization."""

import pytest
from sqlite_utils import Database

from core.backup.check import check
from core.data.copying import Copied, copy_project, originals_of
from core.data.labeling import apply_events
from core.errors import OptionError
from core.home import Home
from core.runs import recipes
from db import labels, projects, samples
from db.connection import write
from db.records import Project
from tests.helpers.contents import contents
from tests.helpers.labs import add_images, label


@pytest.fixture
def labeled(db: Database, project: Project) -> Project:
    """Six digits, four images: 000001, 000012, 000123, and one without a label; a recipe that is the default."""
    first, second, third, _ = add_images(db, project, 4)
    for sha256, number in ((first, 1), (second, 12), (third, 123)):
        label(db, project, sha256, number)
    saved = recipes.save(db, project, "soft", {"blur": {"p": 0.1}}, operator="ann")
    recipes.set_default(db, project, recipes.title(saved), operator="ann")
    return project


@pytest.mark.parametrize(
    ("length", "charset", "taken"),
    [(None, None, 3), (None, "0123456789abcdef", 3), (None, "012", 2), (5, None, 0), (7, "01", 0)],
)
def test_labels_that_fit_are_taken_over(
    home: Home, db: Database, labeled: Project, length: int | None, charset: str | None, taken: int
) -> None:
    """Every image comes with owner, authorization and split; the old project is unchanged."""
    before = samples.select_samples(db, labeled.id)

    new, copied = copy_project(db, labeled, "new", length=length, charset=charset, operator="ben")

    assert copied == Copied(images=4, labels=taken, misfits=3 - taken, recipes=1)
    assert (new.length, new.charset) == (length or 6, charset or "0123456789")
    (source,) = projects.list_sources(db, new.id)
    assert (source.name, source.owner, source.authorization) == ("noise", "the team", "ticket 1")
    found = samples.select_samples(db, new.id)
    assert [(each.sha256, each.split, each.name) for each in found] == [
        (each.sha256, each.split, each.name) for each in before
    ]
    given = [(each.label, each.operator, each.kind) for each in found if each.label]
    assert given == [(each.label, "Ann", "person") for each in before if each.label][:taken]
    assert recipes.default_title(db, new) == "soft@1"
    assert samples.select_samples(db, labeled.id) == before
    assert check(home).problems == []


def test_a_second_copy_adds_nothing(db: Database, labeled: Project) -> None:
    """So an interrupted copy is finished by repeating it. Another length is refused."""
    new, _ = copy_project(db, labeled, "new", charset="012", operator="ben")
    before = contents(db.conn)

    assert copy_project(db, labeled, "new", charset="012", operator="ben") == (
        new, Copied(duplicates=4, misfits=1),
    )  # fmt: skip
    assert contents(db.conn) == before
    with pytest.raises(OptionError, match="Project new has length 6"):
        copy_project(db, labeled, "new", length=4, operator="ben")
    with pytest.raises(OptionError, match="needs another name"):
        copy_project(db, labeled, "portal", operator="ben")


def test_a_disputed_label_is_not_taken_over(db: Database, labeled: Project) -> None:
    """Its image needs a label in the new project: a copy has no opinions."""
    sample = samples.select_samples(db, labeled.id, state="labeled")[0]
    doubt = {"event": "doubt", "action": "doubt", "sample": sample.sha256, "base": sample.version}
    apply_events(db, labeled, "Ben", [doubt], origin="review")

    new, copied = copy_project(db, labeled, "new", operator="ben")

    assert (copied.labels, copied.disputed) == (2, 1)
    found = samples.find_sample(db, new.id, sample.sha256)
    assert found is not None
    assert (found.state, labels.events_of(db, found.id)) == ("unlabeled", [])


def test_skips_are_taken_over(home: Home, db: Database, labeled: Project) -> None:
    """Each with its reason, as one event of its operator that is not counted as work of today. A repeat adds none."""
    hashes = add_images(db, labeled, 4)
    flags = [None, "unreadable", "not_ours"]
    skips = [
        {"event": f"skip {sha256}", "action": "skip", "flag": flag, "sample": sha256, "base": 0}
        for sha256, flag in zip(hashes, [*flags, None], strict=True)
    ]
    apply_events(db, labeled, "Ben", skips)
    doubt = {"event": "doubt", "action": "second", "text": "000001", "sample": hashes[3], "base": 1}
    apply_events(db, labeled, "Ann", [doubt])

    new, copied = copy_project(db, labeled, "new", operator="cleo")

    assert copied == Copied(images=8, labels=3, disputed=1, skips=3, recipes=1)
    assert "; 3 skips taken over; " in copied.sentence
    skipped = samples.select_samples(db, new.id, state="skipped")
    assert [(each.sha256, each.flag, each.operator) for each in skipped] == [
        (sha256, flag, "Ben") for sha256, flag in zip(hashes, flags, strict=False)
    ]
    assert {event.action for each in skipped for event in labels.events_of(db, each.id)} == {"import"}
    assert copy_project(db, labeled, "new", operator="cleo")[1] == Copied(duplicates=8, disputed=1)
    assert check(home).problems == []


def test_a_skip_that_conflicts_with_a_label_is_counted(db: Database, labeled: Project) -> None:
    """Someone labeled the image before the copy was repeated."""
    last = samples.select_samples(db, labeled.id, state="unlabeled")[0]
    apply_events(db, labeled, "Ben", [{"event": "skip", "action": "skip", "sample": last.sha256, "base": 0}])
    with write(db):
        unfinished = projects.insert_project(db, "new", 6, "0123456789")
    hashes = add_images(db, unfinished, 4)
    label(db, unfinished, last.sha256, 7)

    _, copied = copy_project(db, labeled, "new", operator="ben")

    assert hashes[-1] == last.sha256
    assert (copied.skips, copied.conflicts) == (0, 1)


def test_an_image_keeps_its_id_in_no_other_project(db: Database, labeled: Project) -> None:
    """A deletion of one project cannot touch the other."""
    new, _ = copy_project(db, labeled, "new", operator="ben")

    ids = [{sample.id for sample in samples.select_samples(db, each.id)} for each in (labeled, new)]
    assert not ids[0] & ids[1]
    with write(db):
        assert db.execute("SELECT count(*) FROM images").fetchone() == (8,)


def test_a_copy_does_not_mix_with_another_project(db: Database, labeled: Project) -> None:
    """A mistyped name of a project with the same length and charset changes nothing there."""
    with write(db):
        other = projects.insert_project(db, "other", 6, "0123456789")
    add_images(db, other, 5)  # the last one is in no other project
    before = contents(db.conn)

    with pytest.raises(OptionError, match=r"Project other has 1 image that portal lacks, so it is not a copy of it\."):
        copy_project(db, labeled, "other", operator="ben")

    assert contents(db.conn) == before


def test_a_label_that_conflicts_with_one_of_an_unfinished_copy_is_counted(db: Database, labeled: Project) -> None:
    """Someone labeled an image there before the copy was repeated."""
    with write(db):
        unfinished = projects.insert_project(db, "new", 6, "0123456789")
    first, *_ = add_images(db, unfinished, 1)
    label(db, unfinished, first, 7)

    _, copied = copy_project(db, labeled, "new", operator="ben")

    assert copied == Copied(images=3, duplicates=1, labels=2, conflicts=1, recipes=1)


def test_the_original_is_known_by_its_first_images(db: Database, labeled: Project) -> None:
    """Later imports change nothing. A project with other images has none, nor one without any."""
    with write(db):
        other = projects.insert_project(db, "other", 3, "0123456789")
    new, _ = copy_project(db, labeled, "new", operator="ben")
    newest, _ = copy_project(db, new, "newest", operator="ben")
    add_images(db, newest, 7)

    assert list(originals_of(db, newest)) == [new, labeled]
    assert list(originals_of(db, labeled)) == []
    assert list(originals_of(db, other)) == []
    with write(db):
        source = projects.insert_source(db, other.id, "other", "the team", "ticket 2")
        samples.insert_sample(
            db, project_id=other.id, source_id=source.id, sha256="f" * 64, name="other.png", width=1, height=1,
            split="train", image=b"",
        )  # fmt: skip
    assert list(originals_of(db, other)) == []
