"""How labels stood up to others is read from the ledger."""

from collections.abc import Callable

from sqlite_utils import Database

from core.data.labeling import apply_events
from db.labels import second_looks
from db.records import Project, Sample


def test_second_looks_by_others_are_counted(db: Database, project: Project, add_sample: Callable[..., Sample]) -> None:
    """Those that agree, of those on the operator's own labels as they were seen; a skip differs from any label."""
    samples = [add_sample(number).sha256 for number in range(4)]
    for number, sample in enumerate(samples):
        operator = "Ben" if number == 3 else "Ann"
        label = {"event": f"a{number}", "action": "label", "sample": sample, "text": "123456", "base": 0}
        apply_events(db, project, operator, [label])
    for number, (sample, text) in enumerate(zip(samples, ("123456", "123457", None, "123456"), strict=True)):
        look = {"event": f"b{number}", "action": "second", "sample": sample, "text": text, "base": 1}
        apply_events(db, project, "Cora", [look])

    assert second_looks(db, project.id, "Ann", "2000") == (1, 3)
    assert second_looks(db, project.id, "Ben", "2000") == (1, 1)
    assert second_looks(db, project.id, "Ann", "9000") == (0, 0)
