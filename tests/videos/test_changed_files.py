"""Rows are reused only where the file is the same; one that changed is done anew, and said."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.open import load_model
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import ABOUT, made_by, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.study import steps
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.video import Video
from videos.films import film, flat

SECOND = 1_000_000_000


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    for n in range(5):
        film(folder / f"v{n}.mkv", [flat(30 * n)] * 3)
    return folder


def features(pool: Path, out: Path) -> tuple[dict[str, dict], list[str]]:
    notes = Notes()
    table = extract_features(load_videos(pool), 2, Run(out, notes))
    return {row["id"]: row for row in table.to_pylist()}, notes.said


def test_a_replaced_file_is_done_anew_and_said(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    before, _ = features(pool, out)
    order = read_table(out)["id"].to_pylist()
    assert features(pool, out) == (before, [f"Features: all 5 reused from {out}"])
    film(pool / "v1.mkv", [flat(200)] * 3)
    film(pool / "v3.mkv", [flat(210)] * 3)
    after, said = features(pool, out)
    assert said == [
        "Features: 2 of 5 done anew, because their files changed since: v1.mkv, v3.mkv",
        f"Features: 3 of 5 reused from {out}",
    ]
    assert {name for name in before if before[name] != after[name]} == {"v1.mkv", "v3.mkv"}
    assert read_table(out)["id"].to_pylist() == order
    fresh, _ = features(pool, tmp_path / "fresh")
    assert after == fresh
    assert made_by(out)["anew"] == 2
    assert features(pool, out)[1] == [f"Features: all 5 reused from {out}"]


def test_the_time_of_change_counts_where_the_size_is_the_same(pool: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "features", pool / "v1.mkv"
    features(pool, out)
    content = bytearray(path.read_bytes())
    state = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    _, said = features(pool, out)
    assert "1 of 5 done anew" in said[0]


def test_a_copy_whose_time_lost_its_fraction_is_the_same_file(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    for path in pool.iterdir():
        os.utime(path, ns=(0, 1_700_000_000 * SECOND + 123))
    features(pool, out)
    for path in pool.iterdir():
        os.utime(path, ns=(0, 1_700_000_000 * SECOND))
    assert features(pool, out)[1] == [f"Features: all 5 reused from {out}"]
    for path in pool.iterdir():
        os.utime(path, ns=(0, 1_700_000_001 * SECOND))
    assert "5 of 5 done anew" in features(pool, out)[1][0]


def test_a_file_that_broke_loses_its_row_and_gets_it_back(pool: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "features", pool / "v2.mkv"
    before, _ = features(pool, out)
    whole = path.read_bytes()
    path.write_bytes(b"no video any more")
    broken, said = features(pool, out)
    assert broken["v2.mkv"]["status"] == "undecodable"
    assert "1 of 5 done anew" in said[0]
    path.write_bytes(whole)
    mended, said = features(pool, out)
    assert mended["v2.mkv"]["features"] == before["v2.mkv"]["features"]
    assert said[0] == "Features: 1 of 1 that could not be decoded before"


def test_a_file_that_is_away_keeps_its_row(pool: Path, tmp_path: Path) -> None:
    videos = load_videos(pool)
    first = extract_features(videos, 2, Run(tmp_path / "features"))
    for path in pool.iterdir():
        path.unlink()
    assert extract_features(videos, 2, Run(tmp_path / "features")).equals(first)


def forget_files(folder: Path) -> None:
    """Makes a result what it was before rows said what file they were made of."""
    for shard in folder.glob("part-*.parquet"):
        pq.write_table(pq.read_table(shard).drop_columns([name for name, _ in ABOUT]), shard)


def test_rows_that_do_not_know_their_file_are_reused(pool: Path, tmp_path: Path) -> None:
    for out, make in (
        (tmp_path / "features", lambda run: extract_features(load_videos(pool), 2, run)),
        (tmp_path / "content", lambda run: encode_content(load_videos(pool), ContentSettings(), run)),
    ):
        notes = Notes()
        make(Run(out))
        forget_files(out)
        old = read_table(out)
        film(pool / "v4.mkv", [flat(1)] * 3)
        assert make(Run(out, notes)).equals(old)
        assert len(notes.said) == 1
        assert "all 5 reused" in notes.said[0]
        film(pool / "v9.mkv", [flat(99)] * 3)
        more = make(Run(out))
        assert [row["size"] is None for row in more.to_pylist()] == [True] * 5 + [False]
        (pool / "v9.mkv").unlink()


def test_content_of_a_changed_file(pool: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "content")
    before = encode_content(load_videos(pool), ContentSettings(), run).to_pylist()
    picture = flat(10)
    picture[:, 20:30] = (255, 0, 0)
    film(pool / "v0.mkv", [picture] * 3)
    after = encode_content(load_videos(pool), ContentSettings(), run).to_pylist()
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False, False, False, False]


class Bright:
    """Scores a clip by its brightness, 1 to 5."""

    def score(self, clips: list) -> list:
        from mdsvqa.models.base import Score

        return [Score(clip.id, 1 + 4 * float(clip.frames.mean()) / 255) for clip in clips]


def test_scores_of_a_changed_file_by_a_class_and_by_a_saved_model(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(3)]
    labeled = [Video(v.id, v.path, split="train", mos=1.0 + n % 5) for n, v in enumerate(load_videos(pool) * 1)]
    extra = []
    for n in range(20):
        path = film(tmp_path / f"t{n}.mkv", [np.roll(noise[0] // (1 + n % 7), n, axis=1)] * 3)
        extra.append(Video(f"t{n}", path, split="train", mos=1.0 + (n % 9) / 2))
    steps.score([*labeled, *extra], load_model("statistical"), 2, Run(tmp_path / "first"), seed=0)
    saved = str(tmp_path / "first" / "_model.safetensors")
    monkeypatch.setattr("mdsvqa.models.open.load_class", lambda name: Bright())
    for model in (saved, "module:Bright"):
        out = tmp_path / Path(model).stem.lstrip("_").replace(":", "-")
        # Scores of a saved model are quick, and all made anew; its features are not.
        counted = out / "_features" if model == saved else out
        film(pool / "v1.mkv", [flat(30)] * 3)
        before = steps.score(load_videos(pool), load_model(model), 2, Run(out), seed=0)
        film(pool / "v1.mkv", noise)
        after = steps.score(load_videos(pool), load_model(model), 2, Run(out), seed=0)
        changed = [old != new for old, new in zip(before["score"].to_pylist(), after["score"].to_pylist(), strict=True)]
        assert changed == [False, True, False, False, False]
        assert after["mtime"].to_pylist()[1] == (pool / "v1.mkv").stat().st_mtime_ns
        assert made_by(counted)["anew"] == 1
        assert isinstance(after, pa.Table)
        again = steps.score(load_videos(pool), load_model(model), 2, Run(out), seed=0)
        assert again.equals(after)
        assert made_by(counted)["anew"] == 1
