"""The worker of a peer's cell: `python -m bench.peers.worker JOB_DIR`. It trains a CRNN and reads val and test.

readings.json has the texts of each split that the images have.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bench.accuracy.reading import parameters
from bench.peers.crnn import Crnn, CrnnRun, build_crnn, ctc_loss, exactly, greedy, probabilities
from bench.repeat import Tasks, in_turn
from core.charset import TextSpec
from core.images.frame import Frame
from core.images.pixels import decode
from core.jobs.work import Work, run_worker
from core.model import checkpoint
from core.model.config import TrainConfig
from core.model.network import Recognizer, autocast, build_model, memory_format, to_input
from core.training import engine
from core.training.probe import probe
from core.training.snapshot import Snapshot, load_snapshot

CHUNK = 512
"""Images that are decoded at once."""
ROUNDS = 41
"""Rounds in which both networks read an image or do a step in turn, the first untimed."""
OURS, PEER = "ours", "crnn"


def train(work: Work) -> dict[str, Any] | None:
    """Train or resume, then read. Return the counts of the run."""
    config, spec = TrainConfig.from_dict(work.spec["config"]), TextSpec.from_dict(work.spec["project"])
    work.say("Analyzing the images")
    snapshot = load_snapshot(work.job.path / "dataset.npz")
    choices = choices_of(work, snapshot, config, spec)

    def on_step(line: dict[str, Any]) -> None:
        work.job.append_metrics(line)
        work.say(f"Step {line['step']:,}, loss {line['loss']:.3f}", step=line["step"], steps=choices["steps"])

    outcome = engine.fit(
        snapshot, config, spec, choices, work.job.path / "checkpoints",
        on_step=on_step, on_val=work.job.append_metrics, should_stop=work.should_stop, kind=CrnnRun,
    )  # fmt: skip
    if outcome.state == "stopped":
        return None
    model = load(work, config, spec, choices)
    for split in ("val", "test"):
        if snapshot.labeled(split) and not read_split(work, model, snapshot, split, choices, spec):
            return None
    work.say("Timing both networks")
    ours = build_model(config, spec, choices, weights=None)
    ours.heads.fold()
    return {
        "step": outcome.step,
        "best_step": outcome.best["step"] if outcome.best else None,
        "val_loss": outcome.best["loss"] if outcome.best else None,
        "seconds": round(outcome.seconds, 1),
        "parameters": {OURS: parameters(ours)["total"], PEER: sum(each.numel() for each in model.parameters())},
        "read_ms": reading_times(model, ours, snapshot, choices, spec),
        "step_ms": step_times(config, spec, choices),
    }


def choices_of(work: Work, snapshot: Snapshot, config: TrainConfig, spec: TextSpec) -> dict[str, Any]:
    """Return the choices of the first start, those of our network but for what is measured on the peer's."""
    choices: dict[str, Any] | None = work.spec.get("choices")
    if choices is None:
        fixed = replace(config, layout="contiguous", precision="float32", pretrained="none")
        choices = engine.choose(snapshot, fixed, spec)
        choices |= probe(config, spec, choices, build_crnn)
        work.spec["choices"] = choices
        work.job.write("run.json", work.spec)
    return choices


def load(work: Work, config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> Crnn:
    """Return the network with the selected weights. Raises CheckpointError."""
    model = build_crnn(config, spec, choices)
    model.load_state_dict(checkpoint.load_for_prediction(work.job.path / "checkpoints")["model"])
    return model.to(choices["device"]).to(memory_format=memory_format(choices)).eval()


def read_split(
    work: Work, model: Crnn, snapshot: Snapshot, split: str, choices: dict[str, Any], spec: TextSpec
) -> bool:
    """Add the readings of a split to readings.json. Return False if the worker should stop."""
    frame, places = Frame.from_dict(choices), snapshot.labeled(split)
    texts: dict[str, list[str]] = {"greedy": [], "exact": []}
    for start in range(0, len(places), CHUNK):
        work.say(f"Reading {split} images, {start:,} of {len(places):,}")
        if work.should_stop():
            return False
        images_NHW3 = frame.stack(snapshot.pixels(place) for place in places[start : start + CHUNK])
        shares_NTS = probabilities(model, images_NHW3, torch.device(choices["device"]), memory_format(choices))
        texts["greedy"] += [greedy(shares_TS, spec) for shares_TS in shares_NTS]
        texts["exact"] += exactly(shares_NTS, spec)
    readings = work.job.read("readings.json") or {}
    work.job.write("readings.json", readings | {split: {"places": places, "texts": texts}})
    return True


def reading_times(
    model: Crnn, ours: Recognizer, snapshot: Snapshot, choices: dict[str, Any], spec: TextSpec
) -> dict[str, float]:
    """Return the median milliseconds from the bytes of one image to its text, both networks in turn.

    The decoder of exactly N characters also computes confidences, so the peer is timed with either decoding.
    """
    frame, layout, device = Frame.from_dict(choices), memory_format(choices), torch.device(choices["device"])
    ours.to(device).to(memory_format=layout).eval()
    places = snapshot.labeled("val")

    def read(round_: int, text: Callable[[torch.Tensor], object]) -> None:
        image = decode(snapshot.blob(places[round_ % len(places)]))
        with torch.inference_mode():
            text(to_input(frame.stack([image]), device, layout))

    return rounded(
        {
            OURS: lambda round_: read(round_, lambda images: spec.decode(ours(images)[0].argmax(dim=1).tolist())),
            PEER: lambda round_: read(round_, lambda images: greedy(model(images)[0].cpu().numpy(), spec)),
            f"{PEER}_exact": lambda round_: read(
                round_, lambda images: exactly(model(images).softmax(dim=2).cpu().numpy(), spec)
            ),
        },
        ROUNDS,
    )


def step_times(config: TrainConfig, spec: TextSpec, choices: dict[str, Any]) -> dict[str, float]:
    """Return the median milliseconds of a step without augmentation, both networks in turn."""
    device, layout = torch.device(choices["device"]), memory_format(choices)
    images_B3HW = torch.rand(config.batch_size, 3, *choices["image_size"], device=device).to(memory_format=layout)
    targets_BP = torch.randint(0, spec.num_classes, (config.batch_size, spec.length), device=device)
    networks: dict[str, tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]] = {
        OURS: (
            build_model(config, spec, choices, weights=None),
            lambda logits: nn.functional.cross_entropy(logits.flatten(0, 1), targets_BP.flatten()),
        ),
        PEER: (build_crnn(config, spec, choices), lambda logits: ctc_loss(logits, targets_BP)),
    }

    def step(name: str) -> None:
        model, loss_of = networks[name]
        with autocast(choices):
            logits = model(images_B3HW)
        loss_of(logits.float()).backward()  # type: ignore[no-untyped-call]

    for model, _ in networks.values():
        model.to(device).to(memory_format=layout).train()
    return rounded({OURS: lambda _: step(OURS), PEER: lambda _: step(PEER)}, ROUNDS // 4)


def rounded(tasks: Tasks, rounds: int) -> dict[str, float]:
    return {name: round(ms, 2) for name, ms in in_turn(tasks, rounds).items()}


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], train))
