"""Train or read with fast-plate-ocr. It runs in that tool's environment, so it imports nothing of Slotlab.

python plates_tool.py read FOLDER           read the images of read.json and write readings.json
python plates_tool.py COMMAND ARGUMENTS     a command of the tool: train or export
"""

import json
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from fast_plate_ocr.cli.cli import main_cli
from fast_plate_ocr.core.process import postprocess_output, read_and_resize_plate_image
from fast_plate_ocr.inference.plate_recognizer import LicensePlateRecognizer
from fast_plate_ocr.train.model.config import PlateConfig, load_plate_config_from_yaml
from fast_plate_ocr.train.utilities.utils import load_keras_model

BATCH = 64
ROUNDS = 41
"""Images that are read alone, the first untimed."""
VERSIONS = ("fast-plate-ocr", "keras", "torch", "onnxruntime")


def read(folder: Path) -> None:
    """Write the readings of the best and of the last epoch, and the time of one image by the tool's own inference."""
    plate = load_plate_config_from_yaml(folder / "plate.yaml")
    names: dict[str, list[str]] = json.loads((folder / "read.json").read_text(encoding="utf-8"))
    (out,) = (folder / "out").iterdir()
    best, last = (load_keras_model(out / f"{which}.keras", plate) for which in ("best", "last"))
    texts = {}
    for split, of_split in names.items():
        shares_NPC, last_NPC = (shares(model, folder, of_split, plate) for model in (best, last))
        texts[split] = {
            "greedy": [
                prediction.plate
                for prediction in postprocess_output(
                    shares_NPC, plate.max_plate_slots, plate.alphabet, pad_char=plate.pad_char
                )
            ],
            "exact": exactly(shares_NPC, plate),
            "last": exactly(last_NPC, plate),
        }
    written = {
        "texts": texts,
        "parameters": best.count_params(),
        "read_ms": reading_time(folder, out, names["val"]),
        "versions": {name: version(name) for name in VERSIONS},
    }
    (folder / "readings.json").write_text(json.dumps(written), encoding="utf-8")


def shares(model: keras.Model, folder: Path, names: list[str], plate: PlateConfig) -> np.ndarray:
    """Return probabilities N x P x C of images, C with the pad character."""
    parts = []
    for start in range(0, len(names), BATCH):
        images = [
            read_and_resize_plate_image(
                folder / name,
                img_height=plate.img_height,
                img_width=plate.img_width,
                image_color_mode=plate.image_color_mode,
            )
            for name in names[start : start + BATCH]
        ]
        parts.append(model.predict_on_batch(np.stack(images))["plate"])
    return np.concatenate(parts).reshape(len(names), plate.max_plate_slots, plate.vocabulary_size)


def exactly(shares_NPC: np.ndarray, plate: PlateConfig) -> list[str]:
    """Return the best text without a pad character, so it has as many characters as there are places."""
    allowed = [index for index in range(len(plate.alphabet)) if index != plate.pad_idx]
    best_NP = shares_NPC[:, :, allowed].argmax(axis=2)
    return ["".join(plate.alphabet[allowed[index]] for index in row) for row in best_NP]


def reading_time(folder: Path, out: Path, names: list[str]) -> float:
    """Return the median milliseconds from the file of one image to its text, with the exported network."""
    plate = folder / "plate.yaml"
    export = ["export", "--model", str(out / "best.keras"), "--plate-config-file", str(plate), "--no-dynamic-batch"]
    subprocess.run([sys.executable, "-I", __file__, *export], check=True)
    reader = LicensePlateRecognizer(device="cpu", onnx_model_path=out / "best.onnx", plate_config_path=plate)
    times = []
    for round_ in range(ROUNDS):
        began = time.perf_counter()
        reader.run(str(folder / names[round_ % len(names)]))
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times[1:]), 2)


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "read":
        read(Path(rest[0]))
    else:
        main_cli([command, *rest])
