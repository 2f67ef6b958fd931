"""The worker of a batch: `python -m core.runs.batch_worker`. It needs no torch and no database.

The first line of its input names the bundle, each later one has inputs. It prints one line with a row for each of them.
"""

import json
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.images.pixels import pixel_hash
from core.runs.inputs import Contents, Input, Record, batches, records
from core.runs.parts import has, short_hash
from core.runs.targets import Target, open_bundle


def main() -> None:
    """Read until the input ends, or until nobody reads the output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the command ends us
    setup = json.loads(sys.stdin.buffer.readline())
    target, contents = open_bundle(Path(setup["bundle"]), int8=setup["int8"]), Contents()
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            rows = read_chunk(target, contents, json.loads(line))
            sys.stdout.buffer.write(json.dumps(rows).encode() + b"\n")
            sys.stdout.buffer.flush()


def read_chunk(target: Target, contents: Contents, chunk: Iterable[Any]) -> list[Record]:
    """Return a row for each input: its reading, its error, or `known` if it is in the output."""
    rows: list[Record] = []
    known = {item: bytes.fromhex(hashes) for item, hashes in ((Input(*values), hashes) for values, hashes in chunk)}
    for batch in batches(known, contents):
        missing, hashes = [], []
        for item, pixels in batch:
            sha256 = None if isinstance(pixels, str) else pixel_hash(pixels)
            if has(known[item], short_hash(sha256)):
                rows.append({"file": item.name, "known": True})
            else:
                missing.append((item, pixels))
                hashes.append({"sha256": sha256})
        rows += [row | sha256 for row, sha256 in zip(records(missing, target.read), hashes, strict=True)]
    return rows


if __name__ == "__main__":
    main()
