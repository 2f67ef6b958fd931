"""Readers of images: a bundle, which needs no torch, a run, or the built-in reader."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from core.bundle.reader import MANIFEST, SUMS, BundleError, Reader, Reading, load, pixel_hash
from core.errors import OptionError, StorageError
from core.files import shortened
from core.images.pixels import Pixels
from core.runs.inputs import Record

if TYPE_CHECKING:
    from core.model.predictor import Prediction, Predictor

MAX_BUNDLE_BYTES = 1 << 30
"""Unpacked size of a bundle's zip. Only a damaged or hostile one has more."""
MAX_BUNDLE_FILES = 100


class Target(Protocol):
    """A reader of images."""

    name: str
    """Name for the lines of a file. It changes with everything that can change an answer."""

    def read(self, images: Sequence[Pixels]) -> list[Record]:
        """Return the keys of `slotlab predict --json` for each image, without `file`."""
        ...


IsBlind = Callable[[str], bool]
"""Tells whether nobody may see a reading of the image with a pixel hash."""


class BundleTarget:
    """A bundle."""

    is_blind: IsBlind | None = None
    """None if the project of its run is unknown, as away from the lab."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.name = reader, reader.name

    def read(self, images: Sequence[Pixels]) -> list[Record]:
        return _told([reading.to_dict() for reading in self.reader.read_all(images)], images, self.is_blind)


class RunTarget:
    """A run or the built-in reader."""

    def __init__(self, predictor: "Predictor", name: str, *, tta: bool | None, is_blind: IsBlind | None) -> None:
        self.name = full_name(predictor, name, tta=tta)
        self._predictor, self._tta, self._is_blind = predictor, tta, is_blind

    def read(self, images: Sequence[Pixels]) -> list[Record]:
        predictions = self._predictor.predict(images, tta=self._tta)
        return _told([to_record(each) for each in predictions], images, self._is_blind)


def _told(found: list[Record], images: Sequence[Pixels], is_blind: IsBlind | None) -> list[Record]:
    """Return the records, which tell whether their images are blind if the project is known."""
    if is_blind:
        for record, pixels in zip(found, images, strict=True):
            record["blind"] = is_blind(pixel_hash(pixels))
    return found


def full_name(predictor: "Predictor", name: str, *, tta: bool | None) -> str:
    """Return a name that changes with the checkpoint, the views, the threshold and the temperature."""
    rule, temperature = predictor.rule(tta=tta), predictor.temperature(tta=tta)
    confidences = rule if rule or temperature == 1 else temperature
    settings = json.dumps([predictor.step, *map(repr, predictor.views(tta=tta)), repr(confidences)])
    return f"{name} {hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def to_record(read: "Prediction") -> Record:
    """Return a prediction with the keys of a bundle's reading."""
    return Reading(read.text, read.confidence, read.accepted, read.unfamiliar, tuple(read.positions)).to_dict()


def is_bundle(path: Path) -> bool:
    """Return whether a path is a folder or zip that looks like a bundle."""
    with suppress(OSError, ValueError):  # no path at all
        if path.is_dir():
            return (path / MANIFEST).is_file() and (path / SUMS).is_file()
        return path.suffix.lower() == ".zip" and path.is_file()
    return False


def open_bundle(path: Path, *, int8: bool = False, log: Path | None = None, log_images: bool = False) -> BundleTarget:
    """Load a bundle from its folder or zip, and open its log. Raises OptionError or StorageError."""
    try:
        if path.is_dir():
            return _loaded(path, int8=int8, log=log, log_images=log_images)
        with tempfile.TemporaryDirectory(prefix="slotlab-") as folder:
            _unpack(path, Path(folder))
            # The reader keeps the files in memory.
            return _loaded(Path(folder), int8=int8, log=log, log_images=log_images)
    except OSError as error:
        raise StorageError(f"The bundle {shortened(str(path))} cannot be read ({error.strerror}).") from error


def _loaded(folder: Path, *, int8: bool, log: Path | None, log_images: bool) -> BundleTarget:
    try:
        return BundleTarget(load(folder, int8=int8, log=log, log_images=log_images))
    except BundleError as error:
        raise StorageError(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError("The manifest of this bundle is damaged.") from error


def _unpack(path: Path, folder: Path) -> None:
    """Write the files of a bundle's zip, which lie in its root or in one folder. Raises OptionError and OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            is_whole = _unpacked(archive, folder)
    except OSError:
        raise
    except Exception as error:  # BadZipFile, zlib.error, LZMAError ... have no common base class
        raise OptionError(f"{shortened(str(path))} is damaged or not the zip of a bundle.") from error
    if not is_whole:
        raise OptionError(f"{shortened(str(path))} is not the zip of a bundle.")


def _unpacked(archive: zipfile.ZipFile, folder: Path) -> bool:
    """Write the files. Return False if it is not the zip of a bundle. Some files may be written then."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    parts = [PurePosixPath(info.filename).parts for info in infos]
    if len(infos) > MAX_BUNDLE_FILES or not all(parts) or not {MANIFEST, SUMS} <= {names[-1] for names in parts}:
        return False
    left = MAX_BUNDLE_BYTES
    for info, names in zip(infos, parts, strict=True):
        if len(names) > 2 or names[-1] == "..":
            return False
        with archive.open(info) as file:
            data = file.read(left + 1)  # the size in its header can be wrong
        left -= len(data)
        if left < 0:
            return False
        (folder / names[-1]).write_bytes(data)
    return True
