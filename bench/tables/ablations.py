"""Short runs, each with one option changed."""

from collections.abc import Mapping
from typing import Any

from bench.accuracy import accuracy
from bench.tables.markdown import Results, cell_rows, of_group, table
from core.evaluation.percent import counted


def ablation_table(results: Results) -> str:
    def row(result: Mapping[str, Any]) -> list[str]:
        splits = (result["splits"][name]["raw"] for name in ("val", "test"))
        return [counted(split[key]["k"], split[key]["n"]) for split in splits for key in ("plain", "tta")]

    steps = accuracy.SHORT["steps"]
    head = [f"ablation, {steps} steps", "option", "val", "val with TTA", "test", "test with TTA"]
    return table(head, cell_rows(of_group(accuracy.CELLS, "ablations"), results, len(head) - 2, row))
