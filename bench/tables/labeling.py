"""Labels typed in browsers: latency, losses, and many operators at once."""

from collections.abc import Mapping
from typing import Any

from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.ui import ui
from bench.ui.faults import FAULTS


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
