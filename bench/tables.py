"""Write the tables of docs/benchmarks.md from the committed results: `python -m bench.tables`; --check only compares.

Only the files decide, so everyone gets the same tables: a cell without a file is "not run".
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench import bundle, drift, quiet, unfamiliar
from bench.accuracy import accuracy, speed
from bench.accuracy.data import FOLDS
from bench.cells import RESULTS, ROOT, BenchCell, load_results
from bench.labels import planned, point_of
from bench.one_image import INT8, MODEL
from bench.peers import peers
from bench.reliability.batch import TARGET
from bench.ui import ui
from bench.ui.faults import FAULTS
from core.evaluation.metrics import interval95
from core.evaluation.percent import counted
from core.evaluation.tta_effect import mcnemar
from core.readers.builtin import NAME as BUILTIN
from core.readers.readers import READERS
from core.runs.label_curve import STARTS, points_of
from core.words import plural

PAGE = ROOT / "docs" / "benchmarks.md"
END = "<!-- /bench -->"
FOLD_CELLS = tuple(f"portal6-fast-fold{fold}" for fold in range(FOLDS))

Results = Mapping[str, Mapping[str, Any]]
CellT = TypeVar("CellT", bound=BenchCell)
NO_RESULTS: Results = {}


def tables(
    accuracy_results: Results,
    speed_results: Results,
    ui_results: Results = NO_RESULTS,
    reliability_results: Results = NO_RESULTS,
    suspect_results: Results = NO_RESULTS,
    unfamiliar_results: Results = NO_RESULTS,
    drift_results: Results = NO_RESULTS,
    verdict_results: Results = NO_RESULTS,
    bundle_results: Results = NO_RESULTS,
    peer_results: Results = NO_RESULTS,
) -> dict[str, str]:
    """Return each table as Markdown, by the name that its mark on the page has."""
    kills = [reliability_results["kills"]] if "kills" in reliability_results else []
    measured = [*accuracy_results.values(), *speed_results.values(), *ui_results.values()]
    measured += peer_results.values()
    return {
        "trained": trained_table(accuracy_results),
        "zero": zero_table(accuracy_results, "zero"),
        "fifty": zero_table(accuracy_results, "fifty"),
        "suspects": suspects_table(suspect_results),
        "unfamiliar": unfamiliar_table(unfamiliar_results),
        "unfamiliar-kinds": unfamiliar_kinds_table(unfamiliar_results),
        "drift": drift_table(drift_results),
        "drift-kinds": drift_kinds_table(drift_results),
        "verdicts": verdicts_table(verdict_results),
        "slices": slices_table(accuracy_results),
        "reader": zero_shot_table(accuracy_results),
        "errors": errors_table(accuracy_results),
        "builtin": builtin_table(accuracy_results),
        "three-readers": three_readers_table(accuracy_results),
        "few": few_table(accuracy_results),
        "start": beside_table(accuracy_results, "start", "rendered", "rendered start", "from scratch"),
        "resize": beside_table(accuracy_results, "resize", "resized", "resize of reader.py", "resize of OpenCV"),
        "labels": labels_table(accuracy_results),
        "rates": rates_table(peer_results),
        "peers": peers_table(peer_results, accuracy_results),
        "peer-costs": peer_costs_table(peer_results, accuracy_results),
        "ablations": ablation_table(accuracy_results),
        "speed": speed_table(speed_results),
        "latency": latency_table(ui_results),
        "beside-readers": beside_readers_table(ui_results),
        "beside-service": beside_service_table(ui_results),
        "typing": typing_table(ui_results),
        "operators": operators_table(ui_results),
        "kills": kills_table(kills),
        "states": states_table(reliability_results),
        "backups": backups_table(reliability_results),
        "metrics": metrics_table(reliability_results),
        "bundles": bundles_table(bundle_results),
        "one-image": one_image_table(bundle_results),
        "batch": batch_table(reliability_results),
        "service": service_table(reliability_results),
        "million": million_table(ui_results),
        "pages": pages_table(ui_results),
        "machines": machines([*measured, *kills, *bundle_results.values()]),
    }


def section(accuracy_results: Results, speed_results: Results, ui_results: Results = NO_RESULTS) -> str:
    """Return all tables as one Markdown text."""
    return "\n\n".join(filter(None, tables(accuracy_results, speed_results, ui_results).values()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell_rows(
    cells: Iterable[BenchCell], results: Results, columns: int, row: Callable[[Mapping[str, Any]], list[str]]
) -> list[list[str]]:
    """Return a row for each cell. `row` makes its columns; a cell without a result names what it needs."""
    rows = []
    for cell in cells:
        if (result := results.get(cell.name)) is not None:
            rows.append([f"`{cell.name}`", cell.what, *row(result)])
        else:
            needed = f" (needs {needed})" if (needed := cell.needed()) else ""
            rows.append([f"`{cell.name}`", cell.what, f"not run{needed}", *[""] * (columns - 1)])
    return rows


def of_group(cells: Iterable[CellT], group: str) -> list[CellT]:
    return [cell for cell in cells if cell.group == group]


# Accuracy


def trained_table(results: Results) -> str:
    head = ["cell", "images", "val with TTA", "test", "test with TTA", "fixed, broken by TTA", "training"]
    rows = []
    for row in cell_rows(of_group(accuracy.CELLS, "trained"), results, len(head) - 2, trained_columns):
        rows.append(row)
        name = row[0].strip("`")
        result = results.get(name)
        if result is not None and (count := corrected(result)):
            rows.append([row[0], f"same, audited labels ({count} corrected)", *audited_columns(result)])
        if name == FOLD_CELLS[-1]:
            rows += pooled_rows(results)
    return table(head, rows)


def zero_table(results: Results, group: str) -> str:
    """Return the runs with few labels of people beside their teachers, by audited labels where there are any."""
    head = ["cell", "images", "agreed in train", "right among them", *READERS, "run with TTA", "training"]
    cells = of_group(accuracy.CELLS, group)
    rows = cell_rows(cells, results, len(head) - 2, lambda result: [*zero_columns([result]), minutes(result)])
    real = [result for cell in cells if cell.image_set.folder and (result := results.get(cell.name)) is not None]
    if len(real) == sum(cell.image_set.folder is not None for cell in cells):
        rows.append(["**pooled**", "all real images", *zero_columns(real), ""])
    return table(head, rows)


def zero_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return agreement, its accuracy, and exact match on test of each reader and of the run, summed over results."""
    train = [result["agreement"]["train"] for result in found]
    tests = [result["splits"]["test"] for result in found]
    pairs = [(sum(each["agreed"] for each in train), sum(each["n"] for each in train))]
    pairs.append((sum(each["right_audited"] for each in train), pairs[0][0]))
    for name in READERS:
        scores_of = [test["readers"]["audited"][name] for test in tests]
        pairs.append((sum(each["k"] for each in scores_of), sum(each["n"] for each in scores_of)))
    own = [test["audited"]["tta"] for test in tests]
    pairs.append((sum(each["k"] for each in own), sum(each["n"] for each in own)))
    return [counted(*pair) for pair in pairs]


def trained_columns(result: Mapping[str, Any]) -> list[str]:
    return [*scores(result["splits"], "raw"), minutes(result)]


def audited_columns(result: Mapping[str, Any]) -> list[str]:
    return [*scores(result["splits"], "audited"), ""]


def scores(splits: Mapping[str, Any], labels: str) -> list[str]:
    val, test = splits["val"][labels], splits["test"][labels]
    flips = test["flips"]
    figures = [counted(part["k"], part["n"]) for part in (val["tta"], test["plain"], test["tta"])]
    return [*figures, f"{flips['fixed']}, {flips['broken']}"]


def minutes(result: Mapping[str, Any]) -> str:
    threads = result["choices"]["threads"]
    where = "GPU" if result["choices"]["device"] == "cuda" else f"{threads} thread{'s' * (threads > 1)}"
    if result["choices"].get("precision") == "bfloat16":  # earlier cells had no choice
        where += ", bfloat16"
    return f"{result['seconds'] / 60:.1f} min, {result['steps']:,} steps, {where}"


def corrected(result: Mapping[str, Any]) -> int:
    return sum(split["audited"]["corrected"] for split in result["splits"].values())


def pooled(results: Results, labels: str) -> dict[str, Any] | None:
    """Return the sums over the five held-out folds, which hold each image once; None while a fold is missing."""
    if any(name not in results for name in FOLD_CELLS):
        return None
    tests = [results[name]["splits"]["test"][labels] for name in FOLD_CELLS]
    sums: dict[str, Any] = {
        key: {
            "k": sum(test[key]["k"] for test in tests),
            "n": sum(test[key]["n"] for test in tests),
            "slices": {
                name: [sum(test[key]["slices"][name][place] for test in tests) for place in (0, 1)]
                for name in tests[0][key]["slices"]
            },
        }
        for key in ("plain", "tta")
    }
    return sums | {"flips": {key: sum(test["flips"][key] for test in tests) for key in ("fixed", "broken")}}


def pooled_rows(results: Results) -> list[list[str]]:
    rows = []
    for labels, what in (("raw", "all folds: every image held out once"), ("audited", "same, audited labels")):
        sums = pooled(results, labels)
        if sums is None:
            return [["**`portal6-fast`**", what, f"not run: needs all {FOLDS} folds", "", "", "", ""]]
        if labels == "audited" and not any(corrected(results[name]) for name in FOLD_CELLS):
            break
        figures = [f"**{counted(sums[key]['k'], sums[key]['n'])}**" for key in ("plain", "tta")]
        flips = f"{sums['flips']['fixed']}, {sums['flips']['broken']}"
        rows.append(["**`portal6-fast`**", what, "", *figures, flips, ""])
    return rows


SLICES = {
    "repeat": "two equal neighbors",
    "no_repeat": "no equal neighbors",
    "seen": "text seen in training",
    "not_seen": "text not seen in training",
}


def slices_table(results: Results) -> str:
    """Return the results of groups of test images with TTA; empty while there are no results."""
    rows = []
    for cell in of_group(accuracy.CELLS, "trained"):
        if cell.name in results and cell.name not in FOLD_CELLS:
            rows.append((cell.name, results[cell.name]["splits"]["test"]["raw"]["tta"]["slices"]))
        if cell.name == FOLD_CELLS[-1] and (sums := pooled(results, "raw")) is not None:
            rows.append(("portal6-fast", sums["tta"]["slices"]))
    if not rows:
        return ""
    lines = [
        [f"`{name}`", *(counted(*slices[key]) if slices[key][1] else "no such image" for key in SLICES)]
        for name, slices in rows
    ]
    return table(["test with TTA", *SLICES.values()], lines)


def zero_shot_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]
        figures = [counted(test["raw"][way]["k"], test["raw"][way]["n"]) for way in ("as_it_is", "filtered", "digits")]
        if not corrected(result):
            return figures
        best = test["audited"]["digits"]
        return [*figures[:2], f"{figures[2]}; audited labels {counted(best['k'], best['n'])}"]

    head = ["a general reader, untrained", "images", "all characters", "non-digits dropped", "only digits allowed"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "zero-shot"), results, len(head) - 2, row))


def builtin_table(results: Results) -> str:
    """Return exact match of the built-in reader on test, without a label of the set."""

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]
        given, right = (test[labels][BUILTIN] for labels in ("raw", "audited"))
        weights = f"{result['weights']['images']:,} in {result['weights']['cpu_hours']:g} CPU hours"
        return [weights, counted(given["k"], given["n"]), counted(right["k"], right["n"])]

    head = ["the built-in reader, no label", "images", "rendered images seen", "labels as given", "labels as audited"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "builtin"), results, len(head) - 2, row))


def three_readers_table(results: Results) -> str:
    """Return exact match of each reader and what their agreement leaves, on val and test, by audited labels."""

    def row(result: Mapping[str, Any]) -> list[str]:
        splits = list(result["splits"].values())
        figures = []
        for name in (*READERS, BUILTIN):
            k, n = (sum(split["audited"][name][key] for split in splits) for key in ("k", "n"))
            figures.append(counted(k, n))
        for rule in ("general", "two", "all"):
            found = [split["agreement"][rule] for split in splits]
            taken, right, n = (sum(each[key] for each in found) for key in ("agreed", "right_audited", "n"))
            figures.append(f"{taken} of {n}, {taken - right} wrong")
        return figures

    head = [
        "readers, no label, audited",
        "images",
        *READERS,
        BUILTIN,
        "both general agree",
        "any two agree",
        "all agree",
    ]
    return table(head, cell_rows(of_group(accuracy.CELLS, "three-readers"), results, len(head) - 2, row))


def few_table(results: Results) -> str:
    """Return exact match on test after training on few labels, by audited labels."""

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]["audited"]
        return [*(counted(test[key]["k"], test[key]["n"]) for key in ("plain", "tta")), minutes(result)]

    head = ["few labels, audited", "images", "test", "test with TTA", "training"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "few"), results, len(head) - 2, row))


def beside_table(results: Results, group: str, word: str, this: str, other: str) -> str:
    """Return the runs of a group beside those from scratch, with TTA on the same test images.

    `word` stands in the name of a cell where the other one has "fast". `this` and `other` name the columns.
    """

    def exact(run: Mapping[str, Any]) -> str:
        test = run["splits"]["test"]["audited"]["tta"]
        return f"{counted(test['k'], test['n'])}, {run['steps']:,} steps"

    def row(result: Mapping[str, Any]) -> list[str]:
        scratch = results.get(result["cell"].replace(f"-{word}-", "-fast-"))
        if scratch is None:
            return [exact(result), "not run", "", ""]
        wrong, others = (set(run["splits"]["test"]["audited"]["wrong"]) for run in (result, scratch))
        fixed, broken = len(others - wrong), len(wrong - others)
        return [exact(result), exact(scratch), f"{fixed}, {broken}", f"{mcnemar(fixed, broken):.2f}"]

    head = ["all labels, audited", "images", this, other, "fixed, broken", "McNemar p"]
    return table(head, cell_rows(of_group(accuracy.CELLS, group), results, len(head) - 2, row))


def labels_table(results: Results) -> str:
    """Return exact match by number of labels, by audited labels with TTA: the mean of the seeds, and each of them."""
    by_place: dict[tuple[str, str], dict[int | None, str]] = {}
    for point in planned():
        values = point_of(point, results)
        missing = sum(name not in results for name in point.cells)
        text = points_of([values])[0].text if values else "not run"
        by_place.setdefault((point.images, point.start), {})[point.count] = (
            f"{text}; {plural(missing, 'seed')} not run" if values and missing else text
        )
    counts = [*sorted({count for row in by_place.values() for count in row if count is not None}), None]
    head = ["labels of people", "start", *("all" if count is None else f"{count:,}" for count in counts)]
    rows = [[f"`{images}`", STARTS[start], *(row.get(count, "") for count in counts)]
            for (images, start), row in by_place.items()]  # fmt: skip
    return table(head, rows)


# Peers


def rates_table(results: Results) -> str:
    """Return the search of the peer's learning rate."""

    def row(result: Mapping[str, Any]) -> list[str]:
        val = result["splits"]["val"]["raw"]
        figures = [counted(val[way]["k"], val[way]["n"]) for way in ("greedy", "exact")]
        return [f"{result['config']['lr']:g}", *figures, f"{result['val_loss']:.4f}", minutes(result)]

    head = ["search", "images", "learning rate", "greedy", "exactly N characters", "loss", "training"]
    return table(head, cell_rows(of_group(peers.CELLS, "rates"), results, len(head) - 2, row))


def peers_table(results: Results, accuracy_results: Results) -> str:
    """Return the peer beside our network on the same labels, by audited labels, all with one view of an image."""

    def ours(run: Mapping[str, Any] | None) -> str:
        if run is None:
            return "not run"
        plain = run["splits"]["test"]["audited"]["plain"]
        return counted(plain["k"], plain["n"])

    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]["audited"]
        scratch, rendered = (accuracy_results.get(name) for name in counterparts(result["cell"]))
        reads = [test["greedy"], test["exact"]]
        reads += [scratch["splits"]["test"]["audited"]["plain"]] if scratch else []
        repeats = ", ".join(
            f"{each['slices'][name][1] - each['slices'][name][0]}/{each['slices'][name][1]}"
            for name in ("repeat", "no_repeat") for each in reads
        )  # fmt: skip
        figures = [counted(test[way]["k"], test[way]["n"]) for way in ("greedy", "exact")]
        return [*figures, ours(scratch), ours(rendered), compared(scratch, result), repeats]

    head = ["CRNN and CTC, audited, one view", "images", "greedy", "exactly N characters", "ours from scratch"]
    head += ["ours from rendered weights", "ours from scratch: fixed, broken, McNemar p"]
    head += ["errors with two equal neighbors, then without: greedy, exactly N, ours from scratch"]
    return table(head, cell_rows(of_group(peers.CELLS, "crnn"), results, len(head) - 2, row))


def counterparts(cell: str) -> tuple[str, str]:
    """Return our cells on the images of a peer's cell: from scratch, and from rendered weights."""
    images, _, suffix = cell.removeprefix("crnn-").rpartition("-")
    return f"{images}-{'scratch' if images.count('-') else 'fast'}-{suffix}", f"{images}-rendered-{suffix}"


def compared(ours: Mapping[str, Any] | None, peer: Mapping[str, Any]) -> str:
    """Return the test images that only one of both reads right, with one view; empty if a list is not complete."""
    if ours is None:
        return "not run"
    own, other = ours["splits"]["test"]["audited"], peer["splits"]["test"]["audited"]
    if "wrong_plain" not in own:  # cells of earlier versions listed only what TTA reads wrong
        return ""
    lists = ((own["wrong_plain"], own["plain"]), (other["wrong"], other["exact"]))
    if any(len(wrong) != score["n"] - score["k"] for wrong, score in lists):
        return ""
    wrong, others = set(own["wrong_plain"]), set(other["wrong"])
    fixed, broken = len(others - wrong), len(wrong - others)
    return f"{fixed}, {broken}, {mcnemar(fixed, broken):.2g}"


def peer_costs_table(results: Results, accuracy_results: Results) -> str:
    """Return size, speed and training time of the peer and of our network from scratch."""

    def when(run: Mapping[str, Any] | None) -> str:
        if run is None:
            return "not run"
        if "validation" not in run:
            return "not recorded"
        lines = [dict(zip(("step", "seconds", "k", "n"), line, strict=True)) for line in run["validation"]]
        first = [speed.times_to(lines, goal)["first"] for goal in speed.GOALS]
        return "; ".join(f"{one['seconds'] / 60:.1f} min, step {one['step']:,}" if one else "never" for one in first)

    def row(result: Mapping[str, Any]) -> list[str]:
        scratch = accuracy_results.get(counterparts(result["cell"])[0])
        both = [", ".join(f"{result[key][who]:,}" for who in ("crnn", "crnn_exact", "ours") if who in result[key])
                for key in ("parameters", "read_ms", "step_ms")]  # fmt: skip
        ended = minutes(scratch) if scratch else "not run"
        return [*both, when(result), when(scratch), minutes(result), ended]

    goals = " and ".join(f"{goal:.0%}" for goal in speed.GOALS)
    head = [
        "CRNN and CTC",
        "images",
        "parameters: CRNN, ours",
        "ms an image: greedy, exactly N, ours",
        "ms a step: CRNN, ours",
    ]
    head += [f"val {goals} after", f"ours from scratch, val {goals} after", "training", "ours from scratch, training"]
    done = [cell for cell in of_group(peers.CELLS, "crnn") if cell.name in results]
    rows = cell_rows(done, results, len(head) - 2, row)
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def errors_table(results: Results) -> str:
    """Return the ratio of wrong images: preset fast with TTA over the best variant of the general reader."""
    rows = []
    for name in ("digits4", "portal6", "hard4000"):
        reader = results.get(f"ddddocr-{name}")
        runs = [cell.name for cell in of_group(accuracy.CELLS, "trained") if cell.name.startswith(f"{name}-fast-")]
        done = [results[run]["splits"]["test"] for run in runs if run in results]
        if reader is None or not done or (name == "portal6" and len(done) < FOLDS):
            continue
        row = [name]
        for labels in ("raw", "audited"):
            k, n = (sum(test[labels]["tta"][key] for test in done) for key in ("k", "n"))
            best = reader["splits"]["test"][labels]["digits"]
            ratio = (1 - k / n) / (1 - best["k"] / best["n"])
            row.append(f"{n - k}/{n} against {best['n'] - best['k']}/{best['n']}: {ratio:.2f}")
        rows.append(row)
    head = ["errors of Slotlab against the general reader's", "labels as given", "labels as audited"]
    return table(head, rows) if rows else ""


def ablation_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        splits = (result["splits"][name]["raw"] for name in ("val", "test"))
        return [counted(split[key]["k"], split[key]["n"]) for split in splits for key in ("plain", "tta")]

    steps = accuracy.SHORT["steps"]
    head = [f"ablation, {steps} steps", "option", "val", "val with TTA", "test", "test with TTA"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "ablations"), results, len(head) - 2, row))


# Speed


def speed_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        reading = result["reading"]
        plain, tta = (counted(end["k"], end["n"]) for end in map(result["end"].get, ("plain", "tta")))
        return [
            *(_time_to(goal) for goal in result["times"]),
            f"{result['process_seconds'] / 60:.1f} min: {plain}, with TTA {tta}",
            f"{result['training_images_per_s']:g}",
            *(f"{reading[batch]['ms']:g} ms, {reading[batch]['images_per_s']:g}/s" for batch in ("batch1", "batch64")),
            f"{result['peak_mb']:,.0f} / {reading['peak_mb']:,.0f} MB",
            f"{reading['parameters']['total']:,}",
        ]

    head = ["speed", "images", *(f"val {goal:.0%} after" for goal in speed.GOALS), "val at the end"]
    head += ["images/s in training", "reading 1", "reading 64", "memory, training / reading", "parameters"]
    return table(head, cell_rows(speed.CELLS, results, len(head) - 2, row))


def _time_to(goal: Mapping[str, Any]) -> str:
    if goal["first"] is None:
        return "never"
    first, lasting = (goal[key] and f"{goal[key]['seconds'] / 60:.1f} min" for key in ("first", "lasting"))
    if first == lasting:
        return str(first)
    return f"{first}, for good {'never' if lasting is None else lasting}"


# Labeling


def latency_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        browser = result["browser"]
        found = browser["latency_ms"]
        answers = browser["answer_ms"]
        return [
            f"{found['median']:g} ms",
            f"{found['p95']:g} ms",
            f"{found['max']:g} ms",
            f"{found['n']} at {browser['keys_per_s']:g} keys/s",
            f"{answers['median']:g}, {answers['p99']:g} ms",
        ]

    head = ["labeling: last key to next image", "where", "median", "95th percentile", "most", "labels"]
    head += ["saved after, median, 99th percentile"]
    cells = [cell for cell in ui.CELLS if cell.group == "latency" or cell.name == "million-latency"]
    return table(head, cell_rows(cells, results, len(head) - 2, row))


def beside_readers_table(results: Results) -> str:
    """Return the latency of labeling alone and beside the general readers, typed in one session."""
    head = ["images", "readers took", "labeling", "median", "95th percentile", "most"]
    head += ["saved after, median, 99th percentile"]
    rows = [
        [
            f"{result['proposed']['images']:,}",
            f"{result['reading_s'] / 60:.1f} min",
            f"{name}, {part['latency_ms']['n']} labels",
            *(f"{part['latency_ms'][key]:g} ms" for key in ("median", "p95", "max")),
            f"{part['answer_ms']['median']:g}, {part['answer_ms']['p99']:g} ms",
        ]
        for cell in of_group(ui.CELLS, "readers")
        if (result := results.get(cell.name)) is not None
        for name, part in (("alone", result["alone"]), ("beside the readers", result["browser"]))
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def beside_service_table(results: Results) -> str:
    """Return the latency of labeling alone and beside a service under load, typed in turn in one session."""
    head = ["labeling", "service answered", "median", "95th percentile", "most", "labels"]
    head += ["saved after, median, 99th percentile", "load of other work"]
    rows = [
        [
            name if name == "alone" else f"beside `slotlab api`, {name}",
            f"{phase['requests_a_second']:g} requests/s" if phase["requests_a_second"] else "",
            *(f"{phase['latency_ms'][key]:g} ms" for key in ("median", "p95", "max")),
            f"{phase['latency_ms']['n']}",
            f"{phase['answer_ms']['median']:g}, {phase['answer_ms']['p99']:g} ms",
            f"{result['other_load']:g} on {result['hardware']['cores']} cores" if name == "alone" else "",
        ]
        for cell in of_group(ui.CELLS, "service")
        if (result := results.get(cell.name)) is not None
        for name, phase in result["phases"].items()
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def typing_table(results: Results) -> str:
    """Return a row for each fault and a column for each rate."""

    def entry(result: Mapping[str, Any] | None) -> str:
        if result is None:
            return "not run"
        browsers = result["browsers"]
        reached = " and ".join(f"{each['keys_per_s']:g}" for each in browsers)
        waited = sum(each["waited_s"] for each in browsers)
        twice = f", **{result['twice']} twice**" if result["twice"] else ""
        return (
            f"{losses(result)}{twice}; {reached} keys/s, "
            f"waited {waited:.1f} s, all saved {result['answered_s']:.1f} s after the last"
        )

    head = ["typing known texts, `typing-{rate}keys-{fault}`", *(f"{rate} keys a second" for rate in ui.RATES)]
    rows = [
        [f"`{name}`{how}", *(entry(results.get(f"typing-{rate}keys-{name}")) for rate in ui.RATES)]
        for name, how in FAULTS.items()
    ]
    return table(head, rows)


def losses(result: Mapping[str, Any]) -> str:
    """Return how many typed labels were lost and misfiled; a count above 0 is bold."""
    n = result["typed"]
    return ", ".join(
        f"{result[key]} of {n} {key}" if result[key] == 0 else f"**{result[key]} of {n} {key}**"
        for key in ("lost", "misfiled")
    )


def operators_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        team, browser = result["operators"], result["browser"]
        answers, found = team["answer_ms"], browser["latency_ms"]
        return [
            f"{losses(result)}, {result['given_twice']} given to two, {len(result['errors'])} errors",
            f"{answers['median']:g}, {answers['p99']:g}, {answers['max']:g} ms (n = {answers['n']})",
            f"{found['median']:g}, {found['p95']:g} ms (n = {found['n']}) at {browser['keys_per_s']:g} keys/s",
            f"{result['run']['state']}" if result["run"] else "none",
        ]

    head = ["many operators at once", "who", "labels", "saved after, median, 99th percentile, most"]
    head += ["browser: last key to next image, median, 95th percentile", "run beside, at the end"]
    return table(head, cell_rows(of_group(ui.CELLS, "operators"), results, len(head) - 2, row))


def kills_table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return what the kills of a run hit, and what was lost."""
    head = ["kills at random", "acknowledged labels", "lost", "other contradictions", "seconds"]
    rows = []
    for result in results:
        kills = result["kills"]
        labels = result["acknowledged"]
        listed = ", ".join(f"{n} {victim}" for victim, n in kills.items())
        rows.append(
            [
                f"{sum(kills.values())}: {listed}",
                f"{labels['apply_events']:,} without a browser, {labels['browser']:,} in browsers",
                _bold_unless_zero(len(result["lost"])),
                _bold_unless_zero(len(result["wrong"])),
                f"{result['seconds']:,.0f}",
            ]
        )
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def states_table(results: Results) -> str:
    """Return what watchers saw beside starts, cancels and resumes on a slow disk."""
    head = ["operations", "watchers", "changes of state seen", "wrong"]
    rows = [
        [
            ", ".join(f"{n} {name}s" for name, n in result["operations"].items()),
            f"{result['watchers']}, {result['looks']:,} looks",
            f"{result['changes_seen']:,}",
            _bold_unless_zero(result["wrong"] + len(result["wrong_ends"])),
        ]
        for name, result in results.items()
        if name == "states"
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def bundles_table(results: Results) -> str:
    """Return the figures of each bundle that have a target. Those that miss it are bold."""
    head = [
        "bundle", f"model, at most {bundle.MOST['model_mb']:g} MB", f"INT8, {bundle.MOST['int8_mb']:g} MB",
        f"the rest, {bundle.MOST['rest_mb']:g} MB", "images read as the run does", "the same, INT8",
        f"from import to first answer, {bundle.MOST['first_answer_s']:g} s",
        f"its packages, {bundle.MOST['installed_mb']:g} MB",
    ]  # fmt: skip

    def row(name: str, result: Mapping[str, Any]) -> list[str]:
        def figure(key: str, unit: str) -> str:
            value = result["figures"][key]
            text = "none" if value is None else f"{value:.2f} {unit}"
            return f"**{text}**" if key in result["missed"] else text

        equal = result["equal"]
        same = [
            counted(equal["n"] - equal["differing"][model], equal["n"]) if model in equal["differing"] else "none"
            for model in (MODEL, INT8)
        ]
        same[0] = f"**{same[0]}**" if "differing" in result["missed"] else same[0]
        views = f", {equal['views']} views" if equal["views"] > 1 else ""
        return [
            f"`{name}`, {result['run']}{views}", *(figure(f"{key}_mb", "MB") for key in (MODEL, INT8, "rest")), *same,
            figure("first_answer_s", "s"), figure("installed_mb", "MB"),
        ]  # fmt: skip

    rows = [row(name, result) for name, result in sorted(results.items())]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def one_image_table(results: Results) -> str:
    """Return the time of a single image for each reader of each bundle, beside the float model of the bundle."""
    most, least = bundle.MOST, bundle.LEAST["times_faster"]
    head = ["one image at a time", "reader"]
    head += [f"p50, at most {most['model_p50_ms']:g} ms, INT8 {most['int8_p50_ms']:g} ms", "p90"]
    head += [f"p99, at most {most['model_p99_ms']:g} ms", "CPU", "right"]
    head += [f"p50 beside the bundle's, general readers at least {least:g} times", "machine"]
    titles = {MODEL: "bundle", INT8: "bundle, INT8"}

    def row(name: str, reader: str, result: Mapping[str, Any]) -> list[str]:
        times, model = result["one_image"][reader], result["one_image"][MODEL]

        def ms(quantile: str) -> str:
            text = f"{times['ms'][quantile]:.2f} ms"
            return f"**{text}**" if f"{reader}_{quantile}_ms" in result["missed"] else text

        times_slower = times["ms"]["p50"] / model["ms"]["p50"]
        ratio = "" if reader == MODEL else f"{times_slower:.1f} times"
        if reader not in titles and times_slower < least:
            ratio = f"**{ratio}**"
        right = counted(times["right"], times["n"])
        where = quiet.described(result["machine"]) if reader == MODEL else ""
        return [f"`{name}`", titles.get(reader, reader), *map(ms, ("p50", "p90", "p99")), f"{times['cpu_ms']:.2f} ms",
                right, ratio, where]  # fmt: skip

    rows = [row(name, reader, result) for name, result in sorted(results.items()) for reader in result["one_image"]]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def batch_table(results: Results) -> str:
    """Return the rate of a batch without kills, and what was wrong after the kills."""
    head = ["model", "images a second, without kills", f"a CPU second, at least {TARGET}", "peak memory", "kills"]
    head += ["files once each", "read again and compared", "wrong", "machine"]
    rows = []
    for name, result in results.items():
        if not name.startswith("batch"):
            continue
        rate = result["without_kills"]
        by_cpu = f"{rate['images_a_cpu_second']:.0f}"
        rows.append(
            [
                "INT8" if result["int8"] else "float",
                f"{rate['images_a_second']:.0f} by {result['jobs']} processes",
                f"**{by_cpu}**" if rate["images_a_cpu_second"] < TARGET else by_cpu,
                f"{rate['peak_mb']:,.0f} MB",
                ", ".join(f"{n} {victim}" for victim, n in result["kills"].items()),
                f"{result['files']:,}, in {result['seconds_with_kills']:,.0f} s",
                f"{result['compared']:,}",
                _bold_unless_zero(len(result["wrong"])),
                quiet.described(rate["machine"]),
            ]
        )
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def service_table(results: Results) -> str:
    """Return capacity, latency and the answers under overload of the service on one core."""
    head = [
        "model",
        "CPU an image",
        "capacity",
        "50 requests/s",
        "64 clients",
        "64 clients, queue of 16",
        "memory",
        "load",
    ]
    rows = [
        [
            f"INT8, {result['seconds']:g} s" if result["int8"] else f"float, {result['seconds']:g} s",
            f"{result['capacity']['cpu_ms_an_image']:.2f} ms",
            f"{result['capacity']['answered_a_second']:.0f} images/s",
            "p50 {p50:.1f} ms, p99 {p99:.1f} ms".format(**result["at_50_a_second"]["ms"]),
            f"{_statuses(result['overload'])}; {100 * result['overload_share_of_capacity']:.0f}% of capacity",
            _statuses(result["refusals"]),
            f"{result['overload']['memory_mb']:.0f} MB, {result['overload']['memory_mb_a_minute']:+.1f} MB a minute",
            f"{result['other_load']:g} on {result['hardware']['cores']} cores",
        ]
        for name, result in results.items()
        if name.startswith("service")
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def _statuses(load: Mapping[str, Any]) -> str:
    statuses = [f"{count:,} x {status}" for status, count in load["statuses"].items()]
    return ", ".join([*statuses, *[f"**{load['lost']:,} lost**"] * bool(load["lost"])])


def suspects_table(results: Results) -> str:
    """Return the wrong labels that were found, and the share of wrong ones among the suspected."""
    head = ["cell", "labels", "wrong labels", "suspected by", "found", "wrong among suspected"]
    kinds = (
        ("audit", "those of the audit", "readers"),
        ("readers_alone", "2% changed, {draws}", "readers"),
        ("with_folds", "2% changed, {draws}", "readers and folds"),
    )
    rows = [
        [
            f"`{name}`",
            f"{result['images']:,}",
            wrong.format(draws=f"n = {len(counts.get('draws', ()))}"),
            who,
            counted(counts["found"], counts["wrong"]),
            counted(counts["found"], counts["suspected"]),
        ]
        for name, result in sorted(results.items(), reverse=True)
        for key, wrong, who in kinds
        if (counts := result.get(key)) is not None and counts["suspected"] and counts["wrong"]
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def unfamiliar_table(results: Results) -> str:
    """Return the flagged images of each set: familiar ones, and unfamiliar ones in two halves of the kinds."""

    def row(found: Sequence[Mapping[str, Any]]) -> list[str]:
        kinds = [(kind, counts) for result in found for kind, counts in result["kinds"].items() if not counts["has"]]
        halves = [[counts for kind, counts in kinds if (kind in unfamiliar.SAME) == same] for same in (False, True)]
        return [flagged([result["familiar"] for result in found]), *map(flagged, halves)]

    head = ["cell", "images", "familiar, flagged", "other size or colors, flagged", "same size and colors, flagged"]
    cells = of_group(unfamiliar.CELLS, "unfamiliar")
    rows = cell_rows(cells, results, len(head) - 2, lambda result: row([result]))
    if all(cell.name in results for cell in cells):
        rows.append(["**pooled**", "all of these", *row([results[cell.name] for cell in cells])])
    few = cell_rows(of_group(unfamiliar.CELLS, "few"), results, len(head) - 2, lambda result: row([result]))
    return table(head, rows + few)


def unfamiliar_kinds_table(results: Results) -> str:
    """Return the flagged images of each kind, over all sets, and of those sets whose training has the kind."""
    found = [results[cell.name] for cell in of_group(unfamiliar.CELLS, "unfamiliar") if cell.name in results]
    head = ["kind", "unlike training, flagged", "training has it, flagged"]
    rows = []
    for kind in found[0]["kinds"] if found else ():
        parts = [
            [result["kinds"][kind] for result in found if result["kinds"][kind]["has"] == has] for has in (False, True)
        ]
        rows.append([kind, *(flagged(part) if part else "" for part in parts)])
    return table(head, rows or [["not run", "", ""]])


def flagged(counts: Sequence[Mapping[str, int]]) -> str:
    return counted(sum(each["k"] for each in counts), sum(each["n"] for each in counts))


def drift_table(results: Results) -> str:
    """Return the false alarms of each set, and the share of its changed streams that are noticed within 50 images."""

    def row(found: Sequence[Mapping[str, Any]]) -> list[str]:
        images, alarms = (sum(result["false"][key] for result in found) for key in ("images", "alarms"))
        low, high = (1e4 * end for end in interval95(alarms, images))
        kinds = [counts for result in found for counts in result.get("kinds", {}).values() if not counts["has"]]
        halves = [[counts for counts in kinds if counts["keeps"] == keeps] for keeps in (False, True)]
        rate = f"{alarms} in {images:,} = {1e4 * alarms / images:.2f} in 10,000 ({low:.2f} to {high:.2f})"
        return [rate, *(noticed(half) if half else "" for half in halves)]

    head = ["cell", "images", "false alarms", "other size or colors, within 50", "same size and colors, within 50"]
    cells = of_group(drift.CELLS, "drift")
    rows = cell_rows(cells, results, len(head) - 2, lambda result: row([result]))
    if all(cell.name in results for cell in cells):
        rows.append(["**pooled**", "all of these", *row([results[cell.name] for cell in cells])])
    simulated = cell_rows(of_group(drift.CELLS, "simulated"), results, len(head) - 2, lambda result: row([result]))
    few = cell_rows(of_group(drift.CELLS, "few"), results, len(head) - 2, lambda result: row([result]))
    return table(head, rows + few + simulated)


def drift_kinds_table(results: Results) -> str:
    """Return the delays of each kind of change, over all sets whose training does not have it."""
    found = [results[cell.name] for cell in of_group(drift.CELLS, "drift") if cell.name in results]
    head = ["change", "keeps size and colors", "made after the rule", "noticed within 50 images"]
    head += ["median delay, lowest and highest set", "90th percentile, highest set"]
    rows = []
    for kind in found[0]["kinds"] if found else ():
        counts = [each for result in found if not (each := result["kinds"][kind])["has"]]
        medians, slowest = [each["median"] for each in counts], max(each["p90"] for each in counts)
        rows.append(
            [
                kind,
                *("yes" if counts[0][key] else "" for key in ("keeps", "fresh")),
                noticed(counts),
                f"{_images(min(medians), counts[0])} to {_images(max(medians), counts[0])}",
                _images(slowest, counts[0]),
            ]
        )
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def noticed(counts: Sequence[Mapping[str, int]]) -> str:
    return counted(sum(each["soon"] for each in counts), sum(each["n"] for each in counts))


def _images(delay: float, counts: Mapping[str, Any]) -> str:
    return f"over {counts['most']}" if delay > counts["most"] else f"{delay:.0f}"


def verdicts_table(results: Results) -> str:
    """Return what each day at a simulated portal brought, and what the threshold is worth that its verdicts set."""
    head = [
        "cell", "day", "labels of people, of verdicts", "new images right", "sure of, right", "portal accepted",
        "images a login", "logins left to a person",
    ]  # fmt: skip
    rows = []
    for name, result in sorted(results.items()):
        for number, each in enumerate(result["days"]):
            fresh, day = each["fresh"], each["day"]
            rows.append(
                [
                    f"`{name}`", str(number), f"{each['train'] + each['val'] - each['verdict']:,}, {each['verdict']:,}",
                    counted(fresh["right"], fresh["n"]), counted(fresh["sure_right"], fresh["sure"]),
                    counted(day["right"], day["submitted"]), f"{day['images'] / day['logins']:.2f}",
                    counted(day["by_person"], day["logins"]),
                ]
            )  # fmt: skip
        if found := result["threshold"]:
            fresh, chosen = found["fresh"], found["chosen"]
            threshold = f"from {chosen['threshold']:.3f}: at most {chosen['risk_bound']:.1%} wrong"
            sure = counted(fresh["sure_right"], fresh["sure"])
            rows.append([f"`{name}`", "threshold", threshold, counted(fresh["right"], fresh["n"]), sure, "", "", ""])
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def backups_table(results: Results) -> str:
    """Return the time of a backup beside a plain copy, and what it costs the operators who label meanwhile."""
    head = ["samples", "plain copy", "backup", "answers to labels, p95", "restored"]
    rows = [
        [
            f"{result['samples']:,}, {result['backup']['bytes'] / 1e9:.1f} GB",
            f"{result['seconds']['plain copy']:.0f} s",
            f"{result['seconds']['backup']:.0f} s",
            ", ".join(f"{phase} {times['p95']:,.0f} ms" for phase, times in result["answer_ms"].items() if times),
            "equal" if result["equal"]["ledger"] and result["equal"]["images"] else "**different**",
        ]
        for name, result in sorted(results.items())
        if name.startswith("backup-")
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def metrics_table(results: Results) -> str:
    """Return the CPU time to read and diagnose a run for the first time and while following it."""

    def times(seconds: Mapping[str, float]) -> str:
        fastest, middle, slowest = (f"{1000 * seconds[key]:.0f}" for key in ("min", "median", "max"))
        return f"{middle} ms ({fastest} to {slowest}, n = {seconds['n']})"

    head = ["lines", "first look, CPU", "next looks, CPU", "lines kept", "memory"]
    rows = [
        [
            f"{result['lines']:,}, {result['bytes'] / 1e6:.0f} MB",
            times(result["first_cpu_s"]),
            times(result["next_cpu_s"]),
            f"{result['lines_kept']:,}",
            f"{result['memory_mb']:.0f} MB",
        ]
        for name, result in results.items()
        if name == "metrics"
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def _bold_unless_zero(n: int) -> str:
    return f"**{n}**" if n else "0"


def million_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        made = result["made"]
        size = f"{made['samples']:,} samples, {made['bytes'] / 1e9:.1f} GB, made in {made['seconds']:.0f} s"
        if (first := result.get("first_image_ms")) is not None:
            return [f"{seconds(first)} (n = {first['n']})", size]
        if (pages := result.get("pages_ms")) is not None:
            return [", ".join(f"{page} {seconds(times)} (n = {times['n']})" for page, times in pages.items()), size]
        medians = sorted(query["median_ms"] for query in result["queries"])
        figure = f"{len(medians)} of them: median {medians[len(medians) // 2]:g} ms, slowest {medians[-1]:g} ms"
        return [figure, size]

    def seconds(times: Mapping[str, float]) -> str:
        return f"{times['median'] / 1000:.2f} s, at most {times['max'] / 1000:.2f} s"

    head = ["a million samples", "what", "median", "project"]
    cells = [cell for cell in of_group(ui.CELLS, "million") if cell.name != "million-latency"]
    return table(head, cell_rows(cells, results, len(head) - 2, row))


def pages_table(results: Results) -> str:
    """Return a row for each screen, and one for a server that has shown all of them."""
    head = ["100,000 predictions with nine views", "opened by address", "opened by click", "matrix cell to images"]
    head += ["first page after a start", "peak memory of the server"]
    (cell,) = of_group(ui.CELLS, "evaluate")
    if (result := results.get(cell.name)) is None:
        return table(head, [[f"`{cell.name}`", "not run", *[""] * (len(head) - 2)]])

    def times(found: Mapping[str, float] | None) -> str:
        return f"{found['median'] / 1000:.2f} s, at most {found['max'] / 1000:.2f} s" if found else ""

    rows = [
        [
            screen_title(each["screen"]),
            *(times(each.get(key)) for key in ("open_ms", "click_ms", "cell_ms")),
            f"{each['cold_ms'] / 1000:.1f} s",
            f"{each['peak_mb']:,.0f} MB",
        ]
        for each in result["screens"]
    ]
    peak = result["peak_mb"]
    for which, key in (("all pages without a model", "without_model"), ("all pages", "all")):
        rows.append([f"one server, {which}", *[""] * 4, f"{peak[key]:,.0f} MB"])
    counts = {each["open_ms"]["n"] for each in result["screens"]}
    head[0] += f"; medians of {', '.join(map(str, sorted(counts)))}"
    return table(head, rows)


def screen_title(name: str) -> str:
    """Return the name of a screen in the words of today's app; results keep the words of their time."""
    page, _, rest = name.partition(", ")
    tab, _, views = rest.partition(", ")
    tab = {"parts": "slices", "views": "TTA", "tta": "TTA", "trust": "confidence"}.get(tab, tab)
    return ", ".join(filter(None, (page, tab, views.replace("views", "with TTA"))))


def machines(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the machine and versions of each result; empty while there are no results."""
    lines: dict[str, list[str]] = {}
    for result in results:
        hardware, versions, git = result["hardware"], result["versions"], result["git"]
        device = f"{hardware['gpu']}, " if hardware["gpu"] else ""
        names = (
            ("streamlit", "chromium") if "streamlit" in versions else ("torch" if "torch" in versions else "ddddocr",)
        )
        tools = ", ".join(f"{name} {versions.get(name)}" for name in names)
        commit = (git["commit"] or "unknown")[:7] + (" with changes" if git["dirty"] else "")
        line = f"{device}{hardware['cpu']}, {hardware['cores']} cores, Python {versions['python']}, {tools}, {commit}"
        lines.setdefault(line, []).append(f"`{result['cell']}`")
    return "\n".join(f"* {line}: {', '.join(cells)}." for line, cells in lines.items())


# Page


def replaced(text: str, tables: Mapping[str, str]) -> str:
    """Return the page with these tables between their marks. Raises ValueError when the page lacks a mark."""
    for name, content in tables.items():
        begin = f"<!-- bench: {name} -->"
        before, found, rest = text.partition(begin)
        _, end, after = rest.partition(END)
        if not (found and end):
            raise ValueError(f"{PAGE.name} needs the marks {begin} and {END}.")
        text = f"{before}{begin}\n\n{content}\n\n{END}{after}"
    return text


GROUPS = ("accuracy", "speed", "ui", "reliability", "suspects", "unfamiliar", "drift", "verdicts", "bundle", "peers")
"""Folders of the results, in the order of the parameters of `tables`."""


def current(results: Path = RESULTS) -> dict[str, str]:
    return tables(*(load_results(results / group) for group in GROUPS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when they differ")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    wanted = replaced(text, current())
    if not options.check:
        PAGE.write_text(wanted, encoding="utf-8")
    return int(options.check and wanted != text)


if __name__ == "__main__":
    sys.exit(main())
