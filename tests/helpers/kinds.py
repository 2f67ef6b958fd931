"""Labels of each kind."""

from sqlite_utils import Database

from core.data.accepting import accept
from core.data.labeling import apply_events
from core.data.standing import update_standing
from core.data.verdicts import apply_verdicts, new_verdict
from db import labels, proposals, samples
from db.connection import write
from db.records import Project, Sample

READERS = "ddddocr 1.6.1 + rapidocr 3.10.0"
"""Operator of readings that the readers gave, in the ledger."""
RUN = "0003-fast 400"
"""Operator of readings that a run gave."""


def give_label(db: Database, project: Project, sample: Sample, text: str, kind: str) -> None:
    """Label an unlabeled image the way that this kind of label arises. Ann types the labels of people."""
    if kind == "person":
        event = {"event": f"typed {sample.id}", "action": "label", "sample": sample.sha256, "text": text, "base": 0}
        apply_events(db, project, "Ann", [event])
    elif kind == "import":
        with write(db):
            labels.append_event(
                db, sample, event_id=f"imported {sample.id}", operator="Ann", action="import", state="labeled",
                text=text, base_version=0, kind="import", origin="import",
            )  # fmt: skip
            update_standing(db, sample.id)
    elif kind == "verdict":
        apply_verdicts(db, project, [new_verdict(sample.sha256, text, accepted=True)], "Ann")
    else:
        names = READERS if kind == "readers" else RUN
        with write(db):
            readers = [
                proposals.open_reader(
                    db, kind="run" if kind == "run" else "general", name=name, version=version, sha256="a" * 64
                )
                for name, version in (each.split(" ") for each in names.split(" + "))
            ]
        accept(db, project, {sample.id: text}, kind=kind, readers=readers, operator="Ann", rule={})


def give_all_kinds(db: Database, project: Project, *, person: int = 0, readers: int = 0, **others: int) -> None:
    """Label unlabeled training images of a project by number and kind. The texts are zero-padded ids."""
    waiting = iter(samples.select_samples(db, project.id, split="train", state="unlabeled"))
    for kind, n in {"person": person, "readers": readers, **others}.items():
        for _, sample in zip(range(n), waiting, strict=False):
            give_label(db, project, sample, f"{sample.id:0{project.length}}", kind)
