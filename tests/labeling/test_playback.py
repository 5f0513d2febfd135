"""Clips in a real browser: the size on the screen in device pixels, the frames that were shown, and what goes wrong."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from mdsvqa.labeling.prepare.browsers import look_at
from mdsvqa.labeling.prepare.run import make_playable
from mdsvqa.videos.video import Video
from rating_study import Study, prepared_of, served, write_clip, write_noise

OpenStudy = Callable[..., Study]
# As the page plays it; what it measured, and the size of the element in CSS pixels.
PLAY = """async ([clip, streamed]) => {
  const source = streamed ? { address: clip.source, streamed: true } : await fetched(clip);
  try {
    const playing = play(clip, 0, source);
    await happens('loadeddata', 30);
    const box = video.getBoundingClientRect();
    const grey = getComputedStyle(stage).backgroundColor, controls = video.controls;
    const place = [box.width, box.height, box.x + box.width / 2, box.y + box.height / 2];
    return { ...(await playing), box: place, grey, controls };
  } catch (error) {
    return { error: error.message, kind: error instanceof CannotPlay };
  } finally { hideStage(); }
}"""


def clip_of(name: str, path: Path, **changed: Any) -> dict[str, Any]:
    look = look_at(path)
    shape = {"width": look.width, "height": look.height, "frames": look.frames, "duration": look.duration}
    return {"source": f"/files/{name}", "bytes": path.stat().st_size, **shape, **changed}


class Page:
    """A rater's page that has been started by a press, and plays what it is told to."""

    def __init__(self, browser: Any, address: str, link: str, width: int, height: int, ratio: float) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=ratio)
        self.page = self.context.new_page()
        self.page.goto(f"{address}/r/{link}")
        self.page.get_by_role("button", name="I agree and take part").click()

    def file(self, name: str, path: Path) -> None:
        body = path.read_bytes()
        self.page.route(f"**/files/{name}", lambda route: route.fulfill(body=body, content_type="video/mp4"))

    def play(self, clip: dict[str, Any], streamed: bool = False) -> dict[str, Any]:
        return dict(self.page.evaluate(PLAY, [clip, streamed]))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files as `prepare` leaves them: untouched, or copied."""
    folder = tmp_path_factory.mktemp("clips")
    wide = write_clip(folder / "wide.mp4", 640, 360)
    found = {"wide": wide, "tall": write_clip(folder / "tall.mp4", 360, 640)}
    found["large"] = write_clip(folder / "large.mp4", 3840, 2160, frames=6, rate=6)
    for name, source in (("moved", folder / "moved.mov"), ("renamed", folder / "renamed.mkv")):
        write_clip(source, 640, 360)
        copy = make_playable(Video(name, source), folder, False)
        assert not isinstance(copy, str)
        found[name] = copy.file
    assert make_playable(Video("wide", wide), folder, False) == make_playable(Video("wide", wide), folder, True)
    return found


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_the_size_in_device_pixels_and_the_frames(
    browser: Any, open_study: OpenStudy, clip: Path, clips: dict[str, Path], ratio: float
) -> None:
    study = open_study(clock=time.time)
    (_, one), (_, other) = study.invite(2)
    with served(study.app) as address:
        desk, phone = Page(browser, address, one, 1280, 800, ratio), Page(browser, address, other, 390, 844, ratio)
        for page, room in ((desk, (1280, 800)), (phone, (390, 844))):
            for name, path in clips.items():
                page.file(name, path)
                wanted = clip_of(name, path)
                found = page.play(wanted)
                assert "error" not in found, found
                scale = min(1, room[0] * ratio / wanted["width"], room[1] * ratio / wanted["height"])
                width, height = round(wanted["width"] * scale), round(wanted["height"] * scale)
                assert (found["shown_width"], found["shown_height"]) == (width, height)
                assert [found["box"][0] * ratio, found["box"][1] * ratio] == pytest.approx([width, height], abs=1)
                assert found["box"][2:] == pytest.approx([room[0] / 2, room[1] / 2], abs=1)
                assert found["total"] == pytest.approx(wanted["frames"], rel=0.02)
                assert found["reached"] == pytest.approx(wanted["duration"], abs=0.1)
                assert (found["grey"], found["controls"], found["ratio"]) == ("rgb(128, 128, 128)", False, ratio)
            page.context.close()


def test_native_size_is_never_scaled_and_small_screens_are_told(
    browser: Any, open_study: OpenStudy, clip: Path, clips: dict[str, Path]
) -> None:
    study = open_study(prepared_of(clip, seconds=1.0), clock=time.time, size="native")
    object.__setattr__(study.running, "largest", (3840, 2160))
    ((_, link),) = study.invite()
    with served(study.app) as address:
        page = Page(browser, address, link, 1280, 800, 1.0)
        page.page.get_by_role("button", name="Go on").click()
        page.file("large", clips["large"])
        found = page.play(clip_of("large", clips["large"]))
        assert (found["shown_width"], found["shown_height"]) == (3840, 2160)
        page.page.get_by_role("button", name="Start the check").click()
        for picture in ("Dark", "Bright"):
            page.page.get_by_text(f"{picture} picture").wait_for()
            page.page.get_by_label("3", exact=True).check()
            page.page.get_by_role("button", name="Next").click()
        page.page.get_by_role("button", name="Play the test video").click()
        page.page.get_by_text("The screen of this device is too small").wait_for()
        page.context.close()


def test_files_that_do_not_play_are_an_outcome(
    browser: Any, open_study: OpenStudy, clips: dict[str, Path], tmp_path: Path
) -> None:
    study = open_study(clock=time.time)
    ((_, link),) = study.invite()
    whole = clips["wide"].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    with served(study.app) as address:
        page = Page(browser, address, link, 1280, 800, 1.0)
        for name in ("cut", "text"):
            page.file(name, tmp_path / f"{name}.mp4")
            found = page.play(clip_of("wide", clips["wide"], source=f"/files/{name}"))
            assert found["kind"] is True
            assert found["error"]
        page.context.close()


class Pausing:
    """A server that stops in the middle of one file."""

    def __init__(self, app: Any, file: Path, share: float, seconds: float) -> None:
        self.app, self.body, self.share, self.seconds = app, file.read_bytes(), share, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/files/slow":
            await self.app(scope, receive, send)
            return
        headers = [(b"content-type", b"video/mp4"), (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        cut = int(self.share * len(self.body))
        await send({"type": "http.response.body", "body": self.body[:cut], "more_body": True})
        await asyncio.sleep(self.seconds)
        await send({"type": "http.response.body", "body": self.body[cut:]})


def test_a_clip_that_is_streamed_and_stalls_says_so(browser: Any, open_study: OpenStudy, tmp_path: Path) -> None:
    slow = write_noise(tmp_path / "slow.mp4", frames=125)
    study = open_study(clock=time.time)
    ((_, link),) = study.invite()
    with served(Pausing(study.app, slow, 0.4, 6.0)) as address:
        page = Page(browser, address, link, 1280, 800, 1.0)
        found = page.play(clip_of("slow", slow), streamed=True)
        page.context.close()
    assert found["streamed"] is True
    assert found["stalled"] > study.settings.most_stall
    assert found["watching"] > 5.0
