"""Standing of a sample: who disagrees with its label, and whether somebody has checked it, read from its ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlite_utils import Database

from db import labels
from db.records import UNLABELED, Content, LabelEvent

TAKEN_BACK = -1
"""Base version of an undo that takes back an opinion; also of an event that comes too late whatever the version."""


@dataclass(frozen=True)
class Standing:
    """What the ledger says of a sample beside its label."""

    dissents: tuple[LabelEvent, ...]
    """Last word of everybody who disagrees and has not been decided on, oldest first."""
    checked: bool
    """Whether somebody looked at it again and found it right as it is now."""


def standing(ledger: Sequence[LabelEvent]) -> Standing:
    """Walk a sample's whole history, oldest first; of everybody the last word counts."""
    voices = _Voices()
    for event in ledger:
        voices.hear(event)
    return Standing(voices.dissents(), bool(voices.checkers))


@dataclass
class _Voices:
    """Who has said what of a sample up to one event of its ledger."""

    content: Content = UNLABELED
    words: dict[str, LabelEvent] = field(default_factory=dict)
    """Last word of each operator that nobody has decided on."""
    checkers: set[str] = field(default_factory=set)
    """Operators who found the sample right as it is."""
    resolved: dict[int, dict[str, LabelEvent]] = field(default_factory=dict)
    """The words that each resolve decided on, by its version; an undo of it opens them again."""

    def hear(self, event: LabelEvent) -> None:
        if event.version is not None:
            self._change(event, event.version)
        elif event.action != "undo" or event.base_version == TAKEN_BACK:  # An undo that lost says nothing.
            self._word(event)

    def _change(self, event: LabelEvent, version: int) -> None:
        self.content, self.checkers = event.content, set()
        if event.action == "undo":
            self.words = self.resolved.get(event.base_version or 0, {}) | self.words
        elif event.action == "resolve":
            self.resolved[version], self.words = self.words, {}
            self.checkers = {event.operator}
        else:
            self.words.pop(event.operator, None)

    def _word(self, event: LabelEvent) -> None:
        """Take a word that changes no label: an opinion, one taken back, or a label that came second."""
        self.words.pop(event.operator, None)
        self.checkers.discard(event.operator)
        if event.action in ("second", "confirm") and event.content == self.content:
            self.checkers.add(event.operator)
        if event.action != "undo":
            self.words[event.operator] = event

    def dissents(self) -> tuple[LabelEvent, ...]:
        # A doubt is about what the sample is, any other word about what it should be.
        against = (
            word
            for word in self.words.values()
            if word.action != "confirm" and (word.content == self.content) == (word.action == "doubt")
        )
        return tuple(sorted(against, key=lambda word: word.id))


def update_standing(db: Database, sample_id: int) -> None:
    """Keep beside a sample what its ledger says. Call inside `write(db)` after each event."""
    now = standing(labels.events_of(db, sample_id))
    labels.set_standing(db, sample_id, disputed=bool(now.dissents), checked=now.checked)
