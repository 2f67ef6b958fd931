"""`slotlab bundle` with the real worker: a folder and a zip, what is refused, and which bundle is in use."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from core.bundle.reader import load
from core.home import Home
from core.images.renderer import samples
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.trained import RUN


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """The command in this process. The worker is a process of its own."""
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.mark.usefixtures("trained")
def test_a_bundle_and_its_zip_read_images(home: Home, slotlab: Slotlab, tmp_path: Path) -> None:
    """Both hold the same files. Predict gives the same texts, without the bundle's folder inside the Slotlab folder."""
    out, file = tmp_path / "new" / "bundle", tmp_path / "bundle.zip"
    image = tmp_path / "image.png"
    image.write_bytes(next(samples(1, seed=7, length=3, charset="0123"))[2])

    done = slotlab("bundle", RUN, "--out", out, "--zip", file, "--json")

    record = json.loads(done.stdout)
    assert (done.returncode, record["run"], record["path"], record["zip"]) == (0, RUN, str(out), str(file))
    assert record["largest_difference"] <= 1e-4
    assert record["bytes"] == (out / "model.onnx").stat().st_size
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
    predicted = json.loads(slotlab("predict", RUN, image, "--json").stdout)
    assert load(out).read(image).text == load(unpacked).read(image).text == predicted["text"]
    assert slotlab("cancel", record["job"]).returncode == 0  # it is a job like the others
    again = slotlab("bundle", RUN, "--out", out)
    refused(again, f"The folder {out} is not empty. Give the name of a new one.")


@pytest.mark.usefixtures("trained")
def test_a_wrong_place_is_refused_before_the_job_starts(home: Home, slotlab: Slotlab, tmp_path: Path) -> None:
    """No job is left behind."""
    before = sorted(path.name for path in home.runs.iterdir())
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")

    refused(slotlab("bundle", RUN, "--out", tmp_path / "full"), "is not empty. Give the name of a new one.")
    refused(slotlab("bundle", RUN, "--out", tmp_path / "file"), "is not a folder. Give the name of a new one.")
    refused(slotlab("bundle", RUN, "--out", home.bundles / "x"), "belongs to the Slotlab folder")
    refused(slotlab("bundle", RUN, "--out", tmp_path / "x", "--zip", home.db), "belongs to the Slotlab folder")
    for taken in ("file", "full"):
        zip_file = tmp_path / taken
        refused(
            slotlab("bundle", RUN, "--out", tmp_path / "x", "--zip", zip_file), "exists already. Give the name of a"
        )
    refused(slotlab("bundle", "77", "--out", tmp_path / "x"), "There is no run or job '77'.")
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in home.runs.iterdir()) == before


@pytest.mark.usefixtures("bundled")
def test_a_bundle_is_promoted_and_listed(home: Home, slotlab: Slotlab) -> None:
    """The list says which one is in use, and which one its run has outgrown."""
    listed = json.loads(slotlab("models", "--project", "portal", "--json").stdout)
    assert [(each["bundle"], each["in_use"], each["is_current"]) for each in listed] == [
        ("0002-bundle", False, True), ("0001-bundle", False, False),
    ]  # fmt: skip
    assert listed[0]["val"]["n"] > 0

    done = slotlab("promote", "1", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"bundle": "0001-bundle", "run": RUN})
    lines = slotlab("models", "--project", "portal").stdout.splitlines()
    assert lines[1].startswith(f"0001-bundle  {RUN}  val ")
    assert lines[1].endswith("  in use  outdated")
    refused(slotlab("promote", "1"), "0001-bundle is already in use.")
    refused(slotlab("promote", RUN), f"{RUN} is not a bundle. `slotlab models` lists the bundles.")
    (home.bundles / "0002-bundle" / "manifest.json").write_text("[]")
    assert slotlab("models", "--project", "portal").stdout.splitlines()[0] == f"0002-bundle  {RUN}  damaged"
    assert json.loads(slotlab("models", "--project", "portal", "--json").stdout)[0]["val"] is None
    for path in (home.bundles / "0002-bundle").iterdir():
        path.unlink()
    (home.bundles / "0002-bundle").rmdir()
    gone = "The files of {} are gone. Use another bundle, or make it again."
    refused(slotlab("promote", "2"), gone.format("0002-bundle"))
    shutil.rmtree(home.bundles / "0001-bundle")
    listed = slotlab("models", "--project", "portal")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", gone.format("0001-bundle") + "\n")
    refused(slotlab("drift", "--project", "portal"), gone.format("0001-bundle"))


@pytest.mark.usefixtures("trained")
def test_a_project_without_bundles_says_so(slotlab: Slotlab) -> None:
    assert slotlab("models", "--project", "portal").stdout == "No bundles yet.\n"
