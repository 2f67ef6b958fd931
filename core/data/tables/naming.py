"""Labels in the names of files and folders: at the start, at the end, as the folder, or where a pattern says."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from core.charset import TextSpec
from core.data.tables.cleaning import cleaned, fits
from core.data.tables.matching import has_image_suffix, last_part, without_image_suffix
from core.errors import AmbiguousLabelsError, LabelError, OptionError

EVIDENCE_NAMES = 2000
"""Names that decide where the labels stand, spread evenly."""
COPY = re.compile(r"(?:[ _]?\(\d{1,4}\)| - copy| copy(?: \d{1,4})?)$", re.IGNORECASE)
"""End of the name of a copy: `1234 (1)`, `1234 copy 2`, `1234 - Copy`."""
MAX_STEM = 300
"""Characters of a name that a pattern reads."""
WILDCARDS = 2
"""Most `*` in a pattern. More would make it slow on hostile names."""
NUMBERED = 10
"""Names that are enough to see that they are counted."""
Naming = Callable[[str], str]
"""Return the text that stands in a name for the label. It need not fit the project."""


def stem_of(name: str) -> str:
    """Return the last part of a path without suffixes and the marks of a copy: `1234.png.jpg`, `1234 (1).jpg`."""
    last = last_part(name)
    stem = without_image_suffix(last) if has_image_suffix(last) else PurePosixPath(last).stem
    while stem != (shorter := COPY.sub("", without_image_suffix(stem))):
        stem = shorter
    return stem


def start(spec: TextSpec) -> Naming:
    """Return the naming of LABEL.png, LABEL_x.png and LABEL-x.png."""

    def text_of(name: str) -> str:
        stem = stem_of(name)
        # A label may contain the character that ends it, so its length counts first.
        first, rest = stem[: spec.length], stem[spec.length :]
        return first if rest[:1] in ("", "_", "-") and fits(first, spec) else re.split("[_-]", stem, maxsplit=1)[0]

    return text_of


def end(spec: TextSpec) -> Naming:
    """Return the naming of x_LABEL.png and x-LABEL.png."""

    def text_of(name: str) -> str:
        stem = stem_of(name)
        last, before = stem[-spec.length :], stem[: -spec.length]
        return last if before[-1:] in ("", "_", "-") and fits(last, spec) else re.split("[_-]", stem)[-1]

    return text_of


def folder(name: str) -> str:
    """Return the folder of a file."""
    return last_part(name.rpartition("/")[0])


def pattern(text: str, spec: TextSpec) -> Naming:
    """Return the naming of a pattern such as `meter-*_{label}`: `*` is any text, and a slash ends a folder.

    The pattern describes the name without suffix. Raises OptionError if it cannot be used.
    """
    if text.count("{label}") != 1 or text.count("*") > WILDCARDS:
        raise OptionError(f"The pattern {text!r} must contain {{label}} once, and * at most twice.")
    parts = text.count("/") + 1
    places = [re.escape(piece) for piece in re.split(r"(\{label\}|\*)", text)]
    wild = "".join(".*" if place == r"\*" else place for place in places)
    exact = re.compile(wild.replace(re.escape("{label}"), f"(.{{{spec.length}}})"), re.DOTALL)
    lax = re.compile(wild.replace(re.escape("{label}"), "(.*?)"), re.DOTALL)

    def text_of(name: str) -> str:
        path = PurePosixPath(name)
        last = without_image_suffix(path.name) if has_image_suffix(path.name) else path.stem
        for regex, stem in ((exact, last), (exact, stem_of(name)), (lax, stem_of(name))):
            if match := regex.fullmatch("/".join([*path.parent.parts, stem][-parts:])[-MAX_STEM:]):
                return match[1]
        raise LabelError(f"The name does not follow the pattern {text}.")

    return text_of


def decided(names: Sequence[str], spec: TextSpec) -> str:
    """Return "start" or "end": where the labels of these files stand.

    Raises AmbiguousLabelsError if another part of the path fits as well. Its sentence names the options.
    """
    namings = {"start": start(spec), "end": end(spec), "folder": folder}
    chosen = names[:: max(1, len(names) // EVIDENCE_NAMES)]
    found = {rule: labels_of(chosen, naming, spec) for rule, naming in namings.items()}
    if len({*found["folder"].values()}) < 2:  # one folder says nothing about each image
        found["folder"] = {}
    most = max(map(len, found.values()))
    if not most:
        return "start"
    strong = [rule for rule, labels in found.items() if labels and len(labels) * 2 >= most]
    if all(found[rule] == found[strong[0]] for rule in strong) and strong[0] != "folder":
        return strong[0]
    name = next((name for rule in strong for name in found[rule] if _differ(found, strong, name)), "")
    if name:
        read = " or ".join(f"{found[rule][name]} (--labels {rule})" for rule in strong if name in found[rule])
        raise AmbiguousLabelsError(f"The label of {name} could be {read}. Choose one, or give a --pattern.")
    if strong[0] == "folder":
        raise AmbiguousLabelsError("The folders fit as labels, the names of the files do not. Use --labels folder.")
    return max((rule for rule in strong if rule != "folder"), key=lambda rule: len(found[rule]))


def labels_of(names: Sequence[str], naming: Naming, spec: TextSpec) -> dict[str, str]:
    """Return the labels that fit the project, by name."""
    found = {}
    for name in names:
        try:
            found[name] = cleaned(naming(name), spec, fold_case=True)
        except LabelError:
            continue
    return found


def _differ(found: dict[str, dict[str, str]], rules: Sequence[str], name: str) -> bool:
    return len({found[rule][name] for rule in rules if name in found[rule]}) > 1


def look_like_numbering(labels: Sequence[str]) -> bool:
    """Return True if the labels are whole numbers that count up, as file numbers do and texts do not."""
    if len(labels) < NUMBERED or not all(label.isascii() and label.isdecimal() for label in labels):
        return False
    numbers = {*map(int, labels)}
    return len(numbers) == len(labels) and max(numbers) - min(numbers) < 1.2 * len(numbers)
