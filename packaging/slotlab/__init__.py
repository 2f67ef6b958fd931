"""Slotlab as an installed package. It holds the app's modules, which import each other as `core`, `db` and `pages`."""

from importlib.metadata import version

__version__ = version("slotlab")
