"""The service keeps to docs/api/openapi.json, which `make docs` writes: requests generated from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.bundle.service.access import new_token
from tests.helpers.repository import ROOT
from tests.helpers.service import HOST, serving

COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"
"""In a process of its own. As a plugin of pytest it would cost each process of the tests half a second."""


@pytest.mark.long
def test_generated_requests_get_what_the_interface_says(toy_bundle: Path, tmp_path: Path) -> None:
    """Every status, type and body is one that the interface names, and none is 500."""
    token = new_token(tmp_path / "tokens", "generated")
    with serving(toy_bundle, "--token-file", tmp_path / "tokens", "--log", tmp_path / "log.jsonl") as service:
        done = subprocess.run(
            [
                sys.executable, "-c", COMMAND, "run", ROOT / "docs" / "api" / "openapi.json",
                "--url", f"http://{HOST}:{service.port}", "--header", f"Authorization: Bearer {token}",
                "--exclude-checks", "positive_data_acceptance",  # random bytes are not an image
                "--max-examples", "50", "--seed", "1", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "Tested: 5\n" in done.stdout
