"""Answers of the bundle in use as streams, one for each source, and as a table by source and week."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from statistics import median

import numpy as np

from core.evaluation.drift import NAMES, Alarm, Expected, Scores, filled, look, usual_after
from db.answers import Streamed
from db.records import CAPTCHA

OWN = 20
"""Validation images with which one of several sources has its own baseline. Else all of them together are it."""
SHOWN = 6
"""Images on each side of a change."""
POINTS = 150
"""Points of a curve."""
UNCLEAR = (None, CAPTCHA)
"""Reasons of the portal that may mean a wrong reading. Others, such as a wrong password, say nothing about it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The answers of a source in one ISO week. Shares are a count and the number that it is counted of."""

    source: str | None
    """None for images that the project does not have."""
    week: str
    n: int
    accepted: tuple[int, int]
    """Readings that the portal accepted, of those with a verdict."""
    abstained: tuple[int, int]
    """Readings below the threshold or unfamiliar. Of none, if the bundle has no threshold."""
    confidence: float
    """Median."""
    unfamiliar: tuple[int, int]
    agreed: tuple[int, int]
    """Readings equal to the one that general readers agree on, of images with such a reading."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """An alarm: what changed, and since when."""

    score: str
    """One of core.evaluation.drift.NAMES."""
    rises: bool
    sha256: str | None
    """First image of the change, as far as the scores tell. None if it is blind."""
    at: str
    """When it came."""
    images: int
    """Images from there to the one that gave the alarm."""
    rank: float
    """Median rank of their scores among the earlier ones: 0 is lowest, 1 is highest."""
    unfamiliar: int
    """Unfamiliar images among them."""
    reason: str | None
    """The most frequent reason for that."""
    before: list[int]
    """Samples before the change, none of them blind."""
    since: list[int]
    """Samples since the change, none of them blind."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The answers of a source in order of time, since the run or since someone kept the bundle."""

    source: str | None
    n: int
    curve: list[tuple[int, str, float]]
    """Places from 1, times, and the highest chart there as a share of its limit."""
    change: Change | None


def by_week(answers: Sequence[Streamed], agreed: Mapping[int, str]) -> list[Row]:
    """Return the table, the newest week first. `agreed` has the readings that general readers agree on, by sample."""
    groups = defaultdict[tuple[str, str | None], list[Streamed]](list)
    for answer in answers:
        groups[_week(answer.at[:10]), answer.source].append(answer)
    newest_first = sorted(groups, key=lambda key: (key[0], key[1] or ""), reverse=True)
    return [_row(week, source, groups[week, source], agreed) for week, source in newest_first]


@lru_cache(maxsize=1000)
def _week(day: str) -> str:
    year, week, _ = date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02}"


def _row(week: str, source: str | None, answers: Sequence[Streamed], agreed: Mapping[int, str]) -> Row:
    verdicts = [answer.verdict for answer in answers if answer.verdict is not None]
    decided = [answer.accepted for answer in answers if answer.accepted is not None]
    compared = [
        answer.text == agreed[answer.sample_id]
        for answer in answers
        if answer.sample_id is not None and answer.sample_id in agreed
    ]
    return Row(
        source=source,
        week=week,
        n=len(answers),
        accepted=(sum(verdicts), len(verdicts)),
        abstained=(decided.count(0), len(decided)),
        confidence=median(answer.confidence for answer in answers),
        unfamiliar=(sum(answer.unfamiliar is not None for answer in answers), len(answers)),
        agreed=(sum(compared), len(compared)),
    )


def scores_of(answers: Sequence[Streamed]) -> Scores:
    """Return the scores of answers in their order."""
    columns = {
        "distance": [answer.distance for answer in answers],
        "surprise": [answer.surprise for answer in answers],
        "confidence": [answer.confidence for answer in answers],
        "unfamiliar": [float(answer.unfamiliar is not None) for answer in answers],
        "rejected": [_rejected(answer) for answer in answers],
    }
    return {name: np.array(columns[name], dtype=np.float64) for name in NAMES}  # None becomes NaN


def _rejected(answer: Streamed) -> float | None:
    if answer.verdict == 0 and answer.reason not in UNCLEAR:
        return None
    return None if answer.verdict is None else 1.0 - answer.verdict


def streams_of(
    answers: Sequence[Streamed], known: Sequence[Streamed], expected: Expected | None, kept: Sequence[str]
) -> list[Stream]:
    """Return the stream of each source. `known` has answers of validation images.

    `kept`: when someone kept the bundle, oldest first. The images since the change before it are as usual then.
    """
    groups = defaultdict[str | None, list[Streamed]](list)
    for answer in answers:
        groups[answer.source].append(answer)
    return [
        _stream(source, groups[source], known, expected, kept)
        for source in sorted(groups, key=lambda name: (name is None, name))
    ]


def _stream(
    source: str | None,
    answers: Sequence[Streamed],
    known: Sequence[Streamed],
    expected: Expected | None,
    kept: Sequence[str],
) -> Stream:
    own, after = [answer for answer in known if answer.source == source], list(answers)
    has_own = OWN <= len(own) < len(known)
    earlier = own if has_own else list(known)
    before = scores_of(earlier) if has_own else filled(scores_of(earlier), expected)
    for at in kept:
        part, after = [a for a in after if a.at <= at], [a for a in after if a.at > at]
        before, earlier = usual_after(scores_of(part), before), [*earlier, *part]
    found = look(scores_of(after), before)
    return Stream(
        source=source,
        n=len(after),
        curve=_curve([answer.at for answer in after], found.heights_N.tolist()),
        change=_change(found.alarm, earlier, after) if found.alarm else None,
    )


def _curve(times: Sequence[str], heights: Sequence[float]) -> list[tuple[int, str, float]]:
    """Return the highest point of each of POINTS parts."""
    size = max(1, -(-len(times) // POINTS))
    parts = (range(start, min(start + size, len(times))) for start in range(0, len(times), size))
    tops = (max(part, key=heights.__getitem__) for part in parts)
    return [(place + 1, times[place], round(heights[place], 3)) for place in tops]


def _change(alarm: Alarm, earlier: Sequence[Streamed], stream: Sequence[Streamed]) -> Change:
    first, changed = stream[alarm.onset], stream[alarm.onset : alarm.noticed + 1]
    reasons = Counter(answer.unfamiliar for answer in changed if answer.unfamiliar is not None)
    return Change(
        score=alarm.score,
        rises=alarm.rises,
        sha256=None if first.blind else first.sha256,
        at=first.at,
        images=len(changed),
        rank=round(alarm.rank, 4),
        unfamiliar=reasons.total(),
        reason=next((reason for reason, _ in reasons.most_common(1)), None),
        before=_samples([*earlier, *stream[: alarm.onset]]),
        since=_samples(stream[alarm.onset : max(alarm.noticed + 1, alarm.onset + SHOWN)]),
    )


def _samples(answers: Sequence[Streamed]) -> list[int]:
    """Return the last images that the project has and that are not blind."""
    return [answer.sample_id for answer in answers if answer.sample_id is not None and not answer.blind][-SHOWN:]
