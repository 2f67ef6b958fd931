"""Accepting: readings of training images become labels of a kind of their own, and can be taken back in one action."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from core.charset import spec_of
from core.data.standing import update_standing
from core.errors import OptionError
from db import labels, proposals, queues, samples, verdicts
from db.connection import write
from db.records import REMOVABLE, Project, Reader
from db.sqlite import Database


def accept(
    db: Database,
    project: Project,
    texts: Mapping[int, str],
    *,
    kind: str,
    readers: Sequence[Reader],
    operator: str,
    rule: Mapping[str, Any],
) -> int:
    """Turn readings into labels and return their number. `texts` has the reading of each image by sample id.

    Only unlabeled training images are labeled, and with no text that the portal rejected. `operator` is the person who
    accepts; the ledger names the readers. Another acceptance of the same images changes nothing. Raises LabelError if
    a text does not fit the project.
    """
    spec, who = spec_of(project), names_of(readers)
    described = json.dumps({"readers": [describe(reader) for reader in readers]} | dict(rule), ensure_ascii=False)
    acceptance, total = None, 0
    for ids in queues.chunks(list(texts)):
        with write(db):
            rejected = verdicts.rejected_texts(db, project.id, sample_ids=ids)
            for sample_id in ids:
                sample = samples.get_sample(db, sample_id)
                if (sample.project_id, sample.split, sample.state) != (project.id, "train", "unlabeled"):
                    continue
                if texts[sample_id] in rejected.get(sample_id, ()):
                    continue
                if acceptance is None:
                    acceptance = proposals.insert_acceptance(
                        db, project.id, kind=kind, operator=operator, rule=described
                    )
                labels.append_event(
                    db,
                    sample,
                    event_id=f"accept:{acceptance}:{sample.sha256}",
                    operator=who,
                    action="accept",
                    state="labeled",
                    text=spec.check(texts[sample_id]),
                    kind=kind,
                    base_version=sample.version,
                    origin="accept",
                )
                proposals.add_accepted(db, acceptance, 1)
                update_standing(db, sample_id)
                queues.release(db, sample_id)
                total += 1
    return total


def retract(db: Database, project: Project, kind: str, operator: str) -> tuple[int, int]:
    """Take back all labels of a kind. Return how many were removed, and how many stay because people checked them.

    Raises OptionError for kinds that people give.
    """
    if kind not in REMOVABLE:
        choices = f"{', '.join(REMOVABLE[:-1])} or {REMOVABLE[-1]}"
        raise OptionError(f"Labels of kind {kind!r} cannot be removed at once. Choose {choices}.")
    request, removed = uuid.uuid4().hex, 0
    chosen = samples.select_samples(db, project.id, kind=kind, checked=False)
    for batch in queues.chunks([sample.id for sample in chosen]):
        with write(db):
            for sample_id in batch:
                sample = samples.get_sample(db, sample_id)
                if sample.kind != kind or sample.checked:  # changed meanwhile
                    continue
                labels.append_event(
                    db,
                    sample,
                    event_id=f"retract:{request}:{sample.sha256}",
                    operator=operator,
                    action="undo",
                    state="unlabeled",
                    text=None,
                    base_version=sample.version,
                    origin="retract",
                )
                update_standing(db, sample_id)
                removed += 1
    return removed, samples.count_samples(db, project.id, kind=kind)


def names_of(readers: Sequence[Reader]) -> str:
    """Return the readers with their versions, as the ledger names them."""
    return " + ".join(f"{reader.name} {reader.version}" for reader in readers)


def describe(reader: Reader) -> dict[str, str]:
    return {"name": reader.name, "version": reader.version, "sha256": reader.sha256}
