"""Agreement of readers: the share of images that all of them read alike, and the characters on which they differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from core.charset import TextSpec
from core.evaluation.percent import percent
from core.words import plural, shown, unknown

ALONE = "One reader alone cannot agree with another, so nothing can be accepted."
CONFIDENT = 0.9
"""Lowest confidence at which a reading of one reader alone is suggested."""
USABLE = 0.5
"""Lowest share of agreed images at which readings are offered. Portals that readers can read have 0.84 to 1.0, and
those that they cannot read at most 0.19."""
MIN_IMAGES = 20
"""Images below which the share says little."""
MAX_CONFUSIONS = 10
Texts = Sequence[str | None]
"""The readings of one image, one per reader; None where a reader finds no text of the project's length."""


def agreed(texts: Texts, needed: int | None = None) -> str | None:
    """Return the text that `needed` readers give, at least two and by default all, and no other `needed` ones."""
    needed = max(2, len(texts) if needed is None else needed)
    winners = [text for text, n in Counter(texts).items() if n >= needed and text is not None]
    return winners[0] if len(winners) == 1 else None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of readers on the images that all of them have read."""

    agree: int
    """Readers that must give the same text."""
    images: int
    agreed: int
    unread: list[int]
    """Images without a text of the project's length, per reader."""
    by_position: list[float | None]
    """Share of images on which enough readers agree at each position, over those with a text from every reader."""
    by_character: dict[str, tuple[int, int]]
    """For each character: how often enough readers gave it together, and how often at least one of them did."""
    confusions: list[tuple[str, str, int]]
    """Pairs of characters that two readers gave at one position, and how often; the most frequent first."""

    @property
    def share(self) -> float | None:
        return self.agreed / self.images if self.images else None

    @property
    def usable(self) -> bool:
        """True if the readers can be used for this portal."""
        return self.images >= MIN_IMAGES and self.agreed >= USABLE * self.images

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"agreement": self.share, "usable": self.usable}

    def verdict(self, spec: TextSpec) -> str:
        """Return the use of the readers for this portal as sentences.

        A wrong text length is the most frequent cause of readers that cannot agree.
        """
        if len(self.unread) < 2:
            return ALONE
        if self.images < MIN_IMAGES:
            read = f"The readers have read {plural(self.images, 'image')}."
            return f"{read} At least {MIN_IMAGES} are needed to show whether they can be used here."
        who = "The readers" if self.agree == len(self.unread) else f"{self.agree} of {len(self.unread)} readers"
        share = f"{who} agree on {self.agreed:,} of {self.images:,} images ({percent(self.agreed / self.images)})"
        if self.usable:
            return f"{share}. Their agreed readings can be used here."
        return (
            f"{share}. They cannot read this portal, so nothing is proposed. Check that the images have "
            f"{plural(spec.length, 'character')} and only {shown(spec.charset)}. Otherwise, label by hand."
        )


@dataclass(frozen=True)
class Confident:
    """The confident readings of one reader, which has no other one to agree with."""

    images: int
    confident: int

    @property
    def suggests(self) -> bool:
        """True if the readings may be shown to people as suggestions."""
        return self.images >= MIN_IMAGES and self.confident >= USABLE * self.images

    @property
    def verdict(self) -> str:
        if self.images < MIN_IMAGES:
            return f"{ALONE} It has read {plural(self.images, 'image')}."
        share = f"It is confident on {self.confident:,} of {self.images:,} images"
        share = f"{share} ({percent(self.confident / self.images)})"
        if self.suggests:
            return f"{ALONE} {share}. These readings are suggestions on the Label page."
        return f"{ALONE} {share}, too few to suggest its readings."


def unknown_characters(missing: Mapping[str, str]) -> str:
    """Return what readers cannot read, as sentences. `missing` has the characters that each reader does not know."""
    lines = [f"{unknown(name, chars)}." for name, chars in missing.items() if chars]
    if not lines:
        return ""
    every = "one of them" if len(set("".join(missing.values()))) > 1 else "it"
    if len(missing) == 1:
        return f"{lines[0]} Label images with {every} by hand."
    lines.append(f"The readers cannot agree on the right text of an image with {every}: label such images by hand.")
    return " ".join(lines)


def measure(readings: Sequence[Texts], length: int, readers: int, needed: int | None = None) -> Agreement:
    """Measure the agreement of `needed` of `readers` readers on images, each with one text per reader."""
    needed = max(2, readers if needed is None else needed)
    equal, whole = [0] * length, 0
    together, anywhere, confusions = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for texts in readings:
        present = [text for text in texts if text is not None]
        if readers < 2 or len(present) < readers:
            continue
        whole += 1
        for position, chars in enumerate(zip(*present, strict=True)):
            different = set(chars)
            anywhere.update(different)
            if (char := agreed(chars, needed)) is not None:
                equal[position] += 1
                together[char] += 1
            confusions.update(combinations(sorted(different), 2))
    return Agreement(
        agree=needed,
        images=len(readings),
        agreed=sum(agreed(texts, needed) is not None for texts in readings),
        unread=[sum(texts[reader] is None for texts in readings) for reader in range(readers)],
        by_position=[n / whole if whole else None for n in equal],
        by_character={char: (together[char], n) for char, n in sorted(anywhere.items())},
        confusions=[(*pair, n) for pair, n in confusions.most_common(MAX_CONFUSIONS)],
    )
