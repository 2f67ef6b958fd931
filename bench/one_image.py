"""Time readers image by image on one core: `python -m bench.one_image BUNDLE IMAGES` prints one JSON object.

The bundle, its INT8 model and the general readers take turns on each image, so other work slows all of them. Each has
one thread. The time includes decoding the file. The general readers read the part with the text, as Propose lets them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bundle.reader import MODEL_INT8, crop, decode, load
from core.charset import TextSpec
from core.images.frame import SAMPLE_SIZE, Box, find_text
from core.images.renderer import samples
from core.readers.readers import READERS, OnnxReader, available

SEED = 30_000
"""Far from the seeds of `slotlab demo` and of the other benches."""
WARMUPS = 10
MODEL, INT8 = "model", "int8"
Read = Callable[[bytes], str | None]


def rendered(n: int, spec: TextSpec) -> Iterator[tuple[str, bytes]]:
    """Yield texts and PNG bytes of `n` images. If there are fewer texts, they repeat and are drawn differently."""
    most = min(n, len(spec.charset) ** spec.length)
    for start in range(0, n, most):
        for _, text, data in samples(min(most, n - start), SEED + start, spec.length, spec.charset):
            yield text, data


def readers_of(bundle: Path, images: Sequence[bytes], spec: TextSpec) -> dict[str, Read]:
    """Load the bundle, its INT8 model if it has one, and the general readers that are installed."""
    readers: dict[str, Read] = {MODEL: _bundled(bundle, int8=False)}
    if (bundle / MODEL_INT8).exists():
        readers[INT8] = _bundled(bundle, int8=True)
    box, _ = find_text([decode(data) for data in images[:SAMPLE_SIZE]], spec.length)
    return readers | {
        name: _general(READERS[name](threads=1), box, spec) for name, installed in available().items() if installed
    }


def _bundled(bundle: Path, *, int8: bool) -> Read:
    reader = load(bundle, int8=int8)
    return lambda data: reader.read(data).text


def _general(reader: OnnxReader, box: Box, spec: TextSpec) -> Read:
    return lambda data: reader.read([crop(decode(data), box)], spec)[0].text


def timed(readers: Mapping[str, Read], images: Sequence[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """Return for each reader percentiles of its time in ms, its mean CPU time in ms, and how many images are right.

    Another reader begins with each image, because the first one finds the image in no cache.
    """
    names = list(readers)
    wall_s, cpu_s, right = {name: list[float]() for name in names}, dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for turn, (text, data) in enumerate(images, -WARMUPS):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            cpu, began = time.process_time(), time.perf_counter()
            found = readers[name](data)
            took, used = time.perf_counter() - began, time.process_time() - cpu
            if turn >= 0:
                wall_s[name].append(took)
                cpu_s[name] += used
                right[name] += found == text
    return {
        name: {
            "n": len(times),
            "ms": {f"p{q}": round(float(np.percentile(times, q)) * 1000, 3) for q in (50, 90, 99)},
            "cpu_ms": round(cpu_s[name] / len(times) * 1000, 3),
            "right": right[name],
        }
        for name, times in wall_s.items()
    }


def main(bundle: Path, n: int) -> None:
    manifest = load(bundle).manifest
    spec = TextSpec(manifest["length"], manifest["charset"])
    images = list(rendered(WARMUPS + n, spec))
    readers = readers_of(bundle, [data for _, data in images], spec)
    print(json.dumps(timed(readers, images)))


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the first core takes most interrupts
    main(Path(sys.argv[1]), int(sys.argv[2]))
