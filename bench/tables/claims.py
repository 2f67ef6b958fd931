"""The claims of the reference beside what was measured, and the errors of all readers on real images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.accuracy import speed
from bench.accuracy.ablations import changed
from bench.accuracy.data import FOLDS
from bench.tables.ablations import beside
from bench.tables.markdown import Results, table
from bench.tables.peers import paired
from core.evaluation.percent import counted
from core.evaluation.tta_effect import mcnemar

NOT_RUN = "not run"
REAL = ("digits4-{}-seed0", "henan4-{}-seed0", *(f"portal6-{{}}-fold{fold}" for fold in range(FOLDS)))
"""Cells that read each real image of test once. The gap is for the way of training."""
TRAINED_ON = {
    "from scratch": "fast",
    "from rendered weights": "rendered",
    "without a label": "zero",
    "with fifty labels": "fifty",
}
"""Training of each of these cells, and its part of their names."""
REAL_SETS = ("digits4", "henan4", "portal6")
VIEWS = (("one view", "plain"), ("TTA", "tta"))
WRONG = {"plain": "wrong_plain", "tta": "wrong", "exact": "wrong"}
"""Key under which a result lists the wrong images of each way to read."""
Pooled = tuple[list[str], dict[str, int]]
"""Wrong images and their tally."""
BESIDE = ("rapidocr", "ddddocr")
"""General readers that every row of the pooled table stands beside."""
FAST = tuple(f"hard4000-fast-seed{seed}" for seed in (0, 1, 2))


def _summed(results: Results, names: Sequence[str], way: str) -> Pooled | None:
    """Return the wrong test images of these cells by audited labels, and their tally; None if a cell has no result.

    The list is too short where a result does not list all its wrong images.
    """
    if any(name not in results for name in names):
        return None
    scores = [results[name]["splits"]["test"]["audited"] for name in names]
    wrong = [image for score in scores for image in score.get(WRONG[way], [])]
    return wrong, {key: sum(score[way][key] for score in scores) for key in ("k", "n")}


def pooled_table(accuracy_results: Results, peer_results: Results) -> str:
    """Return the wrong images of each way to read the test images of digits4, henan4 and all of portal6."""
    found: dict[str, Pooled | None] = {}
    for what, start in TRAINED_ON.items():
        names = [name.format(start) for name in REAL]
        found |= {f"Slotlab, {what}, {views}": _summed(accuracy_results, names, way) for views, way in VIEWS}
    for what, prefix in (("CRNN with CTC", "crnn"), ("CCT-XS of fast-plate-ocr", "plates")):
        names = [f"{prefix}-{name}".replace("-{}", "") for name in REAL]
        found[f"{what}, all labels, exactly N"] = _summed(peer_results, names, "exact")
    readers = {reader: f"{reader}, untrained, exactly N" for reader in (*BESIDE, "whisperer")}
    for reader, name in readers.items():
        found[name] = _summed(accuracy_results, [f"untrained-{reader}-{images}" for images in REAL_SETS], "exact")

    bases = {reader: found[name] for reader, name in readers.items() if reader in BESIDE}
    rows = []
    for name, each in found.items():
        if each is None:
            rows.append([name, NOT_RUN, *[""] * (1 + len(bases))])
            continue
        k, n = each[1]["k"], each[1]["n"]
        beside = [paired(base, each) if base and base is not each else "" for base in bases.values()]
        rows.append([name, f"{n - k}", counted(k, n), *beside])
    head = ["audited test images of three real portals", "wrong", "exact match"]
    return table([*head, *(f"beside {reader}: fixed, broken, McNemar p" for reader in bases)], rows)


def claims_table(accuracy_results: Results, speed_results: Results, peer_results: Results) -> str:
    """Return each claim of the reference with its measured answer."""

    def answer(of: Callable[[], str]) -> str:
        try:
            return of()
        except KeyError as missing:  # a cell that has no result
            return f"{NOT_RUN}: {missing.args[0]}"

    def test(name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = accuracy_results[name]["splits"]["test"]["audited"]
        return found

    def peer(name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = peer_results[name]["splits"]["test"]["audited"]
        return found

    def all_right() -> str:
        article = test("hard4000-article-seed0")
        return "; ".join(f"{what} {counted(article[way]['k'], article[way]['n'])}" for what, way in VIEWS)

    def robust() -> str:
        flips = [test(name)["flips"] for name in ("hard4000-article-seed0", *FAST)]
        return "; ".join(
            f"{name}: fixed {flip['fixed']}, broke {flip['broken']}, p = {mcnemar(flip['fixed'], flip['broken']):.2g}"
            for name, flip in zip(("`article`", "`fast`, seed 0", "seed 1", "seed 2"), flips, strict=True)
        )

    def parameters() -> str:
        article, fast = (speed_results[f"step-{name}"]["parameters"] for name in ("article", "fast"))
        crnn = peer_results["crnn-hard4000-seed0"]["parameters"]["crnn"]
        return f"`article` {article:,}; `fast` {fast:,}; the CRNN here {crnn:,}, to equal `fast`"

    def faster() -> str:
        crnn, ours = peer_results["crnn-hard4000-seed0"], accuracy_results["hard4000-fast-seed0"]
        texts = []
        for name, run, ms in (("CRNN", crnn, crnn["step_ms"]["crnn"]), ("`fast`", ours, crnn["step_ms"]["ours"])):
            lines = [dict(zip(("step", "seconds", "k", "n"), line, strict=True)) for line in run["validation"]]
            first = speed.times_to(lines, 0.99)["first"]
            goal = f"after {first['step']:,} steps, {first['step'] * ms / 60_000:.1f} min" if first else "never"
            texts.append(f"{name} {ms:.0f} ms a step, 99% of val {goal}")
        article = speed_results["step-article"]["ms"]["step"] * ours["config"]["batch_size"]
        return "; ".join([*texts, f"`article` {article:,.0f} ms a step"])

    def labels() -> str:
        texts = []
        for count, ours, other in (
            ("200", "hard4000-200-scratch-seed0", "crnn-hard4000-200-seed0"),
            ("1,000", "hard4000-1000-scratch-seed0", "crnn-hard4000-1000-seed0"),
            ("4,000", "hard4000-fast-seed0", "crnn-hard4000-seed0"),
        ):
            one, two = test(ours)["plain"], peer(other)["exact"]
            texts.append(f"{count} labels: `fast` {one['k']:,}, CRNN {two['k']:,} of {one['n']:,}")
        return "; ".join(texts)

    def repeats() -> str:
        crnn, ours = peer("crnn-hard4000-seed0"), test("hard4000-fast-seed0")["plain"]
        article = test("hard4000-article-seed0")["plain"]
        rows = (
            ("CRNN as it reads", crnn["greedy"]), ("exactly N", crnn["exact"]), ("`fast`", ours), ("`article`", article)
        )  # fmt: skip
        return "wrong with two equal neighbors, and without: " + "; ".join(
            f"{name} " + ", ".join(f"{n - k:,} of {n:,}" for k, n in map(score["slices"].get, ("repeat", "no_repeat")))
            for name, score in rows
        )

    def change(name: str) -> str:
        texts = []
        for seed in (0, 1):
            result = accuracy_results[f"ablation-{name}-seed{seed}"]
            found = changed(accuracy_results[f"hard4000-fast-seed{seed}"], result)
            texts.append(beside(*found) if found else "too many errors to list")
        return " and ".join(texts)

    def embedding() -> str:
        return f"without, but with the prior: {change('pos-none')}"

    def augmentation() -> str:
        return "; ".join(f"without {name}: {change(f'no-{name}')}" for name in ("shape", "light", "damage"))

    rows = [
        ["About 4,000 labels are enough for 100% of the held-out images.", answer(all_right)],
        ["It trains faster than a CRNN.", answer(faster)],
        ["It has fewer parameters than a CRNN.", answer(parameters)],
        ["It needs fewer labels than a CRNN.", answer(labels)],
        ["Independent heads lose no repeated character, which CTC may.", answer(repeats)],
        ["Each position has its own head.", answer(lambda: f"own heads, not tied ones: {change('heads-own')}")],
        ["Position embeddings tell the heads apart.", answer(embedding)],
        ["Tailored augmentation helps.", answer(augmentation)],
        ["TTA makes it robust.", answer(robust)],
    ]  # fmt: skip
    return table(["claim of the reference", "measured on `hard4000`, 10,000 test images"], rows)
