"""Selected videos play on the page: the picture gives way to the file, and one that cannot be played is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mdsvqa.report.page.data import ReportData
from mdsvqa.report.page.page import render_page
from mdsvqa.report.pictures import played_from


def test_the_address_of_a_file_from_a_page(tmp_path: Path) -> None:
    assert played_from(tmp_path / "results", tmp_path / "videos" / "a b#1.mp4") == "../videos/a%20b%231.mp4"


def test_a_click_plays_the_file_and_what_cannot_be_played_is_named(
    browser: Any, full_study: ReportData, tmp_path: Path
) -> None:
    pool = [replace(p, play="no%20film.mp4" if p.rank == 3 else None) for p in full_study.pool]
    (tmp_path / "no film.mp4").write_text("no video")
    path = tmp_path / "report.html"
    path.write_text(render_page(replace(full_study, pool=pool)), encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.locator("[data-play]").count() == 1
    assert asked == [path.as_uri()]
    page.locator("[data-play]").click()
    page.get_by_text("This browser cannot play the file: no film.mp4").wait_for()
    context.close()
    assert asked[-1].endswith("no%20film.mp4")
