"""The search of a peer's learning rate, and our cells beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.accuracy.cell import Cell
from bench.cells import CellError

CellT = TypeVar("CellT", bound=Cell)
PEER = {"device": "cpu", "column_loss": "0"}
"""Options of every peer. The loss over the columns is ours."""
LONG = "long"
"""End of the name of a cell with more steps than ours has."""


@dataclass(frozen=True, kw_only=True)
class Peer(Cell):
    """A peer that is trained with the best learning rate of the search."""

    rates: Mapping[str, str]
    """Learning rate of each cell of the search, by name."""

    def needed(self) -> str:
        search = next(iter(self.rates)).rpartition("-")[0]
        return ", ".join(filter(None, (super().needed(), f"the cells {search}-*")))

    def changed(self, result: Mapping[str, Any]) -> bool:
        return super().changed({**result, "config": result["config"] | {"lr": self.config().lr}})


SEARCHED = {
    "hard4000": ("hard4000-untested", "rendered, 6 digits, hard style"),
    "digits4": ("digits4", "real, 4 digits"),
    "portal6": ("portal6-fold0", "real, 6 digits, fold 0"),
}
"""Image sets that can be searched: the images whose val chooses, and what they are."""


def search_cells(kind: type[CellT], searched: str, rates: Mapping[str, str], **more: str) -> tuple[CellT, ...]:
    """Return the cells of the search on an image set, one for each rate by name. `more`: other fields of each cell."""
    images, what = SEARCHED[searched]
    return tuple(
        kind(
            name=name,
            what=f"search on val, {what}",
            group="rates",
            images=images,
            options=PEER | {"seed": "0", "lr": rate},
            **more,  # type: ignore[arg-type]
        )
        for name, rate in rates.items()
    )


def searched(results: Mapping[str, Mapping[str, Any]], rates: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return learning rate and right validation images of each cell of the search. Raises CellError without one."""
    if missing := [name for name in rates if name not in results]:
        raise CellError(f"The learning rate needs {', '.join(missing)}.")
    found = [(rate, results[name]) for name, rate in rates.items()]
    return [
        {
            "lr": rate,
            "greedy": result["splits"]["val"]["raw"]["greedy"]["k"],
            "exact": result["splits"]["val"]["raw"]["exact"]["k"],
            "n": result["splits"]["val"]["raw"]["exact"]["n"],
            "loss": result["val_loss"],
        }
        for rate, result in found
    ]


def best_rate(search: Sequence[Mapping[str, Any]]) -> str:
    """Return the rate with the most validation images right; among equals, the one with the lowest loss."""
    return str(min(search, key=lambda each: (-each["exact"], each["loss"]))["lr"])


def counterparts(cell: str) -> tuple[str, str]:
    """Return our cells on the images of a peer's cell: from scratch, and from rendered weights."""
    images, _, suffix = cell.removesuffix(f"-{LONG}").partition("-")[2].rpartition("-")
    return f"{images}-{'scratch' if images.count('-') else 'fast'}-{suffix}", f"{images}-rendered-{suffix}"
