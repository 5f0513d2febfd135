"""The measurement of predicted failure: by hand, by slow implementations, and on artefacts that must not fool it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from mdsvqa.evaluation.failure import (
    FIGURES,
    NEAREST,
    draw_subsets,
    evaluate_difficulty,
    highest,
    matched,
    partial_correlation,
    subset_figures,
)
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import read_columns
from places import REAL_POOL as POOL

needs_data = pytest.mark.skipif(not POOL.is_file(), reason=f"real data are not there: {POOL}")


def pool(size: int = 200, seed: int = 0):
    """Scores, MOS, and difficulty that knows the error a little."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(1, 5, size).round(1)
    mos = score + rng.normal(size=size) * rng.uniform(0.1, 1, size)
    error = np.abs(score - mos)
    return score, mos, error, error + rng.normal(size=size)


def test_partial_rank_correlation_is_that_of_residuals() -> None:
    score, _, error, difficulty = pool()
    x, y, z = (rankdata(values) for values in (difficulty, error, score))

    def residual(values):
        slope, offset = np.polyfit(z, values, 1)
        return values - slope * z - offset

    expected = np.corrcoef(residual(x), residual(y))[0, 1]
    pairs = (spearmanr(a, b).statistic for a, b in ((difficulty, error), (difficulty, score), (score, error)))
    assert float(partial_correlation(*pairs)) == pytest.approx(expected)
    found = evaluate_difficulty(*pool(), 10, draws=5).figures["partial_srcc"].value
    assert found == pytest.approx(expected)
    assert np.isnan(partial_correlation(0.5, 1.0, 0.5))


def test_ties_are_broken_by_chance() -> None:
    rng = np.random.default_rng(0)
    values = np.array([0.0, 1.0, 1.0, 1.0, 2.0])
    taken = [set(highest(values, 2, rng).tolist()) for _ in range(300)]
    assert all(4 in chosen and 0 not in chosen for chosen in taken)
    shares = [np.mean([video in chosen for chosen in taken]) for video in (1, 2, 3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.1)


@given(st.integers(1, 12), st.integers(1, 40), st.booleans(), st.integers(0, 99))
def test_controls_are_near_and_taken_once(wanted: int, offered: int, repeats: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, wanted) / 2, rng.integers(0, 9, offered) / 2
    found = matched(x, y, rng, repeats=repeats)
    assert ((found >= 0) & (found < offered)).all()
    if not repeats and offered >= wanted:
        assert len(set(found.tolist())) == wanted
    # Others may have taken all nearer ones first, but no more of them than there are wanted.
    reach = NEAREST if repeats else NEAREST + wanted - 1
    for value, index in zip(x, found, strict=True):
        limit = np.sort(np.abs(y - value))[min(reach, offered) - 1] if repeats or offered >= wanted else np.inf
        assert np.abs(y[index] - value) <= limit


def test_among_equals_the_control_is_a_matter_of_chance() -> None:
    rng = np.random.default_rng(0)
    offered = np.repeat([1.0, 3.0], [20, 20])
    counts = np.bincount([matched(np.array([3.0]), offered, rng)[0] for _ in range(2000)], minlength=40)
    assert counts[:20].sum() == 0
    assert counts[20:] / 2000 == pytest.approx(np.full(20, 0.05), abs=0.02)


def test_figures_of_one_draw_by_hand() -> None:
    score, mos, error, difficulty = pool(40)
    everyone = np.arange(40)
    subsets = draw_subsets(score, error, difficulty, 8, [everyone], np.random.default_rng(0))
    chosen, control = subsets.chosen[0], subsets.matched[0]
    assert set(chosen.tolist()) == set(np.argsort(-difficulty)[:8].tolist())
    assert not set(chosen) & (set(control) | set(subsets.nearest[0]))
    found = {name: values[0] for name, values in subset_figures(score, mos, error, subsets).items()}
    assert found["chosen_error"] == pytest.approx(error[chosen].mean())
    assert found["lift_over_pool"] == pytest.approx(error[chosen].mean() / error.mean())
    assert found["lift_over_matched"] == pytest.approx(error[chosen].mean() / error[control].mean())
    assert found["matched_srcc"] == pytest.approx(spearmanr(score[control], mos[control]).statistic)
    assert found["matched_score"] == pytest.approx(score[control].mean())
    worst = set(np.argsort(-error)[:4].tolist())
    assert found["worst_precision"] == pytest.approx(np.mean([video in worst for video in chosen]))


def test_no_copy_of_a_chosen_video_is_its_control() -> None:
    score, _, error, difficulty = pool(40)
    sample = np.random.default_rng(0).integers(0, 40, 40)
    subsets = draw_subsets(score, error, difficulty, 8, [sample] * 20, np.random.default_rng(1))
    for chosen, control in zip(subsets.chosen, subsets.matched, strict=True):
        assert not set(chosen) & set(control)


def test_f_in_disguise_has_no_lift_over_its_control() -> None:
    # Errors grow as f falls; a difficulty that is f and noise finds them, but nothing beyond f.
    rng = np.random.default_rng(0)
    score = rng.uniform(1, 5, 800)
    error = np.abs(rng.normal(size=800)) * (6 - score)
    mos = score + error * rng.choice([-1, 1], 800)
    disguise = evaluate_difficulty(score, mos, error, -score + rng.normal(size=800), 40, draws=100).figures
    assert disguise["lift_over_pool"].low > 1
    assert disguise["lift_over_nearest"].low < 1 < disguise["lift_over_nearest"].high
    assert abs(disguise["partial_srcc"].value) < 0.1
    honest = evaluate_difficulty(score, mos, error, error + rng.normal(size=800), 40, draws=100).figures
    assert honest["lift_over_matched"].low > 1.2
    assert honest["partial_srcc"].low > 0.3


def test_the_oracle_is_precise() -> None:
    score, mos, error, _ = pool(100)
    found = evaluate_difficulty(score, mos, error, error, 10, draws=20)
    assert list(found.figures) == list(FIGURES)
    assert found.figures["srcc"].value == pytest.approx(1)
    assert found.figures["worst_precision"].value == 1
    assert (found.n, found.k) == (100, 10)


def test_deterministic() -> None:
    first, again = (evaluate_difficulty(*pool(60), 6, draws=20, seed=3) for _ in range(2))
    assert first == again
    assert evaluate_difficulty(*pool(60), 6, draws=20, seed=4) != first


def test_difficulty_of_one_value_is_undefined_not_an_error() -> None:
    score, mos, error, _ = pool(60)
    found = evaluate_difficulty(score, mos, error, np.zeros(60), 6, draws=20).figures
    assert np.isnan(found["srcc"].value)
    assert found["lift_over_pool"].low < 1 < found["lift_over_pool"].high


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c, k: ([*c[:3], c[3][:-1]], k), "one length"),
        (lambda c, k: ([*c[:3], np.full(60, np.nan)], k), "finite"),
        (lambda c, k: ([x[:19] for x in c], k), "at least 20 videos .* found 19"),
        (lambda c, k: (c, 31), "expected 2 to 30 .* found 31"),
        (lambda c, k: (c, 1), "found 1"),
    ],
)
def test_refused(change, reason: str) -> None:
    columns, k = change(list(pool(60)), 6)
    with pytest.raises(InputError, match=reason):
        evaluate_difficulty(*columns, k, draws=5)


@needs_data
def test_the_released_failure_scores_give_the_recorded_figures() -> None:
    table = read_columns(POOL)
    score, mos, failure = (table.numbers(name) for name in ("base_score", "mos", "failure_score"))
    error = np.abs(score - mos)
    subsets = draw_subsets(score, error, failure, 64, [np.arange(len(score))] * 60, np.random.default_rng(0))
    found = {name: (values.mean(), values.std()) for name, values in subset_figures(score, mos, error, subsets).items()}
    recorded = {"chosen_error": 1.41, "pool_error": 0.42, "matched_error": 1.11, "lowest_error": 1.57}
    recorded |= {"chosen_srcc": 0.28, "lowest_srcc": 0.19, "matched_srcc": 0.22}
    for name, value in recorded.items():
        mean, spread = found[name]
        assert mean == pytest.approx(value, abs=2 * spread + 0.005), name


def test_the_lift_of_the_lowest_f_is_that_of_a_difficulty_that_is_f_turned_around() -> None:
    score, mos, error, difficulty = pool(300)
    found = evaluate_difficulty(score, mos, error, difficulty, 15, draws=200).figures
    turned = evaluate_difficulty(score, mos, error, -score, 15, draws=200).figures
    assert found["lowest_lift_over_matched"].value == pytest.approx(turned["lift_over_matched"].value, rel=0.1)
    assert found["lowest_error"].value == pytest.approx(error[np.argsort(score, kind="stable")[:15]].mean(), rel=0.1)
    assert found["lowest_score"].value == pytest.approx(np.sort(score)[:15].mean())


def test_a_difficulty_that_is_f_turned_around_is_warned_of_and_one_that_knows_errors_is_not() -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(1, 5, 400)
    of_score = (6 - score) ** 2 / 5
    error = of_score * rng.uniform(0.5, 1.5, 400)
    mos = score + error * rng.choice([-1, 1], 400)
    artefact = evaluate_difficulty(score, mos, error, -score + 0.01 * rng.normal(size=400), 40, draws=100)
    assert artefact.figures["lift_over_matched"].low > 1
    assert artefact.figures["lift_beyond_lowest"].low < 1 < artefact.figures["lift_beyond_lowest"].high
    assert "The lowest f, which knows nothing of errors, has a lift of 1." in artefact.warnings[0]
    # The 40 lowest have no others like them.
    assert "The control is unlike the chosen" in artefact.warnings[1]
    real = evaluate_difficulty(score, mos, error, error / of_score + 0.1 * rng.normal(size=400), 40, draws=100)
    assert real.figures["lift_beyond_lowest"].low > 1
    assert real.warnings == []
