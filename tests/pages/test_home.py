"""The Home page: projects, next steps and the import."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.backup.backups import back_up, is_running, last
from core.charset import TextSpec
from core.data.importing import import_images, open_project, open_source
from core.data.labeling import apply_events
from core.data.managing import archive_project
from core.errors import OptionError
from core.home import Home
from core.images.pixels import encode_png
from core.jobs import control
from db.connection import opened, write
from db.jobs import list_jobs
from db.projects import find_project, insert_project, list_sources
from db.records import ACTIVE, Project
from db.samples import counts, select_samples
from tests.helpers.pictures import encoded, pixels, write_files
from tests.helpers.waiting import wait_until

OpenPage = Callable[..., AppTest]


def field(app: AppTest, label: str) -> Any:
    return next(field for field in app.main.text_input if field.label == label)


def unfold(app: AppTest, key: str) -> AppTest:
    """Open a section, whose contents are drawn only then."""
    app.session_state[key] = True
    return app.run()


def project_field(app: AppTest) -> Any:
    return next(field for field in app.main.selectbox if field.label == "Project")


def fill_in(app: AppTest, folder: Path) -> None:
    """Fill in a folder on the server, a new project and everything but the authorization."""
    app.main.segmented_control[0].set_value("Folder on the server").run()
    field(app, "Folder or zip").set_value(str(folder))
    field(app, "Project name").set_value("new portal").run()
    field(app, "Source name").set_value("login page").run()
    field(app, "Portal owner").set_value("the portal team").run()


def wait_for_import(home: Home) -> None:
    for _ in range(300):
        with opened(home.db) as db:
            control.reconcile(db, home)
            if list_jobs(db, kind="import")[0].state not in ACTIVE:
                return
        time.sleep(0.1)
    raise AssertionError("the import did not end")


def test_an_import_shows_the_outcome_of_each_file(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    """A folder has two images, a copy and a damaged file. Two are imported, and the report names the damaged one."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 96, 3), dtype=np.uint8)
        (folder / f"{index}.png").write_bytes(encode_png(pixels))
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "damaged.png").write_bytes(b"\x89PNG but no more")
    app = open_page("home")
    fill_in(app, folder)
    field(app, "Authorization reference").set_value("ticket 7").run()
    press(app, "Import ")
    assert not app.exception
    assert not app.error
    wait_for_import(home)
    app.run()

    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}.items() >= {
        ("Files", "4"), ("Imported", "2"), ("Duplicates", "1"), ("Rejected", "1"),
    }  # fmt: skip
    assert "damaged.png" in app.dataframe[0].value["name"].tolist()
    with opened(home.db) as db:
        project = find_project(db, "new portal")
        assert project is not None
        assert sum(counts(db, project.id).values()) == 2
        assert [source.authorization for source in list_sources(db, project.id)] == ["ticket 7"]


def test_an_import_without_permission_is_refused(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    """Without an authorization nothing starts, and the error says what is missing."""
    (tmp_path / "0.png").write_bytes(encode_png(np.zeros((24, 96, 3), np.uint8)))
    app = open_page("home")
    fill_in(app, tmp_path)
    press(app, "Import ")

    assert "authorization is missing" in app.error[0].value
    with opened(home.db) as db:
        assert list_jobs(db) == []


def test_all_problems_of_the_form_are_said_at_once(home: Home, open_page: OpenPage) -> None:
    """Each beside its field, until it is right."""
    app = open_page("home")
    press(app, "Import ")

    found = [error.value.replace("\\", "") for error in app.error]
    assert [sentence.split(". ")[0] for sentence in found] == [
        "There are no files to import", "The project name is missing", "The source name is missing",
        "The owner is missing", "The authorization is missing",
    ]  # fmt: skip
    field(app, "Portal owner").set_value("the portal team").run()
    assert len(app.error) == 4
    app.main.segmented_control[0].set_value("Folder on the server").run()
    assert "The folder is missing" in app.error[0].value
    with opened(home.db) as db:
        assert list_jobs(db) == []


def test_the_form_shows_how_labels_are_read(open_page: OpenPage, tmp_path: Path) -> None:
    """Before anything is written: the first rows, what is refused, and the number of files on the button."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("0.png", "1.png", "2.png"):
        (folder / name).write_bytes(b"an image")
    (folder / "labels.txt").write_text("x/0.png\t004420\nx/1.png\t4420\n")
    app = open_page("home")
    fill_in(app, folder)

    assert not app.exception
    (rows,) = [table.value for table in app.dataframe]
    assert rows["File"].tolist() == ["0.png", "1.png"]
    assert rows["Label"].tolist()[:1] == ["004420"]
    assert "leading zeros" in rows["Problem"].tolist()[1]
    assert "Import 3 files into new portal" in [button.label for button in app.button]

    (folder / "labels.txt").write_text("file;a;b\n0.png;004420;111111\n1.png;123456;222222\n")
    os.utime(folder, ns=(1, 1))
    app.run()
    assert "Choose with --label-column" in app.warning[0].value.replace("\\", "")
    field(app, "Column of the labels").set_value("b").run()
    (rows,) = [table.value for table in app.dataframe]
    assert rows["Label"].tolist() == ["111111", "222222"]


def test_a_click_right_after_the_last_key_imports_with_the_new_pattern(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:  # fmt: skip
    """The browser then sends text and click together. With the pattern drawn before, no label would be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "meter-7_123456.png").write_bytes(encode_png(np.full((24, 96, 3), 7, np.uint8)))
    app = open_page("home")
    fill_in(app, folder)
    field(app, "Authorization reference").set_value("ticket 1").run()
    field(app, "Pattern of the file names").set_value("meter-*_{label}")

    press(app, "Import ")

    assert not app.error
    wait_for_import(home)
    with opened(home.db) as db:
        assert [*db.query("SELECT label FROM samples")] == [{"label": "123456"}]


def test_a_project_shows_its_counts_and_the_next_step(open_page: OpenPage, portal: Project) -> None:
    """The card shows the counts of a project without a run."""
    app = open_page("home")

    values = {metric.label: metric.value for metric in app.metric}
    assert values["Images"] == "12"
    assert values["Labeled"] == "8 of 12"
    assert values["Newest run"] == "None yet"


def test_the_next_step_comes_first(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Another run is the next step once labels have grown by half. Before, it is a look at the errors."""

    def steps() -> list[str]:
        labels = [link.proto.label for link in open_page("home").get("page_link")]
        return [label for label in labels if label.startswith(("Train with", "View"))]

    assert steps() == ["View errors"]
    with opened(home.db) as db, write(db):
        db.execute("UPDATE runs SET train_n = 10")
    assert steps() == ["Train with 39 new labels", "View errors"]


def test_a_project_without_images_leads_to_the_import(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The link names the project, whose address opens the form. Another project keeps it folded."""
    with opened(home.db) as db, write(db):
        insert_project(db, "emptied", 6, "0123456789")
    app = open_page("home", project=portal.name)
    (link,) = [link for link in app.get("page_link") if link.proto.label == "Import images"]
    form = next(expander for expander in app.expander if expander.label == "Import images")
    assert link.proto.query_string == "project=emptied"
    assert not form.proto.expanded

    app = open_page("home", project="emptied")
    assert next(expander for expander in app.expander if expander.label == "Import images").proto.expanded


def test_one_character_and_one_image_are_singular(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(encode_png(np.zeros((24, 96, 3), np.uint8)))
    with opened(home.db, create=True) as db:
        project = open_project(db, "short", 1, "01")
        source = open_source(db, project, "mail", "the team", "ticket 1")
        import_images(db, project, source, tmp_path, "none", operator="Ann", on_progress=lambda *_: None)

    app = open_page("home")

    assert "1 character, 01" in [each.value for each in app.caption]
    assert "Label 1 image" in [each.proto.label for each in app.main.get("page_link")]


def test_a_watched_folder_shows_its_numbers_until_canceled(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    """Its numbers grow, and Cancel ends it with its report. It is not listed as the last import before."""
    folder = tmp_path / "images"
    folder.mkdir()
    app = open_page("home")
    fill_in(app, folder)
    field(app, "Authorization reference").set_value("ticket 7").run()
    next(box for box in app.main.checkbox if box.label == "Keep watching this folder").check().run()
    press(app, "Import ")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 96, 3), dtype=np.uint8)
    (folder / "0.png").write_bytes(encode_png(pixels))
    for _ in range(300):
        app.run()
        if {metric.label: metric.value for metric in app.metric}.get("Imported") == "1":
            break
        time.sleep(0.1)
    assert "Watched folder" in [expander.label for expander in app.expander]
    assert "Last import, into new portal" not in [expander.label for expander in app.expander]
    assert any("Project new portal" in caption.value for caption in app.caption)

    press(app, "Cancel")
    wait_for_import(home)
    app.run()

    assert not app.exception
    with opened(home.db) as db:
        assert list_jobs(db)[0].state == "finished"
    assert "Last import, into new portal" in [expander.label for expander in app.expander]
    assert {metric.label: metric.value for metric in app.metric}["Imported"] == "1"


def test_a_watched_folder_cannot_have_a_csv(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    """The error says how to use one."""
    app = open_page("home")
    fill_in(app, tmp_path)
    field(app, "Authorization reference").set_value("ticket 7").run()
    next(box for box in app.main.checkbox if box.label == "Keep watching this folder").check().run()
    next(box for box in app.main.selectbox if box.label == "Labels").set_value("csv").run()
    press(app, "Import ")

    assert "To use a table, import without watching" in app.error[0].value
    with opened(home.db) as db:
        assert list_jobs(db) == []


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label.startswith(label)).click().run()


def test_the_import_form_follows_the_project_of_the_sidebar(home: Home, open_page: OpenPage) -> None:
    """Otherwise images of one portal could be filed under another, with the permission of its owner."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "portal", 6, "0123456789")
        insert_project(db, "second", 4, "0123456789")

    app = open_page("home", project="second")
    assert project_field(app).value == "second"
    assert "Import images into second" in [button.label for button in app.button]

    app.sidebar.selectbox(key="project").set_value("portal").run()
    assert project_field(app).value == "portal"
    assert "Import images into portal" in [button.label for button in app.button]


def test_a_folded_form_is_drawn_from_its_first_opening_on(open_page: OpenPage, portal: Project) -> None:
    """Home opens faster without it. Folding it again keeps the chosen files."""
    key = "import form, folded"
    app = open_page("home", project=portal.name)
    assert not [button for button in app.button if button.label.startswith("Import images")]
    unfold(app, key)
    app.session_state[key] = False
    app.run()
    assert [button.label for button in app.button if button.label.startswith("Import")] == ["Import images into portal"]


# Export


def test_labels_can_be_downloaded_in_the_formats_of_the_command(open_page: OpenPage, portal: Project) -> None:
    """The file is made on request. The button has its name and the number of images."""
    app = unfold(open_page("home"), "export form")
    assert not app.get("download_button")
    for form, title in (("csv", "labels.csv (8 images)"), ("jsonl", "labels.jsonl (12 images)")):
        next(box for box in app.main.selectbox if box.label == "Format").set_value(form).run()
        press(app, "Prepare export")

        assert not app.exception
        assert [each.proto.label for each in app.get("download_button")] == [f"Download {title}"]


def test_an_export_without_labels_says_so(home: Home, open_page: OpenPage) -> None:
    """The sentence is that of the command line."""
    with opened(home.db, create=True) as db, write(db):
        insert_project(db, "empty", 6, "0123456789")
    app = unfold(open_page("home"), "export form")
    press(app, "Prepare export")

    assert "Project empty has no labels yet" in app.error[0].value
    assert not app.get("download_button")


# Backups


def test_a_backup_is_made_in_the_background(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The button starts it; the line then says what it holds."""
    app = open_page("home")
    assert "No backup yet. The app makes one each day." in [caption.value for caption in app.caption]

    app.button(key="back up now").click().run()
    wait_until(lambda: last(home).good is not None and not is_running(home))
    app.run()

    assert "Last backup just now: 12 images, 8 labels, verified." in [caption.value for caption in app.caption]
    assert not app.error


def test_an_old_or_failed_backup_is_red(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The sentence has the reason and the age of the last good one."""
    back_up(home)
    values = json.loads((home.backups / "last.json").read_text())
    values["good"]["at"] = "2020-01-01T00:00:00+00:00"
    (home.backups / "last.json").write_text(json.dumps(values))

    (error,) = open_page("home").error
    assert error.value.startswith("The last backup is ")

    values["failure"] = {"reason": "The disk is full.", "at": "2020-01-02T00:00:00+00:00"}
    (home.backups / "last.json").write_text(json.dumps(values))

    (error,) = open_page("home").error
    assert error.value.startswith("The last backup failed\\. The disk is full\\. The last good one is ")


def test_pages_wait_while_a_backup_is_restored(home: Home, open_page: OpenPage, portal: Project) -> None:
    """A label saved meanwhile could be lost."""
    number = os.open(home.app_lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(number, fcntl.LOCK_EX)

    (error,) = open_page("home").error
    assert error.value.startswith("A backup is being restored")
    os.close(number)
    assert not open_page("home").error


@pytest.mark.parametrize("length", [40, 0])
def test_a_length_out_of_range_is_refused(home: Home, open_page: OpenPage, tmp_path: Path, length: int) -> None:
    """The sentence is that of the command line, and nothing is imported."""
    app = open_page("home")
    fill_in(app, tmp_path)
    field(app, "Authorization reference").set_value("ticket 7").run()
    box = next(each for each in app.number_input if each.label == "Text length")
    assert (box.min, box.max) == (None, None)  # else the browser would keep the number before
    box.set_value(length).run()
    press(app, "Import ")

    assert not app.exception
    with pytest.raises(OptionError) as refusal:
        TextSpec(length, "0123456789")
    assert [each.value.replace("\\", "") for each in app.error] == [str(refusal.value)]
    with opened(home.db) as db:
        assert find_project(db, "new portal") is None
        assert not list_jobs(db, kind="import")


def test_skipped_images_count_among_all(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The Label page counts so, too."""
    with opened(home.db) as db:
        sample = select_samples(db, portal.id, state="unlabeled")[0]
        event = {"event": "e1", "action": "skip", "sample": sample.sha256, "base": 0, "flag": "unreadable"}
        apply_events(db, portal, "Ann", [event])

    app = open_page("home")

    assert {metric.label: metric.value for metric in app.metric}["Labeled"] == "8 of 12"


def test_a_lab_with_only_archived_projects_says_so(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The switch shows them, and the other pages lead to it."""
    with opened(home.db) as db:
        archive_project(db, portal, archived=True)
    app = open_page("home")

    assert [info.value for info in app.main.info] == ["The only project is archived."]
    assert not app.main.subheader
    app.toggle(key="archived").set_value(True).run()
    assert [title.value for title in app.main.subheader][:1] == [r"portal \(archived\)"]

    app = open_page("samples")
    assert [info.value for info in app.main.info] == ["The only project is archived."]
    (link,) = app.main.get("page_link")
    assert (link.proto.page, link.proto.query_string) == ("", "archived=true")


def test_a_frame_of_an_animation_can_be_chosen(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    """A word that is not a frame is named beside its field."""
    frames = [Image.fromarray(pixels(number)) for number in range(3)]
    write_files(tmp_path / "photos", {"a.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])})
    app = open_page("home")
    fill_in(app, tmp_path / "photos")
    field(app, "Authorization reference").set_value("ticket 1").run()
    field(app, "Frame of animations").set_value("2nd").run()
    app.button(key="import start").click().run()

    assert any("'2nd' is not a frame" in error.value.replace("\\", "") for error in app.main.error)
    field(app, "Frame of animations").set_value("last").run()
    app.button(key="import start").click().run()
    with opened(home.db) as db:
        (job,) = list_jobs(db)
    assert control.spec(home, job.id)["frame"] == "last"


def test_the_form_warns_of_images_unlike_those_of_the_project(
    open_page: OpenPage, portal: Project, tmp_path: Path
) -> None:  # fmt: skip
    """One warning before the click. A new project takes them without it."""
    folder = write_files(tmp_path / "photos", {"a.png": encode_png(pixels(0, 60, 24)), "notes.pdf": b"a note"})
    app = unfold(open_page("home", project=portal.name), "import form, folded")
    app.main.segmented_control[0].set_value("Folder on the server").run()
    field(app, "Folder or zip").set_value(str(folder)).run()

    (warning,) = [element.value.replace("\\", "") for element in app.main.warning]
    assert warning.startswith("The images have 60 x 24 pixels, those of project portal 96 x 24 pixels.")
    button = next(button for button in app.button if button.label == "Import 2 files into portal")
    assert not button.disabled

    next(box for box in app.main.checkbox if box.label == "New project").check().run()
    assert not app.main.warning
