"""Fair peers. Each cell writes a JSON file to bench/results/peers.

    python -m bench.peers --data DIR [--only 'crnn-hard4000-*'] [--list] [--again] [--quick]

A CRNN with CTC has as many parameters as our network, and the same images, image size, augmentation, optimizer,
schedule, steps, averaging and selection. Its learning rate is searched first, on validation images with seed 0: these
are the cells crnn-rate-*. Those of the hard style have no test images, and those of others read theirs, which choose
nothing. Its readings are greedy, and of exactly as many characters as the labels. Interrupted cells of the CRNN resume.

CCT-XS of fast-plate-ocr is trained by that tool, for as many minutes as our network was: see bench/peers/plates.py for
its environment. `python -m bench.tables` writes docs/benchmarks.md from the files.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.accuracy.accuracy import COUNTS, LABELED, seeds_of
from bench.accuracy.cell import Cell
from bench.accuracy.data import FOLDS
from bench.accuracy.scores import load_audit, score_reads
from bench.accuracy.training import train
from bench.cells import Bench, load_results
from bench.grid import main
from bench.peers import plates
from bench.peers.search import LONG, PEER, Peer, best_rate, search_cells, searched
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.training.snapshot import load_snapshot

RATES = ("0.0005", "0.001", "0.002", "0.004")
"""Peak learning rates of the CRNN's search. Ours is 0.002."""
WORKER = "bench.peers.worker"
RATE_CELLS = {
    "hard4000": {f"crnn-rate-{rate}": rate for rate in RATES},
    # With the best rate of the hard style, the loss on digits4 falls late: 115 of 351 validation images are right.
    **{name: {f"crnn-rate-{name}-{rate}": rate for rate in RATES} for name in ("digits4", "portal6")},
}
"""Searches by image set. Other sets have the rate of the hard style."""


def rates_of(name: str) -> Mapping[str, str]:
    """Return the search that decides the rate for an image set."""
    return RATE_CELLS.get(name, RATE_CELLS["hard4000"])


CELLS: tuple[Cell, ...] = (
    *(cell for name, rates in RATE_CELLS.items() for cell in search_cells(Cell, name, rates, worker=WORKER)),
    *(
        Peer(
            name=f"crnn-{name}-{count}-seed{seed}",
            what=f"{what}, {count:,} labels",
            group="peers",
            images=f"{name}-{count}-draw{seed}",
            options=PEER | {"seed": str(seed)},
            worker=WORKER,
            rates=rates_of(name),
        )
        for name, what in LABELED
        for count in COUNTS[1:]
        if (name, count) != ("portal6", 1000)  # it has 480
        for seed in seeds_of(count)
    ),
    *(
        Peer(
            name=f"crnn-{name}-{suffix}",
            what=f"{what}, all labels",
            group="peers",
            images=images,
            options=PEER | options,
            worker=WORKER,
            rates=rates_of(name),
        )
        for name, images, suffix, what, options in (
            *((name, name, "seed0", what, {"seed": "0"}) for name, what in LABELED if name != "portal6"),
            *(("portal6", f"portal6-fold{fold}", f"fold{fold}", "real, 6 digits", {}) for fold in range(FOLDS)),
        )
    ),
    *(
        Peer(
            name=f"crnn-{suffix}-{LONG}",
            what=f"real, 4 digits, {labels} labels, three times the steps",
            group="peers",
            images=images,
            options=PEER | {"seed": "0", "steps": steps},
            worker=WORKER,
            rates=rates_of("digits4"),
        )
        for suffix, images, labels, steps in (
            ("digits4-200-seed0", "digits4-200-draw0", "200", "4500"),
            ("digits4-seed0", "digits4", "all", "8100"),
        )
    ),
    *plates.CELLS,
)

QUICK = Cell(
    name="quick",
    what="rendered; shows no more than that the bench works",
    group="peers",
    images="quick",
    options=PEER | {"image_size": "32x96", "batch_size": "16", "max_steps": "12", "lr": "0.002"},
    worker=WORKER,
)


def measure(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Train or resume a cell and score what it read. The cell of the search that is the same training is taken."""
    search: list[dict[str, Any]] = []
    if isinstance(cell, Peer):
        results = load_results(bench.results)
        search = searched(results, cell.rates)
        cell = replace(cell, options=dict(cell.options) | {"lr": best_rate(search)})
        winner = next(results[name] for name, rate in cell.rates.items() if rate == cell.options["lr"])
        if TrainConfig.from_dict(winner["config"]) == cell.config() and winner["data"]["name"] == cell.images:
            names = {"cell": cell.name, "what": cell.what, "options": dict(cell.options)}
            return winner | names | {"search": search}
    trained = train(cell, bench)
    result = trained.job.read("result.json") or {}
    return (
        trained.described(cell)
        | {key: value for key, value in result.items() if key != "step"}
        | {"search": search, "splits": scores(cell, trained.job)}
    )


def scores(cell: Cell, job: JobDir) -> dict[str, Any]:
    """Return the figures of each split that was read. `wrong` are those of the reading with exactly N characters."""
    snapshot, audit = load_snapshot(job.path / "dataset.npz"), load_audit(cell.image_set.folder)
    splits = {}
    for split, readings in (job.read("readings.json") or {}).items():
        sha256 = [snapshot.sha256[place] for place in readings["places"]]
        labels = [snapshot.labels[place] or "" for place in readings["places"]]
        splits[split] = score_reads(sha256, labels, readings["texts"], audit, listed="exact")
    return splits


def command() -> int:
    return main("peers", __doc__, CELLS, (QUICK, plates.QUICK), measure)
