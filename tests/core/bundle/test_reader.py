"""The input of the network as the file of a bundle prepares it, compared with torch's, and its bad inputs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.bundle import reader
from core.bundle.reader import UnreadableImageError, crop, ink, move, pixels_of, resize, to_input
from core.evaluation.views import DEFAULT, View
from core.images.pixels import encode_png
from core.model.network import ink_normalize
from core.model.network import to_input as torch_input
from core.model.tta import apply_view
from tests.helpers.repository import ROOT


@pytest.fixture
def images() -> np.ndarray:
    """Noise of an odd size, where an offset of half a pixel would show."""
    return np.random.default_rng(0).integers(0, 256, (3, 31, 96, 3), dtype=np.uint8)


def test_the_input_equals_that_of_torch(images: np.ndarray) -> None:
    """Bit for bit."""
    expected_B3HW = torch_input(images, torch.device("cpu"), torch.contiguous_format).numpy()

    assert np.array_equal(to_input(images), expected_B3HW)


@pytest.mark.parametrize("view", [*DEFAULT, View("all", 0.07, -0.1, 0.8, 10), View("other", -0.1, 0.03, 1.25, -9)])
def test_views_equal_those_of_torch(images: np.ndarray, view: View) -> None:
    """Within 1e-5 of the range of a pixel."""
    images_B3HW = to_input(images)
    expected_B3HW = apply_view(torch.from_numpy(images_B3HW), view).numpy()

    assert np.abs(move(images_B3HW, view.geometry) - expected_B3HW).max() <= 1e-5


def test_ink_equals_that_of_torch(images: np.ndarray) -> None:
    """Also for an image without ink."""
    images_B3HW = to_input(np.concatenate([images, np.full_like(images[:1], 7)]))

    assert np.array_equal(ink(images_B3HW), ink_normalize(torch.from_numpy(images_B3HW)).numpy())


def test_a_resize_is_pinned() -> None:
    """Networks are trained on these pixels, so another Pillow must give the same."""
    image = np.random.default_rng(1).integers(0, 256, (7, 11, 3), dtype=np.uint8)

    assert resize(image, (2, 3)).tolist() == PINNED
    assert np.array_equal(resize(image, (7, 11)), image)


PINNED = [
    [[116, 123, 116], [113, 109, 132], [126, 137, 143]],
    [[106, 110, 142], [152, 92, 138], [128, 107, 123]],
]


def test_a_crop_has_at_least_one_pixel() -> None:
    """The box is in fractions of any size."""
    image = np.zeros((20, 40, 3), dtype=np.uint8)

    assert crop(image, (0.25, 0.1, 0.75, 0.9)).shape == (16, 20, 3)
    assert crop(image, (0.5, 0.5, 0.501, 0.501)).shape == (1, 1, 3)


def test_an_image_is_read_from_a_path_from_bytes_and_from_pillow(images: np.ndarray, tmp_path: Path) -> None:
    """All give the same pixels."""
    data, path = encode_png(images[0]), tmp_path / "image.png"
    path.write_bytes(data)

    for given in (path, str(path), data, bytearray(data), Image.open(path), Image.fromarray(images[0])):
        assert np.array_equal(pixels_of(given), images[0])


def test_bad_files_and_images_are_refused_with_a_reason(tmp_path: Path) -> None:
    """A directory, a FIFO, a missing file and an impossible name are files that cannot be read."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text.png").write_text("hello")
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    for given, sentence in [
        (tmp_path, "This is not a file."),
        (tmp_path / "fifo", "This is not a file."),
        (tmp_path / "missing.png", r"The file cannot be read \(No such file or directory\)."),
        ("a\0b", r"The file cannot be read \(.*null.*\)."),
        (tmp_path / "text.png", "This is not a PNG, JPEG, GIF, WEBP, BMP or TIFF image."),
        (b"", "The file is empty."),
        (bytes(reader.MAX_BYTES + 1), "The file has more than 4,194,304 bytes."),
        (Image.new("F", (16, 16)), "Images with floating-point pixels are not supported."),
        (Image.new("L", (4, 16)), "The image has 4 x 16 pixels; each side needs at least 8."),
        (Image.new("1", (4096, 4096)), "The image has 4096 x 4096 pixels; the limit is 4,000,000 in total."),
        (Image.open(tmp_path / "moving.gif"), "The image is an animation of 2 frames; only still images can be read."),
    ]:
        with pytest.raises(UnreadableImageError, match=f"^{sentence}$"):
            pixels_of(given)


def test_a_truncated_pillow_image_is_refused(images: np.ndarray, tmp_path: Path) -> None:
    """Pillow decodes the file only when its pixels are needed."""
    (tmp_path / "image.png").write_bytes(encode_png(images[0])[:-3000])

    with pytest.raises(UnreadableImageError, match=r"^The image cannot be decoded \(.*\)\.$"):
        pixels_of(Image.open(tmp_path / "image.png"))


def test_the_file_imports_three_packages_at_most() -> None:
    """It is copied into bundles, where Slotlab, torch and OpenCV are missing. onnxruntime is imported by `load`."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import reader; "
        "print({name.partition('.')[0] for name in sys.modules} & "
        "{'core', 'torch', 'cv2', 'scipy', 'onnxruntime', 'numpy', 'PIL'} == {'numpy', 'PIL'})"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code, str(ROOT / "core" / "bundle")], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "True\n"
