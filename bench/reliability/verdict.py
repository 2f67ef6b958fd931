"""The state of a folder after the kills: lost labels, and everything that contradicts itself."""

import json
from collections.abc import Iterable, Iterator

from bench.reliability.writers import Acknowledgment
from core.data.standing import standing
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from db import jobs, labels
from db.records import UNLABELED
from db.sqlite import Database


def lost(db: Database, acknowledgments: Iterable[Acknowledgment]) -> list[str]:
    """Return the acknowledged labels that are not in the ledger with their sample, text and operator.

    A browser does not show the id of an event, so its labels are found without it.
    """
    rows = db.execute(
        "SELECT event_id, sha256, text, labels.operator FROM labels JOIN samples ON samples.id = sample_id"
    )
    events = {event: tuple(label) for event, *label in rows}
    labels_of_any_event = set(events.values())
    return [
        f"{each.operator} labeled {each.sample} {each.text!r}"
        for each in acknowledgments
        for label in [(each.sample, each.text, each.operator)]
        if (events.get(each.event) != label if each.event else label not in labels_of_any_event)
    ]


def damage(db: Database) -> Iterator[str]:
    """Yield what SQLite finds wrong, and each sample that does not follow from its ledger."""
    for (line,) in db.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield f"integrity check: {line}"
    for row in db.execute("PRAGMA foreign_key_check").fetchall():
        yield f"foreign key check: {row}"
    sql = "SELECT id, state, label, flag, version, disputed, checked FROM samples"
    for number, *content, version, disputed, checked in db.execute(sql).fetchall():
        ledger = labels.events_of(db, number)
        changes = [event for event in ledger if event.version is not None]
        if [event.version for event in changes] != list(range(1, len(changes) + 1)) or version != len(changes):
            yield f"sample {number} is at version {version} after {len(changes)} changes"
        if tuple(content) != (changes[-1].content if changes else UNLABELED):
            yield f"sample {number} is {tuple(content)}, unlike its ledger"
        now = standing(ledger)
        if (bool(disputed), bool(checked)) != (bool(now.dissents), now.checked):
            yield f"sample {number} has another standing than its ledger"


def wrong_jobs(db: Database, home: Home) -> Iterator[str]:
    """Yield each job whose row contradicts its directory."""
    control.reconcile(db, home)
    for job in jobs.list_jobs(db):
        directory = JobDir(home.run(job.id))
        with directory.unlocked() as free:
            active = job.state in ("queued", "starting", "running")
            if active and free:
                yield f"{job.id} is {job.state}, but none of its processes is alive"
            if not active and not free:
                yield f"{job.id} is {job.state}, but its processes are alive"
            outcome = directory.outcome().state if free else job.state
        if outcome != job.state:
            yield f"{job.id} is {job.state}, but its directory says {outcome}"
        if job.state == "finished" and (job.result is None or json.loads(job.result) != directory.read("result.json")):
            yield f"{job.id} is finished with another result than its directory has"
        if job.kind == "train" and job.state != "finished":
            yield f"{job.id} is {job.state} after its last resume: {job.reason}"
    for leftover in home.runs.glob(".new-*"):
        yield f"{leftover.name} is left of a job that never started"
