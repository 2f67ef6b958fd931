"""An evaluation as one HTML file to send to others: no script, nothing loaded from elsewhere."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils import Database

from core.charset import spec_of
from core.errors import OptionError, StorageError
from core.evaluation import calibration
from core.evaluation.acceptance import Acceptance
from core.evaluation.evidence import DELTA, Evidence
from core.evaluation.metrics import Ints, soft_confusion_PCC
from core.evaluation.percent import percent, share, share_and_interval
from core.evaluation.predictions import Predictions, Reading
from core.evaluation.ranking import narrowest_N
from core.evaluation.slices import find_slices
from core.evaluation.views import choice_of
from core.files import replacing
from core.home import Home
from core.images.pixels import data_url
from core.jobs.jobdir import JobDir
from core.report import svg
from core.runs.columns import columns_of
from core.runs.start import predictions_path
from core.training.snapshot import training_strings
from db.evaluations import list_test_openings
from db.projects import list_sources
from db.records import Project, Run, TestOpening, now
from db.samples import find_sample, image_bytes

SPLITS = ("val", "test")
WRONG, NEAR = 40, 12
"""Images that are shown at most."""
IMAGE_BYTES = 1_800_000
"""Of all images together; a data URL takes a third more."""
PARTS = 25
LEAST = 10
"""Images in a part that is listed."""
CSS = Path(__file__).with_name("report.css")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What the report is about."""

    project: Project
    run: Run
    split: str
    tta: bool
    found: Predictions
    reading: Reading
    result: dict[str, Any]
    seen_N: calibration.Bools
    settings: dict[str, Any]
    """The run's run.json."""
    acceptance: Acceptance | None


def newest_predictions(home: Home, db: Database, run: Run, split: str) -> Predictions:
    """Of the newest evaluation of this run on this split, else those the run left at its end. Raises OptionError."""
    if split not in SPLITS:
        raise OptionError(f"There is no split {split!r} to report on; there are val and test.")
    if path := predictions_path(db, home, run, split):
        return Predictions.load(path)
    raise OptionError(f"Run {run.job.id} has not been evaluated on {split} yet; `slotlab evaluate` does it.")


def write_report(path: Path, text: str) -> None:
    """Whole or not at all. Raises StorageError."""
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(f"{path} could not be written ({error.strerror}).") from error


def make_report(
    db: Database,
    home: Home,
    project: Project,
    run: Run,
    split: str,
    *,
    tta: bool | None,
    found: Predictions | None = None,
) -> str:
    """The whole file; without `tta`, as the run reads. Reads what is stored. Raises OptionError, StorageError."""
    found = found or newest_predictions(home, db, run, split)
    if tta is None:
        tta = len(found.views) > 1 and choice_of(home.run(run.job.id)).use
    if tta and len(found.views) < 2:
        raise OptionError("These images were read without other views; evaluate the run with --tta first.")
    spec, directory = spec_of(project), home.run(run.job.id)
    seen = training_strings(directory / "dataset.npz")
    seen_N = np.array([label in seen for label in found.labels], dtype=bool)
    try:
        acceptance = Acceptance.load(directory)
    except StorageError:
        acceptance = None
    evaluated = Evaluated(
        project=project, run=run, split=split, tta=tta, found=found, reading=found.reading(spec, tta=tta),
        result=found.result(spec, tta=tta, seen_N=seen_N), seen_N=seen_N,
        settings=JobDir(directory).read("run.json") or {}, acceptance=acceptance,
    )  # fmt: skip
    openings = list_test_openings(db, project.id)
    sections = [
        _head(evaluated, openings),
        _numbers(evaluated),
        _matrices(evaluated),
        _trust(evaluated),
        _views(evaluated),
        _parts(db, evaluated),
        _images(db, evaluated),
        _openings(openings),
        _made(db, evaluated),
    ]
    title = f"{project.name}, run {run.job.id}, {split}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _head(shown: Evaluated, openings: Sequence[TestOpening]) -> str:
    n, correct = shown.result["n"], shown.result["correct"]
    evidence = Evidence(n=n, wrong=n - correct)
    if shown.split == "val":
        note = (
            "These are validation images: no weight was fitted to them, but they chose which weights are kept, so the "
            "numbers are a little too good. The sealed test images show by how much."
        )
    else:
        opened = f"The test images of this project have been opened {_times(len(openings))}"
        note = f"These are test images, which have chosen nothing. {opened}; each opening is listed below."
    views = f"mean of {len(shown.found.views)} views" if shown.tta else "without test-time augmentation"
    value, interval = share_and_interval(correct, n)
    return (
        f'<p class="soft">Evaluation by Slotlab, {escape(now()[:10])}</p>'
        f"<h1>{escape(shown.project.name)}: run {escape(shown.run.job.id)} on {shown.split}</h1>"
        f'<p class="head">{correct:,} of {n:,} <small>{value}, 95% interval {interval}</small></p>'
        f'<p class="soft">images whose {shown.project.length} characters were all read right, {views}</p>'
        f'<p class="note">{escape(evidence.sentence)}</p><p class="note">{escape(note)}</p>'
    )


def _numbers(shown: Evaluated) -> str:
    result, n = shown.result, shown.result["n"]
    rows = [("Exact match", result["correct"], n)]
    rows += [
        (title, result[key]["correct"], result[key]["n"])
        for key, title in (("string_not_seen", "Text new to the run"), ("string_seen", "Text seen in training"))
        if result[key]["n"]
    ]
    rows += [(f"Position {position}", right, n) for position, right in enumerate(result["per_position_correct"], 1)]
    cells = [[escape(title), f"{correct:,} of {of:,}", *share_and_interval(correct, of)] for title, correct, of in rows]
    text = _table(["", "right", "share", "95% interval"], cells, numbers=(1, 2, 3))
    loss = f"Mean log loss {result['nll']:.4f} nats a character; chance is {np.log(len(shown.project.charset)):.2f}."
    return f"<h2>How often it is right</h2>{text}<p class='soft'>{loss} Intervals are exact (Clopper-Pearson).</p>"


def _matrices(shown: Evaluated) -> str:
    charset, counts_PCC = shown.project.charset, shown.reading.confusion_PCC()
    mass_PCC = soft_confusion_PCC(shown.reading.log_probs_NPC, shown.reading.targets_NP)
    counts = [svg.counts_svg(counts_CC, charset) for counts_CC in counts_PCC]
    masses = [svg.probability_svg(mass_CC, charset) for mass_CC in mass_PCC]

    def row(figures: list[str]) -> str:
        named = (
            f'<figure class="matrix"><figcaption>Position {place}</figcaption>{figure}</figure>'
            for place, figure in enumerate(figures, 1)
        )
        return f'<div class="row">{"".join(named)}</div>'

    return (
        "<h2>Which characters are taken for which</h2>"
        "<p>Rows are true, columns read. Blue is right, red is wrong, with its number.</p>"
        f"{row(counts)}<h3>As probability</h3>"
        "<p>Mean probability of each character where another is true, from one in 100,000 to 1: where nothing is wrong "
        f"yet, the next error comes from there.</p>{row(masses)}"
    )


def _trust(shown: Evaluated) -> str:
    right_N, kept = shown.reading.right_N, shown.acceptance
    holds = kept is not None and kept.holds_for(shown.found.step, tta=shown.tta, views=shown.found.view_set)
    rule = kept if holds else None
    temperature = rule.temperature if rule else 1.0
    sure_N = calibration.confidence(shown.reading.log_probs_NPC, temperature)
    bins = calibration.reliability(sure_N, right_N)
    used_N = sure_N >= rule.threshold if rule else np.ones(len(sure_N), dtype=bool)
    used, wrong = int(used_N.sum()), int((~right_N[used_N]).sum())
    figures = (
        f"<figure><figcaption>Confidence against what is right</figcaption>{svg.reliability_svg(bins)}</figure>"
        "<figure><figcaption>Wrong answers, as fewer and fewer are used</figcaption>"
        f"{svg.risk_svg(calibration.risk_coverage(sure_N, right_N), used / len(sure_N) if rule else None)}</figure>"
    )
    said = (
        f"Mean distance between confidence and the share that is right: {calibration.calibration_error(bins):.2%} "
        f"(temperature {temperature:.2f}), Brier score {calibration.brier(sure_N, right_N):.4f}."
    )
    if rule is None:
        text = "No threshold is kept for such readings: every answer is used."
    else:
        text = (
            f"An answer is accepted from a confidence of {rule.threshold:.4f} on, chosen on {rule.n:,} val images for "
            f"at most {rule.max_risk:.3%} wrong answers. Of these {len(sure_N):,} {shown.split} images it accepts "
            f"{used:,} ({share(used, len(sure_N))}); {wrong:,} of them are wrong"
        )
        # As for Trust: the images that have chosen among many thresholds bound the chosen one less tightly.
        delta = DELTA / len(calibration.STARTS) if shown.split == "val" else DELTA
        text += f", at most {calibration.upper_bound(wrong, used, delta):.3%} with 95% confidence." if used else "."
    note = " They have chosen the threshold themselves." if rule and shown.split == "val" else ""
    return (
        f'<h2>How far its confidence can be trusted</h2><p>{escape(said)}</p><div class="row">{figures}</div>'
        f'<p class="note">{escape(text + note)}</p>'
    )


def _views(shown: Evaluated) -> str:
    if len(shown.found.views) < 2:
        return ""
    ledger = shown.found.ledger(spec_of(shown.project))
    said = ledger.verdict if shown.split == "val" else ledger.finding  # on test nothing is chosen
    rows = [
        [
            escape(entry.name),
            f"{entry.correct:,} of {ledger.n:,}",
            *share_and_interval(entry.correct, ledger.n),
            f"{entry.fixed:,}",
            f"{entry.broken:,}",
            f"{entry.p:.2g}",
            *([] if entry.times is None else [f"{entry.times:.1f}"]),
        ]
        for entry in (*ledger.views, ledger.together)
    ]
    names = ["view", "right", "share", "95% interval", "mends", "breaks", "p (McNemar)"]
    names += [] if ledger.together.times is None else ["times the time"]
    return (
        "<h2>What the views of test-time augmentation are worth</h2>"
        f"<p>{escape(said)}</p>{_table(names, rows, numbers=range(1, 8))}"
    )


def _parts(db: Database, shown: Evaluated) -> str:
    columns = columns_of(db, shown.project.id, shown.found, spec_of(shown.project), shown.seen_N)
    parts = find_slices(columns, shown.reading.right_N, LEAST)
    if not parts:
        return ""
    surely = sum(part.surely_worse for part in parts)
    rows = [
        [
            escape(f"{part.kind}: {part.value}"),
            f"{part.correct:,} of {part.n:,}",
            *share_and_interval(part.correct, part.n),
            "" if np.isnan(part.lift) else "\N{INFINITY}" if np.isinf(part.lift) else f"{part.lift:.1f}",
            f"{part.p:.2g}",
        ]
        for part in parts[:PARTS]
    ]
    names = ["images with", "right", "share", "95% interval", "errors, times the rest", "p"]
    marks = {place for place, part in enumerate(parts[:PARTS]) if part.surely_worse}
    return (
        "<h2>Where errors gather</h2>"
        f"<p>The {min(PARTS, len(parts))} worst of {len(parts):,} parts of at least {LEAST} images. Among so many some "
        f"look bad by chance; {surely or 'none'} {'is' if surely == 1 else 'are'} worse than the rest even so (marked; "
        "Fisher's exact test against the rest, with Holm's correction, at 5%).</p>"
        f"{_table(names, rows, numbers=range(1, 6), marked=marks)}"
    )


def _images(db: Database, shown: Evaluated) -> str:
    reading, margin_N = shown.reading, narrowest_N(shown.reading.log_probs_NPC, shown.reading.targets_NP)
    wrong = reading.wrong()
    near = np.flatnonzero(reading.right_N)
    near = near[np.argsort(margin_N[near], kind="stable")]
    budget = IMAGE_BYTES
    text = ""
    lists = (
        ("Wrong answers", wrong[:WRONG], len(wrong), "The surest first: those are often wrong labels."),
        ("Near misses", near[:NEAR], len(near), "Read right, but closest to an error."),
    )
    for title, places, count, note in lists:
        tiles, budget = _tiles(db, shown, places, margin_N, budget)
        text += f"<h2>{title}</h2><p>{len(tiles):,} of {count:,}. {note}</p>"
        text += f'<div class="images">{"".join(tiles)}</div>' if tiles else ""
    return text


def _tiles(db: Database, shown: Evaluated, places: Ints, margin_N: Any, budget: int) -> tuple[list[str], int]:
    """Images with what was read and labelled, and what is left of the bytes for them."""
    tiles: list[str] = []
    charset = shown.project.charset
    for place in places.tolist():
        sample = find_sample(db, shown.project.id, shown.found.sha256[place])
        data = image_bytes(db, [sample.id])[sample.id] if sample else b""
        if len(data) > budget:
            break
        budget -= len(data)
        read = "".join(
            escape(charset[char]) if right else f"<b>{escape(charset[char])}</b>"
            for char, right in zip(shown.reading.predicted_NP[place], shown.reading.right_NP[place], strict=True)
        )
        label = escape(shown.found.labels[place])
        image = f'<img src="{data_url(data)}" alt="labelled {label}">' if data else "<p>no longer in the project</p>"
        tiles.append(
            f'<figure>{image}<span class="read">{read}</span><br><small>labelled <span class="read">{label}</span><br>'
            f"{escape(percent(shown.reading.confidence_N[place]))} sure, margin {margin_N[place]:.1f} nats"
            "</small></figure>"
        )
    return tiles, budget


def _openings(openings: Sequence[TestOpening]) -> str:
    text = (
        f"<h2>Openings of the test images</h2><p>Opened {_times(len(openings))}. Every reading of them is counted.</p>"
    )
    rows = [
        [
            escape(opening.at.replace("T", " ")[:16]),
            escape(opening.operator),
            escape(opening.run_id or ""),
            "" if opening.tta is None else "on" if opening.tta else "off",
            "no result"
            if opening.n is None or opening.correct is None
            else f"{opening.correct:,} of {opening.n:,}, {share(opening.correct, opening.n)}",
        ]
        for opening in openings
    ]
    return text + (_table(["when (UTC)", "who", "run", "views", "result"], rows) if rows else "")


def _made(db: Database, shown: Evaluated) -> str:
    settings, found, run = shown.settings, shown.found, shown.run
    together = "\n".join(f"{sha256} {label}" for sha256, label in sorted(zip(found.sha256, found.labels, strict=True)))
    data_hash = hashlib.sha256(together.encode()).hexdigest()
    meta = [
        ("Project", f"{shown.project.name}: {shown.project.length} characters of {shown.project.charset}"),
        *(
            (f"Source {source.name}", f"owner {source.owner}; authorization {source.authorization}")
            for source in list_sources(db, shown.project.id)
        ),
        ("Run", f"{run.job.id}, preset {run.preset}, started {run.job.created_at}"),
        ("Trained on", f"{run.train_n:,} images; data {run.dataset_sha256}"),
        ("Weights", f"of step {found.step:,}" if found.step >= 0 else "step not recorded"),
        (f"Images of {shown.split}", f"{len(found.labels):,}; hash of images and labels {data_hash}"),
        ("Views", ", ".join(found.views) if shown.tta else "the image as it is"),
        ("Versions", _pairs(settings.get("versions", {}))),
        ("Settings", _pairs(settings.get("config", json.loads(run.config)))),
        ("Chosen by the run", _pairs(settings.get("choices", {}))),
    ]  # fmt: skip
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in meta)
    return f'<h2>What this is about</h2><table class="meta">{rows}</table>'


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _table(
    names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = (), marked: Iterable[int] = ()
) -> str:
    """Cells are HTML already. `numbers` are columns set to the right, `marked` rows."""
    right, worse = set(numbers), set(marked)

    def cells(kind: str, texts: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{' class=n' if place in right else ''}>{text}</{kind}>" for place, text in enumerate(texts)
        )

    body = "".join(
        f"<tr{' class=worse' if place in worse else ''}>{cells('td', row)}</tr>" for place, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{cells("th", names)}</tr>{body}</table></div>'


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
