"""The labels that a result is measured against, and the name of the result.

Without a label of people in val, a run validates against the texts on which general readers agree. The result is an
agreement with readers. It is never called exact match, and never compared with results against labels of people.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from core.errors import TrainingError

Reference = Literal["people", "readers"]
AGAINST_READERS = (
    "Readings are compared with the texts that general readers agree on, not with labels of people. Here, right means "
    "that the run reads the same text, and wrong means another one."
)
SHARED_ERRORS = (
    "Agreement with readers does not prove accuracy, because the run can repeat their errors. Label validation images "
    "to measure it."
)
HIDDEN = (
    "Validation images stay hidden until people have labeled some of them, because people must not see a reading first."
)

BLIND = "This is a validation or test image without a label. Its reading is hidden until someone labels it."


def reference_of(values: Mapping[str, Any]) -> Reference:
    """Return the reference in a run.json. Runs of earlier versions have labels of people. Raises ValueError."""
    reference: Reference = values.get("reference", "people")
    if reference not in get_args(Reference):
        raise ValueError(f"unknown reference {reference!r}")
    return reference


def score_name(reference: str) -> str:
    """Return the name of the share of images that are right."""
    return "agreement with readers" if reference == "readers" else "exact match"


def score_title(reference: str) -> str:
    return score_name(reference).capitalize()


def target_name(reference: str) -> str:
    """Return the name of the text that a reading is compared with."""
    return "agreed reading" if reference == "readers" else "label"


def named_result(result: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return a result with its score under the name of its reference, so that no program mistakes one for the other."""
    score = result["exact_match"]
    by_people = reference == "people"
    return {
        **result,
        "reference": reference,
        "exact_match": score if by_people else None,
        "agreement": None if by_people else score,
    }


def check_same(first: str, second: str) -> None:
    """Raise TrainingError if two results have different references."""
    if first != second:
        raise TrainingError(
            "One run is measured against labels of people and the other against readers, so they cannot be compared. "
            "Evaluate both again."
        )
