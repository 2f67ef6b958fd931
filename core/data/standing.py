"""Standing of a sample: open disagreements with its label and confirmations of it, derived from its ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from db import labels
from db.records import PORTAL, UNLABELED, Content, LabelEvent
from db.sqlite import Database

NO_VERSION = -1
"""Base version of an undo that withdraws an opinion, and of an event that is too late for any version."""


@dataclass(frozen=True)
class Standing:
    """The opinions in effect about a sample's label."""

    dissents: tuple[LabelEvent, ...]
    """Latest event of each operator who disagrees, unless resolved; oldest first."""
    checked: bool
    """True if an operator confirmed the current content."""


def standing(ledger: Sequence[LabelEvent]) -> Standing:
    """Derive the standing from a sample's complete ledger, oldest first. The latest event of each operator counts."""
    opinions = _Opinions()
    for event in ledger:
        opinions.add(event)
    return Standing(opinions.dissents(), bool(opinions.checkers))


@dataclass
class _Opinions:
    """The opinions about a sample up to one event of its ledger."""

    content: Content = UNLABELED
    latest: dict[str, LabelEvent] = field(default_factory=dict)
    """Latest unresolved event of each operator."""
    checkers: set[str] = field(default_factory=set)
    """Operators who confirmed the current content."""
    resolved: dict[int, dict[str, LabelEvent]] = field(default_factory=dict)
    """Events that each resolve decided, by the version of the resolve. Undoing the resolve reopens them."""

    def add(self, event: LabelEvent) -> None:
        if event.version is not None:
            self._add_change(event, event.version)
        elif event.action != "undo" or event.base_version == NO_VERSION:  # A late undo is not an opinion.
            self._add_opinion(event)

    def _add_change(self, event: LabelEvent, version: int) -> None:
        self.content, self.checkers = event.content, set()
        if event.action == "undo":
            self.latest = self.resolved.get(event.base_version or 0, {}) | self.latest
        elif event.action == "resolve":
            self.resolved[version], self.latest = self.latest, {}
            self.checkers = {event.operator}
        else:
            self.latest.pop(event.operator, None)

    def _add_opinion(self, event: LabelEvent) -> None:
        """Add an event that changes no label: an opinion, its withdrawal, or a label that came too late."""
        self.latest.pop(event.operator, None)
        self.checkers.discard(event.operator)
        if event.action in ("second", "confirm") and event.content == self.content:
            self.checkers.add(event.operator)
        if event.action != "undo":
            self.latest[event.operator] = event

    def dissents(self) -> tuple[LabelEvent, ...]:
        _, text, flag = self.content
        # A doubt names the content it rejects, any other event the content it proposes. What the portal said stands
        # only against a decision: an image that needs a label again may be blind.
        against = (
            event
            for event in self.latest.values()
            if event.action != "confirm" and (event.content == self.content) == (event.action == "doubt")
            if event.origin != PORTAL or text or flag
        )
        return tuple(sorted(against, key=lambda event: event.id))


def update_standing(db: Database, sample_id: int) -> None:
    """Store a sample's standing with the sample. Call inside `write(db)` after each event."""
    now = standing(labels.events_of(db, sample_id))
    labels.set_standing(db, sample_id, disputed=bool(now.dissents), checked=now.checked)
