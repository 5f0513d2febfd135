"""The page with every section, in a real browser: whatever is opened fits, and pointing at a mark tells its figures."""

from pathlib import Path
from typing import Any

import pytest

from mdsvqa.report.page.data import ReportData
from mdsvqa.report.page.page import render_page

# Elements that reach beyond the window, unless something around them scrolls or hides what is too wide.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter((element) => {
  if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let parent = element; parent; parent = parent.parentElement)
    if (['auto', 'hidden', 'scroll'].includes(getComputedStyle(parent).overflowX)) return false;
  return !element.closest('.unseen, .store');
}).map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_everything_opened_fits(
    browser: Any, full_study: ReportData, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(full_study), encoding="utf-8")
    size = {"width": width, "height": height}
    # A smooth scroll would still be under way when the mouse arrives, and hide the tip.
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    too_wide = page.evaluate(TOO_WIDE)
    pictures = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth)")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    mark = page.locator("#agreement .mean").last
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator(".tip").inner_text()
    context.close()
    assert overflow <= 0
    assert too_wide == []
    assert pictures == [160] * 10
    assert (sum(int(part) for part in paper[4:-1].split(",")) > 3 * 128) == (scheme == "light")
    assert "mean MOS" in tip
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
    assert said == []
