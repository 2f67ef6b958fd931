"""Zero-shot accuracy of ddddocr, a pre-trained general reader, on the demo images, as a baseline.

ddddocr is not a dependency of Slotlab. From the repository root:

    python -m venv /tmp/bench-venv
    /tmp/bench-venv/bin/pip install ddddocr==1.6.1 scipy
    PYTHONPATH=. /tmp/bench-venv/bin/python bench/accuracy/ddddocr_demo.py

Prints one JSON object with exact matches k of n and 95% Clopper-Pearson intervals for three variants. `raw` is the
text as returned. `filtered` is after set_ranges("0123456789"), which only drops other characters. `digits`, the
baseline, decodes the model's CTC output over digits alone.
"""

import argparse
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import ddddocr
import numpy as np

from core.evaluation.metrics import interval95
from core.images.renderer import samples

DIGITS = "0123456789"


def read_digits(probabilities: Sequence[Any], charset: list[str]) -> str:
    """Decode CTC over blank (class 0) and the ten digits: best class per column, merge repeats, drop blanks."""
    classes = [0, *(charset.index(digit) for digit in DIGITS)]
    best = np.asarray(probabilities).reshape(-1, len(charset))[:, classes].argmax(axis=1)
    changed = np.concatenate([[True], best[1:] != best[:-1]])
    return "".join(DIGITS[index - 1] for index in best[changed] if index != 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Zero-shot exact match of ddddocr on the demo images.")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    reader, filtering_reader = ddddocr.DdddOcr(show_ad=False), ddddocr.DdddOcr(show_ad=False)
    filtering_reader.set_ranges(DIGITS)
    correct = {"raw": 0, "filtered": 0, "digits": 0}
    for _, text, png in samples(args.n, args.seed):
        output = reader.classification(png, probability=True)
        correct["raw"] += output["text"] == text
        correct["filtered"] += filtering_reader.classification(png) == text
        correct["digits"] += read_digits(output["probabilities"], output["charset"]) == text

    result = {
        "set": "demo images, six digits",
        "seed": args.seed,
        **{
            name: {
                "n": args.n,
                "correct": k,
                "exact_match": k / args.n,
                "ci95": [round(bound, 4) for bound in interval95(k, args.n)],
            }
            for name, k in correct.items()
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ddddocr", "onnxruntime", "pillow", "numpy")},
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
