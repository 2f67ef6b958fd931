"""`slotlab project`, `source` and `run` as scripts use them."""

import json
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.home import Home, default_operator
from db import projects, removals, runs, samples
from db.connection import write
from db.records import Project
from db.removals import Counts
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.labs import add_images, label
from tests.helpers.runs import add_finished


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.fixture
def labeled(db: Database, project: Project) -> Project:
    """Two images of the source `noise`, one with the label 000123, and a run."""
    first, _ = add_images(db, project, 2)
    label(db, project, first, 123)
    add_finished(db, project, "people", 5, 10)
    return project


def test_projects_are_described_archived_renamed_and_listed(slotlab: Slotlab, labeled: Project) -> None:
    """An archived project is only in the list of archived ones, and keeps its name for other commands."""
    slotlab("project", "describe", "portal", "--note", "two fonts", "--tags", "june, mail")
    assert slotlab("project", "list").stdout == "portal           2 images, 1 label  [june, mail]  two fonts\n"

    assert slotlab("project", "archive", "portal").stdout == "Project portal is archived.\n"
    assert slotlab("project", "list").stdout == "No projects yet. Import images to create one.\n"
    (record,) = json.loads(slotlab("project", "list", "--archived", "--json").stdout)
    assert (record["images"], record["labels"], record["runs"], record["tags"]) == (2, 1, 1, ["june", "mail"])
    assert slotlab("source", "list", "--project", "portal").stdout == (
        "noise            2 images, 1 label  the team, ticket 1\n"
    )
    slotlab("project", "unarchive", "portal")

    done = slotlab("project", "rename", "portal", "mail", "--json")
    assert json.loads(done.stdout) == {"project": "mail", "former": "portal"}
    refused(slotlab("project", "rename", "portal", "x"), "There is no project 'portal'; it was renamed to mail.")
    refused(slotlab("runs", "--project", "portal"), "There is no project 'portal'; it was renamed to mail.")
    refused(slotlab("runs", "--project", "post"), "There is no project 'post'; choose from mail.")


def test_a_project_is_deleted_only_with_its_name(slotlab: Slotlab, home: Home, db: Database, labeled: Project) -> None:
    """Without a terminal, the command counts and asks for the option. A second call of a deletion says so."""
    refused(
        slotlab("project", "delete", "portal"),
        "This deletes project portal, with 2 images, 1 label and 1 run. Nothing is deleted yet. To do it, add "
        "--confirm 'portal'.",
    )
    refused(slotlab("project", "delete", "portal", "--confirm", "p"), "Type the name of project portal; you typed 'p'.")
    assert samples.count_samples(db, labeled.id) == 2

    done = slotlab("project", "delete", "portal", "--confirm", "portal", "--json")

    result = json.loads(done.stdout)
    assert (result["deleted"], result["name"], result["images"], result["runs"]) == ("project", "portal", 2, 1)
    assert Path(result["backup"]).exists()
    assert projects.list_projects(db) == []
    refused(slotlab("project", "delete", "portal"), "There is no project 'portal'; import images first.")


def test_a_second_call_finishes_a_deletion_that_was_killed(slotlab: Slotlab, home: Home, db: Database) -> None:
    """The rows are gone, and only the folder is left."""
    (home.runs / "0007-fast").mkdir()
    with write(db):
        removals.insert_removal(
            db, kind="run", project="portal", name="0007-fast", counts=Counts(), folders=["runs/0007-fast"],
            backup=None, operator="ann",
        )  # fmt: skip

    assert slotlab("run", "delete", "7").stdout == "Deleted run 0007-fast.\n"
    assert not (home.runs / "0007-fast").exists()
    refused(slotlab("run", "delete", "7"), "There is no run or job '7'")


def test_a_project_without_sources_says_so(slotlab: Slotlab, db: Database, labeled: Project) -> None:
    with write(db):
        projects.insert_project(db, "empty", 6, "0123456789")

    assert slotlab("source", "list", "--project", "empty").stdout == (
        "Project empty has no sources yet. Import images to create one.\n"
    )


def test_a_run_is_deleted_by_its_number(slotlab: Slotlab, labeled: Project) -> None:
    """Train asks for the number too. The whole id is accepted as well."""
    refused(slotlab("run", "delete", "1"), "Nothing is deleted yet. To do it, add --confirm 1.")
    refused(slotlab("run", "delete", "1", "--confirm", "2"), "Type the number of run 0001-fast; you typed '2'.")
    assert slotlab("run", "delete", "1", "--confirm", "1").stdout == "Deleted run 0001-fast.\n"


def test_a_source_of_another_size_moves_with_a_warning(slotlab: Slotlab, db: Database, labeled: Project) -> None:
    """It is that of an import. A project without images says nothing."""
    with write(db):
        first, second = (projects.insert_project(db, name, 6, "0123456789") for name in ("first", "second"))
        source = projects.insert_source(db, second.id, "mail", "the team", "ticket 1")
        samples.insert_sample(
            db, project_id=second.id, source_id=source.id, sha256="f" * 64, name="f.png", width=152, height=42,
            split="train", image=b"",
        )  # fmt: skip

    assert slotlab("source", "move", "noise", "--project", "portal", "--to", first.name).stderr == ""
    assert slotlab("source", "move", "noise", "--project", "first", "--to", second.name).stderr == (
        "Warning: The images have 96 x 24 pixels, those of project second 152 x 42 pixels. Use another project "
        "if they are of another portal.\n"
    )


def test_sources_are_renamed_moved_and_deleted(slotlab: Slotlab, db: Database, labeled: Project) -> None:
    with write(db):
        projects.insert_project(db, "other", 6, "0123456789")

    assert slotlab("source", "rename", "noise", "june", "--project", "portal").stdout == "Source noise is now june.\n"
    assert slotlab("source", "move", "june", "--project", "portal", "--to", "other").stdout == (
        "Moved 2 images of june to other.\n"
    )
    refused(slotlab("source", "delete", "june", "--project", "portal"), "Project portal has no source 'june'")
    refused(
        slotlab("source", "delete", "june", "--project", "other"),
        "This deletes source june, with 2 images and 1 label. Nothing is deleted yet.",
    )
    done = slotlab("source", "delete", "june", "--project", "other", "--confirm", "june")
    assert done.stdout.startswith("Deleted source june, with 2 images and 1 label. The backup ")
    assert db.execute("SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM labels)").fetchone() == (0, 0)


def test_runs_are_named_listed_and_deleted(slotlab: Slotlab, db: Database, labeled: Project) -> None:
    """The name stands in the list of runs, and the number stays the address."""
    done = slotlab("run", "describe", "1", "--name", "wide crop", "--tags", "best")
    assert done.stdout == "0001-fast  wide crop  [best]\n"
    (record,) = json.loads(slotlab("runs", "--json").stdout)
    assert (record["run"], record["name"], record["tags"]) == ("0001-fast", "wide crop", ["best"])
    assert "'wide crop'" in slotlab("runs").stdout

    refused(slotlab("run", "delete", "1"), "This deletes run 0001-fast. Nothing is deleted yet.")
    assert slotlab("run", "delete", "1", "--confirm", "0001-fast").stdout == "Deleted run 0001-fast.\n"
    assert runs.list_runs(db) == []


def test_a_copy_names_the_run_to_begin_from(slotlab: Slotlab, home: Home, db: Database, labeled: Project) -> None:
    """It has weights, which a run with another length or charset can start from."""
    assert "Next" not in slotlab("project", "copy", "portal", "longer", "--charset", "0123456789abc").stdout
    (home.run("0001-fast") / "checkpoints").mkdir(parents=True)

    done = slotlab("project", "copy", "portal", "short", "--length", "4")

    assert done.stdout == (
        "short: 2 images; 0 labels taken over, 1 not fitting, 0 disputed, 0 in conflict; 0 skips taken over; "
        "0 recipe versions, 0 tags, 0 saved filters.\n"
        "Next: slotlab train --project short --set init=0001-fast\n"
    )


def test_images_are_tagged_by_filters(slotlab: Slotlab, labeled: Project, tmp_path: Path) -> None:
    """Filters can be combined. The tags are listed with their images, and choose what is exported."""
    assert slotlab("project", "tag", "portal").stdout == "No tags yet.\n"
    assert slotlab("project", "tag", "portal", "Blurry").stdout == "Tagged 2 images: Blurry.\n"
    unlabeled = ("--state", "unlabeled", "--source", "noise")
    done = slotlab("project", "tag", "portal", "blurry", "--remove", *unlabeled, "--json")
    assert json.loads(done.stdout) == {
        "project": "portal", "tag": "Blurry", "changed": 1, "unchanged": 0, "added": False,
    }  # fmt: skip
    slotlab("project", "tag", "portal", "sharp", "--tagged", "BLURRY")
    assert json.loads(slotlab("project", "tag", "portal", "--json").stdout) == {
        "project": "portal", "tags": {"Blurry": 1, "sharp": 1},
    }  # fmt: skip

    out = tmp_path / "out.jsonl"
    done = slotlab("export", "--project", "portal", "--format", "jsonl", "--tag", "blurry", "--out", str(out))
    assert done.stdout == f"Exported 1 image to {out}.\n"
    exported = json.loads(out.read_text())
    assert (exported["tags"], exported["tagged_by"]) == ("Blurry,sharp", f"{default_operator()},{default_operator()}")

    refused(slotlab("project", "tag", "portal", "x", "--state", "done"), "There is no state 'done'. Choose from all, "
            "unlabeled, labeled, not checked, checked, disputed, skipped, skipped for later, unreadable, "
            "not from this portal.")  # fmt: skip
    refused(slotlab("project", "tag", "portal", "x", "--search", "zzz"), "No image is chosen, so nothing was tagged.")
