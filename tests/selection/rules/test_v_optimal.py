"""The rule against the design written out: posterior covariances by inverses of the labeled videos' covariance."""

from collections.abc import Sequence

import numpy as np
import pytest

from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.distances.chamfer import Content, chamfer_distance
from mdsvqa.selection.rules import v_optimal as rule
from mdsvqa.selection.rules.v_optimal import v_optimal
from mdsvqa.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(rule="v-optimal")


def pool_of(videos: Sequence[np.ndarray], chosen: Sequence[int] = (), limits: Limits | None = None) -> Pool:
    ids = [f"{i:03d}" for i in range(len(videos))]
    return Pool(ids, np.zeros(len(videos)), Content.stack(videos), tuple(chosen), limits or Limits())


def drawn(n: int, seed: int = 0, frames: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=4) + 0.2 * rng.normal(size=(frames, 4)) for _ in range(n)]


def left(covariance: np.ndarray, labeled: list[int]) -> float:
    """Mean variance over the pool once some videos are labeled."""
    if not labeled:
        return float(np.diag(covariance).mean())
    inner = covariance[np.ix_(labeled, labeled)] + 0.3 * np.eye(len(labeled))
    told = covariance[:, labeled] @ np.linalg.solve(inner, covariance[labeled])
    return float(np.diag(covariance - told).mean())


def plain(videos: Sequence[np.ndarray], budget: int, chosen: Sequence[int] = ()) -> tuple[list[int], list[float]]:
    distances = np.array([[chamfer_distance(x, y) for y in videos] for x in videos])
    middle = np.median(distances[~np.eye(len(videos), dtype=bool)])
    covariance = np.exp(-2 * (distances / middle) ** 2)
    labeled, falls = list(chosen), []
    for _ in range(budget):
        before = left(covariance, labeled)
        gains = [-np.inf if i in labeled else before - left(covariance, [*labeled, i]) for i in range(len(videos))]
        labeled.append(int(np.argmax(gains)))
        falls.append(max(gains))
    return labeled[len(chosen) :], falls


@pytest.mark.parametrize("chosen", [(), (3, 11)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_greedy_design(seed: int, chosen: tuple[int, ...]) -> None:
    videos = drawn(25, seed)
    picks = v_optimal(pool_of(videos, chosen), 8, SETTINGS, 0)
    wanted, falls = plain(videos, 8, chosen)
    assert [pick.index for pick in picks] == wanted
    assert [pick.utility for pick in picks] == pytest.approx(falls, abs=1e-9)


def test_it_takes_the_middle_of_the_larger_of_two_clusters_first() -> None:
    line = [np.array([[x]]) for x in (0.0, 0.1, 0.2, 0.3, 0.4, 9.0, 9.1)]
    assert [pick.index for pick in v_optimal(pool_of(line), 2, SETTINGS, 0)] == [2, 5]


def test_coinciding_videos_go_in_order() -> None:
    same = [np.zeros((1, 2))] * 5
    assert [pick.index for pick in v_optimal(pool_of(same), 3, SETTINGS, 0)] == [0, 1, 2]


def test_limits_hold() -> None:
    limits = Limits(group=np.array([0] * 10 + [1] * 10), most=2)
    picks = v_optimal(pool_of(drawn(20), limits=limits), 8, SETTINGS, 0)
    assert sorted(pick.index // 10 for pick in picks) == [0, 0, 1, 1]


def test_one_video_is_a_pool() -> None:
    assert [pick.index for pick in v_optimal(pool_of(drawn(1)), 1, SETTINGS, 0)] == [0]


def test_of_a_large_pool_a_sample_says_nearly_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = drawn(120, frames=1)
    exact = [pick.index for pick in v_optimal(pool_of(videos), 10, SETTINGS, 0)]
    monkeypatch.setattr(rule, "MOST_ENTRIES", 120 * 60)
    sampled = [pick.index for pick in v_optimal(pool_of(videos), 10, SETTINGS, 0)]
    assert sampled == [pick.index for pick in v_optimal(pool_of(videos), 10, SETTINGS, 0)]
    distances = np.array([[np.linalg.norm(x - y) for y in videos] for x in videos])
    covariance = np.exp(-2 * (distances / np.median(distances[~np.eye(120, dtype=bool)])) ** 2)
    least, most = left(covariance, exact), left(covariance, list(range(10)))
    assert left(covariance, sampled) < least + 0.3 * (most - least)
