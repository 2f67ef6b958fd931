"""Small images for tests: different per number, and reproducible."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.images.pixels import Pixels, encode_png

KEPT_OUT = Path(__file__).parents[1] / "kept_out"
"""50 images of bench.rendered.kept_out, a style that trains nothing. Each is named by its text."""


def pixels(number: int, width: int = 40, height: int = 16) -> Pixels:
    """Return noise (H, W, 3)."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(number: int) -> bytes:
    return encode_png(pixels(number))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write each file below `folder`, with subfolders from its name."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
