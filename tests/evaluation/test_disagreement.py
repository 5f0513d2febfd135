from itertools import combinations

import numpy as np

from mdsvqa.evaluation.disagreement import disagreements


def test_the_strongest_pair_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    equal, different = rng.normal(size=60), rng.normal(size=60)
    close = 0.1 * equal.std()
    pairs = [pair for pair in combinations(range(60), 2) if abs(equal[pair[0]] - equal[pair[1]]) <= close]
    widest = max(pairs, key=lambda pair: abs(different[pair[0]] - different[pair[1]]))
    found = disagreements(equal, different, np.zeros(60, np.int64))
    assert {found[0].better, found[0].worse} == set(widest)
    assert found[0].gap == abs(different[widest[0]] - different[widest[1]]) / different.std()
    assert all(different[pair.better] > different[pair.worse] for pair in found)
    assert all(abs(equal[pair.better] - equal[pair.worse]) <= close for pair in found)


def test_no_video_is_shown_twice_and_the_strongest_comes_first():
    rng = np.random.default_rng(1)
    found = disagreements(rng.integers(1, 3, 30).astype(float), rng.normal(size=30), np.zeros(30, np.int64))
    shown = [video for pair in found for video in (pair.better, pair.worse)]
    assert len(found) == 4
    assert len(set(shown)) == 8
    assert [pair.gap for pair in found] == sorted((pair.gap for pair in found), reverse=True)


def test_pairs_stay_within_a_data_set():
    equal, different = np.full(4, 3.0), np.array([1.0, 2.0, 4.0, 5.0])
    found = disagreements(equal, different, np.array([0, 0, 1, 1]))
    assert sorted((pair.better, pair.worse) for pair in found) == [(1, 0), (3, 2)]


def test_models_that_agree_or_have_no_scores_give_no_pairs():
    one, nothing = np.zeros(3, np.int64), np.zeros(0, np.int64)
    assert disagreements(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]), one) == []
    assert disagreements(np.full(3, 2.0), np.full(3, 2.0), one) == []
    assert disagreements(np.array([1.0, np.nan, 1.0]), np.array([1.0, 9.0, np.nan]), one) == []
    assert disagreements(np.empty(0), np.empty(0), nothing) == []
