"""Pages are opened as a user opens them: through app.py, on a Slotlab folder of their own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home
from core.images import encode_png
from core.ingest import import_images, open_project, open_source
from db.connection import opened
from db.records import Project

APP = Path(__file__).parents[2] / "app.py"
OpenPage = Callable[..., AppTest]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty Slotlab folder, which the pages use."""
    monkeypatch.setenv("SLOTLAB_HOME", str(tmp_path / "home"))
    return Home.from_env().create()


@pytest.fixture
def open_page(home: Home) -> OpenPage:
    """Open a page by its name, with the query of its address as keywords."""

    def opened_page(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=30).switch_page(f"pages/{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened_page


@pytest.fixture
def portal(home: Home, tmp_path: Path) -> Project:
    """A project of twelve small images; the first eight are labelled by their file names."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 96, 3), dtype=np.uint8)
        label = f"{index:06}"
        (folder / (f"{label}.png" if index < 8 else f"image {index}.png")).write_bytes(encode_png(pixels))
    with opened(home.db, create=True) as db:
        project = open_project(db, "portal", 6, "0123456789")
        source = open_source(db, project, "portal images", "the team", "ticket 1")
        import_images(db, project, source, folder, "filename", operator="import", on_progress=lambda *_: None)
    return project
