"""Clips in a real browser: the size on the screen in device pixels, the frames that were shown, and what goes wrong."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from mdsvqa.labeling.prepare.browsers import look_at
from mdsvqa.labeling.prepare.run import make_playable
from mdsvqa.labeling.web.documents import page_file
from mdsvqa.videos.video import Video
from rating_study import Study, prepared_of, served, write_clip, write_file, write_noise

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
    sources = {name: folder / name for name in ("moved.mov", "renamed.mkv")}
    for source in sources.values():
        write_clip(source, 640, 360)
    quiet = {"x265-params": "log-level=none"}
    sources["hevc"] = write_file(folder / "hevc.mp4", "libx265", "yuv420p10le", width=640, height=360, **quiet)
    sources["turned"] = write_file(folder / "turned.mp4", width=640, height=360, rotation=90)
    times = [40 * n + (17 if n % 3 else 0) + (200 if n > 15 else 0) for n in range(30)]
    sources["uneven"] = write_file(folder / "uneven.mp4", width=640, height=360, times=times)
    for name, source in sources.items():
        copy = make_playable(Video(name, source), folder, False)
        assert not isinstance(copy, str)
        assert copy.treatment.startswith("H.264 copy")
        found[name] = copy.file
    assert make_playable(Video("wide", wide), folder, False) == make_playable(Video("wide", wide), folder, True)
    return found


@pytest.mark.parametrize("ratio", [1.5, *(pytest.param(ratio, marks=pytest.mark.slow) for ratio in (1.0, 2.0))])
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


class PausingOnce:
    """A server that stops once, in the middle of a clip of the session, for some seconds."""

    def __init__(self, app: Any, after: int, seconds: float) -> None:
        self.app, self.after, self.seconds, self.paused = app, after, seconds, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = 0

        async def slowly(message: Any) -> None:
            nonlocal sent
            body = message.get("body", b"")
            if not self.paused and sent + len(body) > self.after and message["type"] == "http.response.body":
                self.paused = True
                cut = max(0, self.after - sent)
                await send({"type": "http.response.body", "body": body[:cut], "more_body": True})
                await asyncio.sleep(self.seconds)
                message = {**message, "body": body[cut:]}
            sent += len(body)
            await send(message)

        clip = scope["type"] == "http" and scope["path"].startswith("/media/") and "check" not in scope["path"]
        await self.app(scope, receive, slowly if clip else send)


def test_a_stall_is_recorded_and_the_clip_is_shown_once_more(
    browser: Any, open_study: OpenStudy, tmp_path: Path
) -> None:
    """The network pauses for two seconds in a clip that is too large to be fetched whole."""
    noise = write_noise(tmp_path / "noise.mp4", frames=125)
    patient = {"most_dropped": 1.0, "most_watching": 60.0}
    study = open_study(prepared_of(noise, seconds=5.0), clock=time.time, **patient)
    ((_, link),) = study.invite()
    with served(PausingOnce(study.app, noise.stat().st_size // 5, 2.0)) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        program = page_file("rating.js").replace("64 * 1024 * 1024", "1024 * 1024")
        page.route("**/static/rating.js", lambda route: route.fulfill(body=program, content_type="text/javascript"))
        page.goto(f"{address}/r/{link}")
        for name in ("I agree and take part", "Go on"):
            page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name="Start the check").wait_for()
        page.evaluate("post('/api/check', { failed: [] })")
        page.get_by_role("button", name="Play", exact=True).click()
        page.get_by_role("heading", name="Once more, please").wait_for(timeout=60_000)
        assert page.get_by_text("The video stopped on its way.").is_visible()
        page.get_by_role("button", name="Play", exact=True).click()
        page.get_by_role("group").wait_for(timeout=60_000)
        page.keyboard.press("4")
        page.get_by_text("Stored: Good").wait_for()
        context.close()
    plays = study.rows("SELECT turn, disturbed, facts FROM plays ORDER BY number")
    assert [(play["turn"], play["disturbed"]) for play in plays] == [(0, "stalled"), (1, "")]
    first = json.loads(plays[0]["facts"])
    assert first["streamed"] is True
    assert first["stalls"] >= 1
    assert 0.5 < first["stalled"] < 4
    assert study.rows("SELECT value, disturbed FROM votes") == [{"value": 4.0, "disturbed": ""}]


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
