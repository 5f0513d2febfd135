"""Anyone's model on real files: what it returns, what it raises, and what is not asked of it twice."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.plugin import BATCH, load_class, score_videos
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import TableError
from mdsvqa.runtime.run import Run
from mdsvqa.videos.about import NAMES
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.video import Video

MAKER = {"step": "scores", "model": "test"}
MODULE = """
from mdsvqa.models.base import Score


class Bright:
    def score(self, clips):
        return [Score(clip.id, 1 + 4 * clip.frames.mean() / 255) for clip in clips]


class NeedsFile:
    def __init__(self, path):
        self.path = path


class Broken:
    def __init__(self):
        raise OSError("no weights at /models")


class NoScore:
    pass


NUMBER = 3
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    """Five films of four frames; film i is flat grey of level 40 * i."""
    folder, found = tmp_path_factory.mktemp("films"), []
    for i in range(5):
        path = folder / f"film {i}.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 40 * i, np.uint8), format="rgb24")
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        found.append(Video(f"v{i}", path))
    return found


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with somebody's models, in a folder on sys.path."""
    name = f"their_models_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_without_torch.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


class Recorder:
    """Scores every clip 3 unless told otherwise, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Clip], Any] = lambda clip: Score(clip.id, 3.0)) -> None:
        self.answer = answer
        self.calls: list[list[str]] = []

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        self.calls.append([clip.id for clip in clips])
        return [self.answer(clip) for clip in clips]


class Returns:
    """Returns the same thing whatever it is asked."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        return self.returned


def run(videos: Sequence[Video], folder: Path, model: Any, maker: dict[str, Any] = MAKER) -> list[dict[str, Any]]:
    """The rows, without what they say of the files."""
    return score_videos(videos, model, maker, 2, Run(folder, Silent(), 1)).drop_columns(list(NAMES)).to_pylist()


def test_a_dotted_path(module: str, videos: list[Video], tmp_path: Path) -> None:
    rows = run(videos, tmp_path / "scores", load_class(f"{module}:Bright"))
    assert [row["id"] for row in rows] == ["v0", "v1", "v2", "v3", "v4"]
    # A lossless file of grey level 40 i.
    assert [row["score"] for row in rows] == pytest.approx([1 + 4 * 40 * i / 255 for i in range(5)])
    assert {row["status"] for row in rows} == {"ok"}


@pytest.mark.parametrize("dotted", ["statistic", "their.module", ":Class", "module:", ".relative:Class", ""])
def test_a_name_that_is_no_dotted_path(dotted: str) -> None:
    with pytest.raises(ModelError, match=r"package\.module:Class"):
        load_class(dotted)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nowhere_{0}:Bright", "No module named.*PYTHONPATH"),
        ("{0}:Brigth", "Brigth.*PYTHONPATH"),
        ("{0}_without_torch:Bright", "No module named 'a_package_nobody_has'"),
        ("{0}:NoScore", r"no method score\(clips\)"),
        ("{0}:NeedsFile", "without arguments failed with TypeError: .*'path'"),
        ("{0}:Broken", "failed with OSError: no weights at /models"),
        ("{0}:NUMBER", "failed with TypeError: 'int' object is not callable"),
    ],
)
def test_a_class_that_cannot_be_used(module: str, what: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_class(what.format(module))


def test_a_model_that_raises_on_one_clip_loses_that_one_only(videos: list[Video], tmp_path: Path) -> None:
    def answer(clip: Clip) -> Score:
        if clip.id == "v2":
            raise RuntimeError("out of memory")
        return Score(clip.id, 4.0, text="fine", spread=0.5)

    rows = {row.pop("id"): row for row in run(videos, tmp_path / "scores", Recorder(answer))}
    failed = rows.pop("v2")
    line = next(n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if '"out of memory"' in text)
    assert failed == {
        "score": None,
        "status": "failed",
        "text": f"RuntimeError: out of memory (test_plugin.py, line {line})",
        "spread": None,
        "expected": None,
        "note": None,
    }
    assert set(rows) == {"v0", "v1", "v3", "v4"}
    assert all(
        row == {"score": 4.0, "status": "ok", "text": "fine", "spread": 0.5, "expected": None, "note": None}
        for row in rows.values()
    )


def test_batches_take_no_more_memory_than_is_allowed(videos: list[Video], tmp_path: Path) -> None:
    class Counts:
        calls: ClassVar[list[int]] = []

        def score(self, clips: Sequence[Clip]) -> list[Score]:
            self.calls.append(sum(clip.frames.nbytes for clip in clips))
            return [Score(clip.id, 3.0) for clip in clips]

    one = 2 * 3 * 16 * 32
    for allowed, sizes in ((2.5, [2 * one, 2 * one, one]), (0.1, [one] * 5), (5.5, [5 * one])):
        Counts.calls.clear()
        run = Run(tmp_path / str(allowed), Silent(), 1)
        rows = score_videos(videos, Counts(), MAKER, 2, run, batch_gb=allowed * one / 1e9).to_pylist()
        assert Counts.calls == sizes
        assert [row["id"] for row in rows] == [video.id for video in videos]


def test_rows_say_what_was_unusual_about_a_file(videos: list[Video], tmp_path: Path) -> None:
    # Ten pictures in a third of a second, the last of which stays.
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        for number in (*range(10), 900):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())

    class Same:
        def score(self, clips: Sequence[Clip]) -> list[Score]:
            return [Score(clip.id, 3.0) for clip in clips]

    rows = score_videos([videos[0], Video("w", path)], Same(), MAKER, 8, Run(tmp_path / "s", Silent(), 1)).to_pylist()
    assert [row["note"] for row in rows] == [None, "1 of 8 frames: few of the file's 11 are shown at those times"]


def test_a_generator_that_raises_half_way(videos: list[Video], tmp_path: Path) -> None:
    class Yields:
        def score(self, clips):
            for clip in clips:
                if clip.id == "v1":
                    raise ValueError("odd")
                yield Score(clip.id, 2.0)

    assert [row["status"] for row in run(videos[:3], tmp_path / "scores", Yields())] == ["ok", "failed", "ok"]


@pytest.mark.parametrize(
    "returned",
    [None, 3.5, [], [3.5, 3.5], [Score("v0", 1.0)], [Score("v1", 1.0), Score("v0", 1.0)], {"v0": 1.0, "v1": 2.0}],
)
def test_something_else_than_a_score_a_clip(returned: Any, videos: list[Video], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Returns\.score must return one Score a clip, in order; found"):
        run(videos[:2], tmp_path / "scores", Returns(returned))


@pytest.mark.parametrize(
    "score",
    [
        Score("v0", float("nan")),
        Score("v0", float("inf")),
        Score("v0", None),
        Score("v0", "4.5"),  # type: ignore[arg-type]
        Score("v0", 3.0, "unparsable"),
        Score("v0", None, "lost"),  # type: ignore[arg-type]
        Video("v0", None),
    ],
)
def test_a_score_that_is_none(score: Any, videos: list[Video], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a finite number and the status 'ok'"):
        run(videos[:1], tmp_path / "scores", Returns([score]))


def test_numpy_numbers_are_numbers(videos: list[Video], tmp_path: Path) -> None:
    rows = run(videos[:1], tmp_path / "scores", Returns([Score("v0", np.float32(2.5))]))
    assert rows[0]["score"] == 2.5


def test_an_unparsable_answer_is_kept_as_one(videos: list[Video], tmp_path: Path) -> None:
    rows = run(videos[:1], tmp_path / "scores", Returns([Score("v0", None, "unparsable", "I like it")]))
    assert rows == [
        {
            "id": "v0",
            "score": None,
            "status": "unparsable",
            "text": "I like it",
            "spread": None,
            "expected": None,
            "note": None,
        }
    ]


def test_a_video_that_cannot_be_decoded(videos: list[Video], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all" * 100)
    model = Recorder()
    rows = run([videos[0], Video("broken", broken), Video("nowhere", None)], tmp_path / "scores", model)
    assert [(row["id"], row["status"], row["score"]) for row in rows] == [
        ("v0", "ok", 3.0),
        ("broken", "undecodable", None),
        ("nowhere", "undecodable", None),
    ]
    assert "no path" in rows[2]["text"]
    assert rows[1]["text"]
    assert model.calls == [["v0"]]


def test_a_model_is_not_called_when_nothing_can_be_decoded(tmp_path: Path) -> None:
    model = Recorder()
    assert run([Video("a", None)], tmp_path / "scores", model)[0]["status"] == "undecodable"
    assert model.calls == []


def test_rows_that_are_there_are_not_asked_for_again(videos: list[Video], tmp_path: Path) -> None:
    first, second, third = Recorder(), Recorder(lambda clip: Score(clip.id, 1.0)), Recorder()
    run(videos[1:3], tmp_path / "scores", first)
    rows = run(videos, tmp_path / "scores", second)
    assert first.calls == [["v1", "v2"]]
    assert second.calls == [["v0", "v3", "v4"]]
    assert {row["id"]: row["score"] for row in rows} == {"v0": 1, "v1": 3, "v2": 3, "v3": 1, "v4": 1}
    assert run(videos, tmp_path / "scores", third) == rows
    assert third.calls == []


def test_what_was_scored_before_a_wrong_answer_is_kept(videos: list[Video], tmp_path: Path) -> None:
    many = [Video(f"w{i:02d}", videos[i % 5].path) for i in range(BATCH + 3)]
    wrong = Recorder(lambda clip: 3.0 if clip.id == many[-1].id else Score(clip.id, 2.0))
    with pytest.raises(ModelError):
        run(many, tmp_path / "scores", wrong)
    model = Recorder()
    rows = run(many, tmp_path / "scores", model)
    assert model.calls == [[video.id for video in many[BATCH:]]]
    assert [row["score"] for row in rows] == [2.0] * BATCH + [3.0] * 3


def test_another_model_s_folder_is_refused(videos: list[Video], tmp_path: Path) -> None:
    run(videos[:1], tmp_path / "scores", Recorder())
    # What took longer than a minute is not made anew unasked.
    (tmp_path / "scores" / "_seconds").write_text("1000\n")
    with pytest.raises(TableError, match="model: test there, other now"):
        run(videos[:1], tmp_path / "scores", Recorder(), {**MAKER, "model": "other"})


def many(videos: list[Video], count: int) -> list[Video]:
    return [Video(f"w{i:02d}", videos[i % 5].path) for i in range(count)]


def test_a_class_that_raises_on_every_clip_ends_at_the_first_batch_with_its_own_traceback(
    videos: list[Video], tmp_path: Path
) -> None:
    def broken(clip: Clip) -> Score:
        raise KeyError(f"no weights for {clip.id}")

    model, some = Recorder(broken), many(videos, 40)
    with pytest.raises(ModelError, match=r"Recorder\.score, on 16 clips in a row, 'w00' the first") as found:
        run(some, tmp_path / "scores", model)
    # A whole batch, then each of its clips alone.
    assert model.calls == [[video.id for video in some[:BATCH]], *([video.id] for video in some[:BATCH])]
    said = str(found.value)
    assert "Traceback (most recent call last)" in said
    assert "in broken" in said
    assert "KeyError: 'no weights for w00'" in said
    assert "plugin.py" not in said.replace("test_plugin.py", "")
    rows = run(some, tmp_path / "scores", Recorder())
    assert [(row["id"], row["score"]) for row in rows] == [(video.id, 3.0) for video in some]


def test_a_class_that_breaks_half_way_ends_and_keeps_what_it_scored(videos: list[Video], tmp_path: Path) -> None:
    some, seen = many(videos, 64), []

    def breaks(clip: Clip) -> Score:
        seen.append(clip.id)
        if clip.id >= "w20":
            raise RuntimeError("device-side assert triggered")
        return Score(clip.id, 2.0)

    with pytest.raises(ModelError, match="device-side assert"):
        run(some, tmp_path / "scores", Recorder(breaks))
    assert max(seen) == "w47"
    rows = {row["id"]: row["score"] for row in run(some, tmp_path / "scores", Recorder())}
    assert rows == {video.id: 2.0 if video.id < "w20" else 3.0 for video in some}


def test_every_third_clip_fails_again_and_again_until_the_class_is_mended(videos: list[Video], tmp_path: Path) -> None:
    some = many(videos, 30)
    third = {video.id for video in some[::3]}

    def answer(clip: Clip) -> Score:
        if clip.id in third:
            raise ValueError("odd")
        return Score(clip.id, 2.0)

    for attempt in range(2):
        model = Recorder(answer)
        rows = run(some, tmp_path / "scores", model)
        assert {row["id"] for row in rows if row["status"] == "failed"} == third
        assert all("ValueError: odd (test_plugin.py, line" in row["text"] for row in rows if row["id"] in third)
        asked = {video for call in model.calls for video in call}
        assert asked == (third if attempt else {video.id for video in some})
    model = Recorder()
    rows = run(some, tmp_path / "scores", model)
    assert {video for call in model.calls for video in call} == third
    assert [row["id"] for row in rows] == [video.id for video in some]
    assert {row["score"] for row in rows if row["id"] in third} == {3.0}
    assert {row["score"] for row in rows if row["id"] not in third} == {2.0}


def test_one_clip_fails_that_stands_alone_in_its_batch(videos: list[Video], tmp_path: Path) -> None:
    some = [Video("nowhere", None), *many(videos, BATCH)]

    def answer(clip: Clip) -> Score:
        if clip.id == "w15":
            raise ValueError("odd")
        return Score(clip.id, 2.0)

    assert [row["status"] for row in run(some, tmp_path / "a", Recorder(answer))] == [
        "undecodable",
        *["ok"] * 15,
        "failed",
    ]
    # Or before all others, among videos that cannot be decoded.
    bad = [Video(f"n{i}", None) for i in range(BATCH - 1)]
    rows = run([*bad, some[-1], *some[1:5]], tmp_path / "b", Recorder(answer))
    assert [row["status"] for row in rows] == [*["undecodable"] * (BATCH - 1), "failed", *["ok"] * 4]


def test_a_few_videos_on_all_of_which_it_raises(videos: list[Video], tmp_path: Path) -> None:
    def broken(clip: Clip) -> Score:
        raise ZeroDivisionError

    for count in (1, 5):
        with pytest.raises(ModelError, match="ZeroDivisionError"):
            run(videos[:count], tmp_path / "scores", Recorder(broken))
    assert {row["score"] for row in run(videos, tmp_path / "scores", Recorder())} == {3.0}


def test_scores_outside_of_the_scale_are_no_scores(videos: list[Video], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"found 7\.3, expected a score from 1 to 5\. Map its scores to 1-5"):
        run(many(videos, 20), tmp_path / "all", Recorder(lambda clip: Score(clip.id, 7.3)))
    odd = {"v1": 0.2, "v2": 1 - 1e-9, "v3": 5 + 1e-9, "v4": 5.0}
    model = Recorder(lambda clip: Score(clip.id, odd.get(clip.id, 1.0)))
    rows = run(videos, tmp_path / "some", model)
    assert [row["status"] for row in rows] == ["ok", "out_of_range", "ok", "ok", "ok"]
    assert (rows[1]["score"], rows[1]["text"]) == (None, "found 0.2, expected a score from 1 to 5")
    assert run(videos, tmp_path / "some", Recorder())[1]["score"] == 3.0
    assert model.calls[-1] == ["v0", "v1", "v2", "v3", "v4"]


def test_a_file_that_was_mended_is_scored_by_the_same_command(videos: list[Video], tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    listed = [videos[0], Video("late", path)]
    assert run(listed, tmp_path / "scores", Recorder())[1]["status"] == "undecodable"
    assert videos[1].path is not None
    path.write_bytes(videos[1].path.read_bytes())
    assert [row["status"] for row in run(listed, tmp_path / "scores", Recorder())] == ["ok", "ok"]
