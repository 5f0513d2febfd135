"""Which of several models agrees better with the same MOS, and is that more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from numpy.typing import ArrayLike

from mdsvqa.evaluation import p1401
from mdsvqa.evaluation.correlated import Test, holm, meng_test, stouffer, williams_test
from mdsvqa.evaluation.correlation import pearson, srcc
from mdsvqa.evaluation.datasets import (
    OVERALL,
    DatasetEvaluation,
    DatasetMeasured,
    dataset_rows,
    group_counts,
    measured_by_dataset,
)
from mdsvqa.evaluation.intervals import Interval, flat, percentile_interval
from mdsvqa.evaluation.krasula import (
    PairAnalysis,
    analyse_pairs,
    area_interval,
    delong_test,
    video_pairs,
    video_test,
)
from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.evaluation.metrics import paired_values
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.frames import Rows

Two = tuple[str, str]
COMPARED = ("srcc", "plcc", "rmse")


@dataclass(frozen=True)
class RatingStatistics:
    """What is known of the ratings behind each MOS.

    Attributes:
        std: standard deviation of a video's ratings (not of their mean), MOS points, at least 0, shape (n,).
        ratings: how many each MOS is the mean of, at least 1, shape (n,).
    """

    std: Floats
    ratings: Floats


@dataclass(frozen=True)
class Model:
    """One of the models compared.

    Attributes:
        agreement: its metrics.
        outlier_ratio: of each data set, as `DatasetEvaluation.each`; empty where nothing is known of the ratings.
        different_similar, better_worse: areas under the curves of Krasula et al. over the pairs of all data sets, and
            the share of different pairs in the right order; None where nothing is known of the ratings.
    """

    agreement: DatasetEvaluation
    outlier_ratio: Mapping[str, float]
    different_similar: Interval | None = None
    better_worse: Interval | None = None
    correct: float | None = None


@dataclass(frozen=True)
class PairTest:
    """A test of two models.

    Attributes:
        statistic, p: of the first against the second, as `Test`.
        holm: p adjusted for all pairs of models in this data set, in [0, 1].
    """

    statistic: float
    p: float
    holm: float


@dataclass(frozen=True)
class ModelPair:
    """Two models on one data set, or over all of them.

    Attributes:
        first, second: names of the models.
        dataset: "" where there is one only; `OVERALL` for the mean over several.
        n: videos.
        differences: of each of `COMPARED`, first minus second, with their paired bootstrap intervals.
        tests: those that are defined for this data set; see `TESTS`.
    """

    first: str
    second: str
    dataset: str
    n: int
    differences: Mapping[str, Interval]
    tests: Mapping[str, PairTest]


@dataclass(frozen=True)
class Comparison(Rows):
    """Several models on the same videos.

    Attributes:
        models: by name.
        pairs: every two of them in every data set, then over all data sets where there are several.
        video_pairs: pairs of videos that were analysed, and how many of them differ significantly in MOS; None where
            nothing is known of the ratings.
    """

    models: Mapping[str, Model]
    pairs: Sequence[ModelPair]
    video_pairs: tuple[int, int] | None

    def rows(self) -> list[dict[str, Any]]:
        """One a data set and pair of models: differences with intervals; statistic, p and adjusted p of tests.

        A test that is not defined for a data set has empty cells.
        """
        names = list(dict.fromkeys(name for pair in self.pairs for name in pair.tests))
        rows = []
        for pair in self.pairs:
            row: dict[str, Any] = {"dataset": pair.dataset, "first": pair.first, "second": pair.second}
            row |= {"videos": pair.n}
            row |= flat({f"{metric}_difference": interval for metric, interval in pair.differences.items()})
            for name in names:
                test = pair.tests.get(name)
                for part in ("statistic", "p", "holm"):
                    row[f"{name}_{part}"] = "" if test is None else getattr(test, part)
            rows.append(row)
        return rows


TESTS = {
    "meng_srcc": "Meng, Rosenthal and Rubin's Z on SRCC; over data sets, Stouffer's Z of these",
    "meng_plcc": "the same on PLCC after the fit",
    "williams_srcc": "Williams' t on SRCC, within a data set",
    "williams_plcc": "the same on PLCC after the fit",
    "p1401_srcc": "P.1401: Fisher's z on SRCC, as if on different videos",
    "p1401_plcc": "P.1401: Fisher's z on PLCC, as if on different videos",
    "p1401_rmse": "P.1401: F of squared RMSE, as if on different videos",
    "p1401_outliers": "P.1401: outlier ratios, as if on different videos",
    "different_similar": "Krasula et al.: area for different or similar, counting videos",
    "different_similar_delong": "the same by DeLong's test, counting pairs as in the paper",
    "better_worse": "Krasula et al.: area for better or worse, counting videos",
    "better_worse_delong": "the same by DeLong's test, counting pairs as in the paper",
}


def compare_models(
    scores: Mapping[str, ArrayLike],
    mos: ArrayLike,
    dataset: Sequence[str] = (),
    rated: RatingStatistics | None = None,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Metrics of each model, and differences and tests of every two.

    Args:
        scores: of at least two models by name, each of shape (n,), finite, higher for better videos.
        mos: shape (n,), finite.
        dataset: the name of each video's data set, length n; empty where there is one only.
        rated: for outlier ratios and pairs of videos.
        draws: bootstrap replicates; both models of a pair see the same resamples.
        confidence: of the intervals, in (0, 1).
        seed: of the resamples.

    Raises:
        InputError: there are fewer than two models, or as `evaluate_datasets`.
    """
    if len(scores) < 2:
        raise InputError(f"a comparison needs at least two models; found {len(scores)}: {', '.join(scores)}.")
    pairs_of_values = {name: paired_values(values, mos) for name, values in scores.items()}
    columns, y = {name: x for name, (x, _) in pairs_of_values.items()}, next(iter(pairs_of_values.values()))[1]
    groups = dataset_rows(dataset, len(y))
    counts = group_counts(groups, draws, seed)
    measured = {name: measured_by_dataset(x, y, groups, counts) for name, x in columns.items()}
    outliers, areas, analysed = _by_ratings(columns, y, groups, rated, seed)
    models = {
        name: _model(measured[name].evaluation(confidence), outliers.get(name, {}), areas.get(name), confidence)
        for name in columns
    }
    twos = list(combinations(columns, 2))
    tests: dict[str, dict[Two, dict[str, Test]]] = {
        group: _tests_within(columns, y, rows, models, group, twos) for group, rows in groups.items()
    }
    whole = OVERALL if len(groups) > 1 else ""
    if whole:
        tests[whole] = {two: _combined([of_group[two] for of_group in tests.values()]) for two in twos}
    if areas:
        tests[whole] = {two: tests[whole][two] | _area_tests(areas[two[0]], areas[two[1]]) for two in twos}
    pairs = [pair for group, of_group in tests.items() for pair in _pairs(group, of_group, measured, confidence)]
    return Comparison(models, pairs, analysed)


def _by_ratings(
    columns: Mapping[str, Floats],
    mos: Floats,
    groups: Mapping[str, Ints],
    rated: RatingStatistics | None,
    seed: int,
) -> tuple[dict[str, dict[str, float]], dict[str, PairAnalysis], tuple[int, int] | None]:
    """Outlier ratios by model and data set, the analysis of pairs by model, and how many pairs there were."""
    if rated is None:
        return {}, {}, None
    outliers = {
        name: {
            group: p1401.outlier_ratio(
                map_to_mos(x[rows], mos[rows])[0], mos[rows], rated.std[rows], rated.ratings[rows]
            )
            for group, rows in groups.items()
        }
        for name, x in columns.items()
    }
    pairs = video_pairs(mos, rated.std, rated.ratings, list(groups.values()), seed=seed)
    areas = {name: analyse_pairs(x, pairs) for name, x in columns.items()}
    return outliers, areas, (len(pairs.different), int(pairs.different.sum()))


def _model(
    agreement: DatasetEvaluation, outliers: Mapping[str, float], areas: PairAnalysis | None, confidence: float
) -> Model:
    if areas is None:
        return Model(agreement, outliers)
    similar, better = (area_interval(area, confidence) for area in (areas.different_similar, areas.better_worse))
    return Model(agreement, outliers, similar, better, areas.correct)


def _tests_within(
    columns: Mapping[str, Floats],
    mos: Floats,
    rows: Ints,
    models: Mapping[str, Model],
    group: str,
    twos: Sequence[Two],
) -> dict[Two, dict[str, Test]]:
    """The tests of every two models on one data set."""
    n = len(rows)
    mapped = {name: map_to_mos(x[rows], mos[rows]) for name, x in columns.items()}
    freedom = {name: n - p1401.COEFFICIENTS[fit] for name, (_, fit) in mapped.items()}
    errors = {name: p1401.prediction_rmse(x, mos[rows], n - freedom[name]) for name, (x, _) in mapped.items()}
    found = {}
    for two in twos:
        first, second = (models[name].agreement.each[group] for name in two)
        ranked = (first.srcc.value, second.srcc.value)
        fitted = (first.plcc.value, second.plcc.value)
        between_ranks = srcc(columns[two[0]][rows], columns[two[1]][rows])
        between_fits = pearson(mapped[two[0]][0], mapped[two[1]][0])
        found[two] = {
            "meng_srcc": meng_test(*ranked, between_ranks, n, ranks=True),
            "meng_plcc": meng_test(*fitted, between_fits, n),
            "williams_srcc": williams_test(*ranked, between_ranks, n, ranks=True),
            "williams_plcc": williams_test(*fitted, between_fits, n),
            "p1401_srcc": p1401.correlation_test(*ranked, n),
            "p1401_plcc": p1401.correlation_test(*fitted, n),
            "p1401_rmse": p1401.rmse_test(errors[two[0]], errors[two[1]], freedom[two[0]], freedom[two[1]]),
        }
        if models[two[0]].outlier_ratio:
            a, b = (models[name].outlier_ratio[group] for name in two)
            found[two]["p1401_outliers"] = p1401.outlier_test(a, b, n)
    return found


def _combined(tests: Sequence[Mapping[str, Test]]) -> dict[str, Test]:
    return {name: stouffer([of_group[name] for of_group in tests]) for name in ("meng_srcc", "meng_plcc")}


def _area_tests(first: PairAnalysis, second: PairAnalysis) -> dict[str, Test]:
    areas = {
        "different_similar": (first.different_similar, second.different_similar),
        "better_worse": (first.better_worse, second.better_worse),
    }
    by_video = {name: video_test(*two) for name, two in areas.items()}
    return by_video | {f"{name}_delong": delong_test(*two) for name, two in areas.items()}


def _pairs(
    group: str, tests: Mapping[Two, Mapping[str, Test]], measured: Mapping[str, DatasetMeasured], confidence: float
) -> list[ModelPair]:
    names = next(iter(tests.values()))
    adjusted = {name: holm([of_two[name].p for of_two in tests.values()]) for name in names}
    found = []
    for place, ((first, second), of_two) in enumerate(tests.items()):
        a, b = measured[first], measured[second]
        differences = {
            metric: percentile_interval(
                a.of[group].values[metric] - b.of[group].values[metric],
                a.of[group].draws[metric] - b.of[group].draws[metric],
                confidence,
            )
            for metric in COMPARED
        }
        corrected = {name: PairTest(test.statistic, test.p, adjusted[name][place]) for name, test in of_two.items()}
        found.append(ModelPair(first, second, group, a.videos[group], differences, corrected))
    return found
