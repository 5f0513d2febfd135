"""Every page of a rater: all of its words come from the file of texts, each control has a role and a name."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdsvqa.labeling.collecting.organiser import set_password
from mdsvqa.labeling.web.documents import page_file
from mdsvqa.labeling.web.previews import PAGES
from mdsvqa.labeling.web.texts import english, read_texts
from mdsvqa.runtime.errors import InputError
from rating_study import Study, served

OpenStudy = Callable[..., Study]
# Visible texts that were not in the file, and what is wrong with the controls.
LOOK = """() => {
  const unmarked = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const text = node.textContent.trim(), parent = node.parentElement;
    if (!text || !parent.checkVisibility() || parent.closest('noscript, [aria-hidden=true]')) continue;
    if (!text.startsWith('\\u27e6') && !/^[\\d.]+$/.test(text)) unmarked.push(text);
  }
  for (const named of document.querySelectorAll('[aria-label]'))
    if (!named.getAttribute('aria-label').startsWith('\\u27e6')) unmarked.push(named.getAttribute('aria-label'));
  const nameless = [...document.querySelectorAll('button, input, canvas')].filter((each) => each.checkVisibility()
    && !(each.textContent.trim() || (each.labels && each.labels.length && each.labels[0].textContent.trim())
    || each.getAttribute('aria-label'))).map((each) => each.outerHTML);
  const radios = [...document.querySelectorAll('input[type=radio]')].filter((each) => !each.closest('fieldset'));
  const jumps = document.querySelectorAll('[tabindex]:not([tabindex="-1"]):not([tabindex="0"])').length;
  return { unmarked, nameless, jumps, loose: radios.length, mains: document.querySelectorAll('main').length,
    headings: document.querySelectorAll('h1, legend').length, language: document.documentElement.lang,
    direction: getComputedStyle(document.body).direction, focused: document.activeElement.tagName,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth };
}"""


@pytest.mark.parametrize("width", [390, 1440])
def test_pages_in_a_language_in_which_every_text_is_marked(
    browser: Any, open_study: OpenStudy, tmp_path: Path, width: int
) -> None:
    marked = {name: f"⟦{text}⟧" for name, text in english().items()} | {"language": "ar", "direction": "rtl"}
    (tmp_path / "texts.json").write_text(json.dumps(marked), encoding="utf-8")
    study = open_study(clock=time.time, texts=tmp_path / "texts.json", title="⟦Study⟧", colour_plates=True)
    study.store.write(lambda c: set_password(c, "pw", time.time()))
    with served(study.app) as address:
        context = browser.new_context(viewport={"width": width, "height": 844})
        page = context.new_page()
        page.goto(f"{address}/organiser")
        page.get_by_label("Password").fill("pw")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Raters").wait_for()
        assert "null" not in page.locator("main").inner_text()
        for name in PAGES:
            page.goto(f"{address}/preview/{name}")
            page.locator("h1, legend").first.wait_for()
            found = page.evaluate(LOOK)
            assert found["unmarked"] == [], name
            assert found["nameless"] == [], name
            # The order of focus is that of the page.
            assert found["jumps"] == 0, name
            assert (found["loose"], found["mains"], found["language"], found["direction"]) == (0, 1, "ar", "rtl"), name
            assert found["headings"] >= 1, name
            assert found["wide"] <= 0, name
            # The reader begins at the new page, or at the one thing to do on it.
            assert found["focused"] in ("MAIN", "BUTTON"), name
        context.close()


def test_every_text_is_used() -> None:
    made = ("acr_", "dcr_", "pair_", "instructions_", "unsuited_", "again_", "question_", "caption_", "trap", "link_")
    used = page_file("rating.js") + page_file("rater.html")
    names = [name for name in english() if not name.startswith(made)]
    assert [name for name in names if not re.search(rf"\b{name}\b", used)] == []


def test_texts_that_are_missing_strange_or_broken(tmp_path: Path) -> None:
    path = tmp_path / "de.json"
    path.write_text(json.dumps({"language": "de", "agree": "Ich nehme teil", "play": " "}), encoding="utf-8")
    texts = read_texts(path)
    assert texts.said["agree"] == "Ich nehme teil"
    assert texts.said["play"] == english()["play"]
    assert "play" in texts.missing
    assert "agree" not in texts.missing
    for content, reason in (
        ("{", "JSON"),
        ("[]", "one object"),
        ('{"a": "b"}', "no page"),
        ('{"direction": "up"}', "ltr"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=reason):
            read_texts(path)
