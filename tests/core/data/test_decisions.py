"""Parsing and decisions of events without a database; test_labeling.py tests both with it."""

import re
from dataclasses import replace

import pytest

from core.charset import TextSpec
from core.data.labeling import NO_VERSION, Decision, Event, answer, decide, read_event
from core.errors import LabelError
from db.records import UNLABELED, Content, LabelEvent, Sample

SPEC = TextSpec(3, "0123456789")
LABELED: Content = ("labeled", "111", None)


def entry(number: int, action: str, content: Content, *, operator: str = "Ann", version: int | None) -> LabelEvent:
    """Return one ledger entry with the id "e1", "e2" and so on."""
    state, text, flag = content
    return LabelEvent(
        id=number,
        event_id=f"e{number}",
        sample_id=1,
        operator=operator,
        action=action,
        state=state,
        text=text,
        flag=flag,
        base_version=None if version is None else version - 1,
        version=version,
        at="2026-01-01T00:00:00+00:00",
        origin="label",
        kind="person" if text is not None else None,
        suggestion=None,
        suggestion_shown=None,
        ms=None,
    )


LEDGER = (
    entry(1, "label", LABELED, version=1),
    entry(2, "skip", ("skipped", None, "not_ours"), version=2),
    entry(3, "second", ("labeled", "222", None), operator="Ben", version=None),
    entry(4, "label", ("labeled", "333", None), operator="Cem", version=None),
)
"""Ann labeled and then skipped the image. Ben has another opinion, and a label of Cem came too late."""


def event(action: str, **more: object) -> Event:
    return read_event({"event": "new", "action": action, "base": 2, **more})


def decided(action: str, **more: object) -> Decision:
    return decide(event(action, **more), "Ben", LEDGER, SPEC)


@pytest.mark.parametrize(
    ("action", "more", "content"),
    [
        ("label", {"text": "123", "flag": "not_ours"}, ("labeled", "123", None)),
        ("second", {"text": "123"}, ("labeled", "123", None)),
        ("second", {"flag": "unreadable"}, ("skipped", None, "unreadable")),
        ("resolve", {"text": "123"}, ("labeled", "123", None)),
        ("resolve", {}, ("skipped", None, None)),
        ("skip", {"text": "123"}, ("skipped", None, None)),
        ("undo", {}, LABELED),
        ("undo", {"base": 1}, UNLABELED),
        ("confirm", {}, ("skipped", None, "not_ours")),
        ("doubt", {"base": 1}, LABELED),
        ("doubt", {"base": 0}, UNLABELED),
    ],
)
def test_each_action_has_its_content(action: str, more: dict[str, object], content: Content) -> None:
    """Without text it is a skip. Undo and opinions use the version that their operator saw."""
    assert decided(action, **more).content == content


@pytest.mark.parametrize("action", ["label", "skip", "undo", "resolve"])
def test_a_change_applies_to_the_version_that_was_seen(action: str) -> None:
    """Another version means that another operator was faster."""
    decision = decided(action, text="123")

    assert (decision.base, decision.opinion) == (2, False)


@pytest.mark.parametrize("action", ["second", "confirm", "doubt"])
def test_an_opinion_keeps_the_version_that_was_seen(action: str) -> None:
    """An opinion changes nothing, even after later events."""
    decision = decided(action, text="123", base=1)

    assert (decision.base, decision.opinion) == (1, True)


@pytest.mark.parametrize(("after", "base"), [("e1", 1), ("e2", 2), ("e4", NO_VERSION), ("unknown", NO_VERSION)])
def test_after_an_own_event_its_version_counts(after: str, base: int) -> None:
    """An event that was too late, or of another image, has no version."""
    assert decided("label", text="123", after=after, base=1).base == base


def test_an_undo_after_an_opinion_takes_it_back() -> None:
    """The label is unchanged, although the base is a version."""
    assert decided("undo", after="e3") == Decision(UNLABELED, NO_VERSION, opinion=True)


@pytest.mark.parametrize(("more", "base"), [({"base": 0}, 0), ({"after": "e4"}, NO_VERSION)])
def test_there_must_be_something_to_undo(more: dict[str, object], base: int) -> None:
    """A new image has no earlier version, and a label that was too late created none."""
    with pytest.raises(LabelError, match="nothing to undo"):
        decided("undo", **more)
    assert decided("label", text="123", **more).base == base


@pytest.mark.parametrize(
    ("operator", "seen", "late"),
    [("Dan", 4, False), ("Dan", 3, True), ("Cem", 3, False), ("Cem", 2, True), ("Dan", None, False), ("Dan", -1, True)],
)
def test_a_resolve_must_have_seen_all_opinions_of_others(operator: str, seen: int | None, late: bool) -> None:
    """The operator's own events do not count. Without a count, none is missed."""
    decision = decide(event("resolve", text="123", seen=seen), operator, LEDGER, SPEC)

    assert decision.base == (NO_VERSION if late else 2)


def test_a_text_that_does_not_fit_is_not_a_decision() -> None:
    """The error is that of the charset."""
    with pytest.raises(LabelError, match="4 characters"):
        decided("label", text="1234")


@pytest.mark.parametrize(("action", "text"), [("label", None), ("label", 123), ("second", 123), ("resolve", ["1"])])
def test_a_label_without_a_text_cannot_be_read(action: str, text: object) -> None:
    """In second and resolve, a missing text means a skip. Other types are invalid."""
    with pytest.raises(LabelError, match="missing its text"):
        event(action, text=text)


def test_an_event_holds_only_valid_values() -> None:
    """Invalid optional values are dropped."""
    read = event("undo", text=5, flag="not_ours", after=7, ms=-1, seen="3", base=True, suggested=True)

    assert read == Event(
        id="new", action="undo", base=1, text=None, flag="not_ours", after="7", ms=None, seen=None, suggested=None
    )  # fmt: skip


SAMPLE = Sample(
    id=1,
    project_id=1,
    source_id=1,
    sha256="f" * 64,
    name="1.png",
    width=30,
    height=20,
    split="train",
    state="labeled",
    label="111",
    version=2,
    operator="Ann",
    labeled_at=None,
    created_at="",
    flag=None,
    disputed=0,
    checked=0,
    kind="person",
)


@pytest.mark.parametrize(
    ("action", "decision", "version", "sample", "status", "sentence"),
    [
        ("label", Decision(LABELED, 1, opinion=False), 2, SAMPLE, "saved", "Saved."),
        ("doubt", Decision(UNLABELED, 1, opinion=True), None, SAMPLE, "saved", "Saved."),
        ("label", Decision(LABELED, 1, opinion=False), None, SAMPLE, "saved", "Ann already gave the same label."),
        ("resolve", Decision(LABELED, NO_VERSION, opinion=False), None, SAMPLE, "conflict", "There are new opinions"),
        ("resolve", Decision(LABELED, 1, opinion=False), None, SAMPLE, "saved", "Ann already gave the same label."),
        (
            "label",
            Decision(UNLABELED, 1, opinion=False),
            None,
            SAMPLE,
            "conflict",
            "Ann labeled this .*'111'",
        ),
        (
            "skip",
            Decision(LABELED, 1, opinion=False),
            None,
            replace(SAMPLE, state="skipped", label=None, operator=None),
            "conflict",
            "Someone skipped this image first. Your",
        ),
    ],
)
def test_an_answer_reports_the_outcome_of_the_event(
    action: str, decision: Decision, version: int | None, sample: Sample, status: str, sentence: str
) -> None:
    """The same label from a second operator is not a conflict."""
    given, message = answer(action, decision, version, sample)

    assert given == status
    assert re.match(sentence, message)
