"""Arguments that no program can use: each is one sentence and exit code 1, for every command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.importing import open_project
from core.home import Home
from db.connection import opened
from tests.helpers.command_line import Slotlab, command_here
from tests.helpers.pictures import png, write_files
from tests.helpers.repository import ROOT
from tests.helpers.rights import ordinary_rights

WHO = ("--project", "p", "--source", "mail", "--owner", "the team", "--authorization", "ticket 1")
PATHS = (
    "~nosuchuser/x", "{tmp}/loop/x", "{tmp}/" + "x" * 300, "{tmp}/caf\udce9/x", "{tmp}/locked/x", "{tmp}/fifo",
    "{tmp}/folder/nothing/x",
)  # fmt: skip
COMMANDS = {
    "import": ("import", "{}", *WHO),
    "import --labels": ("import", "{tmp}/folder", *WHO, "--labels", "{}"),
    "import --watch": ("import", "{}", *WHO, "--watch"),
    "export": ("export", "--project", "p", "--format", "jsonl", "--out", "{}"),
    "export filename": ("export", "--project", "p", "--format", "filename", "--out", "{}"),
    "report": ("report", "1", "--out", "{}"),
    "predict": ("predict", "{}", "{tmp}/folder/a.png"),
    "train": ("train", "--project", "p", "--set", "pretrained={}"),
}


@pytest.fixture
def slotlab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Slotlab]:
    """Return the command, without root's rights, beside files that it must not touch."""
    write_files(tmp_path / "folder", {"a.png": png(1)})
    write_files(tmp_path / "locked", {"x": png(2)})
    (tmp_path / "locked").chmod(0)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")
    with opened(Home(tmp_path / "home").create().db, create=True) as db:
        open_project(db, "p", 6, "0123456789")
    yield lambda *arguments: command_here(tmp_path / "home", capsys, monkeypatch, *arguments)
    (tmp_path / "locked").chmod(0o700)


def refused(done: subprocess.CompletedProcess[str]) -> None:
    """Assert one short line on stderr."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("slotlab: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 700


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_cannot_be_used_is_one_sentence(slotlab: Slotlab, tmp_path: Path, name: str) -> None:
    """No command hangs on a FIFO, and none shows a traceback or leaves a file."""
    before = outside_home(tmp_path)
    for path in PATHS:
        words = [word.replace("{}", path).replace("{tmp}", str(tmp_path)) for word in COMMANDS[name]]
        with ordinary_rights():
            refused(slotlab(*words))

    assert outside_home(tmp_path) == before


def outside_home(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if folder / "home" not in path.parents}


@pytest.mark.parametrize(
    "words",
    [("cancel", "{}"), ("resume", "{}"), ("evaluate", "{}"), ("report", "{}", "--out", "x"), ("predict", "{}", "x")],
    ids=lambda words: words[0],
)
def test_a_run_that_cannot_be_is_one_sentence(slotlab: Slotlab, words: tuple[str, ...]) -> None:
    """SQLite has integers of 64 bits, and Python reads at most 4,300 digits."""
    for number in ("9" * 30, "0" * 5000, "\N{SUPERSCRIPT TWO}", "caf\udce9", "", "1\n2", "\x1b[31m"):
        refused(slotlab(*(word.replace("{}", number) for word in words)))


@pytest.mark.parametrize("option", ["--project", "--source", "--owner", "--authorization"])
def test_a_name_that_cannot_be_stored_is_one_sentence(slotlab: Slotlab, tmp_path: Path, option: str) -> None:
    """Nothing is stored: not even the project."""
    for name in ("", " ", "x" * 100_000, "a\nb", "a\x1b[31mb", "caf\udce9", "a\0b", " a"):
        refused(slotlab("import", tmp_path / "folder", *WHO, option, name))

    with opened(Home(tmp_path / "home").db) as db:
        assert db.execute("SELECT count(*) FROM sources").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM projects").fetchone() == (1,)


@pytest.mark.parametrize(
    "project", ["0" * 300, "caf\udce9", "a\nb", "\x1b[31m"], ids=["long", "bytes", "lines", "escape"]
)
def test_a_project_that_cannot_be_is_one_sentence(slotlab: Slotlab, project: str) -> None:
    """The sentence is one short line."""
    refused(slotlab("runs", "--project", project))


@pytest.mark.parametrize(
    "words",
    [("runs",), ("import", "{tmp}/folder", *WHO), ("train", "--project", "p"), ("cancel", "1"), ("app",),
     ("demo", "--no-serve"), ("export", "--project", "p", "--out", "{tmp}/out.csv"), ("predict", "1", "x.png")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_home_that_cannot_be_used_is_one_sentence(
    slotlab: Slotlab,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    """The folder may be a file, a loop, unreadable, or a name that no folder can have."""
    (tmp_path / "file").write_text("not a folder")
    words = tuple(word.replace("{tmp}", str(tmp_path)) for word in words)
    for home in ("file", "loop/x", "locked", "locked/x", "x" * 300, "caf\udce9", "~nosuchuser/x"):
        folder = Path(home) if home.startswith("~") else tmp_path / home
        with ordinary_rights():
            refused(command_here(folder, capsys, monkeypatch, *words))


def test_a_home_below_the_users_own_folder_is_found(
    slotlab: Slotlab, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is expanded, also if no shell has done it."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert "No runs yet" in command_here(Path("~/home"), capsys, monkeypatch, "runs").stdout


def test_jobs_that_cannot_be_written_are_one_sentence(slotlab: Slotlab, tmp_path: Path) -> None:
    """The folder of the jobs is read-only, so no job has a directory. Its row says why."""
    runs = Home(tmp_path / "home").runs
    runs.chmod(0o500)

    with ordinary_rights():
        done = slotlab("import", tmp_path / "folder", *WHO, "--labels", "none")
    runs.chmod(0o700)

    refused(done)
    assert "The job's directory could not be written (Permission denied)" in done.stderr


# Standard output


def test_a_full_device_is_one_sentence(slotlab: Slotlab, tmp_path: Path) -> None:
    """/dev/full is a device that is always full."""
    with Path("/dev/full").open("wb") as full:
        done = process(tmp_path / "home", ["runs"], stdout=full)

    assert (done.returncode, done.stderr) == (1, "slotlab: Standard output: No space left on device.\n")


def test_a_reader_that_left_ends_the_command_in_silence(slotlab: Slotlab, tmp_path: Path) -> None:
    """`slotlab runs | head -0`: nobody wants more lines."""
    reading, writing = os.pipe()
    os.close(reading)
    done = process(tmp_path / "home", ["runs"], stdout=writing)
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("out", "name"), [("-", "standard output"), ("/dev/stdout", "/dev/stdout")])
def test_an_export_to_standard_output_has_its_summary_on_stderr(slotlab: Slotlab, out: str, name: str) -> None:
    """Another program reads the output."""
    done = slotlab("export", "--project", "p", "--format", "jsonl", "--out", out)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"Exported 0 images to {name}.\n")


@pytest.mark.parametrize("out", ["slotlab.db", "slotlab.db-wal", "runs/0001-fast/run.json", "backups/x.db", "link"])
def test_an_export_never_replaces_the_lab(slotlab: Slotlab, tmp_path: Path, out: str) -> None:
    """A path inside the Slotlab folder is usual, so completion in the shell offers the database."""
    home = Home(tmp_path / "home")
    before = home.db.read_bytes()
    (home.root / "link").symlink_to(home.db)

    refused(slotlab("export", "--project", "p", "--format", "jsonl", "--out", str(home.root / out)))

    assert home.db.read_bytes() == before
    assert slotlab("export", "--project", "p", "--format", "jsonl", "--out", str(home.root / "x.jsonl")).returncode == 0


def process(home: Path, words: list[str], *, stdout: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.cli", *words],
        check=False, cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(home)}, stdout=stdout, stderr=subprocess.PIPE,
        text=True, timeout=60,
    )  # type: ignore[call-overload,no-any-return]  # fmt: skip
