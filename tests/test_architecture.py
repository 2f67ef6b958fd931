"""Rules that the import contract in pyproject.toml cannot express: file access, and starting without torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repository import ROOT

UNPICKLERS = {"pickle", "joblib", "cloudpickle", "dill"}
HEAVY = {"torch", "timm", "albumentations", "cv2"}
FOLDERS = ("core", "db", "pages", "bench", "packaging")


def imports_of(path: Path) -> set[str]:
    """Return every module that a file imports, at any level."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def packages_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", python_files(*FOLDERS), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_and_every_room_states_its_purpose(path: Path) -> None:
    """The first line of the docstring is a sentence. A room has it in `__init__.py`."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring
    assert docstring.split("\n\n")[0].rstrip().endswith((".", ":"))
    # Streamlit treats every file directly in pages as a page.
    assert (path.parent / "__init__.py").exists() or path.parent == ROOT / "pages"


def test_core_has_at_most_twelve_rooms() -> None:
    """Twelve rooms are easy to survey. Merge two before adding a thirteenth."""
    assert len([path for path in (ROOT / "core").iterdir() if (path / "__init__.py").exists()]) <= 12


def test_only_the_connection_module_opens_a_database() -> None:
    """In experiments, a second SQLite library or a shared connection on one file lost rows.

    db.backup opens files as they are, to copy and verify them. db.integrity only names an error of SQLite.
    """
    imports = re.compile(r"^ *(import|from) .*\b(py)?sqlite3\b", re.MULTILINE)
    opening = [path for path in python_files("core", "db", "pages") if imports.search(path.read_text("utf-8"))]

    # db.damage and db.integrity check connections and open none.
    assert [path.relative_to(ROOT).as_posix() for path in opening] == [
        "db/backup.py", "db/connection.py", "db/damage.py", "db/integrity.py", "db/sqlite.py",
    ]  # fmt: skip


def test_only_one_module_imports_sqlite_utils() -> None:
    """It imports it without pandas."""
    using = [path.name for path in python_files("core", "db", "pages") if "sqlite_utils" in packages_of(path)]

    assert using == ["sqlite.py"]


def test_only_one_module_imports_albumentations() -> None:
    """Its last free release is archived. Replacing it must change only one file."""
    using = [path.name for path in python_files("core", "pages") if "albumentations" in packages_of(path)]

    assert using == ["augmenter.py"]


def test_nothing_is_unpickled() -> None:
    """Checkpoints load with weights_only=True without a fallback. Nothing else that can run code is read."""
    for path in [*python_files("core", "db", "pages"), ROOT / "app.py"]:
        text = path.read_text(encoding="utf-8")

        # Only the safe loader's error may be imported from pickle.
        named = {name for name in imports_of(path) if name.split(".")[0] in UNPICKLERS}
        assert named <= {"pickle", "pickle.UnpicklingError"}, path.name
        assert "import pickle" not in text.replace("from pickle import UnpicklingError", ""), path.name
        assert "weights_only=False" not in text, path.name
        assert "allow_pickle=True" not in text, path.name
        assert "unsafe_allow_html" not in text, path.name


def test_help_runner_and_label_page_start_without_torch() -> None:
    """Torch and timm take seconds to import, so only training and prediction import them. A command needs no pandas."""
    modules = "core.cli.commands core.jobs.runner core.jobs.control core.runs.start core.data.labeling"
    script = (
        f"import sys, {', '.join(modules.split())}; assert 'pandas' not in sys.modules;"
        "import pandas, pages.components.widgets.labeler.server;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"
