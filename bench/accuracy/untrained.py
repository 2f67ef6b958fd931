"""General readers that no image of these portals has taught, with what Slotlab tells them and without.

Each reads an image three times: any characters, allowed characters only, and exactly N allowed characters.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.charset import TextSpec
from core.images.pixels import Pixels
from core.readers.decoder import Folding, decode
from core.readers.readers import READERS, OnnxReader, softmax

WAYS = ("raw", "charset", "exact")


class Whisperer(OnnxReader):
    """The CRNN of captcha-whisperer, which knows digits and capital letters.

    The package's own decoder never gives a 0, and is not used.
    """

    name = "captcha_whisperer"
    weights = "models/captcha_crnn.onnx"
    tested = "0.1.0"

    def _read_symbols(self) -> Sequence[str]:
        return ["", *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"]

    def _prepare(self, image: Pixels) -> NDArray[np.float32]:
        resized = Image.fromarray(np.ascontiguousarray(image)).resize((160, 60), Image.Resampling.BILINEAR)
        return np.asarray(resized, dtype=np.float32)[None, :, :, ::-1].transpose(0, 3, 1, 2)

    def _probabilities(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        return softmax(np.roll(output[:, 0], 1, axis=1))  # blank is the last class


UNTRAINED: dict[str, type[OnnxReader]] = READERS | {"whisperer": Whisperer}


def best_symbols(probabilities_TC: NDArray[np.floating], symbols: Sequence[str]) -> str:
    """Return the best symbol of each frame, repeats merged and blanks dropped. Class 0 is blank."""
    return "".join(symbols[best] for best, _ in groupby(probabilities_TC.argmax(axis=1).tolist()) if best)


def read(
    reader: OnnxReader, images: Sequence[Pixels], spec: TextSpec, stopped: Callable[[], bool]
) -> dict[str, list[str]]:
    """Return the texts of each way, in the order of the images; fewer when `stopped`."""
    folding, texts = Folding(reader.symbols, 0, spec), (reader.symbols, ["", *spec.charset])
    reads: dict[str, list[str]] = {way: [] for way in WAYS}
    for image in images:
        if stopped():
            break
        frames_TC = reader.frames(image)
        folded_TS = folding.apply(frames_TC)
        exact = decode([folded_TS], spec)[0].text or ""
        found = (best_symbols(frames_TC, texts[0]), best_symbols(folded_TS, texts[1]), exact)
        for way, text in zip(WAYS, found, strict=True):
            reads[way].append(text)
    return reads
