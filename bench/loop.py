"""Import, train and evaluate on a folder of labeled images, and print one JSON object.

    python bench/loop.py --data images/ --labels filename --length 6 [--preset fast] [--set key=value ...] [--test]

It uses a temporary Slotlab folder (--home DIR keeps it in DIR). The validation images select the checkpoint, so their
figure is slightly optimistic. --test also evaluates on the test images.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROVENANCE = ["--source", "bench", "--owner", "bench", "--authorization", "bench"]
REPORTED = ("n", "correct", "exact_match", "ci95", "per_position", "nll", "tta_flips")


def slotlab(home: Path, *arguments: str) -> dict[str, object]:
    """Run a command, with progress on stderr, and return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", *arguments, "--json"],
        cwd=ROOT,
        env=os.environ | {"SLOTLAB_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=False,
    )
    if not done.stdout:
        sys.exit(done.returncode)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", default="filename")
    parser.add_argument("--length", default="6")
    parser.add_argument("--charset", default="0123456789")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(loop(options, options.home or Path(temporary) / "home"), indent=1))


def loop(options: argparse.Namespace, home: Path) -> dict[str, object]:
    labels = options.labels if options.labels == "filename" else str(Path(options.labels).resolve())
    spec = ["--length", options.length, "--charset", options.charset]
    began = time.monotonic()
    imported = slotlab(
        home, "import", str(options.data.resolve()), "--project", "bench", "--labels", labels, *spec, *PROVENANCE
    )
    import_s = time.monotonic() - began
    began = time.monotonic()
    settings = [part for pair in options.set for part in ("--set", pair)]
    run = slotlab(home, "train", "--project", "bench", "--preset", options.preset, *settings)
    train_s = time.monotonic() - began
    scores = {}
    for split in ["val", "test"] if options.test else ["val"]:
        # A result with TTA also has the figures without it, so one use of the test set gives both.
        result = slotlab(home, "evaluate", str(run["run"]), "--split", split, "--tta")
        scores[split] = {key: result[key] for key in REPORTED}
    return {
        "imported": {key: imported[key] for key in ("files", "imported", "duplicates", "labeled", "rejected")},
        "import_seconds": round(import_s, 1),
        "preset": options.preset,
        "set": options.set,
        "train_n": run["train_n"],
        "state": run["state"],
        "train_seconds": round(train_s, 1),
        "scores": scores,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


if __name__ == "__main__":
    main()
