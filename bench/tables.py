"""The README's tables from the committed results: `python -m bench.tables` writes them, --check only compares.

Only files decide what is in them, so that everybody's tables are the same: a cell without a file is "not run".
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench.accuracy import accuracy, speed
from bench.accuracy.data import FOLDS
from bench.cells import RESULTS, ROOT, BenchCell, load_results
from bench.ui import ui
from bench.ui.faults import FAULTS
from core.evaluation.percent import counted

README = ROOT / "README.md"
BEGIN, END = "<!-- bench: written by `python -m bench.tables` -->", "<!-- /bench -->"
FOLD_CELLS = tuple(f"portal6-fast-fold{fold}" for fold in range(FOLDS))

Results = Mapping[str, Mapping[str, Any]]
CellT = TypeVar("CellT", bound=BenchCell)
NO_RESULTS: Results = {}


def section(accuracy_results: Results, speed_results: Results, ui_results: Results = NO_RESULTS) -> str:
    """All tables as Markdown."""
    parts = [
        trained_table(accuracy_results),
        slices_table(accuracy_results),
        zero_shot_table(accuracy_results),
        errors_table(accuracy_results),
        ablation_table(accuracy_results),
        speed_table(speed_results),
        latency_table(ui_results),
        typing_table(ui_results),
        operators_table(ui_results),
        million_table(ui_results),
        pages_table(ui_results),
        machines([*accuracy_results.values(), *speed_results.values(), *ui_results.values()]),
    ]
    return "\n\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell_rows(
    cells: Iterable[BenchCell], results: Results, columns: int, row: Callable[[Mapping[str, Any]], list[str]]
) -> list[list[str]]:
    """A row for each cell: `row` makes its columns; without a result it says what is needed."""
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
    head = ["cell", "images", "val with TTA", "test", "test with TTA", "TTA mends, breaks", "training"]
    rows = []
    for row in cell_rows(of_group(accuracy.CELLS, "trained"), results, len(head) - 2, trained_columns):
        rows.append(row)
        name = row[0].strip("`")
        result = results.get(name)
        if result is not None and (count := corrected(result)):
            rows.append([row[0], f"the same by audited labels, {count} corrected", *audited_columns(result)])
        if name == FOLD_CELLS[-1]:
            rows += pooled_rows(results)
    return table(head, rows)


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
    return f"{result['seconds'] / 60:.1f} min, {result['steps']:,} steps, {where}"


def corrected(result: Mapping[str, Any]) -> int:
    return sum(split["audited"]["corrected"] for split in result["splits"].values())


def pooled(results: Results, labels: str) -> dict[str, Any] | None:
    """The sums over the five held-out folds, which are all images once; None while one of them is missing."""
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
    for labels, what in (("raw", "all folds: every image held out once"), ("audited", "the same by audited labels")):
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
    "no_repeat": "none",
    "seen": "text seen in training",
    "not_seen": "text not seen",
}


def slices_table(results: Results) -> str:
    """Test images with TTA; nothing while nothing has been run."""
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
    return table(["test with TTA, by kind of label", *SLICES.values()], lines)


def zero_shot_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        test = result["splits"]["test"]
        figures = [counted(test["raw"][way]["k"], test["raw"][way]["n"]) for way in ("as_it_is", "filtered", "digits")]
        if not corrected(result):
            return figures
        best = test["audited"]["digits"]
        return [*figures[:2], f"{figures[2]}; by audited labels {counted(best['k'], best['n'])}"]

    head = ["a general reader, untrained", "images", "as it is", "other than digits dropped", "only digits allowed"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "zero-shot"), results, len(head) - 2, row))


def errors_table(results: Results) -> str:
    """Wrong images of preset fast, with TTA, over those of the general reader at its best: same images, same labels."""
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
    head = ["errors against the general reader's (only digits allowed)", "labels as given", "labels as audited"]
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


def typing_table(results: Results) -> str:
    """A row for each fault, a column for each rate."""

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

    head = ["typing a known text, `typing-{rate}keys-{fault}`", *(f"{rate} keys a second" for rate in ui.RATES)]
    rows = [
        [f"`{name}`{how}", *(entry(results.get(f"typing-{rate}keys-{name}")) for rate in ui.RATES)]
        for name, how in FAULTS.items()
    ]
    return table(head, rows)


def losses(result: Mapping[str, Any]) -> str:
    """What was lost and misfiled of what was typed; bold where it is not nothing."""
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
    """A row for each screen, and one for the server that has shown them all."""
    head = ["100,000 predictions under nine views", "by its address", "by a click", "a cell to its images"]
    head += ["first after a start", "server's peak memory"]
    (cell,) = of_group(ui.CELLS, "evaluate")
    if (result := results.get(cell.name)) is None:
        return table(head, [[f"`{cell.name}`", "not run", *[""] * (len(head) - 2)]])

    def times(found: Mapping[str, float] | None) -> str:
        return f"{found['median'] / 1000:.2f} s, at most {found['max'] / 1000:.2f} s" if found else ""

    rows = [
        [
            each["screen"],
            *(times(each.get(key)) for key in ("open_ms", "click_ms", "cell_ms")),
            f"{each['cold_ms'] / 1000:.1f} s",
            f"{each['peak_mb']:,.0f} MB",
        ]
        for each in result["screens"]
    ]
    peak = result["peak_mb"]
    for which, key in (("but those that load the model", "without_model"), ("of them", "all")):
        rows.append([f"one server for all {which}", *[""] * 4, f"{peak[key]:,.0f} MB"])
    counts = {each["open_ms"]["n"] for each in result["screens"]}
    head[0] += f"; medians of {', '.join(map(str, sorted(counts)))}"
    return table(head, rows)


def machines(results: Iterable[Mapping[str, Any]]) -> str:
    """Where the figures come from; nothing while there are none."""
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


# README


def replaced(text: str, tables: str) -> str:
    """The README with these tables between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The README needs the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def current(results: Path = RESULTS) -> str:
    return section(*(load_results(results / kind) for kind in ("accuracy", "speed", "ui")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when they differ")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    wanted = replaced(text, current())
    if not options.check:
        README.write_text(wanted, encoding="utf-8")
    return int(options.check and wanted != text)


if __name__ == "__main__":
    sys.exit(main())
