"""Against a real `transformers serve` of the tiny model, and pure parts without one."""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("openai")

pytest.importorskip("httpx2")

import httpx2
from openai import AsyncOpenAI

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, read_clip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.replies import expected_in_reply
from mdsvqa.models.vlm.served import ServedModel
from mdsvqa.models.vlm.served_many import score_served
from mdsvqa.models.vlm.served_messages import digit_probabilities, frame_parts, request_fields, score_of_probabilities
from mdsvqa.report.figures import measure
from mdsvqa.report.write import write_results
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_meta, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import read_study
from mdsvqa.study.run import run_study
from mdsvqa.videos.manifest import load_videos

PIXELS = 8 * 28 * 28
SETTINGS = VlmSettings(max_new_tokens=48, frames=1, max_pixels=PIXELS, min_pixels=PIXELS)
# `transformers serve` as it is, on a torchvision that was built for CUDA: beside a CPU torch it needs the declarations,
# and its decoder of pictures is missing.
LAUNCH = """
import io, sys
import mdsvqa.models.transformers_vision
import numpy, PIL.Image, torch, torchvision.io, torchvision.io.image

def decode_image(data, mode=None, **_):
    picture = PIL.Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB")
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)

torchvision.io.decode_image = torchvision.io.image.decode_image = decode_image
from transformers.cli.transformers import main
sys.exit(main())
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(model: Path, port: int, home: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", LAUNCH, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen([*command, "--device", "cpu"], env={**os.environ, **offline}, stdout=log, stderr=log)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            assert process.poll() is None, (home / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        else:
            return process
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module")
def served_vlm(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, with limits on pictures as wide as the real one's."""
    folder = tmp_path_factory.mktemp("served") / "vlm"
    shutil.copytree(tiny_vlm, folder)
    config = folder / "processor_config.json"
    found = json.loads(config.read_text())
    found["image_processor"]["size"] = {"shortest_edge": 28 * 28, "longest_edge": 16384 * 28 * 28}
    config.write_text(json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def server(served_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    (home / "hub").mkdir()
    process = start(served_vlm, port, home)
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait(30)


def served(url: str, model: Path | str, **settings: object) -> ServedSettings:
    return ServedSettings(url=url, model=str(model), concurrency=4, **{"retries": 1, **settings})


@pytest.fixture(scope="module")
def local(served_vlm: Path) -> VlmReader:
    return VlmReader(load_checkpoint(SETTINGS, str(served_vlm)), SETTINGS)


def test_a_table_through_the_server_is_that_of_the_model_itself_and_a_rerun_asks_nothing(
    server, served_vlm, local, small_corpus, tmp_path
) -> None:
    videos = load_videos(small_corpus)[:6]
    table = score_served(videos, served(server, served_vlm), SETTINGS, Run(tmp_path / "scores", Silent(), 0))
    rows = table.to_pylist()
    # A single frame is to the model the same as a picture and as a video, which repeats it.
    own = local.read([read_clip(video, local.sight) for video in videos])
    assert [(row["id"], row["status"], row["score"]) for row in rows] == [(s.id, s.status, s.score) for s in own]
    assert sum(row["status"] == "ok" for row in rows) >= 3, [row["text"] for row in rows]
    # The server does not stop at the closing tag, and trims the thinking that it keeps apart.
    written = [
        ["".join(text.split("</answer>")[0].split()) for text in texts]
        for texts in ([row["text"] for row in rows], [str(score.text) for score in own])
    ]
    assert written[0] == written[1]
    again = score_served(videos, served(server, served_vlm), SETTINGS, Run(tmp_path / "scores", Silent(), 0))
    assert again.to_pylist() == rows


def test_several_frames_go_as_pictures_and_drawn_replies_differ(server, served_vlm, small_corpus) -> None:
    settings = SETTINGS.model_copy(update={"frames": 3, "samples": 3})
    model = ServedModel(served(server, served_vlm), settings)
    assert (model.kind, model.as_video) == ("transformers", False)
    clips = [read_clip(video, model.sight) for video in load_videos(small_corpus)[:2]]
    assert [len(clip.frames) for clip in clips] == [3, 3]

    async def texts() -> list[set[str]]:
        async with model.client() as client:
            found = []
            for clip in clips:
                content = [*frame_parts(clip, as_video=False), {"type": "text", "text": model.question}]
                choices = await model._choices(client, clip, content, 3, 0)
                found.append({choice.message.content for choice in choices})
            return found

    assert max(len(drawn) for drawn in asyncio.run(texts())) > 1
    assert {score.status for score in model.read(clips)} <= {"ok", "out_of_range", "unparsable"}


def test_a_server_of_another_model_is_named_with_what_it_has(server, served_vlm) -> None:
    with pytest.raises(ModelError, match="'someone/else'") as error:
        ServedModel(served(server, "someone/else"), SETTINGS)
    assert str(served_vlm) in str(error.value)


def test_a_video_part_that_the_server_cannot_read_is_said_once(server, served_vlm, small_corpus) -> None:
    model = ServedModel(served(server, served_vlm, frames_as="video", retries=0), SETTINGS)
    clips = [read_clip(video, model.sight) for video in load_videos(small_corpus)[:3]]
    with pytest.raises(ModelError, match="replies to none of 3 videos"):
        model.read(clips)


def test_the_expected_score_needs_probabilities_that_this_server_has_not(server, served_vlm, small_corpus) -> None:
    model = ServedModel(served(server, served_vlm), SETTINGS.model_copy(update={"reading": "expected"}))
    clip = read_clip(load_videos(small_corpus)[0], model.sight)
    with pytest.raises(ModelError, match="probabilities of tokens"):
        model.read([clip])


def test_a_reply_that_does_not_come_in_time_fails_its_video_only(server, served_vlm, small_corpus) -> None:
    model = ServedModel(served(server, served_vlm), SETTINGS)
    model.served = model.served.model_copy(update={"timeout": 0.001})
    score = model.read([read_clip(load_videos(small_corpus)[0], model.sight)])[0]
    assert (score.status, score.score) == ("failed", None)
    assert "no answer within" in str(score.text)


class KillAfter(Silent):
    """Kills a server when so many videos are done."""

    def __init__(self, process: "subprocess.Popen[bytes]", count: int) -> None:
        self.process, self.count = process, count

    def progress(self, label: str, done: int, total: int, state: str = "") -> None:
        if done >= self.count and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)


def test_a_server_that_dies_on_the_way_leaves_what_was_scored_and_a_rerun_completes_it(
    served_vlm, local, small_corpus, tmp_path
) -> None:
    videos, port = load_videos(small_corpus)[:10], free_port()
    (tmp_path / "hub").mkdir()
    settings, out = served(f"http://127.0.0.1:{port}/v1", served_vlm, retries=0), tmp_path / "scores"
    process = start(served_vlm, port, tmp_path)
    # The first window is four videos; the server is gone in the middle of the second.
    with pytest.raises(ModelError, match="cannot be reached"):
        score_served(videos, settings, SETTINGS, Run(out, KillAfter(process, 6), 0))
    assert read_table(out)["id"].to_pylist() == [video.id for video in videos[:4]]
    process = start(served_vlm, port, tmp_path)
    rows = score_served(videos, settings, SETTINGS, Run(out, Silent(), 0)).to_pylist()
    process.kill()
    process.wait(30)
    own = local.read([read_clip(video, local.sight) for video in videos])
    assert [(row["id"], row["status"], row["score"]) for row in rows] == [(s.id, s.status, s.score) for s in own]


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        ServedModel(ServedSettings(url="http://127.0.0.1:9/v1", model="m", retries=0), SETTINGS)


class Scripted(ServedModel):
    """A served model whose server gives scripted answers: (status, body, headers) or an exception."""

    def __init__(self, answers: list[object], monkeypatch, **settings: object) -> None:
        self.served = ServedSettings(url="http://server", model="m", retries=2, **settings)
        self.settings, self.kind, self.as_video, self._answered = SETTINGS, "vllm", True, False
        self.sight = VisualLimits(frames=1)
        self.answers, self.asked, self.waits = list(answers), [], []

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        monkeypatch.setattr("mdsvqa.models.vlm.served.asyncio.sleep", sleep)

    def client(self) -> AsyncOpenAI:
        def handle(request: httpx2.Request) -> httpx2.Response:
            self.asked.append(json.loads(request.content))
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            status, body, headers = answer
            return httpx2.Response(status, json=body, headers=headers)

        transport = httpx2.AsyncClient(transport=httpx2.MockTransport(handle))
        return AsyncOpenAI(base_url="http://server/v1", api_key="k", max_retries=0, http_client=transport)


def completion(text: str, **choice: object) -> tuple[int, dict[str, object], dict[str, str]]:
    chosen = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **choice}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [chosen]}
    return 200, body, {}


CLIP = ModelClip("a", np.zeros((2, 3, 28, 28), np.uint8), 1.0, 1)
BUSY = (429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})


def test_what_may_pass_is_tried_again_after_the_wait_that_the_server_asks_for(monkeypatch) -> None:
    failing = (500, {"error": "oh"}, {})
    model = Scripted([BUSY, failing, completion("<answer>3.5", stop_reason="</answer>")], monkeypatch)
    assert model.read([CLIP]) == [Score("a", 3.5, "ok", "<answer>3.5</answer>")]
    assert model.waits[0] == 7.0
    assert 1.0 <= model.waits[1] < 2.0
    assert model.asked[0] == model.asked[2]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([BUSY] * 3, "stays overloaded .*slow down"),
        ([httpx2.ConnectError("gone")] * 3, "cannot be reached .*gone"),
        ([(401, {"error": {"message": "who?"}}, {})], "MDSVQA_API_KEY"),
        ([(404, {"error": {"message": "no model m"}}, {})], "asked for model 'm'"),
    ],
)
def test_what_is_not_for_a_video_ends_the_run(answers, words, monkeypatch) -> None:
    model = Scripted(answers, monkeypatch)
    with pytest.raises(ModelError, match=words):
        model.read([CLIP])
    assert len(model.asked) == len(answers)


def test_what_is_for_a_video_is_its_outcome_in_the_servers_words(monkeypatch) -> None:
    model = Scripted([(400, {"error": {"message": "too long"}}, {})], monkeypatch)
    assert model.read([CLIP]) == [Score("a", None, "failed", "400: too long")]
    model = Scripted([(500, {"error": {"message": "oh"}}, {})] * 3, monkeypatch)
    assert model.read([CLIP]) == [Score("a", None, "failed", "500: oh")]
    model = Scripted([httpx2.ReadTimeout("late")], monkeypatch)
    assert model.read([CLIP])[0].text == "no answer within 300 s"


def test_thinking_that_a_server_keeps_apart_is_part_of_the_reply(monkeypatch) -> None:
    message = {"role": "assistant", "content": "<answer>2", "reasoning_content": "Blurred."}
    model = Scripted([completion("", message=message, matched_stop="</answer>")], monkeypatch)
    assert model.read([CLIP]) == [Score("a", 2.0, "ok", "<think>Blurred.</think>\n<answer>2</answer>")]


def test_a_server_that_drops_frames_is_an_error_and_not_a_score(monkeypatch) -> None:
    status, body, headers = completion("<answer>3.5</answer>")
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    model = Scripted([(status, {**body, "usage": usage}, headers)], monkeypatch)
    with pytest.raises(ModelError, match="drops frames"):
        model.read([ModelClip("a", CLIP.frames, 1.0, 21)])


@pytest.mark.parametrize("choice", [{"stop_reason": 151645}, {"finish_reason": "length"}, {}])
def test_a_reply_that_was_not_stopped_at_the_tag_stays_unclosed(choice, monkeypatch) -> None:
    model = Scripted([completion("<answer>3.5", **choice)], monkeypatch)
    assert model.read([CLIP])[0].status == "unparsable"


def test_requests_say_what_each_kind_of_server_needs_to_hear() -> None:
    vllm = request_fields("vllm", SETTINGS, CLIP, as_video=True)
    assert (vllm["temperature"], vllm["stop"], vllm["top_logprobs"]) == (0.0, ["</answer>"], 20)
    assert vllm["extra_body"] == {"top_k": -1}
    slow = ModelClip("b", np.zeros((4, 3, 28, 28), np.uint8), 4.0, 2)
    extra = request_fields("vllm", SETTINGS, slow, as_video=True, replies=3, seed=5)
    assert (extra["n"], extra["seed"], extra["temperature"]) == (3, 5, 1.0)
    assert extra["extra_body"]["media_io_kwargs"] == {"video": {"num_frames": -1, "fps": 0.5}}
    # A single step of time has no times.
    short = ModelClip("c", CLIP.frames, 4.0, 1)
    assert "media_io_kwargs" not in request_fields("vllm", SETTINGS, short, as_video=True)["extra_body"]
    penalised = SETTINGS.model_copy(update={"repetition_penalty": 1.25})
    assert request_fields("sglang", penalised, CLIP, as_video=False)["extra_body"]["repetition_penalty"] == 1.25
    assert request_fields("transformers", penalised, CLIP, as_video=False)["frequency_penalty"] == 0.25
    tf = request_fields("transformers", SETTINGS, CLIP, as_video=False)
    assert "frequency_penalty" not in tf
    assert "stop" not in tf
    assert "logprobs" not in tf
    assert set(request_fields("openai", SETTINGS, CLIP, as_video=False)) == {"max_tokens", "temperature", "top_p"}


def test_frames_go_out_without_loss_as_pictures_and_as_a_video() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 56, 84), dtype=np.uint8)
    clip = ModelClip("a", frames, 1.0, 6)

    def decoded(data: str) -> np.ndarray:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)

    urls = [part["image_url"]["url"] for part in frame_parts(clip, as_video=False)]
    assert np.array_equal([decoded(url.removeprefix("data:image/png;base64,")) for url in urls], frames)
    (video,) = frame_parts(clip, as_video=True)
    sent = video["video_url"]["url"].removeprefix("data:video/jpeg;base64,").split(",")
    assert np.array_equal([decoded(data) for data in sent], frames)
    (lossy, _) = frame_parts(clip, as_video=False, picture="jpeg")
    shown = decoded(lossy["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    assert 0 < np.abs(shown.astype(int) - frames[0]).mean() < 3


def a_step(token: str, **chances: float) -> SimpleNamespace:
    listed = [SimpleNamespace(token=t.strip("_"), logprob=float(np.log(p))) for t, p in chances.items()]
    return SimpleNamespace(token=token, logprob=-0.1, top_logprobs=listed)


def test_the_expected_score_is_read_from_a_servers_probabilities() -> None:
    point = SimpleNamespace(token=".", logprob=0.0, top_logprobs=[])
    steps = [
        SimpleNamespace(token="<answer>", logprob=0.0, top_logprobs=[]),
        a_step("3", _3=0.75, _4=0.25),
        point,
        a_step("4", _4=0.5, _6=0.5),
        a_step("2", _2=1.0),
        SimpleNamespace(token="</answer>", logprob=0.0, top_logprobs=[]),
    ]
    # 0.75 of 3 + (0.5 * 0.42 + 0.5 * (0.6 + 0.045)), 0.25 of 4 and the mean of what was not read.
    wanted = 0.75 * (3 + 0.5 * 0.42 + 0.5 * 0.645) + 0.25 * 4.495
    found = expected_in_reply([step.token for step in steps], digit_probabilities(steps))
    assert found == pytest.approx(wanted, abs=1e-4)
    assert expected_in_reply(["no", "tag"], digit_probabilities(steps[:2])) is None


def test_a_servers_probabilities_that_mean_no_score_give_none() -> None:
    opening = SimpleNamespace(token="<answer>", logprob=0.0, top_logprobs=[])
    score = score_of_probabilities("a", "<answer>3", [opening, a_step("3", _3=0.75, _4=0.25)])
    assert (score.status, score.score) == ("ok", pytest.approx(0.75 * 3 + 0.25 * 4.495))
    zero = score_of_probabilities("a", "<answer>0", [opening, a_step("0", _0=0.9, _3=0.1)])
    assert (zero.status, zero.score) == ("out_of_range", None)
    word = score_of_probabilities("a", "<answer>good", [opening, a_step("good", good=0.7, _3=0.3)])
    assert (word.status, word.score) == ("unparsable", None)
    split = score_of_probabilities("a", "<answer>good", [opening, a_step("good", good=0.3, _3=0.35, _4=0.35)])
    assert (split.status, split.score) == ("unparsable", None)
    assert score_of_probabilities("a", "no tag", [a_step("3", _3=1.0)]).status == "unparsable"


@pytest.mark.slow
def test_a_study_over_a_server_goes_to_its_page_before_and_behind_fine_tuning(
    server, served_vlm, write_study, tmp_path
) -> None:
    limits = {"max_new_tokens": 48, "frames": 1, "max_pixels": PIXELS, "min_pixels": PIXELS}
    there = {"url": server, "concurrency": 4, "retries": 1}
    quality = {"model": str(served_vlm), "server": there, "vlm": limits}
    study = write_study(quality=quality)
    config = read_study(study)
    first = run_study(config, Silent())
    assert "serve it, name the server as `quality: {server_after:" in first.waiting_for
    assert read_meta(config.out / "scores")["maker"]["served"]
    assert len(first.selected) == 4
    summary, page = write_results(config, first, measure(config, first))
    assert summary["waiting_for"]
    assert "server_after" in page.read_text()
    # Behind fine-tuning it is served somewhere: here the same one.
    study = write_study(quality={**quality, "server_after": {**there, "model": str(served_vlm)}})
    config = read_study(study)
    done = run_study(config, Silent())
    assert not done.waiting_for
    assert len(done.scores) == 2
    assert read_meta(config.out / "round-1" / "scores")["maker"]["served"]
    assert [row["id"] for row in done.selected] == [row["id"] for row in first.selected]
    page = write_results(config, done, measure(config, done))[1]
    assert "easurable gain: target SRCC" in page.read_text() or "Measurable harm" in page.read_text()
    with pytest.raises(ConfigError, match="rounds and comparison need a model that can be fine-tuned here"):
        run_study(read_study(write_study(quality=quality, rounds=2, out="other")), Silent())
