"""What is passed over in decoding leaves no trace in what is kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from mdsvqa.videos import decoding
from mdsvqa.videos.decoding import Sampling, sample_clip

FRAMES, WIDTH, HEIGHT = 120, 160, 96


def write_drift(path: Path, **options: str) -> Path:
    """4 s of a drifting texture with noise: no two pictures agree anywhere, yet each predicts the next."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (20, 40, 3), dtype=np.uint8), (2 * WIDTH, HEIGHT)).astype(np.int64)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for shift in range(FRAMES):
            noisy = np.roll(texture, -shift, axis=1)[:, :WIDTH] + rng.integers(-8, 9, (HEIGHT, WIDTH, 3))
            out.mux(stream.encode(VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), "rgb24")))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "parameters",
    ["", "bframes=8:b-pyramid=strict:ref=6:weightp=2", "bframes=3:b-pyramid=none", "bframes=0", "tff=1", "slices=4"],
)
def test_pictures_that_nothing_refers_to_are_spared_without_trace(
    tmp_path: Path, parameters: str, threads: int
) -> None:
    path = write_drift(tmp_path / "a.mp4", **{"x264-params": parameters})
    for sampling in (Sampling(rate=2), Sampling(rate=7.3), Sampling(frames=1), Sampling(rate=30)):
        fast = sample_clip(path, "a", sampling, threads=threads)
        slow = sample_clip(path, "a", sampling, spare=False)
        assert np.array_equal(fast.frames, slow.frames)
        assert np.array_equal(fast.timestamps, slow.timestamps)


def test_sparing_halves_what_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_drift(tmp_path / "a.mp4", **{"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"})
    decoded = []
    frames = decoding._frames

    def watched(*arguments: Any) -> Iterator[VideoFrame]:
        for frame in frames(*arguments):
            decoded.append(round(frame.time * 30))
            yield frame

    monkeypatch.setattr(decoding, "_frames", watched)
    sample_clip(path, "a", Sampling(rate=1))
    # Of the three B-frames between two P-frames the middle one is referred to; the last wanted time is 3 s.
    assert decoded == list(range(0, 91, 2))


def test_interlaced_frames_are_sought_but_none_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_drift(tmp_path / "a.mp4", **{"x264-params": "tff=1:keyint=30:scenecut=0"})
    ways = []
    decode_runs = decoding._decode_runs

    def watched(*arguments: Any) -> Any:
        printer = decode_runs(*arguments)
        ways.append((arguments[-1], len(arguments[2]), len(printer.pictures)))
        return printer

    monkeypatch.setattr(decoding, "_decode_runs", watched)
    sample_clip(path, "a", Sampling(frames=3))
    # At 0.67, 2 and 3.33 s, with a keyframe each second: three runs.
    assert ways == [(True, 3, 0), (False, 3, 3)]
