"""A project with very many samples, for benchmarks: variants of 2,000 rendered images, by changing a few pixels.

    python -m bench.ui.million --home DIR [--samples 1000000]

Every sample is a different PNG with the hash of its decoded pixels. 9% are labeled with their text and 1% are skipped,
by three operators. They come from five sources on eight days. DIR/truth.txt has a line "hash text" for every sample.
"""

import argparse
import hashlib
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.cli.progress import Progress
from core.errors import OptionError, SlotlabError
from core.home import Home
from core.images import renderer
from core.images.pixels import decode, pixel_hash, split_of
from db import projects
from db.connection import opened, write
from db.records import Project
from db.sqlite import Database

PROJECT = "million"
LENGTH, CHARSET = 6, "0123456789"
RENDERS = 2000
COLORS = 16
"""4 bits per pixel, so an image fits in one database page, and a million take 5 GB instead of 12."""
SOURCES = 5
DAYS = 8
LABELED, SKIPPED = 0.09, 0.01
OPERATORS = ("Ann", "Bob", "Cleo")
FLAGS = ("unreadable", "not_ours", None)
BATCH = 100_000
"""Samples per transaction. Hashes are spread over the index, so each transaction rewrites most of its pages."""
CACHE_KIB = 1_000_000
TRUTH, MADE = "truth.txt", "made.json"


@dataclass(frozen=True)
class Variant:
    """One image: hash of its pixels, text, and PNG bytes."""

    sha256: str
    text: str
    png: bytes


class Render:
    """A rendered image with a palette.

    Variants differ only in the last row, so the rows above are compressed and hashed once.
    """

    def __init__(self, text: str, pixels: NDArray[np.uint8]) -> None:
        self.text = text
        image = Image.fromarray(pixels).quantize(COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        self.palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        indices = np.asarray(image)
        height, width = indices.shape
        *rows, self.last = indices
        header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)
        self.head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"PLTE", self.palette.tobytes())
        raw, deflate = b"".join(map(_packed, rows)), zlib.compressobj(9)
        self.adler = zlib.adler32(raw)
        self.deflated = deflate.compress(raw) + deflate.flush(zlib.Z_FULL_FLUSH)
        self.hashed = hashlib.sha256(b"RGB%dx%d:" % (width, height) + self.palette[np.stack(rows)].tobytes())
        if len(np.unique(self.palette[: indices.max() + 1], axis=0)) != COLORS:
            raise OptionError(f"The image of {text} has too few colors.")  # variants could be identical
        self.variant(0, check=True)

    def variant(self, number: int, *, check: bool = False) -> Variant:
        """Return the image with its last row changed according to the bits of `number`."""
        last = self.last.copy()
        bits = np.array([bit == "1" for bit in f"{number:b}"[::-1]])
        last[: 7 * len(bits) : 7][bits] ^= 1
        row, hashed = _packed(last), self.hashed.copy()
        hashed.update(self.palette[last].tobytes())
        # The last row is an uncompressed block at the end of the stream.
        stored = struct.pack("<BHH", 1, len(row), len(row) ^ 0xFFFF) + row
        data = self.deflated + stored + struct.pack(">I", zlib.adler32(row, self.adler))
        png = self.head + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
        if check and pixel_hash(decode(png)) != hashed.hexdigest():
            raise OptionError(f"The hash of {self.text}, variant {number}, does not match its pixels.")
        return Variant(hashed.hexdigest(), self.text, png)


def _packed(row: NDArray[np.uint8]) -> bytes:
    """Return an unfiltered PNG row with four bits per pixel."""
    return b"\0" + (row[::2] << 4 | row[1::2]).tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def renders(n: int, seed: int) -> list[Render]:
    """Return `n` rendered images. Texts are distinct, so a label on another image is always wrong."""
    rng = np.random.default_rng(seed)
    texts = rng.choice(10**LENGTH, n, replace=False)
    return [Render(text, renderer.render(text, rng)) for text in (f"{number:0{LENGTH}}" for number in texts)]


def variants(n: int, seed: int = 0) -> Iterator[Variant]:
    """Yield `n` different images of at most RENDERS texts. Every thousandth hash is verified by decoding."""
    images = renders(min(n, RENDERS), seed)
    for index in range(n):
        number, place = divmod(index, len(images))
        yield images[place].variant(number, check=index % 1000 == 0)


def add_project(
    db: Database, name: str, n: int, *, seed: int = 0, labeled: float = 0.0, skipped: float = 0.0,
    sources: int = 1, days: int = 1, val: int = 0, progress: Progress | None = None,
) -> tuple[Project, dict[str, str]]:  # fmt: skip
    """Create a project of `n` samples and return it with the true text by pixel hash.

    The oldest samples are labeled with their text and the next ones skipped, with ledger events. The first `val` are
    validation images regardless of their hash. Otherwise that many would take ten times as many samples.
    """
    with write(db):
        project = projects.insert_project(db, name, LENGTH, CHARSET)
        ids = [
            projects.insert_source(db, project.id, f"harvest {place + 1}", "Slotlab", "rendered by this program").id
            for place in range(sources)
        ]
        first = int(db.execute("SELECT coalesce(max(id), 0) + 1 FROM samples").fetchone()[0])
    truth: dict[str, str] = {}
    images = variants(n, seed)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
    for begin in range(0, n, BATCH):
        rows, blobs, events = [], [], []
        for index, image in enumerate(islice(images, min(BATCH, n - begin)), begin):
            state, label, flag, operator = "unlabeled", None, None, None
            if index < labeled * n:
                state, label, operator = "labeled", image.text, OPERATORS[int(index / (labeled * n) * len(OPERATORS))]
            elif index < (labeled + skipped) * n:
                state, flag, operator = "skipped", FLAGS[index % len(FLAGS)], OPERATORS[index % len(OPERATORS)]
            imported = start + timedelta(days=index * days // n)
            at = (imported + timedelta(hours=1)).isoformat() if operator else None
            sample = first + index
            split = "val" if index < val else split_of(image.sha256)
            rows.append(
                (sample, project.id, ids[index * days * sources // n % sources], image.sha256, f"{index:07}.png",
                 renderer.WIDTH, renderer.HEIGHT, split, state, label, int(operator is not None), operator, at,
                 imported.isoformat(), flag)
            )  # fmt: skip
            blobs.append((sample, image.png))
            truth[image.sha256] = image.text
            if operator:
                action = "label" if label else "skip"
                events.append(
                    (f"{project.name}-{index}", sample, operator, action, state, label, flag, 0, 1, at, "label", 1500)
                )
            if progress and index % 1000 == 0:
                progress.show(index, n, "Making images")
        with write(db):
            _insert(db, rows, blobs, events)
    return project, truth


def _insert(db: Database, rows: list[Any], blobs: list[Any], events: list[Any]) -> None:
    assert db.conn is not None
    db.conn.executemany(
        "INSERT INTO samples (id, project_id, source_id, sha256, name, width, height, split, state, label, version,"
        " operator, labeled_at, created_at, flag, kind)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, iif(?10 IS NULL, NULL, 'person'))",
        rows,
    )
    db.conn.executemany("INSERT INTO images (sample_id, bytes) VALUES (?, ?)", blobs)
    db.conn.executemany(
        "INSERT INTO labels (event_id, sample_id, operator, action, state, text, flag, base_version, version, at,"
        " origin, ms, kind)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, iif(?6 IS NULL, NULL, 'person'))",
        events,
    )


def make(home: Home, n: int, progress: Progress | None = None) -> dict[str, Any]:
    """Create a folder with a project of `n` samples, or reuse it. Returns the record of its creation.

    Raises OptionError if the folder has other contents.
    """
    home.create()
    made_path, truth_path = home.root / MADE, home.root / TRUTH
    if made_path.exists():
        made: dict[str, Any] = json.loads(made_path.read_text(encoding="utf-8"))
        if made["samples"] != n:
            raise OptionError(f"{home.root} has {made['samples']:,} samples, not {n:,}. Choose another folder.")
        return made
    if home.db.exists():
        raise OptionError(f"{home.root} has an unfinished or foreign database. Remove it first.")
    began = time.monotonic()
    with opened(home.db, create=True) as db:
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _, truth = add_project(
            db, PROJECT, n, labeled=LABELED, skipped=SKIPPED, sources=SOURCES, days=DAYS, progress=progress
        )
    save_truth(truth_path, truth)
    made = {"samples": n, "seconds": round(time.monotonic() - began, 1), "bytes": home.db.stat().st_size}
    made_path.write_text(json.dumps(made), encoding="utf-8")  # last, as it marks the folder complete
    return made


def save_truth(path: Path, truth: Mapping[str, str]) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{sha256} {text}\n" for sha256, text in truth.items())


def load_truth(path: Path) -> dict[str, str]:
    """Return the true text of every sample by pixel hash."""
    with path.open(encoding="ascii") as file:
        return dict(line.split() for line in file)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ui.million", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="new folder; open it in the app with SLOTLAB_HOME")
    parser.add_argument("--samples", type=int, default=1_000_000)
    options = parser.parse_args()
    try:
        with Progress() as progress:
            made = make(Home(options.home.resolve()), options.samples, progress)
    except SlotlabError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made['samples']:,} samples, {made['bytes'] / 1e9:.2f} GB, created in {made['seconds']:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
