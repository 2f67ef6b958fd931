"""An evaluation as one HTML file to send to others: no script, nothing loaded from elsewhere.

This module gathers the values; report.html is the page, report.css its look.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlite_utils import Database

from core.errors import StorageError
from core.evaluation import calibration
from core.evaluation.acceptance import Acceptance
from core.evaluation.evidence import DELTA, Evidence
from core.evaluation.metrics import Ints, soft_confusion_PCC
from core.evaluation.percent import percent, share, share_and_interval
from core.evaluation.ranking import narrowest_N
from core.evaluation.slices import Slice, find_slices
from core.files import atomic_write
from core.home import Home
from core.images.pixels import data_url
from core.jobs import control
from core.report import svg
from core.runs.columns import columns_of
from core.runs.evaluated import Evaluated
from core.runs.uses import use_rows, uses_text
from db.evaluations import list_test_uses
from db.projects import list_sources
from db.records import now
from db.samples import find_sample, image_bytes

WRONG, NEAR = 40, 12
"""Images that are shown at most."""
IMAGE_BYTES = 1_800_000
"""Of all images together; a data URL takes a third more."""
PARTS = 25
LEAST = 10
"""Images in a part that is listed."""
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"count": "{:,}".format, "share": share}

Rows = list[list[str]]


def write_report(path: Path, text: str) -> None:
    """Write the file whole or not at all. Raises StorageError."""
    try:
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(f"{path} could not be written ({error.strerror}).") from error


def make_report(db: Database, home: Home, shown: Evaluated) -> str:
    """Return the whole file. Raises StorageError."""
    n, correct = shown.result["n"], shown.result["correct"]
    uses = list_test_uses(db, shown.project.id)
    return TEMPLATES.get_template("report.html").render(
        shown=shown,
        n=n,
        correct=correct,
        date=now()[:10],
        share=share_and_interval(correct, n),
        evidence=Evidence(n=n, wrong=n - correct).sentence,
        numbers=_numbers(shown),
        chance=np.log(shown.spec.num_classes),
        matrices=_matrices(shown),
        trust=_trust(home, shown),
        views=_views(shown),
        parts=_parts(db, shown),
        images=_images(db, shown),
        opened=uses_text(len(uses)),
        uses=use_rows(uses),
        made=_made(db, home, shown),
    )


def _numbers(shown: Evaluated) -> Rows:
    result, n = shown.result, shown.result["n"]
    rows = [("Exact match", result["correct"], n)]
    rows += [
        (title, result[key]["correct"], result[key]["n"])
        for key, title in (("string_not_seen", "Text new to the run"), ("string_seen", "Text seen in training"))
        if result[key]["n"]
    ]
    rows += [(f"Position {position}", right, n) for position, right in enumerate(result["per_position_correct"], 1)]
    return [[title, *_right(correct, of)] for title, correct, of in rows]


def _right(correct: int, n: int) -> list[str]:
    """Return three cells: counts, share and interval."""
    return [f"{correct:,} of {n:,}", *share_and_interval(correct, n)]


def _matrices(shown: Evaluated) -> dict[str, list[svg.Matrix]]:
    """Return the matrices of all positions, by counts and by probability."""
    charset, reading = shown.spec.charset, shown.reading
    mass_PCC = soft_confusion_PCC(reading.log_probs_NPC, reading.targets_NP)
    return {
        "counts": [svg.counts_matrix(counts_CC, charset) for counts_CC in reading.confusion_PCC()],
        "probability": [svg.probability_matrix(mass_CC, charset) for mass_CC in mass_PCC],
    }


def _trust(home: Home, shown: Evaluated) -> dict[str, Any]:
    """Return how well the confidence is calibrated, and what the threshold kept for such readings accepts."""
    right_N, rule = shown.reading.right_N, _rule(home, shown)
    temperature = rule.temperature if rule else 1.0
    sure_N = calibration.confidence(shown.reading.log_probs_NPC, temperature)
    bins = calibration.reliability(sure_N, right_N)
    # As for Trust: the images that have chosen among many thresholds bound the chosen one less tightly.
    delta = DELTA / len(calibration.STARTS) if shown.split == "val" else DELTA
    tried = calibration.try_threshold(sure_N, right_N, rule.threshold, delta) if rule else None
    curve = calibration.risk_coverage(sure_N, right_N)
    return {
        "rule": rule,
        "temperature": temperature,
        "error": calibration.calibration_error(bins),
        "brier": calibration.brier(sure_N, right_N),
        "tried": tried,
        "reliability": svg.reliability_chart(bins),
        "risk": svg.risk_chart(curve, tried.coverage if tried else None),
    }


def _rule(home: Home, shown: Evaluated) -> Acceptance | None:
    try:
        kept = Acceptance.load(home.run(shown.run.job.id))
    except StorageError:
        return None
    views = shown.predictions.view_set
    return kept if kept and kept.holds_for(shown.predictions.step, tta=shown.tta, views=views) else None


def _views(shown: Evaluated) -> dict[str, Any] | None:
    """Return what the views are worth; None where the images were read without others."""
    if len(shown.predictions.views) < 2:
        return None
    worth = shown.predictions.views_worth(shown.spec)
    rows = [
        [entry.name, *_right(entry.correct, worth.n), f"{entry.fixed:,}", f"{entry.broken:,}", f"{entry.p:.2g}"]
        + ([] if entry.times is None else [f"{entry.times:.1f}"])
        for entry in (*worth.views, worth.together)
    ]
    # On test nothing is chosen, so nothing is advised.
    text = worth.verdict if shown.split == "val" else worth.finding
    return {"text": text, "rows": rows, "timed": worth.together.times is not None}


def _parts(db: Database, shown: Evaluated) -> dict[str, Any]:
    """Return the worst parts, and which of these rows are worse by more than chance."""
    parts = find_slices(columns_of(db, shown), shown.reading.right_N, LEAST)
    return {
        "n": len(parts),
        "least": LEAST,
        "worse": sum(part.surely_worse for part in parts),
        "rows": [_part_row(part) for part in parts[:PARTS]],
        "marked": [place for place, part in enumerate(parts[:PARTS]) if part.surely_worse],
    }


def _part_row(part: Slice) -> list[str]:
    lift = "" if np.isnan(part.lift) else "\N{INFINITY}" if np.isinf(part.lift) else f"{part.lift:.1f}"
    return [f"{part.kind}: {part.value}", *_right(part.correct, part.n), lift, f"{part.p:.2g}"]


def _images(db: Database, shown: Evaluated) -> list[dict[str, Any]]:
    """Return two lists of images: those that were read wrong, and those that nearly were."""
    reading = shown.reading
    margin_N = narrowest_N(reading.log_probs_NPC, reading.targets_NP)
    wrong, near = reading.wrong(), np.flatnonzero(reading.right_N)
    near = near[np.argsort(margin_N[near], kind="stable")]
    lists = (
        ("Wrong answers", wrong, WRONG, "The surest first: those are often wrong labels."),
        ("Near misses", near, NEAR, "Read right, but closest to an error."),
    )
    left, sections = IMAGE_BYTES, []
    for title, places, most, note in lists:
        tiles, left = _tiles(db, shown, places[:most], margin_N, left)
        sections.append({"title": title, "n": len(places), "note": note, "tiles": tiles})
    return sections


def _tiles(
    db: Database, shown: Evaluated, places: Ints, margin_N: calibration.Confidence, left: int
) -> tuple[list[dict[str, Any]], int]:
    """Return images with what was read and labeled, until their bytes are used up, and the bytes left."""
    tiles: list[dict[str, Any]] = []
    reading, predictions = shown.reading, shown.predictions
    for place in places.tolist():
        sample = find_sample(db, shown.project.id, predictions.sha256[place])
        data = image_bytes(db, [sample.id])[sample.id] if sample else b""
        if len(data) > left:
            break
        left -= len(data)
        text = shown.spec.decode(reading.predicted_NP[place])
        tiles.append(
            {
                "url": data_url(data) if data else None,
                "read": list(zip(text, reading.right_NP[place].tolist(), strict=True)),
                "label": predictions.labels[place],
                "sure": percent(reading.confidence_N[place]),
                "margin": margin_N[place],
            }
        )
    return tiles, left


def _made(db: Database, home: Home, shown: Evaluated) -> list[tuple[str, str]]:
    """Return where the images, the weights and the numbers come from."""
    project, run, predictions = shown.project, shown.run, shown.predictions
    settings = control.spec(home, run.job.id)
    labels = sorted(zip(predictions.sha256, predictions.labels, strict=True))
    together = "\n".join(f"{sha256} {label}" for sha256, label in labels)
    data_hash = hashlib.sha256(together.encode()).hexdigest()
    return [
        ("Project", f"{project.name}: {project.length} characters of {project.charset}"),
        *(
            (f"Source {source.name}", f"owner {source.owner}; authorization {source.authorization}")
            for source in list_sources(db, project.id)
        ),
        ("Run", f"{run.job.id}, preset {run.preset}, started {run.job.created_at}"),
        ("Trained on", f"{run.train_n:,} images; data {run.dataset_sha256}"),
        ("Weights", f"of step {predictions.step:,}" if predictions.step >= 0 else "step not recorded"),
        (f"Images of {shown.split}", f"{len(labels):,}; hash of images and labels {data_hash}"),
        ("Views", ", ".join(predictions.views) if shown.tta else "the image as it is"),
        ("Versions", _pairs(settings.get("versions", {}))),
        ("Settings", _pairs(settings.get("config", json.loads(run.config)))),
        ("Chosen by the run", _pairs(settings.get("choices", {}))),
    ]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
