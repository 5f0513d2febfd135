import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mdsvqa.models.base import Score
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, sampling_of, wanted_limits
from mdsvqa.models.vlm.table_scoring import WINDOW, score_with_reader
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import made_by
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos


class Reader:
    """Scores every clip 3, and fails on some."""

    def __init__(self, failing: set[str]) -> None:
        self.sight = VisualLimits(frames=1, rate=None, most_pixels=56 * 56, fewest_pixels=56 * 56)
        self.failing = failing
        self.sizes: list[int] = []

    def read(self, clips: Sequence[ModelClip], progress: Callable[[int], None] = lambda more: None) -> list[Score]:
        self.sizes.append(len(clips))
        progress(len(clips))
        return [Score(c.id, None, "failed", "away") if c.id in self.failing else Score(c.id, 3.0) for c in clips]


def test_videos_without_a_score_are_tried_again_in_their_places_and_by_windows(
    small_corpus: Path, tmp_path: Path
) -> None:
    videos = load_videos(small_corpus)[:40]
    lost = replace(videos[1], path=None)
    first = Reader({video.id for video in videos[2:]})
    table, clock = score_with_reader([videos[0], lost, *videos[2:]], first, {"step": "s"}, Run(tmp_path, Silent(), 0))
    assert [row["status"] for row in table.to_pylist()] == ["ok", "undecodable", *["failed"] * 38]
    assert clock.videos == 40
    second = Reader(set())
    table, _ = score_with_reader(videos, second, {"step": "s"}, Run(tmp_path, Silent(), 0))
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [video.id for video in videos]
    assert {row["status"] for row in rows} == {"ok"}
    assert second.sizes == [WINDOW, 39 - WINDOW]
    third = Reader(set())
    assert score_with_reader(videos, third, {"step": "s"}, Run(tmp_path, Silent(), 0))[0].to_pylist() == rows
    assert sum(third.sizes) == 0


def test_a_video_whose_file_changed_is_scored_anew_in_its_place(small_corpus: Path, tmp_path: Path) -> None:
    videos = []
    for video in load_videos(small_corpus)[:5]:
        assert video.path is not None
        videos.append(replace(video, path=tmp_path / video.path.name))
        shutil.copy(video.path, tmp_path / video.path.name)
    run = Run(tmp_path / "scores", Silent(), 0)
    rows = score_with_reader(videos, Reader(set()), {"step": "s"}, run)[0].to_pylist()
    assert all(row["size"] == video.path.stat().st_size for row, video in zip(rows, videos, strict=True) if video.path)
    assert {row["interlaced"] for row in rows} == {False}
    assert videos[1].path is not None
    assert videos[2].path is not None
    shutil.copy(videos[0].path or "", videos[1].path)
    videos[2].path.write_bytes(b"no video")
    second = Reader(set())
    after = score_with_reader(videos, second, {"step": "s"}, run)[0].to_pylist()
    assert second.sizes == [1]
    assert [row["status"] for row in after] == ["ok", "ok", "undecodable", "ok", "ok"]
    assert after[1]["mtime"] == videos[1].path.stat().st_mtime_ns
    assert [after[k] for k in (0, 3, 4)] == [rows[k] for k in (0, 3, 4)]
    assert made_by(run.out) == {"step": "s", "anew": 2}


def test_a_view_reaches_the_sampling() -> None:
    sight = wanted_limits(VlmSettings(hdr="tonemap"))
    assert sampling_of(sight).view.hdr == "tonemap"
    assert sight.record()["hdr"] == "tonemap"
    # Of the view what is not as it is elsewhere.
    plain = wanted_limits(VlmSettings()).record()
    assert plain.keys() == {*vars(sight).keys() - {"view"}, "chroma"}
    assert plain["chroma"] == VlmSettings().record()["chroma"] == VlmSettings().seen()["chroma"] == "reference"
    assert "chroma" not in wanted_limits(VlmSettings(chroma="full")).record()
