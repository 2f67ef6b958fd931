"""The general readers: models for any text, with the weights inside a package, run by onnxruntime on the CPU.

Their packages' own pipelines are not used: they detect text areas, print advertisements, and know neither the text
length nor the charset of a project. Nothing is downloaded.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.charset import TextSpec
from core.errors import CheckpointError, OptionError
from core.images.pixels import Pixels
from core.readers.builtin import NAME as BUILTIN
from core.readers.decoder import Folding, Reading, decode

MAX_WIDTH = 1536
"""Pixels of a reader's input, 48 for each of 32 characters. Wider images would fill the memory, so we squeeze them."""
CHUNK = 32
"""Images that are decoded together. More are not faster, and the largest charset needs 3 MB an image."""


class Reader(Protocol):
    """Anything that reads images without having seen a label of their project."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str:
        """The SHA-256 of the weights."""
        ...

    def read(self, images: Sequence[Pixels], spec: TextSpec) -> list[Reading]:
        """Return a reading for each image, in order."""
        ...


class ProposingReader(Reader, Protocol):
    """A reader whose readings can become proposals."""

    def missing(self, spec: TextSpec) -> str:
        """Return the allowed characters that the reader does not know, and so never reads."""
        ...


def softmax(logits_TC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of each frame."""
    exp_TC = np.exp(logits_TC - logits_TC.max(axis=1, keepdims=True))
    return np.asarray(exp_TC / exp_TC.sum(axis=1, keepdims=True))


class OnnxReader(ABC):
    """A reader whose weights are an ONNX file inside a package."""

    name: ClassVar[str]
    """Also the name of the package."""
    weights: ClassVar[str]
    """The file inside the package."""
    tested: ClassVar[str]
    """A version of the package that has them."""

    def __init__(self, threads: int = 1) -> None:
        self.version = version(self.name)
        try:
            self._load(threads)
        except Exception as error:  # onnxruntime raises a class of its own for each kind of damage
            raise CheckpointError(
                f"Reader {self.name} {self.version} cannot be loaded: {self.weights} is missing, damaged or of an "
                f"unknown version. Install it again: pip install --force-reinstall --no-deps {self.name}=={self.tested}"
            ) from error

    def _load(self, threads: int) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        spec = find_spec(self.name)
        assert spec is not None
        assert spec.submodule_search_locations
        data = (Path(spec.submodule_search_locations[0]) / self.weights).read_bytes()
        self.sha256 = hashlib.sha256(data).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3  # errors; ddddocr's model warns of its output's shape at each image
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.symbols = self._read_symbols()
        classes = self.frames(np.zeros((8, 8, 3), np.uint8)).shape[1]
        if classes != len(self.symbols):
            raise ValueError(f"{classes} classes for {len(self.symbols)} symbols")

    def read(self, images: Sequence[Pixels], spec: TextSpec) -> list[Reading]:
        folding = Folding(self.symbols, 0, spec)
        readings: list[Reading] = []
        for start in range(0, len(images), CHUNK):
            # One image at a time: a batch of four takes as long as four images, on one thread.
            frames = [folding.apply(self.frames(image)) for image in images[start : start + CHUNK]]
            readings += decode(frames, spec)
        return readings

    def missing(self, spec: TextSpec) -> str:
        """Return the allowed characters that the reader does not know, and so never reads."""
        return Folding(self.symbols, 0, spec).missing

    def frames(self, image: Pixels) -> NDArray[np.float32]:
        """Return T x C probabilities."""
        output: NDArray[np.float32] = self._session.run(None, {self._input: self._prepare(image)})[0]
        return self._probabilities(output)

    @abstractmethod
    def _read_symbols(self) -> Sequence[str]:
        """Return the text of each class. Class 0 is blank."""

    @abstractmethod
    def _prepare(self, image: Pixels) -> NDArray[np.float32]:
        """Return the network's input for one image, 1 x channels x height x width."""

    @abstractmethod
    def _probabilities(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return T x C probabilities."""


class RapidOcr(OnnxReader):
    """PP-OCRv6 small, the text recognizer inside rapidocr. Its charset is in the metadata of the ONNX file."""

    name = "rapidocr"
    weights = "models/PP-OCRv6_rec_small.onnx"
    tested = "3.10.0"

    def _read_symbols(self) -> Sequence[str]:
        characters = self._session.get_modelmeta().custom_metadata_map["character"].split("\n")
        return ["", *characters, " "]

    def _prepare(self, image: Pixels) -> NDArray[np.float32]:
        import cv2  # slow to import

        height, width, _ = image.shape
        # Reads 918 of 950 images of four portals; with a margin 912, cubic 915, unpadded 913, edge-padded 902.
        resized_HW3 = cv2.resize(
            np.ascontiguousarray(image[:, :, ::-1]), (min(math.ceil(48 * width / height), MAX_WIDTH), 48)
        )
        input_13HW = np.zeros((1, 3, 48, max(resized_HW3.shape[1], 320)), dtype=np.float32)
        input_13HW[0, :, :, : resized_HW3.shape[1]] = resized_HW3.transpose(2, 0, 1) / np.float32(127.5) - 1
        return input_13HW

    def _probabilities(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(output[0])


class DdddOcr(OnnxReader):
    """The newer text recognizer inside ddddocr, whose charset is in its code."""

    name = "ddddocr"
    weights = "common.onnx"
    tested = "1.6.1"

    def _read_symbols(self) -> Sequence[str]:
        from ddddocr.charsets import CHARSET_BETA

        symbols: Sequence[str] = CHARSET_BETA
        return symbols

    def _prepare(self, image: Pixels) -> NDArray[np.float32]:
        height, width, _ = image.shape
        size = (min(max(64 * width // height, 1), MAX_WIDTH), 64)
        resized = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS).convert("L")
        return np.asarray(resized, dtype=np.float32)[None, None] / np.float32(255)

    def _probabilities(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        return softmax(output[:, 0])


INSTALL = 'pip install "slotlab[readers]"'
"""The command that installs the general readers."""
READERS: dict[str, type[OnnxReader]] = {"rapidocr": RapidOcr, "ddddocr": DdddOcr}


def available() -> dict[str, bool]:
    """Return for each general reader whether its package is installed. Imports none of them."""
    runtime = find_spec("onnxruntime") is not None
    return {name: runtime and find_spec(name) is not None for name in READERS}


def load(names: Sequence[str], threads: int = 1) -> list[OnnxReader]:
    """Load general readers by name, each in about half a second. `threads` is the number for each.

    Raises OptionError like `check_names`, CheckpointError if weights are damaged.
    """
    check_names(names)
    return [READERS[name](threads) for name in names]


def check_names(names: Sequence[str]) -> None:
    """Raise OptionError if there are no names, or one is unknown, given twice, or its package is not installed."""
    installed = available() | {BUILTIN: True}  # which needs no package
    if not names or len(set(names)) < len(names):
        raise OptionError(f"Name each reader once. The readers are {', '.join(installed)}.")
    for name in names:
        if name not in installed:
            raise OptionError(f"There is no reader {name!r}. The readers are {', '.join(installed)}.")
        if not installed[name]:
            raise OptionError(f"Reader {name} is not installed. Install it: {INSTALL}")
