"""Licenses of fonts, from the copyright files of their Debian packages."""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from bench.rendered.fonts import Font

DOCS = Path("/usr/share/doc")
NAMES = {
    "SIL-OFL-1.1": "OFL-1.1", "SIL-1.1": "OFL-1.1", "SIL Open Font License": "OFL-1.1", "Apache-2": "Apache-2.0",
    "Expat": "MIT", "GPL-2+FE": "GPL-2+ with font exception", "BSD3|SIL": "OFL-1.1 or BSD-3-clause",
    "GPL-3+_with-font-exception": "GPL-3+ with font exception",
    "GPL-3+ with Special Font Exception": "GPL-3+ with font exception",
    "AGPL-3 with Font exception": "AGPL-3 with font exception",
    "GPL-2+ with Font exception and OFL-1.1": "OFL-1.1 and GPL-2+ with font exception",
    "OFL 1.1 and GPL-2 + Font Exception": "OFL-1.1 and GPL-2 with font exception",
    "GPL-3+FontException or OFL-1.1": "OFL-1.1 or GPL-3+ with font exception",
    "GPL-3-only+FE or LGPL-3-only+FE or GPL-2-only+FE": "GPL-2, GPL-3 or LGPL-3 with font exception",
    "Expat and BitstreamVera": "MIT and Bitstream Vera", "bitstream-vera": "Bitstream Vera",
    "CC-BY-3.0 and Bitstream": "CC-BY-3.0 and Bitstream Vera", "CC-BY-SA-4.0-Int": "CC-BY-SA-4.0",
    "public-domain": "public domain", "ParaType-Free-Font-License": "ParaType Free Font License",
}  # fmt: skip
"""One name for licenses that the packages spell differently."""
PHRASES = {
    r"SIL OPEN FONT LICENSE\s+Version 1\.1": "OFL-1.1",
    r"SIL OPEN FONT LICENSE\s+Version 1\.0": "OFL-1.0",
    r"public domain": "public domain",
    r"General\s+Public\s+License(?s:.*)special exception": "GPL with font exception",
    r"General\s+Public\s+License": "GPL",
}
"""Licenses of files without fields. The first phrase in the text counts."""
UNKNOWN = "not from a package"


def usable(fonts: Sequence[Font]) -> list[Font]:
    """Leave out fonts whose license allows no document with them under other terms: AGPL without a font exception."""
    licenses = _licenses(fonts)
    return [font for font in fonts if not _binds(licenses[font.path])]


def _binds(name: str) -> bool:
    return name.startswith("AGPL") and "exception" not in name.lower()


def count_licenses(fonts: Sequence[Font]) -> dict[str, int]:
    """Return the number of fonts of each license, most frequent first."""
    counts = Counter(_licenses(fonts).values())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _licenses(fonts: Sequence[Font]) -> dict[Path, str]:
    """Return the license of each font by its path."""
    packages = _packages([font.path for font in fonts])
    texts = {
        package: (DOCS / package / "copyright").read_text(encoding="utf-8", errors="replace")
        for package in set(packages.values())
    }
    return {
        font.path: license_of(font.path.name, texts[packages[font.path]]) if font.path in packages else UNKNOWN
        for font in fonts
    }


def license_of(file: str, text: str) -> str:
    """Return the license of a file by the copyright text of its package. The last pattern that matches it counts."""
    last = None
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = dict(
            re.findall(r"^(Files|License):[ \t]*(.*(?:\n[ \t]+.*)*)", paragraph, re.MULTILINE)
        )
        patterns = fields.get("Files", "").split()
        if "License" in fields and any(fnmatch(f"upstream/{file}", f"*{pattern}") for pattern in patterns):
            last = fields["License"].strip().split("\n")[0].strip()
    if last:
        return NAMES.get(last, last)
    return next((name for phrase, name in PHRASES.items() if re.search(phrase, text, re.IGNORECASE)), "other")


def _packages(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the Debian package of each file that belongs to one."""
    patterns = [re.sub(r"([\[\]*?\\])", r"\\\1", str(path)) for path in paths]
    listed = subprocess.run(["dpkg", "-S", *patterns], capture_output=True, text=True, check=False).stdout
    pairs = (line.split(": ", 1) for line in listed.splitlines() if ": " in line)
    return {Path(path): names.split(",")[0].split(":")[0] for names, path in pairs}
