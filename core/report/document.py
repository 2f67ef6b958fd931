"""The report: an evaluation as one HTML file, without scripts or external resources.

This module collects the values. report.html is the template, report.css the style.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.data.kinds import parenthesis, trained_on
from core.errors import StorageError
from core.evaluation import calibration
from core.evaluation.acceptance import Acceptance
from core.evaluation.evidence import DELTA, Evidence
from core.evaluation.metrics import Ints, soft_confusion_PCC
from core.evaluation.percent import percent, share, share_and_interval
from core.evaluation.ranking import min_margins_N
from core.evaluation.reference import AGAINST_READERS, HIDDEN, SHARED_ERRORS, score_title, target_name
from core.evaluation.shift import NOTHING_BESIDE
from core.evaluation.slices import Slice, find_slices
from core.home import Home
from core.images.pixels import data_url
from core.jobs import control
from core.report import svg
from core.runs.columns import columns_of
from core.runs.evaluated import Evaluated, shift_of
from core.runs.uses import use_rows, uses_text
from core.words import plural
from db.evaluations import list_test_uses
from db.projects import list_sources
from db.records import now
from db.samples import find_sample, image_bytes
from db.sqlite import Database

MAX_WRONG, MAX_NEAR_MISSES = 40, 12
"""Maximum number of images in each section."""
MAX_IMAGE_BYTES = 1_800_000
"""Total size of all images. Their data URLs are a third larger."""
MAX_SLICES = 25
MIN_IMAGES = 10
"""Minimum number of images of a listed slice."""
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"count": "{:,}".format, "share": share}

Rows = list[list[str]]


def make_report(db: Database, home: Home, evaluated: Evaluated) -> str:
    """Return the report as HTML. Raises StorageError."""
    n, correct = evaluated.result["n"], evaluated.result["correct"]
    by_people = evaluated.reference == "people"
    uses = list_test_uses(db, evaluated.project.id)
    return TEMPLATES.get_template("report.html").render(
        evaluated=evaluated,
        n=n,
        correct=correct,
        images_of=evaluated.images,
        shift=shift_of(db, home, evaluated) if evaluated.source else None,
        nothing_beside=NOTHING_BESIDE,
        date=now()[:10],
        share=share_and_interval(correct, n),
        by_people=by_people,
        score=score_title(evaluated.reference),
        target=target_name(evaluated.reference),
        evidence=Evidence(n=n, wrong=n - correct).sentence if by_people else f"{AGAINST_READERS} {SHARED_ERRORS}",
        hidden="" if by_people else HIDDEN,
        numbers=_numbers(evaluated),
        chance=np.log(evaluated.spec.num_classes),
        matrices=_matrices(evaluated),
        confidence=_confidence(home, evaluated),
        tta=_tta(evaluated),
        slices=_slices(db, evaluated),
        images=_images(db, evaluated) if by_people else [],
        uses_text=uses_text(len(uses)),
        uses=use_rows(uses),
        details=_details(db, home, evaluated),
    )


def _numbers(evaluated: Evaluated) -> Rows:
    result, n = evaluated.result, evaluated.result["n"]
    rows = [(score_title(evaluated.reference), result["correct"], n)]
    unreadable = evaluated.unreadable
    if unreadable.count and unreadable.exact_match is not None:
        rows.append(("Unreadable images counted as wrong", unreadable.correct, unreadable.total))
    rows += [
        (title, result[key]["correct"], result[key]["n"])
        for key, title in (("string_not_seen", "Texts not seen in training"), ("string_seen", "Texts seen in training"))
        if result[key]["n"]
    ]
    rows += [(f"Position {position}", right, n) for position, right in enumerate(result["per_position_correct"], 1)]
    return [[title, *_right(correct, of)] for title, correct, of in rows]


def _right(correct: int, n: int) -> list[str]:
    """Return three cells: count, share and interval."""
    return [f"{correct:,} of {n:,}", *share_and_interval(correct, n)]


def _matrices(evaluated: Evaluated) -> dict[str, list[svg.Matrix]]:
    """Return the confusion matrices of all positions, as counts and as probabilities."""
    charset, reading, target = evaluated.spec.charset, evaluated.reading, target_name(evaluated.reference)
    mass_PCC = soft_confusion_PCC(reading.log_probs_NPC, reading.targets_NP)
    return {
        "counts": [svg.counts_matrix(counts_CC, charset, target) for counts_CC in reading.confusion_PCC()],
        "probability": [svg.probability_matrix(mass_CC, charset, target) for mass_CC in mass_PCC],
    }


def _confidence(home: Home, evaluated: Evaluated) -> dict[str, Any]:
    """Return the calibration, and the results of the threshold set for such readings."""
    right_N, rule = evaluated.reading.right_N, _rule(home, evaluated)
    temperature = rule.temperature if rule else 1.0
    confidence_N = calibration.confidence(evaluated.reading.log_probs_NPC, temperature)
    bins = calibration.reliability(confidence_N, right_N)
    # Validation images chose the threshold in several searches, which share delta.
    delta = DELTA / len(calibration.STARTS) if evaluated.split == "val" else DELTA
    result = calibration.apply_threshold(confidence_N, right_N, rule.threshold, delta) if rule else None
    curve = calibration.risk_coverage(confidence_N, right_N)
    return {
        "rule": rule,
        "temperature": temperature,
        "error": calibration.calibration_error(bins),
        "brier": calibration.brier(confidence_N, right_N),
        "result": result,
        "reliability": svg.reliability_chart(bins, "accuracy" if evaluated.reference == "people" else "agreement"),
        "risk": svg.risk_chart(curve, result.coverage if result else None),
    }


def _rule(home: Home, evaluated: Evaluated) -> Acceptance | None:
    try:
        rule = Acceptance.load(home.run(evaluated.run.job.id))
    except StorageError:
        return None
    views = evaluated.predictions.view_set
    return rule if rule and rule.applies_to(evaluated.predictions.step, tta=evaluated.tta, views=views) else None


def _tta(evaluated: Evaluated) -> dict[str, Any] | None:
    """Return the effect of TTA; None if the images were read without it."""
    if len(evaluated.predictions.views) < 2:
        return None
    effect = evaluated.predictions.tta_effect(evaluated.spec)
    rows = [
        [entry.name, *_right(entry.correct, effect.n), f"{entry.fixed:,}", f"{entry.broken:,}", f"{entry.p:.2g}"]
        + ([] if entry.time_ratio is None else [f"{entry.time_ratio:.1f}"])
        for entry in (*effect.views, effect.together)
    ]
    # Nothing is chosen on other images, so the report recommends nothing there.
    text = effect.verdict if evaluated.split == "val" else effect.finding
    return {"text": text, "rows": rows, "timed": effect.together.time_ratio is not None}


def _slices(db: Database, evaluated: Evaluated) -> dict[str, Any]:
    """Return the worst slices, and the rows that are significantly worse than the rest."""
    slices = find_slices(columns_of(db, evaluated), evaluated.reading.right_N, MIN_IMAGES)
    return {
        "n": len(slices),
        "min_images": MIN_IMAGES,
        "significant": sum(each.significant for each in slices),
        "rows": [_slice_row(each) for each in slices[:MAX_SLICES]],
        "marked": [index for index, each in enumerate(slices[:MAX_SLICES]) if each.significant],
    }


def _slice_row(row: Slice) -> list[str]:
    ratio = row.error_ratio
    ratio_text = "" if np.isnan(ratio) else "\N{INFINITY}" if np.isinf(ratio) else f"{ratio:.1f}"
    return [f"{row.kind}: {row.value}", *_right(row.correct, row.n), ratio_text, f"{row.p:.2g}"]


def _images(db: Database, evaluated: Evaluated) -> list[dict[str, Any]]:
    """Return two sections of images: errors and near misses."""
    reading = evaluated.reading
    margin_N = min_margins_N(reading.log_probs_NPC, reading.targets_NP)
    wrong, near = reading.wrong(), np.flatnonzero(reading.right_N)
    near = near[np.argsort(margin_N[near], kind="stable")]
    lists = (
        ("Errors", wrong, MAX_WRONG, "Most confident first. Confident errors are often wrong labels."),
        ("Near misses", near, MAX_NEAR_MISSES, "Right readings with a close second, closest first."),
    )
    bytes_left, sections = MAX_IMAGE_BYTES, []
    for title, places, limit, note in lists:
        tiles, bytes_left = _tiles(db, evaluated, places[:limit], margin_N, bytes_left)
        sections.append({"title": title, "n": len(places), "note": note, "tiles": tiles})
    return sections


def _tiles(
    db: Database, evaluated: Evaluated, places: Ints, margin_N: calibration.Confidence, bytes_left: int
) -> tuple[list[dict[str, Any]], int]:
    """Return images with reading and label, as far as the bytes allow, and the bytes left. Leave out blind images."""
    tiles: list[dict[str, Any]] = []
    reading, predictions = evaluated.reading, evaluated.predictions
    for place in places.tolist():
        sample = find_sample(db, evaluated.project.id, predictions.sha256[place])
        if sample is not None and sample.is_blind:
            continue
        data = image_bytes(db, [sample.id])[sample.id] if sample else b""
        if len(data) > bytes_left:
            break
        bytes_left -= len(data)
        text = evaluated.spec.decode(reading.predicted_NP[place])
        tiles.append(
            {
                "url": data_url(data) if data else None,
                "read": list(zip(text, reading.right_NP[place].tolist(), strict=True)),
                "label": predictions.labels[place],
                "confidence": percent(reading.confidence_N[place]),
                "margin": margin_N[place],
            }
        )
    return tiles, bytes_left


def _details(db: Database, home: Home, evaluated: Evaluated) -> list[tuple[str, str]]:
    """Return the origin of images, weights and numbers."""
    project, run, predictions = evaluated.project, evaluated.run, evaluated.predictions
    settings, target = control.spec(home, run.job.id), target_name(evaluated.reference)
    labels = sorted(zip(predictions.sha256, predictions.labels, strict=True))
    of_kinds = parenthesis(trained_on(settings, run.train_n))
    lines = "\n".join(f"{sha256} {label}" for sha256, label in labels)
    data_hash = hashlib.sha256(lines.encode()).hexdigest()
    return [
        ("Project", f"{project.name}: {plural(project.length, 'character')} of {project.charset}"),
        *(
            (f"Source {source.name}", f"owner {source.owner}; authorization {source.authorization}")
            for source in list_sources(db, project.id)
        ),
        ("Run", f"{run.job.id}, preset {run.preset}, started {run.job.created_at}"),
        ("Trained on", f"{plural(run.train_n, 'image')}{of_kinds}; data {run.dataset_sha256}"),
        ("Checkpoint", f"step {predictions.step:,}" if predictions.step >= 0 else "step not recorded"),
        (
            "Compared with",
            "labels of people" if evaluated.reference == "people" else "texts that general readers agree on",
        ),
        (
            f"{evaluated.images[0].upper()}{evaluated.images[1:]}",
            f"{len(labels):,}; hash of images and {target}s {data_hash}",
        ),
        ("Views", ", ".join(predictions.views) if evaluated.tta else "original image only"),
        ("Versions", _pairs(settings.get("versions", {}))),
        ("Settings", _pairs(settings.get("config", json.loads(run.config)))),
        ("Chosen automatically", _pairs(settings.get("choices", {}))),
    ]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
