"""Every page in both themes, judged by axe-core: no serious violation of WCAG 2 A or AA."""

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from core.home import Home
from tests.helpers.browsing import open_at, settle
from tests.helpers.lab import Lab

PAGES = (
    "home", "guide", "propose", "label", "review", "samples", "augment", "train", "train?run=1", "evaluate?run=1",
    *(f"evaluate?run=1&section={name}" for name in ("slices", "tta", "confidence", "report", "bundle")),
    "compare", "models", "predict",
)  # fmt: skip
OPTIONS = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
STREAMLIT = {"exclude": [["[data-testid=stSidebarNavItems]"]]}
"""The list of pages. Streamlit puts elements between its items, which no code of ours can change."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, bundled_home: Home) -> Iterator[Lab]:
    """The app on a project with a run and two bundles."""
    root = tmp_path_factory.mktemp("accessible")
    shutil.copytree(bundled_home.root, root, dirs_exist_ok=True)
    lab = Lab(root)
    lab.start()
    yield lab
    lab.kill()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_violation(shown: Lab, page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    found = []
    for address in PAGES:
        path, _, query = address.partition("?")
        open_at(page, shown, f"/{path}?project=portal&{query}".rstrip("&"), path.capitalize())
        settle(page)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=60_000)
        for violation in Axe().run(page, context=STREAMLIT, options=OPTIONS).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:160] for node in violation["nodes"]]
                found.append(f"{address}: {violation['id']} ({len(nodes)}): {nodes[:3]}")
    assert found == [], "\n".join(found)
