"""What the samples of an evaluation are divided by: their text, what the database knows of them, their colours."""

from sqlite_utils import Database

from core.charset import TextSpec
from core.evaluation.predictions import Predictions
from core.evaluation.slices import GONE, Bools, Categorical, all_columns
from db.samples import facts_by_hash


def columns_of(
    db: Database, project_id: int, found: Predictions, spec: TextSpec, seen_N: Bools
) -> dict[str, Categorical]:
    """Read once for these predictions: what the database knew then, as the numbers use the labels of then as well.

    `seen_N` says whose text also occurs in the training images.
    """

    def read() -> dict[str, Categorical]:
        known = facts_by_hash(db, project_id, found.sha256)
        facts = [known.get(sha256, GONE) for sha256 in found.sha256]
        return all_columns(found.targets_NP(spec), spec.charset, seen_N, facts, found.colors_N23)

    return found.kept(("columns", spec), read)
