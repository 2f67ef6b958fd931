"""Pages opened as a user opens them: through app.py, with a separate Slotlab folder."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core.data.importing import import_images, open_project, open_source
from core.home import Home
from core.images.pixels import encode_png
from db.connection import opened
from db.records import Project
from tests.helpers.made_once import made_once
from tests.helpers.repository import APP

OpenPage = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def packages_scanned_once() -> Iterator[None]:
    """Each AppTest reads the metadata of all installed packages, which was two thirds of the time of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty Slotlab folder, which the pages use."""
    monkeypatch.setenv("SLOTLAB_HOME", str(tmp_path / "home"))
    return Home.from_env().create()


@pytest.fixture
def open_page_first(home: Home) -> OpenPage:
    """Open a page by name on an unused server. Keywords are the query of the address."""

    def opened_page(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=30).switch_page(f"pages/{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened_page


@pytest.fixture
def open_page(open_page_first: OpenPage, monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Open a page by name. Keywords are the query of the address.

    AppTest starts each run like a new server, which runs the page's file without app.py and loses entered values. A
    real server does so for its first request only, so this fixture acts as if that request had happened.
    """
    start = PagesManager.__init__

    def start_used(manager: PagesManager, *args: Any, **keywords: Any) -> None:
        start(manager, *args, **keywords)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", start_used)
    return open_page_first


def make_portal(root: Path) -> None:
    folder = root / "images"
    folder.mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 96, 3), dtype=np.uint8)
        label = f"{index:06}"
        (folder / (f"{label}.png" if index < 8 else f"image {index}.png")).write_bytes(encode_png(pixels))
    with opened(Home(root).create().db, create=True) as db:
        project = open_project(db, "portal", 6, "0123456789")
        source = open_source(db, project, "portal images", "the team", "ticket 1")
        import_images(db, project, source, folder, "filename", operator="import", on_progress=lambda *_: None)
    shutil.rmtree(folder)


@pytest.fixture
def portal(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of twelve small images; the first eight are labeled by their file names."""
    shutil.copytree(made_once(tmp_path_factory, "portal", make_portal), home.root, dirs_exist_ok=True)
    with opened(home.db) as db:
        return open_project(db, "portal", None, None)
