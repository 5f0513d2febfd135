"""Comparisons of models: paired resamples, pairs within data sets, corrections, undefined cases."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import f, spearmanr

from mdsvqa.evaluation.bootstrap import resample_counts
from mdsvqa.evaluation.compare import COMPARED, TESTS, RatingStatistics, compare_models
from mdsvqa.evaluation.correlated import holm, meng_test
from mdsvqa.evaluation.datasets import OVERALL, evaluate_datasets
from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.runtime.errors import InputError

Floats = NDArray[np.float64]


def sample(n: int = 80, seed: int = 0) -> tuple[dict[str, Floats], Floats]:
    rng = np.random.default_rng(seed)
    mos = rng.normal(3, 0.7, n)
    noise = rng.normal(size=n)
    return {name: mos + 0.3 * noise + sd * rng.normal(size=n) for name, sd in (("a", 0.3), ("b", 0.6), ("c", 1.0))}, mos


def rated(n: int) -> RatingStatistics:
    return RatingStatistics(np.full(n, 0.7), np.full(n, 20.0))


def test_differences_are_paired() -> None:
    scores, mos = sample()
    found = compare_models(scores, mos, draws=60, seed=2)
    assert [(pair.first, pair.second, pair.dataset) for pair in found.pairs] == [
        ("a", "b", ""),
        ("a", "c", ""),
        ("b", "c", ""),
    ]
    expected = []
    for row in resample_counts(80, 60, 2).astype(int):
        one, other = (spearmanr(np.repeat(scores[name], row), np.repeat(mos, row)).statistic for name in "ab")
        expected.append(one - other)
    interval = found.pairs[0].differences["srcc"]
    assert [interval.low, interval.high] == pytest.approx(np.quantile(expected, [0.025, 0.975]))
    for metric in COMPARED:
        one, other = (getattr(found.models[name].agreement.overall, metric).value for name in "ab")
        assert found.pairs[0].differences[metric].value == pytest.approx(one - other)
    for name, x in scores.items():
        assert found.models[name].agreement == evaluate_datasets(x, mos, draws=60, seed=2)


def test_statistics_of_one_pair() -> None:
    scores, mos = sample()
    pair = compare_models(scores, mos, draws=10).pairs[0]
    between = [spearmanr(scores["a"], scores["b"]).statistic]
    with_mos = [spearmanr(scores[name], mos).statistic for name in "ab"]
    expected = meng_test(*with_mos, *between, 80, ranks=True)
    assert pair.tests["meng_srcc"].statistic == pytest.approx(expected.statistic)
    squares = [((map_to_mos(scores[name], mos)[0] - mos) ** 2).sum() / 76 for name in "ab"]
    assert pair.tests["p1401_rmse"].statistic == pytest.approx(squares[1] / squares[0])
    assert pair.tests["p1401_rmse"].p == pytest.approx(2 * f.sf(squares[1] / squares[0], 76, 76))
    assert not set(pair.tests) - set(TESTS)


def test_holm_counts_the_pairs_of_models() -> None:
    scores, mos = sample(40)
    found = compare_models(scores, mos, draws=10)
    for name in ("meng_srcc", "williams_plcc", "p1401_rmse"):
        tests = [pair.tests[name] for pair in found.pairs]
        assert [test.holm for test in tests] == pytest.approx(holm([test.p for test in tests]))


def test_a_model_does_not_differ_from_itself() -> None:
    scores, mos = sample()
    found = compare_models({"a": scores["a"], "copy": scores["a"]}, mos, [], rated(80), draws=20)
    (pair,) = found.pairs
    assert all((item.value, item.low, item.high) == (0, 0, 0) for item in pair.differences.values())
    assert all(test.p == pytest.approx(1) for test in pair.tests.values())
    assert set(pair.tests) == set(TESTS)


def test_data_sets() -> None:
    scores, mos = sample(90)
    names = ["x"] * 50 + ["y"] * 40
    found = compare_models(scores, mos, names, rated(90), draws=100)
    assert [pair.dataset for pair in found.pairs] == ["x"] * 3 + ["y"] * 3 + [OVERALL] * 3
    x, y, overall = found.pairs[0], found.pairs[3], found.pairs[6]
    assert (x.n, y.n, overall.n) == (50, 40, 90)
    for metric in COMPARED:
        mean = (x.differences[metric].value + y.differences[metric].value) / 2
        assert overall.differences[metric].value == pytest.approx(mean)
    z = (x.tests["meng_srcc"].statistic + y.tests["meng_srcc"].statistic) / math.sqrt(2)
    assert overall.tests["meng_srcc"].statistic == pytest.approx(z)
    # Those of P.1401 are about one data set, those of pairs about all.
    assert "p1401_rmse" in x.tests
    assert "p1401_rmse" not in overall.tests
    assert "better_worse" in overall.tests
    assert "better_worse" not in x.tests
    assert found.video_pairs is not None
    assert found.video_pairs[0] == 50 * 49 // 2 + 40 * 39 // 2
    assert set(found.models["a"].outlier_ratio) == {"x", "y"}


def test_the_level_of_a_data_set_does_not_matter() -> None:
    scores, mos = sample(90)
    # On so few videos the logistic fit of c fails, or ends in a step, by the last digits.
    del scores["c"]
    names = ["x"] * 50 + ["y"] * 40
    shift = np.where(np.array(names) == "y", 100.0, 0.0)
    found, shifted = (compare_models(scores, level + mos, names, rated(90), draws=10) for level in (0, shift))
    for name in scores:
        one, other = found.models[name], shifted.models[name]
        assert one.better_worse == other.better_worse
        assert one.different_similar == other.different_similar
        assert one.agreement.overall.rmse.value == pytest.approx(other.agreement.overall.rmse.value, abs=1e-6)


def test_better_models_tell_pairs_better() -> None:
    scores, mos = sample(120)
    found = compare_models(scores, mos, [], rated(120), draws=10)
    for better, worse in pairwise(found.models[name] for name in "abc"):
        assert better.better_worse is not None
        assert worse.better_worse is not None
        assert better.better_worse.value > worse.better_worse.value
        assert (better.correct or 0) > (worse.correct or 1)
    unrated = compare_models(scores, mos, draws=10)
    assert unrated.models["a"].better_worse is None
    assert unrated.video_pairs is None


def test_a_constant_model_has_no_test() -> None:
    scores, mos = sample()
    found = compare_models({"a": scores["a"], "flat": np.full(80, 3.0)}, mos, [], rated(80), draws=20)
    (pair,) = found.pairs
    assert math.isnan(pair.differences["srcc"].value)
    assert math.isnan(pair.tests["meng_srcc"].p)
    assert math.isnan(pair.tests["meng_srcc"].holm)
    assert found.models["flat"].agreement.overall.fit == "linear"
    assert found.models["flat"].better_worse is not None
    assert found.models["flat"].better_worse.value == 0.5


def test_refused() -> None:
    scores, mos = sample()
    with pytest.raises(InputError, match="at least two models; found 1: a"):
        compare_models({"a": scores["a"]}, mos)
    with pytest.raises(InputError, match="one length"):
        compare_models({"a": scores["a"], "b": scores["b"][:-1]}, mos)
    with pytest.raises(InputError, match="finite"):
        compare_models({"a": scores["a"], "b": np.full(80, np.nan)}, mos)
    with pytest.raises(InputError, match="at least 5"):
        compare_models({name: x[:4] for name, x in scores.items()}, mos[:4])
