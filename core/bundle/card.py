"""The README.md of a bundle: a model card, with the metadata that model hubs read."""

from collections.abc import Mapping
from typing import Any

CARD = """\
---
library_name: onnx
pipeline_tag: image-to-text
tags:
- ocr
- fixed-length-ocr
---

# {project}: a reader of {length} characters

It reads the images of one portal: {length} characters of `{charset}`.
Slotlab made it on {day} from run {run}.

## Who may use it

{sources}

Use it only on portals that you own or have written permission to automate.

## How to use it

Python 3.11 or newer with `pip install numpy pillow onnxruntime`.
It needs neither Slotlab nor PyTorch.

```python
from reader import load

reading = load().read("image.png")  # a path, bytes or a PIL image
if reading.accepted:
    print(reading.text)
```

In a terminal, `python reader.py FILES...` prints one JSON object for each file.
`sha256sum -c SHA256SUMS` checks the files. The reader checks them too, and reads three test images when it is loaded.

## How good it is

| images | right | exact match | 95% interval |
| --- | --- | --- | --- |
{metrics}

{notes}

## When it accepts a reading

{acceptance}

## Limits

- It was trained on {train} images of this portal, of {sizes} pixels. Readings of other images mean nothing.
- {familiar}
- It always answers with {length} characters, even if the image shows no text.
- The figures hold while the portal keeps its style.

## How it was made

- Network: {backbone}, input {height} x {width} pixels, {views}.
- Labels: {kinds}.
- The ONNX file reads all {n} validation images as PyTorch does. The largest difference of a logit is {difference:.1e}.
- {int8}
- SHA-256 of the data {data}, of the checkpoint {weights}, of the program {code}.
"""

FAMILIAR = (
    "If an image has another size, other colors or another style, `unfamiliar` says so and the reading is not accepted."
)
UNKNOWN = "It cannot tell whether an image is like those of training: there were too few images."


def card(manifest: Mapping[str, Any], *, familiar: bool) -> str:
    """Return the README.md for a manifest of a bundle that knows its images or does not."""
    training, metrics, frame = manifest["training"], manifest["metrics"], manifest["frame"]
    export, hashes, views = manifest["export"], manifest["hashes"], manifest["views"]
    sources = "\n".join(
        f"- Source {_plain(each['name'])}: owner {_plain(each['owner'])}, authorization {_plain(each['authorization'])}"
        for each in manifest["sources"]
    )
    sizes = [f"{size['width']} x {size['height']}" for size in training["sizes"][:3]]
    more = len(training["sizes"]) - len(sizes)
    return CARD.format(
        project=_plain(manifest["project"]),
        length=manifest["length"],
        charset=manifest["charset"].replace("`", "'"),
        day=manifest["created_at"][:10],
        run=manifest["run"],
        sources=sources,
        metrics="\n".join(_row(name, metrics[name]) for name in ("val", "test", "next_source") if metrics.get(name)),
        notes=_notes(manifest),
        acceptance=_acceptance(manifest),
        train=f"{training['images']:,}",
        sizes=", ".join(sizes) + (f" and {more} other sizes" if more else ""),
        familiar=FAMILIAR if familiar else UNKNOWN,
        backbone=manifest["network"],
        height=frame["image_size"][0],
        width=frame["image_size"][1],
        views="one view" if len(views) == 1 else f"the mean of {len(views)} views",
        kinds=", ".join(f"{count:,} of {kind}" for kind, count in training["kinds"].items()),
        n=f"{export['n']:,}",
        difference=export["largest_difference"],
        int8=_int8(export),
        data=hashes["data"],
        weights=hashes["weights"],
        code=hashes["code"],
    )


def _row(kind: str, result: Mapping[str, Any]) -> str:
    low, high = result["ci95"]
    name = (
        f"source {_plain(result['source'])}" if kind == "next_source" else {"val": "validation", "test": "test"}[kind]
    )
    share = f"{result['exact_match']:.2%}" if result["correct"] < result["n"] else "no error"
    return f"| {name} | {result['correct']:,} of {result['n']:,} | {share} | {low:.2%} to {high:.2%} |"


def _notes(manifest: Mapping[str, Any]) -> str:
    metrics = manifest["metrics"]
    notes = ["No image of these was used for training. Validation images selected the checkpoint."]
    if metrics["val"]["reference"] == "readers":
        notes.append("The validation figure is the agreement with general readers, not with labels of people.")
    if metrics["test"] is None:
        notes.append("There is no test figure for this checkpoint.")
    if metrics.get("next_source"):
        notes.append("The source stands for later images: neither training nor selection saw any image of it.")
    return " ".join(notes)


def _acceptance(manifest: Mapping[str, Any]) -> str:
    if manifest["threshold"] is None:
        fitted = manifest["temperature"] != 1
        calibrated = f"is {'' if fitted else 'not '}calibrated{' on validation images' if fitted else ''}"
        return f"Never: nobody has set a threshold. `accepted` is `None`, and the confidence {calibrated}."
    given = manifest["acceptance"]
    images = "images with a verdict of the portal" if given["reference"] == "portal" else "validation images"
    text = (
        f"From a confidence of {manifest['threshold']:.4f}. On {given['n']:,} {images} that accepts "
        f"{given['used']:,}, and {given['wrong']:,} of these are wrong."
    )
    return f"{text} These labels are of general readers, not of people." if given["reference"] == "readers" else text


def _int8(export: Mapping[str, Any]) -> str:
    if export["int8_changed"]:
        return f"There is no INT8 model: it would change {export['int8_changed']:,} of these answers."
    return "The INT8 model, `load(int8=True)`, gives the same answers on them."


def _plain(text: str) -> str:
    """Escape the characters of Markdown in a text of a user."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|" else char for char in " ".join(text.split()))
