"""Single characters in mixed sizes, as the digits of meters come, cut from images of several characters."""

import random
from collections.abc import Sequence

import cv2
import numpy as np

from core.images.pixels import Pixels, decode, encode_png, pixel_hash
from core.training.snapshot import Row

HALF_TURNED = "N"
"""Label of a meter's wheel that shows parts of two digits."""
SHARE_HALF_TURNED = 0.09
WIDTHS, ASPECTS = (20, 65), (1.6, 1.72)
"""Width in pixels; height in widths."""
FRAME = 3
"""Pixels to ignore at each edge, because henan4 has a frame there."""
GAP = 0.15
"""Most ink between two characters, as a fraction of the fullest column."""
LEAST = 0.2
"""Least width of a character, as a fraction of an equal share of the image."""
COUNTS = (("train", 950), ("val", 150), ("test", 1000))


def single_rows(folders: Sequence[list[Row]], counts: Sequence[tuple[str, int]] = COUNTS) -> list[Row]:
    """Return one character of each image, from each folder the same number."""
    rng = random.Random(0)
    splits = [split for split, count in counts for _ in range(count)]
    each = len(splits) // len(folders)
    cut = [single for rows in folders for single in _cut(rows, each, rng)]
    rng.shuffle(cut)
    return [
        (pixel_hash(image), split, text, f"{index}.png", encode_png(image))
        for index, (split, (text, image)) in enumerate(zip(splits, cut, strict=True))
    ]


def _cut(rows: list[Row], count: int, rng: random.Random) -> list[tuple[str, Pixels]]:
    """Return label and image of one character each from `count` images whose characters are apart."""
    cut: list[tuple[str, Pixels]] = []
    for _, _, label, _, data in rng.sample(rows, len(rows)):
        if len(cut) == count:
            break
        text = label or ""
        if characters := _separate(decode(data), len(text)):
            place = rng.randrange(1, len(text))  # the known wrong labels of henan4 are wrong in the first digit
            char, image = text[place], characters[place]
            if rng.random() < SHARE_HALF_TURNED:
                above = cv2.resize(characters[place - 1], image.shape[1::-1])
                start = round(len(image) * rng.uniform(0.35, 0.65))
                char, image = HALF_TURNED, np.concatenate([above, image])[start : start + len(image)]
            width = rng.randint(*WIDTHS)
            resized = cv2.resize(image, (width, round(width * rng.uniform(*ASPECTS))))
            cut.append((char, np.asarray(resized, dtype=np.uint8)))
    return cut


def _separate(image: Pixels, length: int) -> list[Pixels]:
    """Return the characters of an image from left to right; empty if their columns are not apart."""
    image = image[FRAME:-FRAME, FRAME:-FRAME]
    distance_HW = np.abs(image - np.median(image, axis=(0, 1))).max(axis=2)
    ink_HW = distance_HW > 0.4 * np.quantile(distance_HW, 0.98)
    ink_W = ink_HW.mean(axis=0)
    steps = np.diff((ink_W > GAP * ink_W.max()).astype(np.int8), prepend=0, append=0)
    runs = np.flatnonzero(steps).reshape(-1, 2)
    runs = runs[runs[:, 1] - runs[:, 0] >= LEAST * len(ink_W) / length]
    rows = np.flatnonzero(ink_HW.mean(axis=1) > 0.03)
    if len(runs) != length:
        return []
    top, bottom = max(0, int(rows[0]) - 3), int(rows[-1]) + 4
    return [image[top:bottom, max(0, start - 3) : end + 3] for start, end in runs.tolist()]
