"""Several servers of one model: who is asked, who is gone, who comes back. Each speaks the protocol on a socket."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("openai")

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.vlm import served_many
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.served_many import ServedModels, open_served, score_served
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import read_meta, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.study.config import read_study
from mdsvqa.videos.manifest import load_videos

from .fake_vllm import FakeVllm, running

SETTINGS = VlmSettings(max_pixels=8 * 28 * 28, min_pixels=8 * 28 * 28, frames=2, sampling="count")


@dataclass
class Node(FakeVllm):
    """A server that may be slow, gone, overloaded or broken from some request on.

    Attributes:
        slow: seconds for a reply.
        waits: with a reply, as long as this says so.
        until: behind so many requests `then` is what it answers; None drops the connection.
        most: videos that it had under way at once.
    """

    slow: float = 0.0
    waits: Callable[[], bool] = lambda: False
    until: int = 1_000_000
    then: tuple[int, dict[str, Any]] | None = None
    most: int = 0
    under_way: int = 0
    seen: int = 0
    ready: bool = False
    lock: Any = field(default_factory=threading.Lock)

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not self.ready:
            return super().chat(body)
        with self.lock:
            self.seen += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            ill = self.seen > self.until
        try:
            time.sleep(self.slow)
            while self.waits():
                time.sleep(0.01)
            if ill and self.then is None:
                # The handler dies with the connection.
                raise ConnectionAbortedError
            if ill:
                assert self.then is not None
                return self.then
            return super().chat(body)
        finally:
            with self.lock:
                self.under_way -= 1


def clips(count: int) -> list[ModelClip]:
    rng = np.random.default_rng(0)
    return [ModelClip(f"v{i}", rng.integers(0, 256, (2, 3, 28, 56), dtype=np.uint8), 1.0, 2) for i in range(count)]


class Cluster:
    """Servers, and a model behind all of them."""

    def __init__(self, stack: ExitStack, nodes: list[Node], **settings: Any) -> None:
        self.nodes, self.said = nodes, list[str]()
        self.urls = [stack.enter_context(running(node)) for node in nodes]
        served = ServedSettings(url=tuple(self.urls), model="m", **{"retries": 0, "concurrency": 4, **settings})
        self.model = open_served(served, SETTINGS, self.said.append)
        for node in nodes:
            node.ready = True


@pytest.fixture
def cluster() -> Any:
    with ExitStack() as stack:
        yield lambda *nodes, **settings: Cluster(stack, list(nodes), **settings)


def alone(count: int) -> list[Score]:
    with running(FakeVllm()) as url:
        model = open_served(ServedSettings(url=url, model="m", retries=0), SETTINGS, lambda text: None)
        return model.read(clips(count))


def test_videos_are_shared_and_scores_are_those_of_one(cluster: Callable[..., Cluster]) -> None:
    many = cluster(Node(slow=0.02), Node(slow=0.02), Node(slow=0.02))
    assert isinstance(many.model, ServedModels)
    assert many.model.read(clips(60)) == alone(60)
    assert min(node.seen for node in many.nodes) >= 4
    assert max(node.most for node in many.nodes) <= 4
    assert many.said == []


def test_a_slow_one_gets_fewer(cluster: Callable[..., Cluster]) -> None:
    fast = Node()
    slow = Node(waits=lambda: fast.seen < 50)
    assert cluster(slow, fast).model.read(clips(60)) == alone(60)
    # What fits beside each other, until the other one has done all but that.
    assert slow.seen <= 60 - 50


@pytest.mark.parametrize(
    "then", [None, (503, {"error": {"message": "no workers"}}), (500, {"error": {"message": "oh"}})]
)
def test_one_that_goes_on_the_way_costs_no_video(
    cluster: Callable[..., Cluster], then: tuple[int, dict[str, Any]] | None
) -> None:
    many = cluster(Node(slow=0.01), Node(slow=0.01, until=5, then=then))
    assert many.model.read(clips(40)) == alone(40)
    if then is None or then[0] == 500:
        # Of what was under way no more than a few, and then a minute of rest; one that is overloaded rests a second.
        assert many.nodes[1].seen < 5 + 4 + 8
        assert [line.partition(";")[2] for line in many.said] == [" it is asked again in a minute"]
        assert many.urls[1] in many.said[0]


def test_one_that_comes_back_is_asked_again(cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_many, "AWAY", 0.2)
    many = cluster(Node(slow=0.02), Node(slow=0.02, until=3))
    assert many.model.read(clips(10)) == alone(10)
    seen = many.nodes[1].seen
    many.nodes[1].until = 1_000_000
    time.sleep(0.25)
    assert many.model.read(clips(20)) == alone(20)
    assert many.nodes[1].seen >= seen + 4
    assert many.said[-1] == f"{many.urls[1]}: is back"


def test_when_all_are_gone_the_run_ends_and_another_goes_on(
    cluster: Callable[..., Cluster], small_corpus: Path, tmp_path: Path
) -> None:
    videos = load_videos(small_corpus)[:12]
    with ExitStack() as stack:
        nodes = [Node(until=3), Node(until=4)]
        urls = [stack.enter_context(running(node)) for node in nodes]
        served = ServedSettings(url=tuple(urls), model="m", retries=0, concurrency=2)

        class Ready(Silent):
            """The questions of the start are answered as always."""

            def progress(self, label: str, done: int, total: int, state: str = "") -> None:
                for node in nodes:
                    node.ready = True

        with pytest.raises(ModelError, match=r"2 servers, all gone; the last one: server http.* cannot be reached"):
            score_served(videos, served, SETTINGS, Run(tmp_path / "scores", Ready()))
        # The first window is four videos.
        assert read_table(tmp_path / "scores").num_rows == 4
        for node in nodes:
            node.until = 1_000_000
        found = score_served(videos, served, SETTINGS, Run(tmp_path / "scores", Ready()))
    assert found["id"].to_pylist() == [video.id for video in videos]
    with running(FakeVllm()) as url:
        one = score_served(videos, ServedSettings(url=url, model="m"), SETTINGS, Run(tmp_path / "one"))
    assert found.equals(one)
    # Results do not depend on how many there are, or where.
    assert read_meta(tmp_path / "scores")["maker"] == read_meta(tmp_path / "one")["maker"]


def test_all_overloaded_for_a_moment_is_waited_for(cluster: Callable[..., Cluster]) -> None:
    busy = (429, {"error": {"message": "slow down"}})
    many = cluster(Node(until=2, then=busy), Node(until=2, then=busy), retries=5)
    timer = threading.Timer(0.3, lambda: [setattr(node, "until", 1_000_000) for node in many.nodes])
    timer.start()
    assert many.model.read(clips(12)) == alone(12)
    timer.join()


def test_what_is_for_a_video_is_not_for_a_server(cluster: Callable[..., Cluster]) -> None:
    refusing = (400, {"error": {"message": "too long"}})
    many = cluster(Node(until=0, then=refusing), Node(until=0, then=refusing))
    many.model._answered = True
    scores = many.model.read(clips(2))
    assert [(score.status, score.text) for score in scores] == [("failed", "400: too long")] * 2
    failing = (500, {"error": {"message": "oh"}})
    many = cluster(Node(until=0, then=failing), Node(until=0, then=failing))
    scores = many.model.read(clips(2))
    assert [(score.status, score.text) for score in scores] == [("failed", "500: oh")] * 2
    with pytest.raises(ModelError, match="replies to none of 3 videos"):
        many.model.read(clips(3))


def test_servers_that_differ_are_refused(cluster: Callable[..., Cluster]) -> None:
    with pytest.raises(ModelError, match=r"servers http.* and http.*: differ \(version 0.32.0 and 0.31.0\)"):
        cluster(Node(), Node(version="0.31.0"))
    with pytest.raises(ModelError, match=r"cannot be reached"):
        open_served(
            ServedSettings(url=(cluster(Node(), Node()).urls[0], "http://127.0.0.1:9/v1"), model="m"),
            SETTINGS,
            lambda text: None,
        )
    with pytest.raises(ModelError, match="was asked for model 'other'"):
        open_served(ServedSettings(url=tuple(cluster(Node(), Node()).urls), model="other"), SETTINGS, lambda text: None)


def test_a_study_names_one_or_several(tmp_path: Path) -> None:
    def read(url: str) -> ServedSettings:
        path = tmp_path / "study.yaml"
        path.write_text(f"videos: manifest.csv\nquality: {{model: m/m, server: {{url: {url}}}}}\n")
        found = read_study(path).quality.server
        assert found is not None
        return found

    assert read("http://a/v1").record()["url"] == "http://a/v1"
    assert read("[http://a/v1]").url == "http://a/v1"
    assert read("[http://a/v1, http://b/v1]").urls == ("http://a/v1", "http://b/v1")
    for wrong in ("[]", "[http://a/v1, http://a/v1]"):
        with pytest.raises(ConfigError, match=r"quality\.server\.url.*: expected the address of a server, or a list"):
            read(wrong)
