"""The page in a real browser: it fits a phone and a desk, shows every picture, and asks nothing of any network."""

from pathlib import Path
from typing import Any

import pytest

from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.progress import Silent
from mdsvqa.study.config import read_study
from mdsvqa.study.run import run_study
from mdsvqa.videos.simulated.corpus import make_corpus


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small study with a comparison, an audit, two rounds."""
    folder = tmp_path_factory.mktemp("page")
    corpus = make_corpus(folder / "corpus", source=40, pool=40, test=14, seconds=(0.5, 0.7), workers=2)
    (folder / "study.yaml").write_text(
        f"title: A small study with a rather long title that has to wrap on a phone\nvideos: {corpus}\nout: results\n"
        "simulated: true\nworkers: 2\nrounds: 2\nselection: {budget: 14, audit: 0.4}\n"
        "comparison: {rules: [mds, k-means], seeds: 2}\n"
    )
    config = read_study(folder / "study.yaml")
    outcome = run_study(config, Silent())
    return write_results(config, outcome, measure(config, outcome), ["mdsvqa run study.yaml"])[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_page_fits_and_is_whole(browser: Any, page_file: Path, width: int, height: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    # Pictures below the fold load when they are near.
    page.evaluate("document.querySelectorAll('img').forEach(picture => { picture.loading = 'eager' })")
    page.wait_for_function("Array.from(document.images).every(picture => picture.complete)")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    pictures = page.evaluate("Array.from(document.images).map(picture => picture.naturalWidth)")
    sections = page.evaluate("Array.from(document.querySelectorAll('main section, section')).map(s => s.id)")
    context.close()
    assert wide <= 0
    assert pictures
    assert min(pictures) > 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    assert {"help", "selected", "failure", "agreement", "audit", "reliability"} <= set(sections)
