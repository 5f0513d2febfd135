"""A rating study of made-up clips, and a browser that is none."""

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import uvicorn
from starlette.testclient import TestClient

from mdsvqa.labeling.collecting import raters
from mdsvqa.labeling.collecting.catalogue import put_stimuli
from mdsvqa.labeling.collecting.course import TrainingHistory
from mdsvqa.labeling.collecting.database import Store
from mdsvqa.labeling.collecting.planning import Planner, no_plan, no_plan_of_pairs
from mdsvqa.labeling.stimuli import Prepared, Stimulus, write_prepared
from mdsvqa.labeling.web.app import application
from mdsvqa.labeling.web.context import Running
from mdsvqa.labeling.web.serving import listening
from mdsvqa.labeling.web.texts import read_texts
from mdsvqa.study.labeling import LabelingSettings

ADDRESS = "http://study.test"


def write_noise(path: Path, frames: int) -> Path:
    """An H.264 file of noise, megabytes a second: no buffer of a browser holds all of it."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(frames):
            noise = rng.integers(0, 256, (360, 640), np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_clip(
    path: Path, width: int = 320, height: int = 180, frames: int = 25, rate: int = 25, seed: int = 0
) -> Path:
    """An H.264 file of moving stripes."""
    across = np.arange(width)[None, :] + np.arange(height)[:, None]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = np.empty((height, width, 3), np.uint8)
            picture[:] = ((across + 7 * number + 31 * seed) % 200)[..., None]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def picture(number: int, width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Stripes that move, and a bright corner at the top left that tells which way is up."""
    stripes = (np.arange(width)[None, :] + 2 * np.arange(height)[:, None] + 5 * number) % 180
    found = np.repeat(stripes[..., None], 3, 2).astype(np.uint8)
    found[: height // 4, : width // 4] = 235
    return found


def write_file(
    path: Path, codec: str = "libx264", pix_fmt: str = "yuv420p", *, width: int = 160, height: int = 96,
    frames: int = 30, times: list[int] | None = None, rotation: int = 0, aspect: Fraction | None = None,
    **options: str,
) -> Path:  # fmt: skip
    """A file of any codec and pixel format, of pictures at given times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            if "color_trc" in options:
                frame.color_trc = int(options["color_trc"])
            frame.pts, frame.time_base = (times or range(0, 40 * frames, 40))[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """What the rater's page does, without the page: one rater, one cookie."""

    def __init__(self, app: Any, clock: Clock) -> None:
        self.client = TestClient(app, base_url=ADDRESS)
        self.clock = clock
        self.token = ""
        self.key = secrets.token_hex(16)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"Origin": ADDRESS, "X-Token": self.token, **headers}
        return self.client.post(path, json={} if body is None else body, headers=sent)

    def open(self, link: str) -> Any:
        return self.post("/api/open", {"link": link, "browser": self.key})

    def state(self) -> Any:
        found = self.client.get("/api/state").json()
        self.token = found.get("token", self.token)
        return found

    def to_first_slot(self, link: str) -> Any:
        assert self.open(link).status_code == 200
        self.state()
        self.post("/api/consent")
        self.post("/api/instructions")
        return self.post("/api/check", {"failed": []}).json()

    def watched(self, page: Any, **changed: Any) -> list[dict[str, Any]]:
        """Plays of all clips of a slot; the clock goes on by their durations."""
        plays = []
        for side, clip in enumerate(page["clips"]):
            self.clock.now += clip["duration"]
            play = {"side": side, "reached": clip["duration"], "total": clip["frames"], "dropped": 0}
            play |= {"watching": clip["duration"], "shown_width": clip["width"], "shown_height": clip["height"]}
            plays.append(play | changed)
        return plays

    def vote(self, page: Any, value: float = 3, key: str = "", **changed: Any) -> Any:
        plays = self.watched(page, **changed)
        body = {"key": key or secrets.token_hex(8), "slot": page["slot"], "value": value, "plays": plays}
        return self.post("/api/vote", body)


class Study:
    """A study that is served to browsers of these tests."""

    def __init__(self, folder: Path, prepared: Prepared, settings: LabelingSettings, clock: Any = None) -> None:
        self.folder, self.settings, self.prepared, self.clock = folder, settings, prepared, clock or Clock()
        self.store = Store(folder)
        self.store.write(lambda c: put_stimuli(c, prepared))
        self.running = Running(
            store=self.store,
            settings=settings,
            course=TrainingHistory(settings, no_plan, no_plan_of_pairs),
            planner=Planner(self.store.path, settings),
            texts=read_texts(settings.texts),
            check_clip=prepared.stimuli[0],
            largest=(320, 180),
            out=folder,
            clock=self.clock,
        )
        write_prepared(folder, prepared)
        self.app = application(self.running)

    def invite(self, count: int = 1) -> list[tuple[int, str]]:
        return self.store.write(
            lambda c: raters.invite(c, count, self.settings.link_days, self.settings.seed, self.clock())
        )

    def browser(self) -> Browser:
        return Browser(self.app, self.clock)

    def rows(self, question: str, *values: Any) -> list[dict[str, Any]]:
        with self.store.reading() as connection:
            return [dict(row) for row in connection.execute(question, values)]


def prepared_of(clip: Path, videos: int = 30, seconds: float = 8.0, contents: int = 15) -> Prepared:
    """Many stimuli of one file."""

    def stimulus(id: str, role: Any, content: str, expected: float | None = None, reference: str = "") -> Stimulus:
        frames = round(25 * seconds)
        size = clip.stat().st_size
        return Stimulus(id, role, clip, 320, 180, frames, seconds, size, content, reference, expected)

    stimuli = [
        stimulus(f"v{n:02d}", "video", f"c{n % contents}", reference=f"ref{n % contents}") for n in range(videos)
    ]
    stimuli += [stimulus(f"ref{n}", "reference", f"c{n}") for n in range(contents)]
    stimuli += [stimulus(f"practice{n}", "training", f"p{n}", float(n % 5 + 1)) for n in range(6)]
    stimuli += [stimulus(f"trap{n}", "trap", f"c{n}", float(n % 5 + 1)) for n in range(6)]
    stimuli += [stimulus(f"gold{n}", "anchor", f"g{n}", float(n % 5 + 1)) for n in range(6)]
    return Prepared(stimuli, {})


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application that a real server answers for, in a thread."""
    place = listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[place])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield f"http://127.0.0.1:{place.getsockname()[1]}"
    server.should_exit = True
    thread.join()
