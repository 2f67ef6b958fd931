"""Write the tables of docs/benchmarks.md from the committed results: `python -m bench.tables`; --check only compares.

Only the files decide, so everyone gets the same tables: a cell without a file is "not run".
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import drift, suspects, unfamiliar, verdicts
from bench.accuracy import accuracy, speed
from bench.cells import RESULTS, ROOT, BenchCell, load_results
from bench.peers import peers
from bench.tables.ablations import ablation_table, kinds_table
from bench.tables.bundles import batch_table, bundles_table, one_image_table, service_table
from bench.tables.claims import claims_table, pooled_table
from bench.tables.labeling import (
    beside_readers_table,
    beside_service_table,
    latency_table,
    operators_table,
    typing_table,
)
from bench.tables.large import million_table, pages_table
from bench.tables.markdown import Results
from bench.tables.noticed import (
    drift_kinds_table,
    drift_table,
    suspects_table,
    unfamiliar_kinds_table,
    unfamiliar_table,
    verdicts_table,
)
from bench.tables.peers import hard_table, peer_costs_table, peers_table, rates_table
from bench.tables.readers import builtin_table, three_readers_table, untrained_table, zero_table
from bench.tables.reliability import backups_table, kills_table, metrics_table, states_table
from bench.tables.speed import speed_table, step_table
from bench.tables.starts import few_table, labels_table, start_table
from bench.tables.trained import slices_table, trained_table

PAGE = ROOT / "docs" / "benchmarks.md"
END = "<!-- /bench -->"
NO_RESULTS: Results = {}
GROUPS = ("accuracy", "speed", "ui", "reliability", "suspects", "unfamiliar", "drift", "verdicts", "bundle", "peers")
"""Folders of the results, in the order of the parameters of `tables`."""
CELLS: Mapping[str, Sequence[BenchCell]] = {
    "accuracy": accuracy.CELLS,
    "speed": (*speed.CELLS, *speed.STEPS),
    "peers": peers.CELLS,
    "suspects": suspects.CELLS,
    "unfamiliar": unfamiliar.CELLS,
    "drift": drift.CELLS,
    "verdicts": verdicts.CELLS,
}
"""Cells of each folder that can be compared to its results."""


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
        "untrained": untrained_table(accuracy_results),
        "pooled": pooled_table(accuracy_results, peer_results),
        "claims": claims_table(accuracy_results, speed_results, peer_results),
        "builtin": builtin_table(accuracy_results),
        "three-readers": three_readers_table(accuracy_results),
        "few": few_table(accuracy_results),
        "start": start_table(accuracy_results),
        "labels": labels_table(accuracy_results),
        "rates": rates_table(peer_results),
        "peers": peers_table(peer_results, accuracy_results),
        "hard-peers": hard_table(peer_results, accuracy_results),
        "peer-costs": peer_costs_table(peer_results, accuracy_results),
        "ablations": ablation_table(accuracy_results),
        "kinds": kinds_table(accuracy_results),
        "speed": speed_table(speed_results),
        "step": step_table(speed_results),
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


def former(results: Mapping[str, Results]) -> str:
    """Return the cells whose settings have changed since their result. `results` are by group."""
    names = [
        f"`{cell.name}`"
        for group, cells in CELLS.items()
        for cell in cells
        if cell.name in results[group] and cell.changed(results[group][cell.name])
    ]
    return f"Results of former settings: {', '.join(names)}." if names else "All results have the settings of today."


def section(accuracy_results: Results, speed_results: Results, ui_results: Results = NO_RESULTS) -> str:
    """Return all tables as one Markdown text."""
    return "\n\n".join(filter(None, tables(accuracy_results, speed_results, ui_results).values()))


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
        cores = f"{hardware['cores']} core{'s' * (hardware['cores'] != 1)}"
        line = f"{device}{hardware['cpu']}, {cores}, Python {versions['python']}, {tools}, {commit}"
        lines.setdefault(line, []).append(f"`{result['cell']}`")
    return "\n".join(f"* {line}: {', '.join(cells)}." for line, cells in lines.items())


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


def current(results: Path = RESULTS) -> dict[str, str]:
    found = {group: load_results(results / group) for group in GROUPS}
    return tables(*found.values()) | {"former": former(found)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when they differ")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    wanted = replaced(text, current())
    if not options.check:
        PAGE.write_text(wanted, encoding="utf-8")
    return int(options.check and wanted != text)
