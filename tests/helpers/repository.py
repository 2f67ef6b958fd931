"""Paths of the code under test."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
