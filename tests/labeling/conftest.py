"""A rating study of made-up clips that every test here opens for itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.study.labeling import LabelingSettings
from rating_study import Study, prepared_of, write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def open_study(tmp_path: Path, clip: Path) -> Iterator[Callable[..., Study]]:
    """Opens studies, and closes them at the end."""
    opened: list[Study] = []

    def study(prepared: Prepared | None = None, clock: Any = None, **settings: Any) -> Study:
        folder = tmp_path / f"study-{len(opened)}"
        found = Study(folder, prepared or prepared_of(clip), LabelingSettings(**settings), clock)
        opened.append(found)
        return found

    yield study
    for each in opened:
        each.store.close()


@pytest.fixture(scope="session")
def browser(browser: Any) -> Any:
    """The machine's own Chromium, which has H.264; Playwright's own has not."""
    page = browser.new_page()
    plays = page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.640028\"')")
    page.close()
    if not plays:
        pytest.skip("this chromium does not play H.264 (canPlayType); Debian's does")
    return browser
