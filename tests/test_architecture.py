"""The direction of imports: pages -> core -> db, with a numeric ring that knows neither screen nor storage."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMERIC = (
    "acceptance", "augment", "calibration", "charset", "checkpoint", "colors", "config", "costs", "dataset", "demo",
    "doctor", "engine", "errors", "evidence", "files", "filters", "frame", "images", "ink", "ledger", "metrics",
    "model", "predictions", "predictor", "pretrained", "probe", "ranking", "readability", "shares", "slices", "svg",
    "transforms", "tta", "views",
)  # fmt: skip
"""Strings, arrays and tensors in, dataclasses out."""
UNPICKLERS = {"pickle", "joblib", "cloudpickle", "dill"}
HEAVY = {"torch", "timm", "albumentations", "cv2"}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
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


def test_db_imports_nothing_above_it_but_the_errors() -> None:
    """The error tree is a leaf: sentences for users have one root, wherever they arise."""
    for path in python_files("db"):
        upward = {name for name in imports_of(path) if name.startswith(("core", "pages"))}

        assert {name for name in upward if not name.startswith("core.errors")} == set(), path.name


def test_core_does_not_know_the_pages_or_streamlit() -> None:
    """Everything in core runs without a browser."""
    for path in python_files("core"):
        assert not packages_of(path) & {"pages", "streamlit"}, path.name


@pytest.mark.parametrize("name", NUMERIC)
def test_the_numeric_ring_does_not_know_the_database(name: str) -> None:
    """Neither directly nor through another module of core."""
    path = ROOT / "core" / f"{name}.py"
    inner = {part.split(".")[1] for part in imports_of(path) if part.startswith("core.")}

    assert not packages_of(path) & {"db", "sqlite3", "sqlite_utils"}
    assert {module for module in inner if (ROOT / "core" / f"{module}.py").exists()} <= set(NUMERIC)


def test_only_the_connection_module_opens_a_database() -> None:
    """A second SQLite library or a shared connection on one file has lost rows in experiments."""
    opening = [path for path in python_files("core", "db", "pages") if "sqlite3" in packages_of(path)]

    assert [path.relative_to(ROOT).as_posix() for path in opening] == ["db/connection.py"]


def test_only_one_module_imports_albumentations() -> None:
    """Its last free release is archived; the day it is replaced, one file changes."""
    using = [path.name for path in python_files("core", "pages") if "albumentations" in packages_of(path)]

    assert using == ["transforms.py"]


def test_nothing_is_unpickled() -> None:
    """Checkpoints load with weights_only=True and never fall back; nothing else that could run code is read."""
    for path in [*python_files("core", "db", "pages"), ROOT / "app.py"]:
        text = path.read_text(encoding="utf-8")

        # The error of the safe loader is caught by name; nothing else of pickle may be touched.
        named = {name for name in imports_of(path) if name.split(".")[0] in UNPICKLERS}
        assert named <= {"pickle", "pickle.UnpicklingError"}, path.name
        assert "import pickle" not in text.replace("from pickle import UnpicklingError", ""), path.name
        assert "weights_only=False" not in text, path.name
        assert "allow_pickle=True" not in text, path.name
        assert "unsafe_allow_html" not in text, path.name


def test_help_runner_and_label_page_start_without_torch() -> None:
    """Torch and timm take seconds to import: only what trains or predicts pays."""
    script = (
        "import sys, core.cli, core.runner, core.jobs, core.labeling, pages.components.labeler;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"
