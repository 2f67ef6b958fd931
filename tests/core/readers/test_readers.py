"""The real readers, on images that this test draws."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.bundle.reader import crop
from core.charset import TextSpec
from core.errors import CheckpointError, OptionError
from core.images.pixels import Pixels
from core.readers.decoder import NO_READING
from core.readers.readers import MAX_WIDTH, READERS, OnnxReader, Reader, available, load
from tests.helpers.repository import ROOT

FONT = ROOT / "core/images/fonts/DejaVuSerif-Bold.ttf"
NAMES = sorted(READERS)


def draw(text: str, height: int = 60) -> Pixels:
    """Draw a text as a printer would, in black on white."""
    font = ImageFont.truetype(FONT, int(height * 0.6))
    image = Image.new("RGB", (int(font.getlength(text)) + height // 2, height), "white")
    ImageDraw.Draw(image).text((height // 4, height // 6), text, "black", font)
    return np.asarray(image)


@pytest.fixture(scope="module")
def readers() -> dict[str, Reader]:
    return dict(zip(NAMES, load(NAMES), strict=True))


@pytest.fixture(params=NAMES)
def reader(request: pytest.FixtureRequest, readers: dict[str, Reader]) -> Reader:
    return readers[request.param]


def test_every_reader_is_installed_for_the_tests() -> None:
    assert available() == {"rapidocr": True, "ddddocr": True}


def test_a_reader_reads_digits_and_knows_how_sure_it_is(reader: Reader) -> None:
    texts = ["048213", "119955", "776640"]
    readings = reader.read([draw(text) for text in texts], TextSpec(6, "0123456789"))
    assert [reading.text for reading in readings] == texts
    for reading in readings:
        assert 0.5 < reading.confidence <= 1
        assert len(reading.positions) == 6
        assert all(reading.confidence <= position + 1e-9 <= 1 + 1e-9 for position in reading.positions)


@pytest.mark.parametrize(("charset", "expected"), [("ABHKRT", "HKRAT"), ("abhkrt", "hkrat")])
def test_a_charset_with_one_case_accepts_both(reader: Reader, charset: str, expected: str) -> None:
    assert reader.read([draw("HKRAT")], TextSpec(5, charset))[0].text == expected


def test_the_charset_decides_between_characters_that_look_alike(reader: Reader) -> None:
    (digits,) = reader.read([draw("10800")], TextSpec(5, "0123456789"))
    (letters,) = reader.read([draw("10800")], TextSpec(5, "IOB"))
    assert (digits.text, letters.text) == ("10800", "IOBOO")


def test_a_reader_names_its_package_and_weights(reader: Reader) -> None:
    assert reader.version.count(".") == 2
    assert len(reader.sha256) == 64
    assert isinstance(reader, OnnxReader)
    assert reader.missing(TextSpec(4, "0123456789ABCXYZ")) == ""
    assert reader.missing(TextSpec(4, "01\ua66e")) == "\ua66e"


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (60, 1), (8, 4000), (1, 4000), (2000, 2000), (500_000, 8)])
def test_images_of_any_shape_get_a_reading(reader: Reader, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    (reading,) = reader.read([noise], TextSpec(2, "01"))
    assert reading == NO_READING or len(reading.text or "") == 2


def test_a_wide_image_is_squeezed(reader: Reader) -> None:
    assert isinstance(reader, OnnxReader)
    assert reader._prepare(np.zeros((8, 4000, 3), np.uint8)).shape[3] == MAX_WIDTH


def test_images_of_different_sizes_are_read_together_as_they_are_alone(reader: Reader) -> None:
    spec = TextSpec(4, "0123456789")
    images = [draw("1234"), draw("5678", 30), draw("9012", 100), draw("3456")]
    assert reader.read(images, spec) == [reader.read([image], spec)[0] for image in images]
    assert reader.read([], spec) == []


def test_a_crop_is_read_as_the_text_alone(reader: Reader) -> None:
    text = draw("4071")
    wide = np.concatenate([text, np.full((text.shape[0], 3 * text.shape[1], 3), 255, np.uint8)], axis=1)
    cropped = crop(wide, (0.0, 0.0, 0.25, 1.0))
    assert np.array_equal(cropped, text)
    assert crop(wide, (0.0, 0.0, 1.0, 1.0)).shape == wide.shape
    spec = TextSpec(4, "0123456789")
    assert reader.read([cropped], spec) == reader.read([text], spec)
    assert reader.read([cropped], spec)[0].text == "4071"


def test_an_unknown_reader_is_refused_with_the_valid_names() -> None:
    with pytest.raises(OptionError, match=r"There is no reader 'tesseract'. The readers are rapidocr, ddddocr."):
        load(["rapidocr", "tesseract"])


def run_without(packages: list[str], code: str) -> str:
    """Run code in a process that cannot import these packages, and return its output."""
    finder = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {packages!r}: raise ModuleNotFoundError(name)\n"
    )
    hide = "import importlib.util as u; f = u.find_spec\n"
    hide += f"u.find_spec = lambda name, package=None: None if name in {packages!r} else f(name, package)\n"
    result = subprocess.run(
        [sys.executable, "-c", finder + hide + code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_without_the_extra_the_sentence_says_how_to_add_it() -> None:
    output = run_without(
        ["onnxruntime"],
        "from core.readers.readers import available, load\n"
        "print(available())\n"
        "try: load(['ddddocr'])\n"
        "except Exception as error: print(type(error).__name__, error)\n",
    )
    assert output.splitlines() == [
        "{'rapidocr': False, 'ddddocr': False}",
        'OptionError Reader ddddocr is not installed. Install it: pip install "slotlab[readers]"',
    ]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
@pytest.mark.parametrize("name", NAMES)
def test_damaged_weights_are_one_sentence(
    name: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: dict[str, Reader]
) -> None:
    other = {"rapidocr": "ddddocr", "ddddocr": "rapidocr"}[name]
    path = tmp_path / "weights.onnx"
    data = {
        "missing": None,
        "empty": b"",
        "cut": weights_of(name).read_bytes()[:100_000],
        "other": weights_of(other).read_bytes(),
    }[damage]
    if data is not None:
        path.write_bytes(data)
    monkeypatch.setattr(READERS[name], "weights", str(path))
    with pytest.raises(CheckpointError) as caught:
        load([name])
    assert str(caught.value).startswith(f"Reader {name} ")
    assert "cannot be loaded" in str(caught.value)
    assert "pip install --force-reinstall" in str(caught.value)


def weights_of(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / READERS[name].weights


QUIET = """
import sys
def refuse_network(event, args):
    if event.startswith("socket.") and event != "socket.__new__": raise SystemExit(f"network: {event} {args}")
sys.addaudithook(refuse_network)
import numpy as np
from core.charset import TextSpec
from core.readers.readers import load
for reader in load(["rapidocr", "ddddocr"]):
    reader.read([np.zeros((30, 90, 3), np.uint8)], TextSpec(2, "01"))
assert not {"rapidocr", "requests", "torch", "streamlit"} & set(sys.modules)
"""


def test_reading_prints_nothing_stores_nothing_and_asks_no_network(tmp_path: Path) -> None:
    """Onnxruntime would store a device id in the home folder and send events, unless telemetry is off."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", QUIET], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
