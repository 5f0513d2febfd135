"""Gains, errors, shrinkage and the test, against figures by hand and plain enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student

from mdsvqa.selection.catalogue import BASE, EVERYTHING
from mdsvqa.study.rehearsal.answer import LEVEL, answer, sign_flips
from mdsvqa.study.rehearsal.contenders import RANDOM
from mdsvqa.study.rehearsal.curve import CurvePoint, curve_points
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import RepeatResult

BUDGET = 10


def targets(count: int) -> list[PseudoTarget]:
    return [PseudoTarget(f"t{i}", np.arange(3), np.arange(3), 1 / count) for i in range(count)]


def results(gained: dict[str, list[list[float]]], random: float = 0.5) -> list[RepeatResult]:
    """From the gains of each contender, a list of repeats for each pseudo-target."""
    found = []
    count = len(next(iter(gained.values())))
    most = max(len(repeats) for by_target in gained.values() for repeats in by_target)
    for target in range(count):
        for repeat in range(most):
            # Random selection differs from repeat to repeat; only what is paired with it counts.
            level = random + 0.1 * repeat - 0.05 * target
            found.append(RepeatResult(f"t{target}", repeat, RANDOM, BUDGET, level, 0.7))
            found.append(RepeatResult(f"t{target}", repeat, BASE, 0, level - 0.2, 0.8))
            found.append(RepeatResult(f"t{target}", repeat, EVERYTHING, 99, level + 0.1, 0.6))
            for name, by_target in gained.items():
                if repeat < len(by_target[target]):
                    found.append(
                        RepeatResult(f"t{target}", repeat, name, BUDGET, level + by_target[target][repeat], 0.7)
                    )
    return found


def test_gain_interval_wins_and_losses_by_hand() -> None:
    """Means 0.01, 0.03, -0.01 over three pseudo-targets: 0.01, standard error 0.02 / sqrt(3)."""
    found = answer(results({"mds": [[0.0, 0.02], [0.03, 0.03], [-0.02, 0.0]]}), targets(3), BUDGET)
    (standing,) = found.standings
    assert standing.gain.value == pytest.approx(0.01)
    half = student.ppf(0.975, 2) * 0.02 / np.sqrt(3)
    assert standing.gain.low == pytest.approx(0.01 - half)
    assert standing.gain.high == pytest.approx(0.01 + half)
    assert (standing.wins, standing.losses, standing.repeats) == (2, 1, 6)
    assert found.base_srcc == pytest.approx(found.random_srcc - 0.2)
    assert found.everything_srcc == pytest.approx(found.random_srcc + 0.1)


def test_a_contender_with_fewer_repeats_is_compared_in_its_own() -> None:
    """Random selection is better in later repeats; that must not count against those who left early."""
    found = answer(results({"a": [[0.01] * 4] * 3, "b": [[0.01]] * 3}), targets(3), BUDGET)
    assert [standing.gain.value for standing in found.standings] == pytest.approx([0.01, 0.01])


def test_shrinkage_by_hand() -> None:
    """Values 0.03 and -0.01 with errors e1 and e2: prior variance mean(v^2 - e^2)."""
    first, second = [0.02, 0.03, 0.04], [-0.02, 0.0, -0.01]
    found = answer(results({"a": [[v] for v in first], "b": [[v] for v in second]}), targets(3), BUDGET)
    errors = np.array([np.std(first, ddof=1), np.std(second, ddof=1)]) / np.sqrt(3)
    prior = np.mean(np.array([0.03, -0.01]) ** 2 - errors**2)
    kept = prior / (prior + errors**2)
    assert [s.expected for s in found.standings] == pytest.approx(list(kept * [0.03, -0.01]))
    assert found.standings[0].chance < 0.05 < 0.5 < found.standings[1].chance


def test_differences_within_their_errors_promise_nothing() -> None:
    found = answer(results({"a": [[0.1], [-0.09]], "b": [[-0.1], [0.1]]}), targets(2), BUDGET)
    assert [s.expected for s in found.standings] == [0.0, 0.0]
    assert [s.chance for s in found.standings] == [0.5, 0.5]
    assert found.leader == "a"
    assert not found.distinguishable


def test_of_two_with_one_mean_the_steadier_is_recommended() -> None:
    steady, risky = [[0.02], [0.021], [0.019], [0.02]], [[0.06], [-0.03], [0.05], [0.0]]
    found = answer(results({"risky": risky, "steady": steady}), targets(4), BUDGET)
    assert found.leader == "steady"


def test_a_steady_lead_is_told_and_nothing_else_is() -> None:
    lead = answer(results({"a": [[0.02]] * 6, "b": [[0.0]] * 6}), targets(6), BUDGET)
    assert lead.p_value == pytest.approx(1 / 64)
    assert lead.distinguishable
    behind = answer(results({"a": [[-0.02]] * 6}), targets(6), BUDGET)
    assert behind.leader == RANDOM
    assert behind.best is None
    assert not behind.distinguishable


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-1, 1)))
def test_sign_flips_by_plain_enumeration(gained: np.ndarray) -> None:
    sums = gained.sum(1)
    if sums.max() <= 1e-6:
        return
    best = int(sums.argmax())
    ahead = [row for row, total in zip(gained, sums, strict=True) if total > 0]
    largest = [
        max(sum(sign * x for sign, x in zip(signs, row, strict=True)) for row in ahead)
        for signs in itertools.product([1, -1], repeat=gained.shape[1])
    ]
    expected = np.mean([value >= sums[best] - 1e-9 for value in largest])
    assert sign_flips(gained, best) == pytest.approx(expected, abs=2 / 2 ** gained.shape[1])


def test_many_pseudo_targets_are_sampled() -> None:
    gained = np.full((1, 20), 0.01)
    assert 0 < sign_flips(gained, 0) < 0.001


def test_noise_is_called_noise() -> None:
    """Ten contenders without merit on six pseudo-targets: a false lead in about 5% of runs, in no more than 10%."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(300):
        gained = rng.normal(0, 0.02, (10, 6)) + rng.normal(0, 0.02, (1, 6))
        best = int(gained.sum(1).argmax())
        false += gained[best].sum() > 0 and sign_flips(gained, best) < LEVEL
    assert false / 300 <= 0.1


def test_the_curve_takes_repeats_in_which_all_budgets_were_tried() -> None:
    found = [
        RepeatResult("t0", 0, RANDOM, 10, 0.9, 0),
        RepeatResult("t0", 1, RANDOM, 5, 0.4, 0),
        RepeatResult("t0", 1, RANDOM, 10, 0.5, 0),
        RepeatResult("t0", 1, "mds", 5, 0.6, 0),
        RepeatResult("t0", 1, "mds", 10, 0.7, 0),
    ]
    assert curve_points(found, [RANDOM, "mds"], [5, 10], {"t0": 1.0}) == [
        CurvePoint(RANDOM, 5, 0.4),
        CurvePoint(RANDOM, 10, 0.5),
        CurvePoint("mds", 5, 0.6),
        CurvePoint("mds", 10, 0.7),
    ]
    assert curve_points(found[:1], [RANDOM, "mds"], [5, 10], {"t0": 1.0}) == []
