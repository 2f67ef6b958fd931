"""Put the weights trained on rendered text into the repository, with their card.

    python -m bench.rendered.publish --work DIR --data DIR

It takes the averaged weights of bench.rendered.pretrain, stores them in half precision, and reads the validation images
of the real sets with both. It refuses to publish if any reading differs.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from bench.rendered.fonts import Font, load_fonts
from bench.rendered.licenses import count_licenses, usable
from bench.rendered.made import made_fonts
from bench.rendered.pretrain import BATCH, REAL, SEED, read_set
from bench.rendered.render import VERSION
from core.files import atomic_write
from core.model.any_length import AnyLength
from core.model.config import preset
from core.model.init_choice import FORMAT, NETWORK, RENDERED, read_header
from core.model.warm_start import read_any_length
from core.readers.builtin import CHARS, LENGTHS
from core.words import plural

MAX_BYTES = 2_500_000
"""Largest file of weights for the repository."""
ROWS = 12
"""Lines of the curve in the README."""


def write_weights(model: AnyLength, path: Path) -> str:
    """Write weights in half precision and return the SHA-256 of the file.

    Vectors stay in full precision: variances of norms span more magnitudes than half precision has.
    """
    state = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()
        for name, value in model.state_dict().items()
    }
    about = {"format": FORMAT, "longest": str(LENGTHS[-1])}
    about |= {name: str(getattr(model.config, name)) for name in NETWORK}
    data = safetensors.torch.save(state, about)
    with atomic_write(path) as file:
        file.write(data)
    path.chmod(0o644)
    return hashlib.sha256(data).hexdigest()


def count_changes(model: AnyLength, stored: AnyLength, work: Path, data: Path) -> dict[str, list[int]]:
    """Return the number of readings that differ between two networks and the number of images, by real set."""
    changes = {}
    for name in REAL:
        pairs = zip(read_set(model, name, work, data), read_set(stored, name, work, data), strict=True)
        differ = [one[0] != other[0] for one, other in pairs]
        changes[name] = [sum(differ), len(differ)]
    return changes


def card_of(
    weights: Path, state: Mapping[str, Any], curve: Sequence[Mapping[str, Any]], fonts: Sequence[Font], drawn: int
) -> dict[str, Any]:
    """Return the facts about a file of weights, from the files of bench.rendered.pretrain.

    `fonts` are those of font files; `drawn` is the number of the others.
    """
    data, images = weights.read_bytes(), state["step"] * BATCH
    lines = [line for line in curve if line["images"] <= images]
    return {
        "format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "network": {name: getattr(read_header(weights)[0], name) for name in NETWORK},
        "charset": CHARS,
        "lengths": [LENGTHS[0], LENGTHS[-1]],
        "renderer": VERSION,
        "seed": SEED,
        "images": images,
        "cpu_hours": round(state["seconds"] / 3600, 2),
        "fonts": {
            "files": len(fonts),
            "families": len({font.family for font in fonts}),
            "drawn": drawn,
            "licenses": count_licenses(fonts),
        },
        "curve": [{key: line[key] for key in ("images", "cpu_hours", "loss", "renderer", "real")} for line in lines],
    }


def readme(card: Mapping[str, Any]) -> str:
    """Return the model card in the form of the Hugging Face hub."""
    network, fonts = card["network"], card["fonts"]
    rendered = sorted({card["renderer"], *(line["renderer"] for line in card["curve"])})
    versions = f"{'version' if len(rendered) == 1 else 'versions'} {' and '.join(map(str, rendered))}"
    settings = ", ".join(f"{name} {network[name]}" for name in NETWORK)
    licenses = [f"| {name} | {count} |" for name, count in fonts["licenses"].items()]
    sets = [name for name in REAL if any(name in line["real"] for line in card["curve"])]
    shown = sorted({round(place * (len(card["curve"]) - 1) / (ROWS - 1)) for place in range(ROWS)} if sets else ())
    curve = [_row(card["curve"][place], sets) for place in shown]
    changes = [f"{changed} of {n:,} on {name}" for name, (changed, n) in card.get("half_precision", {}).items()]
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: slotlab",
        "pipeline_tag: image-to-text",
        "tags: [ocr, captcha, synthetic-data, pytorch]",
        "---",
        "",
        "# Weights trained on rendered text",
        "",
        "A small network that reads images of one line of text, of a length that is known.",
        "It was trained on rendered images only.",
        "This page is made from `card.json` by `bench/rendered/publish.py`.",
        "",
        "| | |",
        "| --- | --- |",
        f"| network | {settings} |",
        f"| characters | `{card['charset']}` |",
        f"| lengths | {card['lengths'][0]} to {card['lengths'][1]} |",
        f"| file | `weights.safetensors`, {card['bytes']:,} bytes, matrices in half precision |",
        f"| SHA-256 | `{card['sha256']}` |",
        "",
        "## Use",
        "",
        "A run of preset `fast` starts from these weights.",
        "They are meant for images of your own portal, and as a start for training, not as a finished reader.",
        "Compare readings with labels of people before you rely on them.",
        "",
        "## Training data",
        "",
        f"{card['images']:,} images of {versions} of `bench/rendered/render.py`, seed {card['seed']}.",
        "No real image trained the network, and no pixel or font was chosen from real images.",
        "Overlap, shadows and lines are frequent because validation images were misread.",
        f"The text is set in {fonts['files']:,} free fonts of {fonts['families']:,} families.",
        f"{fonts['drawn']} more are drawn: seven segments and dot matrices.",
        "",
        "| license of the fonts | fonts |",
        "| --- | ---: |",
        *licenses,
        "",
        "## Training",
        "",
        f"{card['cpu_hours']:g} hours on one CPU core: `python -m bench.rendered.pretrain`.",
        "The weights are an exponential moving average.",
    ]
    if curve:
        lines += [
            "",
            "## Evaluation",
            "",
            "Exact match without a label, on validation images of real sets.",
            "The sets trained nothing. Their errors showed which kinds of style to render more often.",
            "",
            f"| rendered images | loss | {' | '.join(sets)} |",
            f"| ---: | ---: | {' | '.join(['---:'] * len(sets))} |",
            *curve,
        ]
    if changes:
        lines += ["", f"Readings that half precision changes: {', '.join(changes)}."]
    return "\n".join([*lines, ""])


def _row(line: Mapping[str, Any], sets: Sequence[str]) -> str:
    scores = [f"{line['real'][name][0]} of {line['real'][name][1]}" if name in line["real"] else "" for name in sets]
    return f"| {line['images']:,} | {line['loss']:.2f} | {' | '.join(scores)} |"


def publish(folder: Path, card: Mapping[str, Any], weights: Path) -> None:
    """Write weights, card and README to a folder. The card comes last, because readers compare the hash in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("weights.safetensors", weights.read_bytes()),
        ("README.md", readme(card).encode()),
        ("card.json", (json.dumps(card, indent=1) + "\n").encode()),
    ):
        with atomic_write(folder / name) as file:
            file.write(data)
        (folder / name).chmod(0o644)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of bench.rendered.pretrain")
    parser.add_argument("--data", type=Path, required=True, help="folder of bench.accuracy")
    parser.add_argument("--out", type=Path, default=RENDERED)
    options = parser.parse_args()
    state = torch.load(options.work / "state.pt", weights_only=True)
    curve = options.work / "curve.jsonl"
    lines = [json.loads(line) for line in curve.read_text().splitlines()] if curve.exists() else []
    model = AnyLength(preset("fast")).eval()
    model.load_state_dict(state["ema"])
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        write_weights(model, weights)
        changes = count_changes(model, read_any_length(weights)[0], options.work, options.data)
        for name, (changed, n) in changes.items():
            print(f"{name}: half precision changes {changed} of {plural(n, 'reading')}")
        size = weights.stat().st_size
        if any(changed for changed, _ in changes.values()):
            print("Not published: half precision must not change a reading.", file=sys.stderr)
            return 1
        if size > MAX_BYTES:
            print(f"Not published: the file has {size:,} bytes; the limit is {MAX_BYTES:,}.", file=sys.stderr)
            return 1
        fonts = usable(load_fonts())
        drawn = len(made_fonts(fonts, np.random.default_rng(SEED)))
        card = card_of(weights, state, lines, fonts, drawn) | {"half_precision": changes}
        publish(options.out, card, weights)
    print(f"{options.out}: {size:,} bytes, SHA-256 {card['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
