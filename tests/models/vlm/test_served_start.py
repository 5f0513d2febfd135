"""What is sent to vLLM, and what is found out before the first video, against a server that speaks its protocol."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("openai")

from commands import printed
from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.vlm.answer_odds import AnswerOdds
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.served import ServedModel
from mdsvqa.models.vlm.served_many import score_served
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_meta
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos

from .fake_vllm import FakeVllm, running

SMALL = {"max_pixels": 8 * 28 * 28, "min_pixels": 8 * 28 * 28}


def clips(rate: float) -> list[ModelClip]:
    rng = np.random.default_rng(0)
    sizes = (2, 4, 10)
    return [
        ModelClip(f"clip-{n}", rng.integers(0, 256, (2 * n, 3, 28, 56), dtype=np.uint8), 2 / rate, 2 * n) for n in sizes
    ]


def model_of(url: str, notes: list[str] | None = None, **settings: object) -> ServedModel:
    served = ServedSettings(url=url, model="m", retries=0)
    return ServedModel(served, VlmSettings(**{**SMALL, **settings}), (notes if notes is not None else []).append)


@pytest.mark.parametrize("reading", ["generate", "expected"])
@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 4.0])
def test_times_are_said_at_every_rate_that_the_server_does_not_assume(rate: float, reading: str) -> None:
    fake = FakeVllm()
    with running(fake) as url:
        model = model_of(url, fps=rate, reading=reading)
        fake.asked.clear()
        scores = model.read(clips(rate))
    assert {score.status for score in scores} <= {"ok", "out_of_range"}
    assert fake.asked
    for body in fake.asked:
        wanted = None if rate == 2 else {"video": {"num_frames": -1, "fps": rate}}
        assert body.get("media_io_kwargs") == wanted
        assert "mm_processor_kwargs" not in body
        assert (body["temperature"], body["top_p"], body["top_k"]) == (0.0, 1.0, -1)
        # Of the checkpoint, as vLLM takes it where nothing is said.
        assert "repetition_penalty" not in body


def test_a_penalty_that_is_asked_for_is_sent() -> None:
    fake = FakeVllm()
    with running(fake) as url:
        model = model_of(url, repetition_penalty=1.2, max_new_tokens=2048)
        fake.asked.clear()
        model.read(clips(2.0)[:1])
    assert (fake.asked[0]["repetition_penalty"], fake.asked[0]["max_tokens"]) == (1.2, 2048)


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_a_server_that_refuses_to_be_told_times_is_one_sentence_with_the_flag(rate: float) -> None:
    fake = FakeVllm(trusts=False)
    with running(fake) as url, pytest.raises(ModelError, match="Start vLLM with --trust-request-mm-kwargs") as error:
        model_of(url, fps=rate)
    assert "\n" not in str(error.value)
    # Nothing of a video was asked before.
    assert all("media_io_kwargs" not in body for body in fake.asked)


def test_at_the_usual_rate_nothing_has_to_be_told() -> None:
    fake, notes = FakeVllm(trusts=False), []
    with running(fake) as url:
        model = model_of(url, notes)
        fake.asked.clear()
        assert {score.status for score in model.read(clips(2.0))} <= {"ok", "out_of_range"}
    assert all("media_io_kwargs" not in body for body in fake.asked)
    assert notes == []


@pytest.mark.parametrize("trusts", [True, False])
def test_a_server_that_assumes_another_rate_is_told_or_found_out(trusts: bool) -> None:
    fake = FakeVllm(trusts=trusts, assumes=1.0)
    with running(fake) as url:
        if trusts:
            model = model_of(url)
            fake.asked.clear()
            model.read(clips(2.0))
            assert all(body["media_io_kwargs"]["video"]["fps"] == 2.0 for body in fake.asked)
        else:
            with pytest.raises(ModelError, match=r"to have other times.*--media-io-kwargs"):
                model_of(url)


def test_what_cannot_be_checked_is_said() -> None:
    for fake in (FakeVllm(trusts=False, reads_files=False), FakeVllm(logprobs=False)):
        notes: list[str] = []
        with running(fake) as url:
            model_of(url, notes)
        assert len(notes) == 1
        assert "cannot be found out" in notes[0]


@pytest.mark.parametrize("version", ["0.18.1", "0.32.0", None])
@pytest.mark.parametrize("rate", [0.5, 2.0, 4.0])
def test_a_server_that_ignores_times_is_found_out_before_the_first_video(
    rate: float, version: str | None, small_corpus, tmp_path
) -> None:
    fake = FakeVllm(minds=False, version=version)
    settings = VlmSettings(fps=rate, **SMALL)
    videos = load_videos(small_corpus)[:3]
    with (
        running(fake) as url,
        pytest.raises(ModelError, match="ignores the times .*" + (version or "--no-counts-time")),
    ):
        score_served(videos, ServedSettings(url=url, model="m"), settings, Run(tmp_path / "out", Silent(), 0))
    assert not (tmp_path / "out").exists()


def test_a_family_that_counts_no_time_is_served_with_a_note() -> None:
    fake, notes = FakeVllm(minds=False, a_frame=256), []
    with running(fake) as url:
        model_of(url, notes, fps=4.0)
    assert len(notes) == 1
    assert "counts no time" in notes[0]


@pytest.mark.parametrize("reading", ["generate", "expected"])
def test_a_model_that_is_said_to_count_no_time_is_told_none(reading: str) -> None:
    fake, notes = FakeVllm(minds=False, trusts=False), []
    with running(fake) as url:
        served = ServedSettings(url=url, model="m", retries=0, counts_time=False)
        model = ServedModel(served, VlmSettings(**SMALL, fps=4.0, reading=reading), notes.append)
        assert {score.status for score in model.read(clips(4.0))} <= {"ok", "out_of_range"}
        assert model.abilities.overhead == 30
    assert not any("media_io_kwargs" in body for body in [*fake.asked, *fake.refused])
    assert notes == []


def test_the_expected_score_is_that_of_all_answers_by_their_probabilities() -> None:
    fake = FakeVllm()
    with running(fake) as url:
        model = model_of(url, reading="expected")
        assert model.abilities.exact
        found = model.read(clips(2.0))
    for clip, score in zip(clips(2.0), found, strict=True):
        seen = f"{len(clip.frames)} 2.0 {model.question}"
        odds = AnswerOdds()
        for beginning in ["", *"1234", *(f"{d}." for d in "1234"), *(f"{d}.{t}" for d in "1234" for t in "0123456789")]:
            odds.add(beginning, ["x"], [fake.odds(seen, beginning)[:11]])
        assert not odds.doubts()
        assert score.score == pytest.approx(odds.value, abs=0.002)


def test_frames_are_sent_once_and_again_when_they_were_forgotten() -> None:
    fake = FakeVllm()
    with running(fake) as url:
        model = model_of(url, reading="expected")
        fake.asked.clear()
        model.read(clips(2.0)[-1:])
        parts = [body["messages"][0]["content"][0] for body in fake.asked]
        assert len(parts) > 2
        assert [part["video_url"] is None for part in parts] == [False] + [True] * (len(parts) - 1)
        assert len({part["uuid"] for part in parts}) == 1
        fake.remembers, fake.refused = 2, []
        wanted = model.read(clips(2.0))
        assert fake.refused
        fake.remembers = 1_000_000
        assert model.read(clips(2.0)) == wanted


@pytest.mark.parametrize("reading", ["generate", "expected"])
def test_a_server_that_changes_the_size_of_frames_is_said_once(reading: str) -> None:
    notes: list[str] = []
    fake = FakeVllm()
    with running(fake) as url:
        model = model_of(url, notes, reading=reading)
        assert model.abilities.overhead == 30
        model.read(clips(2.0))
        assert notes == []
        fake.most_tokens = 5
        model.read(clips(2.0))
    assert len(notes) == 1
    assert "changes the size of frames" in notes[0]


def test_where_a_reply_cannot_be_begun_the_score_is_read_along_it() -> None:
    fake = FakeVllm(tokenises=False)
    with running(fake) as url:
        model = model_of(url, reading="expected")
        assert not model.abilities.exact
        scores = model.read(clips(2.0))
    assert all(len(body["messages"]) == 1 for body in fake.asked)
    assert all(score.status in ("ok", "unparsable") for score in scores)


def test_the_record_names_the_server_and_what_the_score_was_read_from(small_corpus: Path, tmp_path: Path) -> None:
    fake, settings = FakeVllm(), VlmSettings(reading="expected", **SMALL)
    with running(fake) as url:
        served = ServedSettings(url=url, model="m")
        score_served(load_videos(small_corpus)[:3], served, settings, Run(tmp_path / "out", Silent(), 0))
    maker = read_meta(tmp_path / "out")["maker"]
    assert (maker["server"], maker["probabilities"]) == ("vllm 0.32.0", "of all answers")


def test_the_command_ends_with_the_sentence_and_no_traceback(small_corpus: Path, tmp_path: Path, capsys) -> None:
    with running(FakeVllm(trusts=False)) as url:
        options = ["--server", url, "--model", "m", "--fps", 4, "--out", tmp_path / "out"]
        _, said = printed(capsys, "score", small_corpus, *options, code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "--trust-request-mm-kwargs" in line
    assert "Traceback" not in said


def test_a_table_through_the_server_says_what_was_asked(small_corpus: Path, tmp_path: Path, capsys) -> None:
    fake = FakeVllm()
    with running(fake) as url:
        where = ["--server", url, "--model", "m", "--out", tmp_path / "out"]
        options = ["--fps", 1, "--read", "expected", "--prompt", "How good is it?", "--json"]
        result, said = printed(capsys, "score", small_corpus, *where, *options)
    assert json.loads(result)["ok"] > 0
    assert {body["messages"][0]["content"][-1]["text"] for body in fake.asked} == {"How good is it?"}
    assert "was not trained on" in said
