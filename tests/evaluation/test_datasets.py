"""Metrics within data sets and their means, on made-up and on real scores."""

import csv
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from mdsvqa.evaluation.datasets import dataset_rows, evaluate_datasets
from mdsvqa.evaluation.metrics import METRICS, evaluate
from mdsvqa.runtime.errors import InputError
from places import DATA

Floats = NDArray[np.float64]


def sample(sizes: tuple[int, ...] = (60, 30), seed: int = 0) -> tuple[Floats, Floats, list[str]]:
    """Data sets of different scale and noise, mixed."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.repeat([f"set {i}" for i in range(len(sizes))], sizes)).tolist()
    score = rng.normal(size=len(names))
    which = np.array([int(name.split()[1]) for name in names])
    return score, 10.0 * which + score + (0.5 + which) * rng.normal(size=len(names)), names


def test_one_data_set_is_an_evaluation() -> None:
    score, mos, _ = sample((50,))
    found = evaluate_datasets(score, mos, draws=100, seed=3)
    assert found.each == {"": evaluate(score, mos, draws=100, seed=3)}
    assert found.overall == found.each[""]


def test_overall_is_the_mean_of_what_scipy_finds() -> None:
    score, mos, names = sample()
    found = evaluate_datasets(score, mos, names, draws=50)
    rows = dataset_rows(names, len(names))
    assert [found.each[name].n for name in ("set 0", "set 1")] == [60, 30]
    expected = [spearmanr(score[rows[name]], mos[rows[name]]).statistic for name in rows]
    assert found.overall.srcc.value == pytest.approx(np.mean(expected))
    for metric in METRICS:
        parts = [getattr(result, metric).value for result in found.each.values()]
        assert getattr(found.overall, metric).value == pytest.approx(np.mean(parts))
    # Across the data sets, which differ by 10 points, it would be another.
    assert abs(found.overall.srcc.value - spearmanr(score, mos).statistic) > 0.05


def test_interval_of_the_mean_is_that_of_independent_data_sets() -> None:
    score, mos, names = sample((200, 100))
    found = evaluate_datasets(score, mos, names, draws=2000)
    widths = {name: result.srcc.high - result.srcc.low for name, result in found.each.items()}
    expected = math.hypot(*widths.values()) / 2
    assert found.overall.srcc.high - found.overall.srcc.low == pytest.approx(expected, rel=0.08)


def test_what_is_undefined_in_one_is_undefined_overall() -> None:
    score, mos, names = sample()
    score = np.where(np.array(names) == "set 1", 3.3, score)
    found = evaluate_datasets(score, mos, names, draws=50)
    assert math.isnan(found.each["set 1"].srcc.value)
    assert math.isnan(found.overall.srcc.value)
    assert (found.each["set 0"].fit, found.each["set 1"].fit, found.overall.fit) == ("logistic", "linear", "linear")


def test_refused() -> None:
    score, mos, names = sample((20, 4))
    with pytest.raises(InputError, match="'set 1' has 4 videos"):
        evaluate_datasets(score, mos, names)
    with pytest.raises(InputError, match="as many names of data sets; found 3"):
        evaluate_datasets(score, mos, names[:3])
    with pytest.raises(InputError, match="'overall'"):
        evaluate_datasets(score, mos, ["overall"] * 24)
    with pytest.raises(InputError, match="finite"):
        evaluate_datasets(score, np.where(score == score[0], np.nan, mos), names)
    with pytest.raises(InputError, match="at least 5 videos"):
        evaluate_datasets(score[:4], mos[:4])


def real(*path: str) -> list[dict[str, str]]:
    file = DATA.joinpath(*path)
    if not file.exists():
        pytest.skip(f"real scores are not there: {file}")
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def column(rows: list[dict[str, str]], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def test_published_figures_of_the_pool() -> None:
    rows = real("youtube_sfv_sdr", "pool.csv")
    score, mos = column(rows, "base_score"), column(rows, "mos")
    found = evaluate_datasets(score, mos, draws=50).overall
    assert found.n == 1624
    assert round(found.srcc.value, 3) == 0.665
    assert round(pearsonr(score, mos).statistic, 3) == 0.705
    # The paper: .665/.710, after a fit.
    assert found.plcc.value == pytest.approx(0.710, abs=0.003)
    assert found.fit == "logistic"


def test_released_failure_scores_of_the_pool() -> None:
    rows = real("youtube_sfv_sdr", "pool.csv")
    score, mos, failure = (column(rows, name) for name in ("base_score", "mos", "failure_score"))
    slope, level = np.polyfit(score, mos, 1)
    for other, expected in (
        (score, -0.69),
        (np.abs(score - mos), 0.35),
        (np.abs(mos - slope * score - level), 0.20),
    ):
        found = evaluate_datasets(failure, other, draws=10).overall.srcc.value
        assert found == pytest.approx(spearmanr(failure, other).statistic)
        assert found == pytest.approx(expected, abs=0.006)


def test_youtube_ugc_by_split() -> None:
    rows = real("youtube_ugc", "videos.csv")
    score, mos, split = column(rows, "base_score"), column(rows, "mos"), [row["split"] for row in rows]
    found = evaluate_datasets(score, mos, split, draws=50)
    assert found.overall.n == len(rows) == 1016
    for name, result in found.each.items():
        kept = np.array(split) == name
        assert result.srcc.value == pytest.approx(spearmanr(score[kept], mos[kept]).statistic)
