"""Pages are opened as a user opens them: through app.py, on a Slotlab folder of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.home import Home

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
        app = AppTest.from_file(APP, default_timeout=30)
        if name != "home":
            app.switch_page(f"pages/{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened_page
