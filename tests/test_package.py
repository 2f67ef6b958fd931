"""The wheel: its files, and its work outside a checkout."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import packaging.version
import pytest
from playwright.sync_api import Page, Playwright, expect

from core.cli import commands
from tests.helpers.lab import CHROMIUM, FLAGS, free_port, is_healthy
from tests.helpers.made_once import made_once
from tests.helpers.pictures import png, write_files
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEVELOPMENT = {".json", ".ts"}
"""Suffixes of files in pages/ that only the checks of the widgets read."""
LABELS = {"123456": 1, "654321": 2, "000000": 3}
"""Image number of each label."""
WHERE = """
import importlib.util, sys
print([name for name in ("app", "core", "db", "pages") if importlib.util.find_spec(name)])
from slotlab import __version__, launch
sys.argv = ["slotlab", "--version"]
try:
    launch.main()
finally:
    print(__version__, sys.modules["core"].__file__)
"""


def tracked(*paths: str) -> set[Path]:
    """Return the files that git tracks or would add, relative to the root of the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {Path(name) for name in names if (ROOT / name).is_file()}


def app_files() -> set[Path]:
    """Return the files that the installed app may read."""
    paths = tracked("app.py", ".streamlit", "core", "db", "docs", "pages")
    unused = {"pages": DEVELOPMENT, "docs": {".json", ".png", ".svg"}}
    return {path for path in paths if path.suffix not in unused.get(path.parts[0], ())}


def test_the_build_names_every_file_of_the_app() -> None:
    """A kind of file that package-data lacks is missing from the installed app."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["slotlab._tree"]
    named = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}

    assert named | {Path("app.py")} == app_files()


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["slotlab", "--version"])
    with pytest.raises(SystemExit) as end:
        commands.main()

    assert end.value.code == 0
    assert capsys.readouterr().out == f"slotlab {PROJECT['project']['version']}\n"


def test_constraints_are_names_and_versions_only() -> None:
    """Addresses and local versions such as 2.14.1+cpu would tie an install to one index."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))

    assert all(name.replace("-", "").replace("_", "").isalnum() for name in pins)
    assert all(version.replace(".", "").isalnum() for version in pins.values())
    assert {"torch", "torchvision", "streamlit", "pytest", "ruff"} <= pins.keys()


def test_the_folder_packaging_hides_no_library() -> None:
    """Torch and Streamlit import the library of this name. The folder has no `__init__.py`, so the library wins."""
    assert not Path(packaging.version.__file__).is_relative_to(ROOT / "packaging")
    assert not (ROOT / "packaging" / "__init__.py").exists()


def build(folder: Path) -> None:
    """Write an sdist of the checkout, and one wheel from the checkout and one from the sdist."""
    source = folder / "source"
    for path in tracked():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
    script = f"import setuptools.build_meta as backend; backend.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]
    subprocess.run([*pip, "--wheel-dir", folder, source], capture_output=True, check=True)
    subprocess.run([*pip, "--wheel-dir", folder / "from-sdist", sdist], capture_output=True, check=True)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout. The one built from the sdist is in from-sdist beside it."""
    (path,) = made_once(tmp_path_factory, "wheel", build).glob("*.whl")
    return path


class Installed:
    """A new environment that has the wheel, and its dependencies from the environment that runs the tests."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--no-deps", "--no-index"]
        subprocess.run([*pip, wheel], capture_output=True, check=True)
        # Python ignores the .pth files of a folder that a .pth file adds, so the editable Slotlab there is not found.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        self.env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "DISPLAY"}}
        self.env["SLOTLAB_HOME"] = str(folder / "home")

    @property
    def packages(self) -> Path:
        (path,) = self.folder.glob("venv/lib/python*/site-packages")
        return path

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program of the environment outside the checkout and return its standard output."""
        command = [self.bin / program, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def import_images(self, images: dict[str, bytes], labels: str) -> str:
        """Run an import job into project `portal`."""
        folder = write_files(self.folder / f"images-{labels}", images)
        source = ["--source", "s", "--owner", "o", "--authorization", "a"]
        return self.run("slotlab", "import", folder, "--project", "portal", *source, "--labels", labels)

    @contextmanager
    def app(self) -> Iterator[str]:
        """Serve the app on a free port; yield its address."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        log = self.folder / "app.log"
        with log.open("wb") as out:
            command = [self.bin / "slotlab", "app", "--port", str(port)]
            app = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=out, stderr=out)
        try:
            wait_until(lambda: app.poll() is not None or is_healthy(url))
            assert app.poll() is None, log.read_text()
            yield url
        finally:
            app.send_signal(signal.SIGTERM)
            app.wait(timeout=30)
        assert "Traceback" not in log.read_text()


@pytest.fixture
def installed(tmp_path: Path, wheel: Path) -> Installed:
    return Installed(tmp_path, wheel)


@pytest.fixture
def tab(playwright: Playwright) -> Iterator[Page]:
    if CHROMIUM is None and not os.environ.get("SLOTLAB_REQUIRE_BROWSER"):
        pytest.skip("there is no chromium on this machine")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
    yield browser.new_page()
    browser.close()


@pytest.mark.long
def test_the_wheel_holds_the_app_under_one_name(wheel: Path) -> None:
    """It has no tests and no benches. The wheel from the sdist has the same files."""
    launcher = {path.relative_to("packaging") for path in tracked("packaging")}
    with zipfile.ZipFile(wheel) as file:
        names = {Path(name) for name in file.namelist()}
    files = {path for path in names if path.parts[0] == "slotlab"}
    with zipfile.ZipFile(wheel.parent / "from-sdist" / wheel.name) as file:
        from_sdist = {Path(name) for name in file.namelist()}

    assert {path.parts[0] for path in names - files} == {f"slotlab-{PROJECT['project']['version']}.dist-info"}
    assert files == launcher | {"slotlab" / Path("_tree") / path for path in app_files()}
    assert from_sdist == names


@pytest.mark.long
def test_the_installed_wheel_imports_and_exports(installed: Installed) -> None:
    """Runner and worker find the modules of the wheel. Without the launcher, Python finds none of them."""
    tree = installed.packages / "slotlab" / "_tree"
    version = PROJECT["project"]["version"]
    importable, shown, where = installed.run("python", "-c", WHERE).splitlines()

    assert importable == "[]"
    assert shown == f"slotlab {version}"
    assert where == f"{version} {tree / 'core' / '__init__.py'}"
    assert "import" in installed.run("slotlab", "--help")
    assert installed.run("python", "-m", "slotlab", "--version") == f"slotlab {version}\n"

    installed.import_images({f"{label}.png": png(number) for label, number in LABELS.items()}, "filename")
    installed.run("slotlab", "export", "--project", "portal", "--out", installed.folder / "labels.csv")

    with (installed.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["filename"]: row["label"] for row in csv.DictReader(file)}
    assert rows == {f"{label}.png": label for label in LABELS}


@pytest.mark.long
def test_the_app_of_the_wheel_answers(installed: Installed) -> None:
    """Data are in SLOTLAB_HOME, not beside the modules."""
    with installed.app() as url:
        assert is_healthy(url)

    assert not (installed.packages / "slotlab" / "_tree" / "slotlab-data").exists()


@pytest.mark.long
@pytest.mark.browser
def test_the_app_of_the_wheel_shows_its_pages(installed: Installed, tab: Page) -> None:
    """Home shows the project, and the Label page loads the scripts of its widget."""
    installed.import_images({"image.png": png(4)}, "none")
    with installed.app() as url:
        tab.goto(f"{url}/?project=portal")
        expect(tab.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=30_000)
        expect(tab.get_by_test_id("stMain")).to_contain_text("portal", timeout=30_000)
        assert tab.get_by_test_id("stException").count() == 0
        tab.goto(f"{url}/label?project=portal")
        expect(tab.get_by_test_id("labeler")).to_have_attribute("data-ready", "true", timeout=30_000)


@pytest.mark.long
@pytest.mark.browser
def test_the_app_of_the_wheel_takes_the_login_of_its_folder(installed: Installed, tab: Page) -> None:
    """Settings of the login beside the data are used. Ignoring them would open the lab to everyone."""
    secrets = installed.folder / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text('[auth]\nclient_id = "slotlab"\n')
    with installed.app() as url:
        tab.goto(url)
        expect(tab.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
