"""What every rule owes: different picks, the same for a seed, whatever the order in which videos are listed."""

import numpy as np
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.base import Pick
from mdsvqa.selection.catalogue import RULES
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.select import select, selection_rows
from mdsvqa.selection.settings import SelectionSettings
from places import REAL_POOL


def random_pool(size: int, seed: int = 0) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    ids = [f"video {i}" for i in rng.permutation(size)]
    # Few values, so that there are ties.
    return ids, rng.integers(0, 4, size).astype(float), [rng.normal(size=(rng.integers(1, 4), 3)) for _ in ids]


@pytest.mark.parametrize("ties", ["id", "random"])
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 16), st.integers(1, 20), st.integers(0, 3), st.integers(0, 9))
def test_contract(rule: str, ties: str, size: int, budget: int, earlier: int, seed: int) -> None:
    ids, difficulty, videos = random_pool(size, seed)
    setting = SelectionSettings(rule=rule, ties=ties)
    chosen = ids[:earlier]

    def run(order: np.ndarray) -> list[str]:
        listed = [ids[i] for i in order]
        content = Content.stack([videos[i] for i in order])
        picks = select(listed, difficulty[order], content, budget, setting, chosen=chosen, seed=seed)
        return [listed[pick.index] for pick in picks]

    found = run(np.arange(size))
    assert len(set(found)) == len(found) == min(budget, size - min(earlier, size))
    assert not set(found) & set(chosen)
    assert run(np.arange(size)) == found
    assert run(np.random.default_rng(seed).permutation(size)) == found


# Another number of clusters is another clustering, and two thirds of another budget are another number.
WHOLE = {"k-means", "typiclust"}


@pytest.mark.parametrize("rule", sorted({*RULES} - WHOLE))
def test_a_smaller_budget_is_a_beginning_of_a_larger(rule: str) -> None:
    ids, difficulty, videos = random_pool(20)
    setting = SelectionSettings(rule=rule)
    few, many = (select(ids, difficulty, Content.stack(videos), budget, setting) for budget in (4, 11))
    assert many[:4] == few


def test_random_ties_vary_by_seed_and_ids_do_not() -> None:
    ids = [f"{i:02d}" for i in range(20)]
    difficulty = np.repeat([1.0, 2.0], 10)

    def run(ties: str, seed: int) -> tuple[str, ...]:
        setting = SelectionSettings(rule="difficulty", ties=ties)
        return tuple(ids[pick.index] for pick in select(ids, difficulty, None, 3, setting, seed=seed))

    assert {run("id", seed) for seed in range(10)} == {("10", "11", "12")}
    drawn = {run("random", seed) for seed in range(10)}
    assert len(drawn) > 5
    assert set().union(*drawn) <= set(ids[10:])


def test_ids_are_compared_as_text() -> None:
    # "10" < "9": the order of characters, which no locale changes.
    picks = select(["9", "10"], np.ones(2), None, 1, SelectionSettings(rule="difficulty"))
    assert picks[0].index == 1


def test_ids_chosen_from_outside_this_pool_are_ignored() -> None:
    picks = select(["a", "b"], np.array([1.0, 2.0]), None, 2, SelectionSettings(rule="difficulty"), chosen=["c", "b"])
    assert [pick.index for pick in picks] == [0]


def test_a_pool_that_is_used_up_gives_nothing() -> None:
    ids, difficulty, videos = random_pool(4)
    for rule in RULES:
        setting = SelectionSettings(rule=rule)
        assert select(ids, difficulty, Content.stack(videos), 3, setting, chosen=ids) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_video_without_difficulty_is_named(value: float) -> None:
    with pytest.raises(InputError, match="'b'"):
        select(["a", "b"], np.array([1.0, value]), None, 1, SelectionSettings(rule="difficulty"))


@pytest.mark.parametrize("rule", sorted({*RULES} - {"random", "difficulty", "committee"}))
def test_rules_that_need_content_say_so(rule: str) -> None:
    with pytest.raises(InputError, match=f"'{rule}' needs content features"):
        select(["a", "b"], np.ones(2), None, 1, SelectionSettings(rule=rule))


@pytest.mark.parametrize("rule", [rule.name for rule in RULES.values() if rule.every_pair])
def test_a_rule_that_would_take_days_names_those_that_go_before_it_begins(rule: str) -> None:
    # 5% of 150,000: more than 2^30 distances.
    n = 150_000
    ids, content = [f"{i:06d}" for i in range(n)], Content.stack([np.zeros((1, 1), np.float16)] * n)
    with pytest.raises(InputError, match="From so large a pool go") as error:
        select(ids, np.zeros(n), content, n // 20, SelectionSettings(rule=rule))
    named = str(error.value).split(" go ")[1].rstrip(".").split(", ")
    assert {"mds", "facility-location", "difficulty-facility"} <= {*named}
    assert rule not in named


def test_rows() -> None:
    rows = selection_rows(["a", "b"], [Pick(1, 2.0, 0.5, 2.5), Pick(0, 1.0)], "mds")
    assert rows == [
        {"rank": 1, "id": "b", "difficulty": 2.0, "diversity": 0.5, "utility": 2.5, "rule": "mds"},
        {"rank": 2, "id": "a", "difficulty": 1.0, "diversity": None, "utility": None, "rule": "mds"},
    ]


@pytest.mark.skipif(
    not REAL_POOL.is_file(),
    reason="needs shared/data/youtube_sfv_sdr/pool.csv in the folder that holds the repository",
)
def test_published_failure_scores_find_failures() -> None:
    # The authors' released scores of 1,624 videos; SRCC of base model and MOS on the 64 of highest failure score.
    table = pyarrow.csv.read_csv(REAL_POOL).to_pydict()
    mos, base, failure = (np.array(table[name]) for name in ("mos", "base_score", "failure_score"))
    assert len(mos) == 1624
    assert spearmanr(base, mos).statistic == pytest.approx(0.665, abs=5e-4)
    setting = SelectionSettings(rule="difficulty", ties="random")
    figures = []
    for seed in range(20):
        chosen = [pick.index for pick in select(table["name"], failure, None, 64, setting, seed=seed)]
        assert failure[chosen].min() >= np.sort(failure)[-64]
        figures.append(spearmanr(base[chosen], mos[chosen]).statistic)
    assert np.mean(figures) == pytest.approx(0.28, abs=0.06)
