"""Kills, states of jobs, backups and long runs."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.tables.markdown import Results, bold_unless_zero, table


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
                bold_unless_zero(len(result["lost"])),
                bold_unless_zero(len(result["wrong"])),
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
            bold_unless_zero(result["wrong"] + len(result["wrong_ends"])),
        ]
        for name, result in results.items()
        if name == "states"
    ]
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
