"""The service of a bundle on one core: its capacity, its latency, and what it does when it has too much to do.

    python -m bench.reliability.service BUNDLE [--seconds 60] [--int8]

Clients on another core send rendered images over kept connections. 16 clients measure the capacity, and 50 requests a
second the latency. Then come 64 clients, which do not wait when they are refused, with the usual queue and with a queue
of 16. Other work of the machine changes the rate more than the CPU time, so the result has both. It is written to
bench/results/reliability/service.json.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells import ROOT, cores, environment, save_result
from bench.repeat import repeated
from core.images.renderer import samples
from tests.helpers.service import Load, Service, load_of, serving

RESULTS = ROOT / "bench" / "results" / "reliability"
MADE_OF = ("core/bundle", "core/cli", "bench/*.py", "bench/reliability", "tests/helpers/service.py")
PACKAGES = ("fastapi", "uvicorn", "h11", "onnxruntime", "numpy", "pillow")
CLIENTS, RATE, SHORT_QUEUE = 64, 50, 16
TICK = os.sysconf("SC_CLK_TCK")


def measure(bundle: Path, seconds: float, *, int8: bool) -> dict[str, Any]:
    """Run all phases and return the figures."""
    images = [data for _, _, data in samples(64, seed=5)]
    figures: dict[str, Any] = {"seconds": seconds, "int8": int8, "other_load": round(os.getloadavg()[0], 1)}
    with on_one_core(bundle, int8=int8) as service:
        load_of(service.port, images, 16, 2)  # the first requests start threads and fill caches
        cpu, load = cpu_s(service), load_of(service.port, images, 16, seconds)
        figures["capacity"] = described(load) | {
            "cpu_ms_an_image": round((cpu_s(service) - cpu) / load.statuses[200] * 1000, 3)
        }
        figures["at_50_a_second"] = described(load_of(service.port, images, 16, seconds, RATE))
        with memory(service) as growth:
            figures["overload"] = described(load_of(service.port, images, CLIENTS, seconds))
        figures["overload"] |= growth
        figures["alive_after"] = service.read(images[0])[0] == 200
    with on_one_core(bundle, "--queue", str(SHORT_QUEUE), int8=int8) as service:
        load_of(service.port, images, 8, 2)
        figures["refusals"] = described(load_of(service.port, images, CLIENTS, seconds))
        figures["alive_after_refusals"] = service.read(images[0])[0] == 200
    share = figures["overload"]["answered_a_second"] / figures["capacity"]["answered_a_second"]
    return figures | {"overload_share_of_capacity": round(share, 3)}


@contextmanager
def on_one_core(bundle: Path, *options: str, int8: bool) -> Iterator[Service]:
    """Start the service on the first core, and leave the others to the clients."""
    every = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, every[:1])
    try:
        with serving(bundle, *options, *(["--int8"] if int8 else [])) as service:
            os.sched_setaffinity(0, every[1:])
            yield service
    finally:
        os.sched_setaffinity(0, every)


def described(load: Load) -> dict[str, Any]:
    times = np.array(load.seconds) * 1000
    return {
        "answered_a_second": round(load.statuses[200] / load.took, 1),
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "lost": load.lost,
        "ms": {f"p{q}": round(float(np.percentile(times, q)), 2) for q in (50, 99)} if len(times) else None,
    }


def cpu_s(service: Service) -> float:
    """Return the CPU time of the service so far."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def memory(service: Service) -> Iterator[dict[str, float]]:
    """Fill the given figures at the end of the block: the memory, and its growth over the last two thirds."""
    times: list[float] = []
    sizes: list[float] = []
    figures: dict[str, float] = {}

    def look() -> None:
        pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
        times.append(time.monotonic() / 60)
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    with repeated(look, seconds=0.5):
        yield figures
    part = len(times) // 3
    figures["memory_mb"] = round(sizes[-1], 1)
    figures["memory_mb_a_minute"] = round(statistics.linear_regression(times[part:], sizes[part:]).slope, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument("--seconds", type=float, default=60, help="length of each phase")
    parser.add_argument("--int8", action="store_true", help="use the smaller model of the bundle")
    options = parser.parse_args()
    if cores() < 2:
        parser.error("the clients need a core of their own")
    figures = measure(options.bundle, options.seconds, int8=options.int8)
    path = RESULTS / f"service{'-int8' * options.int8}.json"
    save_result(path, environment(1, PACKAGES, MADE_OF) | figures)
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
