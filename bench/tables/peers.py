"""Trained peers beside our network."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.accuracy import speed
from bench.accuracy.accuracy import INITS, SEEDS
from bench.accuracy.scores import differing
from bench.peers import peers
from bench.peers.search import counterparts
from bench.tables.markdown import Results, cell_rows, of_group, table
from bench.tables.trained import minutes
from core.evaluation.percent import counted
from core.evaluation.tta_effect import mcnemar

HARD = (
    *((f"hard4000-200-{init}-seed{seed}", f"crnn-hard4000-200-seed{seed}") for init in INITS for seed in SEEDS),
    *((f"hard4000-1000-{init}-seed0", "crnn-hard4000-1000-seed0") for init in INITS),
    *((f"hard4000-fast-seed{seed}", "crnn-hard4000-seed0") for seed in SEEDS),
    ("hard4000-even-seed0", "crnn-hard4000-seed0"),
    *((f"hard4000-rendered-seed{seed}", "crnn-hard4000-seed0") for seed in SEEDS),
)
"""Each of our cells on the hard style, and the CRNN with as many labels. With 4,000 labels the CRNN has one seed."""


def rates_table(results: Results) -> str:
    """Return the searches of the peers' learning rates."""

    def row(result: Mapping[str, Any]) -> list[str]:
        val = result["splits"]["val"]["raw"]
        figures = [counted(val[way]["k"], val[way]["n"]) for way in ("greedy", "exact")]
        return [f"{result['config']['lr']:g}", *figures, f"{result['val_loss']:.4f}", minutes(result)]

    head = ["search", "images", "learning rate", "as it reads", "exactly N characters", "loss", "training"]
    return table(head, cell_rows(of_group(peers.CELLS, "rates"), results, len(head) - 2, row))


def peers_table(results: Results, accuracy_results: Results) -> str:
    """Return the peers beside our network on the same labels, by audited labels, all with one view of an image."""

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
        if "last" in test:
            figures[1] += f"; last epoch {counted(test['last']['k'], test['last']['n'])}"
        return [*figures, ours(scratch), ours(rendered), compared(scratch, result), repeats]

    head = ["trained peers, audited, one view", "images", "as it reads", "exactly N characters", "ours from scratch"]
    head += ["ours from rendered weights", "ours from scratch: fixed, broken, McNemar p"]
    head += ["errors with two equal neighbors, then without: as it reads, exactly N, ours from scratch"]
    return table(head, cell_rows(of_group(peers.CELLS, "peers"), results, len(head) - 2, row))


def hard_table(results: Results, accuracy_results: Results) -> str:
    """Return each of our runs on the hard style beside the CRNN with as many labels: minutes, and images read."""
    rows = []
    for name, beside in HARD:
        ours, peer = accuracy_results.get(name), results.get(beside)
        if ours is None or peer is None:
            rows.append([f"`{name}`", "not run" if ours is None else f"`{beside}` is not run", *[""] * 5])
            continue
        own, other = ours["splits"]["test"]["audited"], peer["splits"]["test"]["audited"]["exact"]
        figures = [f"{score['k']:,} of {score['n']:,}" for score in (own["plain"], own["tta"], other)]
        rows.append([f"`{name}`", minutes(ours), *figures, minutes(peer), compared(ours, peer)])
    head = ["ours", "training", "one view", "TTA", "CRNN, exactly N", "its training"]
    return table([*head, "one view beside it: fixed, broken, McNemar p"], rows)


def compared(ours: Mapping[str, Any] | None, peer: Mapping[str, Any]) -> str:
    """Return the test images that only one of both reads right, with one view; empty if a list is not complete."""
    if ours is None:
        return "not run"
    own, other = ours["splits"]["test"]["audited"], peer["splits"]["test"]["audited"]
    # Cells of earlier versions listed only what TTA reads wrong. A peer's list is of exactly N characters.
    return paired((other["wrong"], other["exact"]), (own.get("wrong_plain", []), own["plain"]))


def paired(before: tuple[Sequence[str], Mapping[str, Any]], after: tuple[Sequence[str], Mapping[str, Any]]) -> str:
    """Return the images that only `after` and only `before` has right, with McNemar's p; empty if a list is incomplete.

    Each is the list of its wrong images and its tally.
    """
    if (found := differing(before, after)) is None:
        return ""
    return f"{found[0]}, {found[1]}, {mcnemar(*found):.2g}"


def peer_costs_table(results: Results, accuracy_results: Results) -> str:
    """Return size, speed and training time of the peers and of our network from scratch."""

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
        both = [
            ", ".join(f"{result[key][who]:,}" for who in sorted(result[key], key=lambda who: (who == "ours", who)))
            for key in ("parameters", "read_ms", "step_ms")
        ]
        ended = minutes(scratch) if scratch else "not run"
        trained = minutes(result) + (f", {result['epochs']:,} epochs" if "epochs" in result else "")
        return [*both, when(result), when(scratch), trained, ended]

    goals = " and ".join(f"{goal:.0%}" for goal in speed.GOALS)
    head = [
        "trained peers",
        "images",
        "parameters: peer, ours",
        "ms an image: as it reads, exactly N, ours",
        "ms a step: peer, ours",
    ]
    head += [f"val {goals} after", f"ours from scratch, val {goals} after", "training", "ours from scratch, training"]
    done = [cell for cell in of_group(peers.CELLS, "peers") if cell.name in results]
    rows = cell_rows(done, results, len(head) - 2, row)
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])
