"""The look of a run's images, and the limits for another one.

core.bundle.reader.Familiar decides. A network reads another portal's image as readily as its own, and is often sure.
"""

import io
import math
from collections import Counter
from pathlib import Path

import numpy as np

from core.bundle.reader import COLORS, FAMILIAR, Familiar, Floats, Pixels, color_shares, log_distance, style
from core.errors import StorageError
from core.evaluation.predictions import check_stored
from core.files import atomic_write, read_small

CHANCE = 1 / 20_000
"""Chance of each limit to flag an image like those that set it, if their scores are normal. Their tails are heavier,
so more are flagged: bench.unfamiliar counts them."""
RARE = 0.1
"""Added to the count of each color, in images. With less, one new color makes an image of a small set unfamiliar."""
LEAST_SPREAD = 0.01
"""Added to the spread of each style figure. Some are equal in all images, until a line touches the border."""
LEAST_VARIANCE = 1e-3
"""Added to the variance in each direction of the scaled figures, for the same reason."""
LEAST = 30
"""Fewer images of train and val together set no limits."""
ENOUGH = 50
"""Number of validation images that set the limits alone."""
PARTS = 10
"""Parts of all images, if there are fewer. Each is compared with the others. A few images alone set too wide limits."""
MOST = 2000
"""Training images that take part in that."""


class Learner:
    """Collects what the images of a run look like. Give it all, then ask for `familiar`.

    Training images give the means. Other images give the limits, because the distances of training images from their
    own mean are too small.
    """

    def __init__(self) -> None:
        self._sizes = Counter[tuple[int, int]]()
        self._other_sizes = set[tuple[int, int]]()
        self._colors_K = np.zeros(COLORS)
        self._colors: list[Floats] = []
        self._val_colors: list[Floats] = []
        self._styles: list[Floats] = []
        self._val_styles: list[Floats] = []

    def train(self, image: Pixels) -> None:
        """Add a training image."""
        self._sizes[image.shape[1], image.shape[0]] += 1
        colors_K = color_shares(image)
        self._colors_K += colors_K
        if len(self._colors) < MOST:
            self._colors.append(colors_K)
        self._styles.append(style(image))

    def val(self, image: Pixels) -> None:
        """Add a validation image."""
        self._other_sizes.add((image.shape[1], image.shape[0]))
        self._val_colors.append(color_shares(image))
        self._val_styles.append(style(image))

    def familiar(self) -> Familiar | None:
        """Return what was learned; None with too few images."""
        if not self._styles or len(self._styles) + len(self._val_styles) < LEAST:
            return None
        surprise_K = _surprise(self._colors_K)
        center_F, whitening_FF = _fit(np.array(self._styles, dtype=np.float64))
        surprises_N: Floats
        if len(self._val_styles) >= ENOUGH:
            surprises_N = np.array(self._val_colors, dtype=np.float64) @ surprise_K
            distances_N = log_distance(np.array(self._val_styles, dtype=np.float64), center_F, whitening_FF)
        else:
            surprises_N, distances_N = self._held_out()
        # Sizes of validation that training lacks show that sizes vary, so a new image may have another one.
        new_sizes = self._other_sizes - set(self._sizes)
        return Familiar(
            sizes_S2=np.array([*(size for size, _ in self._sizes.most_common()), *sorted(new_sizes)], dtype=np.int64),
            sizes_vary=bool(new_sizes),
            surprise_K=surprise_K.astype(np.float32),
            color_limit=_limit(surprises_N),
            center_F=center_F.astype(np.float32),
            whitening_FF=whitening_FF.astype(np.float32),
            style_limit=_limit(distances_N),
            expected=(_mean_and_spread(distances_N), _mean_and_spread(surprises_N)),
        )

    def _held_out(self) -> tuple[Floats, Floats]:
        """Return surprise and distance of each image, by the look of the images outside its part."""
        colors_NK = np.array(self._colors + self._val_colors, dtype=np.float64)
        styles_NF = np.array(self._styles[:MOST] + self._val_styles, dtype=np.float64)
        surprises_N, distances_N = np.empty(len(colors_NK)), np.empty(len(colors_NK))
        for part in range(PARTS):
            out_N = np.arange(len(colors_NK)) % PARTS == part
            surprises_N[out_N] = colors_NK[out_N] @ _surprise(colors_NK[~out_N].sum(axis=0))
            distances_N[out_N] = log_distance(styles_NF[out_N], *_fit(styles_NF[~out_N]))
        return surprises_N, distances_N


def _surprise(colors_K: Floats) -> Floats:
    """Return the surprise of each color from its summed shares."""
    counts_K = colors_K + RARE
    surprise_K: Floats = -np.log(counts_K / counts_K.sum())
    return surprise_K


def _fit(styles_NF: Floats) -> tuple[Floats, Floats]:
    """Return the mean style, and the matrix that makes the distances from it comparable."""
    center_F, spread_F = styles_NF.mean(axis=0), np.sqrt(styles_NF.var(axis=0) + LEAST_SPREAD**2)
    scaled_NF = (styles_NF - center_F) / spread_F
    variance_F, directions_FF = np.linalg.eigh(scaled_NF.T @ scaled_NF / len(scaled_NF))
    whitening_FF = directions_FF / np.sqrt(np.maximum(variance_F, 0) + LEAST_VARIANCE) / spread_F[:, None]
    return center_F, whitening_FF


def _limit(scores_N: Floats) -> float:
    """Return the score that a further image exceeds with CHANCE, if the scores are normal."""
    from scipy.stats import t  # slow to import

    count = len(scores_N)
    width = float(t.isf(CHANCE, count - 1)) * math.sqrt(1 + 1 / count)
    mean, spread = _mean_and_spread(scores_N)
    return mean + width * spread


def _mean_and_spread(scores_N: Floats) -> tuple[float, float]:
    """Return the mean of the scores and their standard deviation in a larger population."""
    return float(scores_N.mean()), float(scores_N.std(ddof=1))


def save(familiar: Familiar, run_dir: Path) -> None:
    """Write it to a run's directory completely or not at all. Raises StorageError."""
    try:
        with atomic_write(run_dir / FAMILIAR) as file:
            file.write(familiar.to_bytes())
    except OSError as error:
        raise StorageError(f"What the run's images look like could not be saved ({error.strerror}).") from error


def load(run_dir: Path | None) -> Familiar | None:
    """Return what a run's images look like; None for runs of earlier versions. Raises StorageError if it is damaged."""
    if run_dir is None:
        return None
    try:
        data = read_small(run_dir / FAMILIAR)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            check_stored(arrays)
        return Familiar.from_bytes(data)
    except FileNotFoundError:
        return None
    except Exception as error:  # zipfile, zlib and numpy raise various errors
        raise StorageError(f"{FAMILIAR} of this run is damaged. Delete it, or restore it from a backup.") from error
