"""The page has no violation that axe-core finds, folded and opened, at a phone and a desk, light and dark.

axe-core (MPL-2.0) is no part of this repository: `npm install axe-core` puts it into node_modules, here or above; or
AXE_CORE names its axe.min.js. Without it these tests are skipped.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from mdsvqa.report.page.data import ReportData
from mdsvqa.report.page.page import render_page

# What a phone may scroll through before anything is unfolded.
LONGEST = 8000


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core."""
    named = os.environ.get("AXE_CORE")
    places = [folder / "node_modules" / "axe-core" / "axe.min.js" for folder in Path(__file__).parents]
    found = next((path for path in ([Path(named)] if named else places) if path.is_file()), None)
    if found is None:
        pytest.skip("axe-core is not here: npm install axe-core, or AXE_CORE=.../axe.min.js")
    return found.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_axe_finds_nothing(
    browser: Any, axe: str, full_study: ReportData, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(full_study), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri())
    length = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate(axe + ";0")
    folded = page.evaluate("axe.run()")["violations"]
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    opened = page.evaluate("axe.run()")["violations"]
    context.close()
    assert [(each["id"], each["nodes"][0]["html"][:80]) for each in [*folded, *opened]] == []
    assert length < LONGEST


def test_a_link_into_what_is_folded_opens_it_and_the_menu_stays(
    browser: Any, full_study: ReportData, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(full_study), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(path.as_uri())
    assert not page.locator("#audit table").is_visible()
    page.locator("nav a[href='#audit']").click()
    page.locator("#audit table").wait_for(state="visible")
    top = page.locator("nav").bounding_box()["y"]
    context.close()
    assert abs(top) < 1
