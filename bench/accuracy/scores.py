"""Compute figures from readings: exact match, positions, slices and errors, by given and audited labels."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells import ROOT
from core.charset import TextSpec
from core.errors import LabelError
from core.evaluation.agreement import agreed
from core.evaluation.metrics import evaluate, interval95
from core.evaluation.predictions import Predictions
from core.training.snapshot import Row

AUDITS = ROOT / "bench" / "audits"
MAX_ERRORS = 200
MAX_WRONG = 2000
"""Listed wrong images. Two runs are compared image by image only if both lists are complete."""

Audit = Mapping[str, tuple[str, str]]
"""Given label and corrected label, by pixel hash."""


def load_audit(folder: str | None, audits: Path = AUDITS) -> Audit:
    """Return the label corrections of a folder, empty if it was not audited."""
    path = audits / f"{folder}.json"
    if folder is None or not path.exists():
        return {}
    labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
    return {entry["sha256"]: (entry["given"], entry["right"]) for entry in labels}


def audited(sha256: Sequence[str], labels: Sequence[str], audit: Audit) -> list[str]:
    """Return labels corrected by an audit. Raises LabelError if the audit has another given label."""
    right = []
    for key, label in zip(sha256, labels, strict=True):
        given, corrected = audit.get(key, (label, label))
        if given != label:
            raise LabelError(f"The audit has {given!r} for image {key[:12]}, but its label is {label!r}.")
        right.append(corrected)
    return right


def agreement_of(
    rows: Sequence[Row], texts: Mapping[str, Sequence[str | None]], audit: Audit, needed: int | None = None
) -> dict[str, int]:
    """Return on how many images `needed` readers agree, and how often they are right by given and audited labels.

    By default all must agree.
    """
    pairs = [(row[0], row[2] or "", text) for row in rows if (text := agreed(texts[row[0]], needed)) is not None]
    correct = audited([sha256 for sha256, *_ in pairs], [label for _, label, _ in pairs], audit)
    return {
        "n": len(rows),
        "agreed": len(pairs),
        "right": sum(label == text for _, label, text in pairs),
        "right_audited": sum(label == text for label, (*_, text) in zip(correct, pairs, strict=True)),
    }


def has_repeat(label: str) -> bool:
    """Return whether two adjacent characters are equal. CTC readers tend to merge them."""
    return any(left == right for left, right in pairwise(label))


def tally(labels: Sequence[str], reads: Sequence[str], seen: set[str] | None) -> dict[str, Any]:
    """Return exact matches with interval, right characters per position, and [k, n] per slice.

    `seen` has the texts of the training labels. None, if nothing was trained, omits that slice.
    """
    right = [label == read for label, read in zip(labels, reads, strict=True)]
    k, n = sum(right), len(right)
    members = {"repeat": [has_repeat(label) for label in labels]}
    members["no_repeat"] = [not member for member in members["repeat"]]
    if seen is not None:
        members["seen"] = [label in seen for label in labels]
        members["not_seen"] = [not member for member in members["seen"]]
    return {
        "k": k,
        "n": n,
        "exact": round(k / n, 5),
        "ci95": [round(bound, 5) for bound in interval95(k, n)],
        "per_position": [
            sum(read[place : place + 1] == label[place] for label, read in zip(labels, reads, strict=True))
            for place in range(len(labels[0]))
        ],
        "slices": {
            name: [sum(ok for ok, member in zip(right, chosen, strict=True) if member), sum(chosen)]
            for name, chosen in members.items()
        },
    }


def wrong(sha256: Sequence[str], labels: Sequence[str], reads: Sequence[str]) -> list[str]:
    """Return the images that are read wrong. Of more than MAX_WRONG, return only the first MAX_ERRORS."""
    found = [key for key, label, read in zip(sha256, labels, reads, strict=True) if read != label]
    return found if len(found) <= MAX_WRONG else found[:MAX_ERRORS]


def differing(
    before: tuple[Sequence[str], Mapping[str, Any]], after: tuple[Sequence[str], Mapping[str, Any]]
) -> tuple[int, int] | None:
    """Return how many images only the second of two readings has right, and only the first.

    Each is the list of its wrong images and its `tally`. None if a list is not complete.
    """
    if any(len(wrong) != score["n"] - score["k"] for wrong, score in (before, after)):
        return None
    first, second = set(before[0]), set(after[0])
    return len(first - second), len(second - first)


def flips(labels: Sequence[str], plain: Sequence[str], tta: Sequence[str]) -> dict[str, int]:
    """Return how many images TTA fixes and breaks."""
    rows = list(zip(labels, plain, tta, strict=True))
    return {
        "fixed": sum(before != label == after for label, before, after in rows),
        "broken": sum(before == label != after for label, before, after in rows),
    }


def score_run(predictions: Predictions, spec: TextSpec, *, seen: set[str], audit: Audit) -> dict[str, Any]:
    """Return the figures of a run on a split: with and without TTA, by given and audited labels."""
    readings = {"plain": predictions.reading(spec, tta=False), "tta": predictions.reading(spec, tta=True)}
    reads = {
        name: [spec.decode(int(place) for place in row) for row in reading.predicted_NP]
        for name, reading in readings.items()
    }
    correct = audited(predictions.sha256, predictions.labels, audit)
    out: dict[str, Any] = {}
    for name, labels in (("raw", predictions.labels), ("audited", correct)):
        targets_NP = np.array([spec.encode(label) for label in labels], dtype=np.int64)
        out[name] = {
            key: tally(labels, reads[key], seen) | {"nll": round(evaluate(reading.log_probs_NPC, targets_NP).nll, 5)}
            for key, reading in readings.items()
        } | {"flips": flips(labels, reads["plain"], reads["tta"])}
    out["audited"]["corrected"] = sum(given != right for given, right in zip(predictions.labels, correct, strict=True))
    for key, way in (("wrong", "tta"), ("wrong_plain", "plain")):
        out["audited"][key] = wrong(predictions.sha256, correct, reads[way])
    confidence_N = readings["tta"].confidence_N
    # No labels, because those of some folders must not be published.
    columns = (predictions.sha256, reads["tta"], confidence_N.round(4).tolist())
    places = readings["tta"].wrong().tolist()[:MAX_ERRORS]
    out["errors"] = [[column[place] for column in columns] for place in places]
    return out


def score_reads(
    sha256: Sequence[str], given: Sequence[str], reads: Mapping[str, Sequence[str]], audit: Audit, *, listed: str
) -> dict[str, Any]:
    """Return the figures of a reader without probabilities, per variant in `reads`, with the errors of `listed`."""
    correct = audited(sha256, given, audit)
    out: dict[str, Any] = {
        name: {key: tally(labels, texts, None) for key, texts in reads.items()}
        for name, labels in (("raw", given), ("audited", correct))
    }
    out["audited"]["corrected"] = sum(label != right for label, right in zip(given, correct, strict=True))
    out["audited"]["wrong"] = wrong(sha256, correct, reads[listed])
    rows = zip(sha256, given, reads[listed], strict=True)
    out["errors"] = [[key, read, None] for key, label, read in rows if read != label][:MAX_ERRORS]
    return out
