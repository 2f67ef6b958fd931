"""The worker that makes a bundle: `python -m core.runs.bundle_worker JOB_DIR`. It uses no database.

A bundle whose answers differ from the run's is refused, and nothing is left of it.
"""

import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.bundle import reader as reader_file
from core.bundle.card import card
from core.bundle.reader import (
    FAMILIAR,
    FORMAT,
    MANIFEST,
    MODEL,
    MODEL_INT8,
    SUMS,
    BundleError,
    Familiar,
    Reader,
    aggregate,
    log_softmax,
    open_session,
)
from core.data.kinds import WORDS
from core.errors import ExportError
from core.evaluation import familiarity, temperatures
from core.evaluation.acceptance import Acceptance
from core.evaluation.metrics import evaluate
from core.evaluation.reference import reference_of
from core.evaluation.views import View, from_dicts
from core.files import atomic_write
from core.home import Home
from core.images.colors import background_and_ink, name_colors
from core.images.frame import subsample
from core.images.pixels import Pixels, decode
from core.images.renderer import samples
from core.jobs.jobdir import JobDir
from core.jobs.work import Work, run_worker
from core.model import checkpoint
from core.model.export import to_int8, to_onnx
from core.model.network import to_input
from core.model.predictor import Predictor
from core.model.tta import apply_view
from core.runs.bundles import settings_of
from core.runs.looks import learn_look
from core.training.snapshot import Snapshot, load_snapshot

TOLERANCE = 1e-4
"""Largest difference of a logit between torch and onnxruntime on equal inputs. Usual is 1e-5."""
CHUNK = 64
"""Images per chunk; the worker can stop between chunks."""
CALIBRATION = 200
"""Training images that calibrate the 8-bit model."""
TESTS, SEED = 3, 20
"""Rendered test images, the same in every bundle. Their text does not matter."""
CORE = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The answers of a run and of its bundle on validation images."""

    log_probs_NPC: NDArray[np.float64]
    """Log-probabilities of the run, over its views."""
    answers_NP: NDArray[np.int64]
    """Answers of the bundle."""
    largest_difference: float
    """Largest difference of a logit, on equal inputs."""

    @property
    def differing(self) -> int:
        """Images that the bundle reads differently."""
        return int((self.log_probs_NPC.argmax(axis=2) != self.answers_NP).any(axis=1).sum())


def make_bundle(work: Work) -> dict[str, Any] | None:
    """Make the bundle beside the job, then move it to its place. Return its size and the comparison."""
    folder = work.job.path / "bundle"
    shutil.rmtree(folder, ignore_errors=True)  # a killed worker left it
    folder.mkdir()
    try:
        result = _make(work, folder)
        if result is not None:
            target = Home.of_job(work.job.path).bundles / work.job.id
            shutil.rmtree(target, ignore_errors=True)
            folder.replace(target)
    except BundleError as error:
        raise ExportError(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _make(work: Work, folder: Path) -> dict[str, Any] | None:
    work.say("Loading the run")
    run = work.job.path.parent / work.spec["run"]
    predictor, snapshot = Predictor.load(run, device="cpu"), load_snapshot(run / "dataset.npz")
    temperatures.learn_missing(run, predictor.step, predictor.spec)
    settings, run_spec = settings_of(run, predictor.step), JobDir(run).spec()
    indices, views = snapshot.labeled("val"), from_dicts(settings["views"])
    if not indices:
        raise ExportError("The run has no validation images to compare the exported network with.")
    if not learn_look(run, snapshot, work.should_stop):
        return None
    manifest = _manifest(work, run, run_spec, predictor, snapshot, settings)
    if manifest is None:
        return None

    work.say("Exporting the network")
    weights = to_onnx(predictor.model, predictor.frame.size)
    exported = Reader(manifest, open_session(weights))
    compared = _compare(work, predictor, exported, snapshot, indices, views)
    if compared is None:
        return None
    _check(compared, predictor, len(indices))
    models = {MODEL: (weights, exported)}

    work.say("Quantizing the network")
    small = to_int8(weights, _calibration(exported, snapshot))
    quantized = Reader(manifest, open_session(small))
    answers_NP = _answers(work, quantized, snapshot, indices)
    if answers_NP is None:
        return None
    int8_changed = int((answers_NP != compared.answers_NP).any(axis=1).sum())
    if not int8_changed:
        models[MODEL_INT8] = (small, quantized)

    targets_NP = snapshot.targets_NP(indices, predictor.spec)
    val = evaluate(compared.log_probs_NPC, targets_NP).to_dict() | {"reference": reference_of(run_spec)}
    manifest["metrics"] = {"val": val}
    for name in ("test", "next_source"):
        result = work.spec.get(name)
        if result is not None and (result["step"], result["tta"]) != (predictor.step, len(views) > 1):
            result = None  # of another checkpoint, or not as the bundle reads
        manifest["metrics"][name] = result
    manifest["export"] = {
        "n": len(indices), "largest_difference": compared.largest_difference, "int8_changed": int8_changed,
    }  # fmt: skip
    _write(folder, manifest, models, familiarity.load(run))
    for name in models:
        reader_file.load(folder, int8=name == MODEL_INT8)
    return {
        "run": work.spec["run"],
        "n": len(indices),
        "largest_difference": compared.largest_difference,
        "bytes": len(weights),
        "int8_bytes": None if int8_changed else len(small),
        "int8_changed": int8_changed,
        "settings": settings,
    }


def _check(compared: Comparison, predictor: Predictor, n: int) -> None:
    """Raise ExportError if the bundle would not read as the run does."""
    if not compared.largest_difference <= TOLERANCE:
        raise ExportError(
            f"The exported network differs from the run's by {compared.largest_difference:.2g} in a logit. "
            f"At most {TOLERANCE:g} is allowed, so there is no bundle."
        )
    if compared.differing:
        cause = (
            " It was trained on images that an earlier version resized. Train a new run."
            if predictor.frame.resize != "bilinear"
            else ""
        )
        raise ExportError(
            f"A bundle of this run would read {compared.differing:,} of {n:,} validation images differently.{cause}"
        )


def _compare(
    work: Work,
    predictor: Predictor,
    exported: Reader,
    snapshot: Snapshot,
    indices: Sequence[int],
    views: Sequence[View],
) -> Comparison | None:
    """Read the validation images with the run and with the bundle. Return None if the job should stop."""
    log_probs, answers, largest = [], [], 0.0
    for chunk in _chunks(work, "Comparing answers", indices):
        if chunk is None:
            return None
        pixels = [snapshot.pixels(index) for index in chunk]
        images_B3HW = to_input(predictor.frame.stack(pixels), torch.device("cpu"), predictor.layout)
        with torch.inference_mode():
            logits_VBPC = np.stack([predictor.model(apply_view(images_B3HW, view)).numpy() for view in views])
        bundled_VBPC = np.stack(exported.logits(pixels))
        # The input of the first view is equal bit for bit, unless OpenCV resized it.
        same_BPC = bundled_VBPC[0]
        if predictor.frame.resize != "bilinear":
            same_BPC = exported.network(exported.seen(np.ascontiguousarray(images_B3HW.numpy())))
        largest = max(largest, float(np.abs(logits_VBPC[0] - same_BPC).max()))
        log_probs.append(aggregate(log_softmax(logits_VBPC)))
        answers.append(aggregate(log_softmax(bundled_VBPC)).argmax(axis=2))
    return Comparison(
        log_probs_NPC=np.concatenate(log_probs).astype(np.float64),
        answers_NP=np.concatenate(answers),
        largest_difference=largest,
    )


def _answers(work: Work, reader: Reader, snapshot: Snapshot, indices: Sequence[int]) -> NDArray[np.int64] | None:
    answers = []
    for chunk in _chunks(work, "Comparing answers of 8 bits", indices):
        if chunk is None:
            return None
        answers.append(reader.log_probs([snapshot.pixels(index) for index in chunk]).argmax(axis=2))
    return np.concatenate(answers)


def _chunks(work: Work, message: str, indices: Sequence[int]) -> Iterator[Sequence[int] | None]:
    """Yield the indices in chunks with progress, or None if the job should stop."""
    for start in range(0, len(indices), CHUNK):
        work.say(message, step=start, steps=len(indices))
        yield None if work.should_stop() else indices[start : start + CHUNK]


def _calibration(reader: Reader, snapshot: Snapshot) -> Iterator[NDArray[np.float32]]:
    train = snapshot.labeled("train")[:CALIBRATION]  # in the order of their hashes, so a random part
    for start in range(0, len(train), CHUNK):
        yield next(reader.inputs([snapshot.pixels(index) for index in train[start : start + CHUNK]]))


def _manifest(
    work: Work,
    run: Path,
    run_spec: dict[str, Any],
    predictor: Predictor,
    snapshot: Snapshot,
    settings: dict[str, Any],
) -> dict[str, Any] | None:
    """Return the manifest without what the comparison adds. None if the job should stop."""
    training = _training(work, snapshot)
    if training is None:
        return None
    rule = Acceptance.load(run) if settings["threshold"] is not None else None
    return {
        "format": FORMAT,
        "made_by": f"slotlab {version('slotlab')}",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": work.spec["run"],
        "project": run_spec["project"]["name"],
        "length": predictor.spec.length,
        "charset": predictor.spec.charset,
        "network": f"{run_spec['config']['backbone']} up to stride {run_spec['config']['stride']}",
        "frame": predictor.frame.to_dict() | {"resize": "bilinear"},
        "ink": predictor.model.ink,
        "step": settings["step"],
        "views": settings["views"],
        "temperature": settings["temperature"],
        "threshold": settings["threshold"],
        "acceptance": rule and {
            "n": rule.n, "used": rule.used, "wrong": rule.wrong, "risk_bound": rule.risk_bound,
            "max_risk": rule.max_risk, "tries": rule.tries, "reference": rule.reference,
        },
        "training": training,
        "hashes": {
            "data": run_spec["dataset"]["sha256"],
            "weights": checkpoint.hash_of(run / "checkpoints", predictor.step),
            "code": code_hash(),
        },
        "sources": work.spec["sources"],
    }  # fmt: skip


def _training(work: Work, snapshot: Snapshot) -> dict[str, Any] | None:
    """Return what training saw: number and kinds of labels, sizes and colors. None if the job should stop."""
    indices = snapshot.labeled("train")
    sizes = Counter[tuple[int, int]]()
    chosen, colors = set(subsample(indices)), []
    for chunk in _chunks(work, "Looking at the training images", indices):
        if chunk is None:
            return None
        for index in chunk:
            image = snapshot.pixels(index)
            sizes[image.shape[1], image.shape[0]] += 1
            if index in chosen:
                colors.append(background_and_ink(image))
    named = Counter(name_colors(np.stack(colors)) if colors else [])
    kinds = Counter(WORDS[snapshot.kinds[index] or "person"] for index in indices)
    return {
        "images": len(indices),
        "kinds": dict(kinds.most_common()),
        "sizes": [{"width": width, "height": height, "images": n} for (width, height), n in sizes.most_common()],
        "colors": [{"name": name, "share": round(n / len(colors), 4)} for name, n in named.most_common()],
    }


def code_hash() -> str:
    """Return the SHA-256 of the program: of all modules of core, with their paths."""
    whole = hashlib.sha256()
    for path in sorted(CORE.rglob("*.py")):
        whole.update(f"{path.relative_to(CORE).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _write(
    folder: Path, manifest: dict[str, Any], models: dict[str, tuple[bytes, Reader]], familiar: Familiar | None
) -> None:
    """Write all files, SHA256SUMS last."""
    files = {name: weights for name, (weights, _) in models.items()}
    if familiar is not None:
        files[FAMILIAR] = familiar.to_bytes()
    manifest["self_test"] = []
    for number, (_, _, data) in enumerate(samples(TESTS, SEED), start=1):
        name = f"test-{number}.png"
        files[name] = data
        manifest["self_test"].append({"file": name} | _answers_of(decode(data), models))
    files["reader.py"] = Path(reader_file.__file__).read_bytes()
    files["README.md"] = card(manifest, familiar=familiar is not None).encode()
    files[MANIFEST] = json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n"
    files[SUMS] = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()
    for name, data in files.items():
        with atomic_write(folder / name) as file:
            file.write(data)


def _answers_of(image: Pixels, models: dict[str, tuple[bytes, Reader]]) -> dict[str, Any]:
    return {name: np.round(reader.log_probs([image])[0], 4).tolist() for name, (_, reader) in models.items()}


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], make_bundle))
