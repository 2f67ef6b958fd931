"""Columns for slicing an evaluation: texts, sample data from the database, colors."""

from core.evaluation.slices import DELETED, Categorical, all_columns
from core.runs.evaluated import Evaluated
from db.samples import facts_by_hash
from db.sqlite import Database


def columns_of(db: Database, evaluated: Evaluated) -> dict[str, Categorical]:
    """Return the columns of an evaluation, as of the first call. The result uses the labels of that time as well."""
    spec, predictions = evaluated.spec, evaluated.predictions

    def read() -> dict[str, Categorical]:
        known = facts_by_hash(db, evaluated.project.id, predictions.sha256)
        facts = [known.get(sha256, DELETED) for sha256 in predictions.sha256]
        targets_NP = evaluated.reading.targets_NP
        return all_columns(targets_NP, spec.charset, evaluated.seen_N, facts, predictions.colors_N23)

    return predictions.cached(("columns", spec), read)
