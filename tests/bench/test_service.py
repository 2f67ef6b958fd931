"""The table of the service bench."""

import json

from bench.reliability.service import RESULTS
from bench.tables.bundles import service_table


def test_the_table_shows_losses_in_bold_and_a_missing_result() -> None:
    """An answer that did not come is worse than any status."""
    result = json.loads((RESULTS / "service.json").read_text())
    lossy = result | {"refusals": result["refusals"] | {"lost": 3}}

    assert "**" not in service_table({"service": result})
    assert ", **3 lost** |" in service_table({"service": lossy})
    assert "not run" in service_table({"kills": {}})
