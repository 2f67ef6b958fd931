"""The service keeps to docs/api/openapi.json, which `make docs` writes: requests generated from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from core.bundle.service.access import new_token
from tests.helpers.repository import ROOT
from tests.helpers.service import HOST, Service, serving

SCHEMA = schemathesis.openapi.from_path(ROOT / "docs" / "api" / "openapi.json")
NOT_CHECKED = [CHECKS.get_one("positive_data_acceptance")]  # random bytes are not an image


@SCHEMA.auth()
class Token:
    """The token of the service, unless a request tests what happens without one."""

    value = ""

    def get(self, _case: schemathesis.Case, _context: schemathesis.AuthContext) -> str:
        return Token.value

    def set(self, case: schemathesis.Case, data: str, _context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture(scope="module")
def service(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    Token.value = new_token(tokens, "generated")
    with serving(toy_bundle, "--token-file", tokens) as made:
        yield made


@pytest.mark.long
@SCHEMA.parametrize()
@settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_generated_requests_get_what_the_interface_says(service: Service, case: schemathesis.Case) -> None:
    """Every status, type and body is one that the interface names, and none is 500."""
    case.call_and_validate(base_url=f"http://{HOST}:{service.port}", excluded_checks=NOT_CHECKED)
