"""Kinds of labels in words, and numbers of labels by kind."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.words import plural
from db import samples
from db.records import KINDS, PEOPLE, Project
from db.sqlite import Database

WORDS = {"person": "people", "import": "imports", "readers": "readers", "run": "runs", "verdict": "verdicts"}
"""Words for the kinds of labels, in the order of KINDS."""

Counts = Mapping[str, int]
"""Number of labels by kind."""


def labels_by_kind(db: Database, project: Project, split: str | None = None) -> dict[str, int]:
    """Return the number of labels by kind, in the order of KINDS. Absent kinds have no label."""
    numbers = samples.label_counts(db, project.id)
    totals = {
        kind: sum(n for (each, of), n in numbers.items() if of == kind and split in (None, each)) for kind in KINDS
    }
    return {kind: n for kind, n in totals.items() if n}


def trained_on(settings: Mapping[str, Any], train_n: int) -> dict[str, int]:
    """Return the training labels of a run by kind, from its run.json. Those that people checked count as theirs."""
    readings = settings.get("dataset", {}).get("kinds", {})
    return {"person": train_n - sum(readings.values())} | {kind: readings[kind] for kind in KINDS if kind in readings}


def is_mixed(counts: Iterable[str]) -> bool:
    """Return True if some labels are not from people. Only then do screens count labels by kind."""
    return not set(counts) <= set(PEOPLE)


def breakdown(counts: Counts) -> str:
    """Return such as "people 40 · readers 1,200"; empty if all labels are from people."""
    return " · ".join(f"{WORDS[kind]} {n:,}" for kind, n in counts.items()) if is_mixed(counts) else ""


def sentence(counts: Counts) -> str:
    """Return such as "40 labels of people and 1,200 of readers"."""
    (first, n), *others = counts.items() if counts else [("person", 0)]
    parts = [f"{plural(n, 'label')} of {WORDS[first]}", *(f"{n:,} of {WORDS[kind]}" for kind, n in others)]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def removal(kind: str, removed: int, kept: int) -> str:
    """Return the outcome of core.data.accepting.retract as sentences."""
    return f"Removed {plural(removed, 'label')} of {WORDS[kind]}.{confirmed(kept)}"


def confirmed(kept: int) -> str:
    """Return the sentence on the labels that a removal keeps, after a space; empty without any."""
    return f" Confirmed by people, so not removed: {kept:,}." if kept else ""


def parenthesis(counts: Counts) -> str:
    """Return the sentence in parentheses, to follow a number of labels; empty if all labels are from people."""
    return f" ({sentence(counts)})" if is_mixed(counts) else ""
