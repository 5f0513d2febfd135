"""Videos without a score: tried again by the same command, left out of a choice that was made, counted by role."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdsvqa.models.base import ModelError
from mdsvqa.runtime.progress import Silent, terminal
from mdsvqa.runtime.results import TableError, read_table
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import read_study
from mdsvqa.study.result import StudyResult
from mdsvqa.study.run import run_study
from mdsvqa.videos.manifest import load_videos, write_manifest

WriteStudy = Callable[..., Path]
# Raises on clips whose number ends the list beside it; a model of brightness else.
FRAGILE = """
import json
from pathlib import Path
from mdsvqa.models.base import Score

class Fragile:
    def score(self, clips):
        bad = json.loads((Path(__file__).parent / "bad.json").read_text())
        for clip in clips:
            if clip.id in bad:
                raise RuntimeError("no such operator")
        return [Score(clip.id, float(1 + 4 * clip.frames.mean() / 255)) for clip in clips]

class Declines:
    def score(self, clips):
        bad = json.loads((Path(__file__).parent / "bad.json").read_text())
        light = {clip.id: float(1 + clip.frames.mean() / 80) for clip in clips if clip.id not in bad}
        return [
            Score(clip.id, light[clip.id]) if clip.id in light else Score(clip.id, None, "failed", "too short")
            for clip in clips
        ]

    def finetune(self, videos, folder):
        return self
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[str]], None]]:
    (tmp_path / "own_fragile.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def break_on(ids: list[str]) -> None:
        (tmp_path / "bad.json").write_text(json.dumps(ids))

    break_on([])
    yield break_on
    sys.modules.pop("own_fragile", None)


def ids_of(manifest: Path, split: str) -> list[str]:
    with manifest.open() as file:
        return [row["id"] for row in csv.DictReader(file) if row["split"] == split]


def chosen(result: StudyResult) -> list[str]:
    return [row["id"] for row in result.selected]


def test_a_class_that_raises_on_every_third_clip_and_is_mended_goes_on_with_the_choice_that_was_made(
    write_study: WriteStudy,
    fragile: Callable[[list[str]], None],
    small_corpus: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = [video for split in ("train", "pool", "test") for video in ids_of(small_corpus, split)[::3]]
    fragile(bad)
    study = read_study(write_study(quality={"model": "own_fragile:Fragile", "frames": 2}))
    with terminal() as show:
        first = run_study(study, show)
    said = capsys.readouterr().err
    assert f"{len(bad)} of 76 videos without a score, such as {bad[0]} (RuntimeError: no such operator (" in said
    assert set(first.data.failures) == set(bad)
    assert first.data.failures[bad[0]].startswith("the quality model gave no score: RuntimeError: no such operator")
    assert not set(chosen(first)) & set(bad)
    fragile([])
    with terminal() as show:
        second = run_study(study, show)
    said = capsys.readouterr().err
    assert f"Scores: {len(bad)} of {len(bad)} that had no score before" in said
    assert f"{len(bad)} videos had no score when the videos of round 1 were chosen" in said
    assert {row["status"] for row in read_table(study.out / "scores").to_pylist()} == {"ok"}
    assert chosen(second) == chosen(first)
    np.testing.assert_array_equal(second.difficulty, first.difficulty)
    # Anew, on request, with all of them.
    third = run_study(study, Silent(), overwrite=True)
    assert not third.data.failures
    assert len(third.difficulty) == 24
    assert chosen(run_study(study, Silent())) == chosen(third)


def test_a_class_that_raises_on_every_clip_and_is_mended_ends_as_one_that_never_did(
    write_study: WriteStudy, fragile: Callable[[list[str]], None], small_corpus: Path
) -> None:
    quality = {"model": "own_fragile:Fragile", "frames": 2}
    whole = run_study(read_study(write_study("whole.yaml", out="whole", quality=quality)), Silent())
    fragile([video for split in ("train", "pool", "test") for video in ids_of(small_corpus, split)])
    study = read_study(write_study(quality=quality))
    with pytest.raises(ModelError, match=r"(?s)16 clips in a row.*RuntimeError: no such operator"):
        run_study(study, Silent())
    fragile([])
    mended = run_study(study, Silent())
    assert chosen(mended) == chosen(whole)
    np.testing.assert_array_equal(mended.scores[0], whole.scores[0])


def test_files_that_are_mended_after_the_choice_go_on_with_the_choice_that_was_made(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = load_videos(small_corpus)
    broken = [ids_of(small_corpus, split)[0] for split in ("train", "pool", "test")]
    mended = {video.id: video.path.read_bytes() for video in videos if video.id in broken and video.path}
    moved = [replace(v, path=tmp_path / f"{v.id}.mkv") if v.id in broken else v for v in videos]
    for video in broken:
        (tmp_path / f"{video}.mkv").write_bytes(b"cut off")
    write_manifest(tmp_path / "manifest.csv", [replace(v, mos=None) if v.split == "pool" else v for v in moved])
    written = write_study(videos=str(tmp_path / "manifest.csv"), labels="labels.csv")
    study = read_study(written)
    first = run_study(study, Silent())
    assert set(first.data.failures) == set(broken)
    asked = (study.out / "round-1" / "to_label.csv").read_bytes()
    for video, content in mended.items():
        (tmp_path / f"{video}.mkv").write_bytes(content)
    capsys.readouterr()
    with terminal() as show:
        second = run_study(study, show)
    assert f"3 videos could not be decoded when the videos of round 1 were chosen, such as {broken[0]}" in (
        capsys.readouterr().err
    )
    assert chosen(second) == chosen(first)
    assert (study.out / "round-1" / "to_label.csv").read_bytes() == asked
    assert set(second.data.failures) == set(broken)
    truth = {video.id: video.mos for video in videos}
    (tmp_path / "labels.csv").write_text("id,mos\n" + "".join(f"{id},{truth[id]}\n" for id in chosen(first)))
    third = run_study(study, Silent())
    assert not third.waiting_for
    assert chosen(third) == chosen(first)
    anew = run_study(study, Silent(), overwrite=True)
    assert not anew.data.failures


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (
            "pool",
            "the choice needs at least 1 pool videos .*32 of 32 source, 8 of 8 held-out, 0 of 24 pool, 12 of 12 test",
        ),
        (
            "train",
            "the failure predictor needs at least 10 source videos .*3 of 32 source, 8 of 8 held-out, 24 of 24 pool",
        ),
        ("test", "the comparison needs at least 5 test videos .*24 of 24 pool, 1 of 12 test videos have one"),
    ],
)
def test_a_role_with_too_few_scores_is_said_with_the_counts(
    write_study: WriteStudy, fragile: Callable[[list[str]], None], small_corpus: Path, split: str, words: str
) -> None:
    with small_corpus.open() as file:
        target = split != "train"
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    role = [row["id"] for row in rows if (row["dataset"] == "simulated-target") == target]
    fragile(role[{"pool": 0, "train": 3, "test": 1}[split] :])
    comparison = {"rules": ["k-means"], "seeds": 2}
    study = write_study(quality={"model": "own_fragile:Declines", "frames": 2}, comparison=comparison)
    with pytest.raises(ConfigError, match=words) as found:
        run_study(read_study(study), Silent())
    assert "The first without: too short. Mend the model" in str(found.value)


def test_predictions_that_were_missing_are_filled_in_by_the_same_command(
    write_study: WriteStudy, small_corpus: Path, tmp_path: Path
) -> None:
    every = [video for split in ("train", "pool", "test") for video in ids_of(small_corpus, split)]
    rng = np.random.default_rng(0)
    scores = {video: round(rng.uniform(1, 5), 3) for video in every}

    def write(without: list[str], changed: dict[str, float] | None = None) -> None:
        rows = {video: score for video, score in {**scores, **(changed or {})}.items() if video not in without}
        (tmp_path / "p.csv").write_text("id,score\n" + "".join(f"{video},{score}\n" for video, score in rows.items()))

    pool = ids_of(small_corpus, "pool")
    study = read_study(write_study(quality={"model": "precomputed", "predictions": "p.csv"}))
    write(pool[:2])
    first = run_study(study, Silent())
    assert set(first.data.failures) == set(pool[:2])
    write([])
    second = run_study(study, Silent())
    assert chosen(second) == chosen(first)
    stored = {row["id"]: row["score"] for row in read_table(study.out / "scores").to_pylist()}
    assert stored == scores
    # What was predicted before and is another number now is another model; what took long is not made anew unasked.
    write([], {pool[5]: 1.234})
    (study.out / "scores" / "_seconds").write_text("1000\n")
    with pytest.raises(TableError, match="other predictions"):
        run_study(study, Silent())
