"""The retry loop of the guide, with a bundle and a simulated portal."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.bundle.reader import load
from core.images.pixels import encode_png
from tests.helpers import bundling, toy
from tests.helpers.repository import ROOT

LogIn = Callable[..., bool]
Make = Callable[[float | None], LogIn]


class Portal:
    """A portal that shows images of the toy portal, some of them damaged, and counts the texts that it gets."""

    def __init__(self, *, takes: bool) -> None:
        self.rng = np.random.default_rng(5)
        self.takes = takes
        self.shown = 0
        self.submitted: list[str] = []

    def new_image(self) -> bytes:
        self.shown += 1
        return b"" if self.shown % 5 == 0 else encode_png(toy.draw("x|", self.rng))

    def submit(self, text: str) -> tuple[bool, str | None]:
        self.submitted.append(text)
        return self.takes, None if self.takes else "captcha"


@pytest.fixture
def log_in(toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return the function of the guide, made with a bundle that has this threshold."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guide/bundle.md").read_text(encoding="utf-8"), re.DOTALL)

    def made(threshold: float | None) -> LogIn:
        bundle = shutil.copytree(toy_bundle, tmp_path / "bundle")
        bundling.change_manifest(bundle, threshold=threshold)
        monkeypatch.syspath_prepend(bundle)
        monkeypatch.chdir(tmp_path)  # of the log
        names: dict[str, Any] = {}
        exec(code, names)
        function: LogIn = names["log_in"]
        return function

    yield made
    sys.modules.pop("reader", None)


def middle(toy_bundle: Path) -> float:
    """Return a confidence that about half of the portal's images reach."""
    reader, portal = load(toy_bundle), Portal(takes=True)
    images = [image for image in (portal.new_image() for _ in range(20)) if image]
    return float(np.median([reader.read(image).confidence for image in images]))


def test_it_asks_for_new_images_until_one_is_accepted(log_in: Make, toy_bundle: Path) -> None:
    """Doubtful and damaged images are never submitted."""
    portal = Portal(takes=True)
    reader, threshold = load(toy_bundle), middle(toy_bundle)

    assert log_in(threshold)(portal.new_image, portal.submit)

    assert len(portal.submitted) == 1
    again = Portal(takes=True)
    confidences = [reader.read(image).confidence for image in (again.new_image() for _ in range(portal.shown)) if image]
    assert [value >= threshold for value in confidences] == [False] * (len(confidences) - 1) + [True]


def test_it_stops_before_the_portal_locks_the_login(log_in: Make, tmp_path: Path) -> None:
    """It uses two of three tries, and logs what the portal said about each."""
    portal = Portal(takes=False)

    assert not log_in(0.0)(portal.new_image, portal.submit, lockout=3)

    assert len(portal.submitted) == 2
    lines = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    verdicts = [(line["text"], line["accepted"], line["reason"]) for line in lines if "accepted" in line]
    assert verdicts == [(text, False, "captcha") for text in portal.submitted]
    assert [line["id"] for line in lines if "reading" in line] == [line["id"] for line in lines if "accepted" in line]


def test_it_gives_up_after_so_many_images(log_in: Make) -> None:
    """Without a threshold and a confidence, it submits nothing."""
    portal = Portal(takes=True)

    assert not log_in(None)(portal.new_image, portal.submit, images=7)

    assert (portal.shown, portal.submitted) == (7, [])


def test_a_confidence_stands_in_for_the_threshold(log_in: Make, toy_bundle: Path) -> None:
    """Readings that reach it are submitted, and no others."""
    portal, sure = Portal(takes=True), middle(toy_bundle)

    assert log_in(None)(portal.new_image, portal.submit, sure=sure)

    again, reader = Portal(takes=True), load(toy_bundle)
    confidences = [reader.read(image).confidence for image in (again.new_image() for _ in range(portal.shown)) if image]
    assert [value >= sure for value in confidences] == [False] * (len(confidences) - 1) + [True]
