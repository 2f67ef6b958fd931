"""Sure readings: which images a round may label, by the agreement of a run with readers and by labels of people."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95
"""Lowest calibrated probability of the whole text at which a reading that a reader shares becomes a label.

Measured on the disputed training images of digits4 and of five folds of portal6. From 0.9, 97 of 103 such readings are
right. From 0.95 it is 82 of 85, and from 0.98 it is 74 of 76.
"""
PROVED = 3
"""Labels of people and of verdicts that prove a reader right about a pair of characters, all of them."""
Texts = Mapping[str, str | None]
"""Readings of one image by name of the reader."""
Pair = tuple[str, str, str]
"""Reader, the character it read, the character that another reader read at that position."""


@dataclass(frozen=True)
class Image:
    """An unlabeled training image with its readings."""

    run_text: str
    confidence: float
    readers: Texts
    rejected: Collection[str] = ()
    """Texts that the portal rejected. None of them becomes a label."""


def pairs(texts: Texts) -> list[tuple[int, Pair]]:
    """Return each position where two readers differ, once for each of them, with what they read there."""
    present = [(name, text) for name, text in sorted(texts.items()) if text is not None]
    return [
        (position, (name, text[position], other[position]))
        for name, text in present
        for other_name, other in present
        if other_name != name
        for position in range(min(len(text), len(other)))
        if text[position] != other[position]
    ]


def record(labeled: Sequence[tuple[str, Texts]]) -> tuple[Counter[Pair], Counter[Pair]]:
    """Count how often each reader was right and wrong about a pair of characters, by labels of people and verdicts."""
    right, wrong = Counter[Pair](), Counter[Pair]()
    for label, texts in labeled:
        for position, pair in pairs(texts):
            (right if label[position] == pair[1] else wrong)[pair] += 1
    return right, wrong


def choose(
    images: Mapping[int, Image], right: Counter[Pair], wrong: Counter[Pair], confidence: float = CONFIDENCE
) -> tuple[dict[int, str], dict[int, str]]:
    """Return the readings that become labels: of the run with a reader, and of a reader that people proved right.

    A reading of the run is refused where people found its reader more often wrong than right about the characters in
    question.
    """
    of_run, of_readers = dict[int, str](), dict[int, str]()
    for sample_id, image in images.items():
        by_reader: dict[str, list[Pair]] = {name: [] for name, text in image.readers.items() if text is not None}
        for _, pair in pairs(image.readers):
            by_reader[pair[0]].append(pair)
        proved = {
            image.readers[name]
            for name, listed in by_reader.items()
            if listed and all(right[pair] >= PROVED and not wrong[pair] for pair in listed)
        }.difference(image.rejected)
        agreeing = [name for name in by_reader if image.readers[name] == image.run_text]
        is_possible = image.run_text not in image.rejected
        disproved = any(wrong[pair] > right[pair] for name in agreeing for pair in by_reader[name])
        if agreeing and is_possible and image.confidence >= confidence and not disproved:
            of_run[sample_id] = image.run_text
        elif len(proved) == 1 and (text := proved.pop()) is not None:
            of_readers[sample_id] = text
    return of_run, of_readers


def rare_characters(labels: Sequence[str], readings: Sequence[str]) -> list[dict[str, Any]]:
    """Return the characters that are less than half as frequent among the labels as among the readings of all images.

    These are what the readers cannot tell apart, so people should label images with them.
    """
    labeled, read = Counter("".join(labels)), Counter("".join(readings))
    total, all_read = max(labeled.total(), 1), max(read.total(), 1)
    return [
        {"char": char, "labels": labeled[char], "expected": round(n / all_read * total)}
        for char, n in sorted(read.items())
        if labeled[char] / total < 0.5 * n / all_read
    ]
