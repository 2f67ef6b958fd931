"""Files that the names in a label table mean, although the table may have been made elsewhere."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from urllib.parse import unquote

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".tif", ".tiff")
UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Label Studio adds it to the name of an uploaded file."""


def last_part(path: str) -> str:
    """Return what follows the last slash. Much faster than a Path, and an import has 200,000."""
    return path.rpartition("/")[2]


def has_image_suffix(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def without_image_suffix(name: str) -> str:
    """Return the name without its last image suffix, in any case."""
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


class FileIndex:
    """The names of the files of an import."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = Counter(names)
        self._by_last: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            last = last_part(name).lower()
            self._by_last[last].append(name)
            self._by_stem[without_image_suffix(last)].append(name)

    def __len__(self) -> int:
        return self._whole.total()

    def find(self, key: str) -> list[str]:
        """Return the files that a name in a table may mean. One is a match.

        The whole path counts first, then its end, then the last part in any case, without the prefix of an upload, and
        without the suffix of an image.
        """
        path = _normalized(key)
        for whole in (key, path):
            if whole in self._whole:
                return [whole] * self._whole[whole]
        last = last_part(path)
        found = self._named(last) or self._named(UPLOAD_PREFIX.sub("", last, count=1))
        if not found and not has_image_suffix(last):
            found = self._by_stem.get(last.lower(), [])
        return found if len(found) < 2 else _closest(path, found)

    def _named(self, last: str) -> list[str]:
        found = self._by_last.get(last.lower(), [])
        return [name for name in found if last_part(name) == last] or found


def _normalized(key: str) -> str:
    """Return the path with slashes, without a drive, a scheme or a start at some root."""
    if "://" in key or "?d=" in key:  # ?d= has the path of a local file of Label Studio
        before, _, local = key.partition("?d=")
        key = unquote(local or before.partition("?")[0])
    key = key.strip().replace("\\", "/")
    while key.startswith(("./", "/")):
        key = key.removeprefix(".").lstrip("/")
    return key


def _closest(path: str, found: list[str]) -> list[str]:
    """Return the files whose paths end as `path` does for the most parts."""

    def common(name: str) -> int:
        ends = zip(reversed(path.split("/")), reversed(name.split("/")), strict=False)
        count = 0
        for ours, theirs in ends:
            if ours.lower() != theirs.lower():
                break
            count += 1
        return count

    most = max(map(common, found))
    return [name for name in found if common(name) == most]
