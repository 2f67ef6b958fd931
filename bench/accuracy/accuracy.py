"""Accuracy benchmark. Each cell writes a JSON file to bench/results/accuracy.

    python -m bench.accuracy --data DIR [--only 'digits4-*'] [--jobs 2] [--list] [--again] [--recount] [--quick]

DIR has digits4/, henan4/ and henan1/ with a labels.csv (filename, label), and portal6/ with labels in the file names.
All other images are rendered. Finished cells are skipped and interrupted ones resume. Validation images select the
checkpoint, test images nothing. `python -m bench.tables` writes docs/benchmarks.md from the files.
"""

from dataclasses import replace
from typing import Any

from bench.accuracy import untrained
from bench.accuracy.ablations import ABLATIONS, WORKER
from bench.accuracy.cell import Cell, described
from bench.accuracy.data import FOLDS, SETS, freeze, read_by_all, rows_of
from bench.accuracy.scores import agreement_of, load_audit, score_reads, score_run
from bench.accuracy.training import evaluate, train
from bench.accuracy.untrained import UNTRAINED
from bench.cells import Bench, Interrupted, environment
from bench.grid import main
from core.bundle.reader import crop
from core.evaluation.predictions import Predictions
from core.images.frame import find_text, subsample
from core.images.pixels import decode
from core.readers.builtin import NAME as BUILTIN
from core.readers.readers import READERS
from core.training.snapshot import load_snapshot

SEEDS = (0, 1, 2)
COUNTS = (50, 200, 1000)
"""Labels of train and val together, or of people beside readings, for which cells show what more labels bring."""
EVEN_STEPS = "4976"
"""Steps of preset fast in the minutes of 3,360 steps of the CRNN: on one machine, 14.4 and 21.4 minutes for as many."""
INITS = ("scratch", "rendered")
"""Starts of the cells with few labels."""
HEADS = ("flatten", "pool")
"""Other heads than the default."""
LABELED = (
    ("digits4", "real, 4 digits"),
    ("henan4", "real, 4 digits"),
    ("hard4000", "rendered, 6 digits, hard style"),
    ("portal6", "real, 6 digits, fold 0"),
)


def seeds_of(count: int) -> tuple[int, ...]:
    """Return the seeds of cells with so many labels: few labels vary more."""
    return SEEDS if count <= 200 else SEEDS[:1]


CELLS: tuple[Cell, ...] = (
    *(
        Cell(
            name=f"digits4-fast-seed{seed}",
            what="real, 4 digits; the project's own split",
            group="trained",
            images="digits4",
            options={"seed": str(seed)},
        )
        for seed in SEEDS
    ),
    Cell(
        name="digits4-article-cut-seed0",
        what="real, 4 digits; the project's own split",
        group="trained",
        images="digits4",
        preset="article-cut",
        needs=("patience",),
    ),
    *(
        Cell(
            name=f"portal6-fast-fold{fold}",
            what="real, 6 digits; every fifth image held out",
            group="trained",
            images=f"portal6-fold{fold}",
        )
        for fold in range(FOLDS)
    ),
    *(
        Cell(
            name=f"hard4000-fast-seed{seed}",
            what="rendered, 6 digits, hard style",
            group="trained",
            images="hard4000",
            options={"seed": str(seed)},
        )
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"hard4000-article-seed{seed}",
            what="rendered, 6 digits, hard style",
            group="trained",
            images="hard4000",
            preset="article",
            options={"seed": str(seed)},
            needs=("patience",) if seed == 0 else ("gpu",),
        )
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"passes-{passes}",
            what=f"rendered, 6 digits, hard style, other test images; init=rendered, {passes} passes",
            group="trained",
            images="hard4000-other",
            options={"init": "rendered", "epochs": str(passes)},
        )
        for passes in (10, 20)
    ),
    Cell(
        name="hard4000-even-seed0",
        what="rendered, 6 digits, hard style; as many minutes as the CRNN of bench.peers",
        group="trained",
        images="hard4000",
        options={"seed": "0", "steps": EVEN_STEPS},
    ),
    Cell(
        name="hard4000-literal-seed0",
        what="rendered, 6 digits, hard style; average of the map, embedding and linear heads, 800 steps",
        group="trained",
        images="hard4000",
        preset="article",
        options={"seed": "0", "head": "pool", "tied_heads": "false", "max_steps": "800"},
        needs=("patience",),
        variant="literal",
        worker=WORKER,
    ),
    *ABLATIONS,
    *(
        Cell(
            name=f"kind-{images}",
            what=what,
            group="kinds",
            images=images,
            options={"init": "auto"},
            needs=("photos",) if images == "photos6" else (),
        )
        for images, what in (
            ("colors36", "five of 36 characters, each in its own color"),
            ("photos6", "six light digits on photographs"),
            ("matrix8", "eight cells of a dot-matrix display, digits or blank"),
        )
    ),
    *(
        Cell(
            name=f"{name}-{group}-{suffix}",
            what=what,
            group=group,
            images=f"{name}-{group}{fold}",
            options={"init": "auto"},
            needs=("readers",),
        )
        for group in ("zero", "fifty")
        for name, suffix, fold, what in (
            ("digits4", "seed0", "", "real, 4 digits"),
            ("henan4", "seed0", "", "real, 4 digits"),
            *(("portal6", f"fold{fold}", f"-fold{fold}", "real, 6 digits") for fold in range(FOLDS)),
            ("demo", "seed0", "", "rendered, 6 digits, the demo of 2,000 images"),
            ("hard4000", "seed0", "", "rendered, 6 digits, hard style"),
        )
        if f"{name}-{group}{fold}" in SETS
    ),
    *(
        Cell(
            name=f"single-{suffix}",
            what="cut from digits4 and henan4, one digit or a half-turned wheel, 20x32 to 65x112",
            group="trained",
            images="single",
            options=options,
        )
        for suffix, options in (
            *((f"fast-seed{seed}", {"seed": str(seed)}) for seed in SEEDS),
            ("head-flatten", {"head": "flatten"}),
            ("head-pool", {"head": "pool"}),
            *((f"head-{head}-seed{seed}", {"head": head, "seed": str(seed)}) for head in HEADS for seed in SEEDS[1:]),
        )
    ),
    *(
        Cell(
            name=f"{name}-fast-seed{seed}",
            what=f"real, {what}; the project's own split",
            group="trained",
            images=name,
            options={"seed": str(seed)},
        )
        for name, what in (("henan4", "4 digits"), ("henan1", "1 digit"))
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"{images}-{init}-seed{seed}",
            what=f"{what}, {count} labels, init={init}",
            group="few",
            images=f"{images}-draw{seed}",
            options={"seed": str(seed), "init": init},
        )
        for images, count, what in (
            ("digits4-100", 100, "real, 4 digits"),
            ("henan4-100", 100, "real, 4 digits"),
            ("henan1-100", 100, "real, 1 digit"),
            ("hard4000-200", 200, "rendered, 6 digits, hard style"),
        )
        for init in INITS
        for seed in SEEDS
    ),
    *(
        Cell(
            name=f"{name}-{count}-{init}-seed{seed}",
            what=f"{what}, {count:,} labels, init={init}",
            group="labels",
            images=f"{name}-{count}-draw{seed}",
            options={"seed": str(seed), "init": init},
        )
        for name, what in LABELED
        for count in (COUNTS if name != "portal6" else (200,))
        if (name, count) != ("hard4000", 200)
        for init in INITS
        for seed in seeds_of(count)
    ),
    *(
        Cell(
            name=f"{name}-{count}-readers-seed{seed}",
            what=f"{what}, readers' labels and {count:,} of people, init=rendered",
            group="labels",
            images=f"{name}-{count}-readers",
            options={"seed": str(seed), "init": "rendered"},
            needs=("readers",),
        )
        for name, what in LABELED
        if name != "portal6"
        for count in COUNTS
        for seed in seeds_of(count)
    ),
    *(
        Cell(
            name=f"{name}-rendered-{suffix}",
            what=f"{what}, all labels, init=rendered",
            group="start",
            images=images,
            options=options | {"init": "rendered"},
        )
        for name, images, suffix, what, options in (
            *(("digits4", "digits4", f"seed{seed}", "real, 4 digits", {"seed": str(seed)}) for seed in SEEDS),
            *(("portal6", f"portal6-fold{fold}", f"fold{fold}", "real, 6 digits", {}) for fold in range(FOLDS)),
            *(("henan4", "henan4", f"seed{seed}", "real, 4 digits", {"seed": str(seed)}) for seed in SEEDS),
            *(("henan1", "henan1", f"seed{seed}", "real, 1 digit", {"seed": str(seed)}) for seed in SEEDS),
            *(("hard4000", "hard4000", f"seed{seed}", "rendered, 6 digits", {"seed": str(seed)}) for seed in SEEDS),
        )
    ),
    *(
        Cell(
            name=f"{reader}-{name}",
            what=what,
            group=group,
            images=images,
            preset=None,
            readers=names,
            needs=needs,
        )
        for reader, group, names, needs, sets in (
            ("builtin", "builtin", (BUILTIN,), (), ("digits4", "henan4", "henan1", "portal6", "hard4000")),
            ("readers", "three-readers", (*READERS, BUILTIN), ("readers",), ("digits4", "henan4", "henan1", "portal6")),
        )
        for name, images, what in (
            ("digits4", "digits4", "real, 4 digits"),
            ("henan4", "henan4", "real, 4 digits"),
            ("henan1", "henan1", "real, 1 digit"),
            ("portal6", "portal6-all", "real, 6 digits, all images"),
            ("hard4000", "hard4000", "rendered, 6 digits, hard style"),
        )
        if name in sets
    ),
    *(
        Cell(
            name=f"untrained-{reader}-{name}",
            what=what,
            group="untrained",
            images=images,
            preset=None,
            readers=(reader,),
            needs=("whisperer",) if reader == "whisperer" else ("readers",),
        )
        for reader in UNTRAINED
        for name, images, what in (
            ("digits4", "digits4", "the test images of digits4"),
            ("henan4", "henan4", "the test images of henan4"),
            ("portal6", "portal6-all", "all images of portal6"),
            ("hard4000", "hard4000", "the test images of hard4000"),
            ("demo", "demo", "the test images of the demo"),
        )
    ),
)

QUICK = Cell(
    name="quick",
    what="rendered; shows no more than that the bench works",
    group="trained",
    images="quick",
    options={
        "device": "cpu",
        "backbone": "test_resnet",
        "width": "32",
        "image_size": "32x96",
        "batch_size": "16",
        "pretrained": "none",
        "max_steps": "20",
    },
)


def measure(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Do the remaining work of a cell and return its result."""
    if cell.image_set.taught:
        return read_taught(cell, bench)
    if cell.group == "untrained":
        return read_untrained(cell, bench)
    return read_by_readers(cell, bench) if cell.readers else read_trained(cell, bench)


def read_trained(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Train, and score the readings of val and test. Audited labels are used only here, never in training."""
    trained = train(cell, bench)
    test = evaluate(cell, bench, trained, "test")
    snapshot = load_snapshot(trained.job.path / "dataset.npz")
    seen = {snapshot.labels[index] or "" for index in snapshot.labeled("train")}
    audit = load_audit(cell.image_set.folder)
    return trained.described(cell) | {
        "splits": {
            split: score_run(
                Predictions.load(job.path / f"predictions-{split}.npz"), cell.image_set.spec, seen=seen, audit=audit
            )
            for split, job in (("val", trained.job), ("test", test))
        }
    }


def read_taught(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Train on agreed readings and typed labels. Score run and readers on test, by given and audited labels."""
    trained = train(cell, bench)
    test = evaluate(cell, bench, trained, "test")
    predictions = Predictions.load(test.path / "predictions-test.npz")
    spec, audit = cell.image_set.spec, load_audit(cell.image_set.folder)
    # A name of its own, so that no training takes the file with the true labels.
    known = replace(cell.image_set, name=f"{cell.image_set.name}-truth", taught=False, typed=0)
    truth = load_snapshot(freeze(known, bench.work, bench.data).path)
    rows = rows_of(truth, range(len(truth)))
    readings = read_by_all(rows, spec, bench.work)
    texts = {sha256: [text for text, _ in each] for sha256, each in readings.items()}
    reads = {name: [texts[sha256][index] or "" for sha256 in predictions.sha256] for index, name in enumerate(READERS)}
    return trained.described(cell) | {
        "splits": {
            "test": score_run(predictions, spec, seen=set(), audit=audit)
            | {"readers": score_reads(predictions.sha256, predictions.labels, reads, audit, listed=next(iter(READERS)))}
        },
        "agreement": {
            split: agreement_of([row for row in rows if row[1] == split], texts, audit)
            for split in ("train", "val", "test")
        },
    }


def read_by_readers(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Score readers that saw no label, each alone, and where all or any two of them agree."""
    from core.model.warm_start import rendered_card  # imports torch

    frozen = freeze(cell.image_set, bench.work, bench.data)
    snapshot, audit = load_snapshot(frozen.path), load_audit(cell.image_set.folder)
    splits: dict[str, Any] = {}
    for split in ("val", "test"):
        places = snapshot.labeled(split)
        if not places or (split == "val" and len(cell.readers) == 1):
            continue
        rows = rows_of(snapshot, places)
        readings = read_by_all(rows, cell.image_set.spec, bench.work, cell.readers)
        texts = {sha256: [text for text, _ in each] for sha256, each in readings.items()}
        reads = {name: [texts[row[0]][index] or "" for row in rows] for index, name in enumerate(cell.readers)}
        sha256, labels = [row[0] for row in rows], [row[2] or "" for row in rows]
        splits[split] = score_reads(sha256, labels, reads, audit, listed=BUILTIN)
        if len(cell.readers) > 1:
            general = {sha256: each[: len(READERS)] for sha256, each in texts.items()}
            splits[split]["agreement"] = {
                "general": agreement_of(rows, general, audit),
                "two": agreement_of(rows, texts, audit, needed=2),
                "all": agreement_of(rows, texts, audit),
            }
    weights = {key: rendered_card()[key] for key in ("sha256", "images", "cpu_hours")}
    return described(cell, frozen) | environment(bench.threads) | {"weights": weights, "splits": splits}


def read_untrained(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Score a general reader on the test images, each cropped to the box of the text, as proposals are."""
    frozen = freeze(cell.image_set, bench.work, bench.data)
    snapshot, spec = load_snapshot(frozen.path), cell.image_set.spec
    places = snapshot.labeled("test")
    images = [decode(snapshot.blob(place)) for place in places]
    box = find_text([images[place] for place in subsample(range(len(images)))], spec.length)[0]
    reader = UNTRAINED[cell.readers[0]]()
    reads = untrained.read(reader, [crop(image, box) for image in images], spec, bench.stop.is_set)
    if bench.stop.is_set():
        raise Interrupted
    labels = [snapshot.labels[place] or "" for place in places]
    sha256 = [snapshot.sha256[place] for place in places]
    scores = score_reads(sha256, labels, reads, load_audit(cell.image_set.folder), listed="exact")
    weights = {"version": reader.version, "sha256": reader.sha256}
    return described(cell, frozen) | environment(bench.threads) | {"weights": weights, "splits": {"test": scores}}


def command() -> int:
    return main("accuracy", __doc__, CELLS, (QUICK,), measure)
