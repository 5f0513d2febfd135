"""What people's answers to the pairs of a gMAD competition say of the models.

Source: Ma et al. (2020), "Group maximum differentiation competition", IEEE TPAMI 42(4), with the details (weights of
levels, negative aggressiveness counted as none, the resistance of a pair) of the analysis code released with it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from mdsvqa.evaluation.gmad.pairs import Attack
from mdsvqa.evaluation.intervals import Interval, percentile_interval
from mdsvqa.runtime.arrays import Floats, Ints

# The paper's preferences lie between -100 and 100, ours between -1 and 1: with theirs, this is Tsukida and Gupta's
# maximum a posteriori estimate under a standard normal prior. Without any prior, a model that was never beaten would
# be infinitely strong.
PRIOR = 0.01
MOST_STEPS = 200
CONVERGED = 1e-10


@dataclass(frozen=True)
class Answers:
    """What raters said of distinct pairs of videos.

    Attributes:
        attack: place of the pair's attack in the list of attacks, shape (n,). One answer stands for every attack that
            found the same pair, so it is here once for each.
        pair: integer name of the pair of videos, shape (n,).
        rater: integer name of the rater, shape (n,).
        agreement: probability, or vote, for what the attacker says, in [0, 1], shape (n,).
    """

    attack: Ints
    pair: Ints
    rater: Ints
    agreement: Floats


@dataclass(frozen=True)
class Standing:
    """One measure of all models.

    Attributes:
        score: global ranking score of each model; they sum to 0, a difference of 1 means that Phi(1) = 84% of the
            duels' weight goes to the stronger.
        matrix: by (model, other model); None where no pair of the duel was rated.
    """

    score: Mapping[str, Interval]
    matrix: Mapping[tuple[str, str], Interval | None]

    def order(self) -> list[str]:
        """The models, strongest first."""
        return sorted(self.score, key=lambda model: -self.score[model].value)


@dataclass(frozen=True)
class Competition:
    """The result: who finds others' failures, and whose failures are not found.

    Attributes:
        aggressiveness: entry (i, j): how far people agree with i on the pairs that it found against j, from -1 (they
            see the opposite) over 0 (no difference) to 1.
        resistance: entry (i, j): how equal the pairs are to people that j found against i, which says they are, from
            0 to 1.
        pairs: distinct pairs rated.
        raters: who rated them.
    """

    aggressiveness: Standing
    resistance: Standing
    pairs: int
    raters: int


def aggressiveness_and_resistance(
    agreement: Floats, weight: Floats, attacker: Ints, defender: Ints, models: int
) -> tuple[Floats, Floats]:
    """The paper's two matrices.

    With s = 2p - 1 for an agreement p, and weights w that sum to 1 within a duel:
    A[i, j] = sum of w s over the attacks of i on j; R[i, j] = sum of w (1 - |s|) over the attacks of j on i.

    Args:
        agreement: of each attack, mean over raters, in [0, 1], shape (n,).
        weight: of each attack, positive, any unit, shape (n,).
        attacker, defender: integer models, shape (n,).
        models: how many.

    Returns:
        A in [-1, 1] and R in [0, 1], shape (models, models); NaN where there is no attack, as on the diagonal.
    """
    s = 2 * agreement - 1
    duel, cells = attacker * models + defender, models * models
    total = np.bincount(duel, weight, cells)
    with np.errstate(invalid="ignore"):
        a = np.bincount(duel, weight * s, cells) / total
        r = np.bincount(duel, weight * (1 - np.abs(s)), cells) / total
    return a.reshape(models, models), r.reshape(models, models).T


def global_scores(strength: Floats, prior: float = PRIOR) -> Floats:
    """Ranking scores from pairwise strengths: Thurstone's model, fitted by maximum likelihood, with a weak prior.

    mu maximises sum over i, j of C[i, j] log Phi(mu[i] - mu[j]) - prior / 2 sum mu[i]^2, where C = max(strength, 0).

    Args:
        strength: shape (..., models, models); an entry (i, j) speaks for i against j. The diagonal, NaN and negative
            entries count as 0.
        prior: larger than 0; draws the scores to 0.

    Returns:
        Shape (..., models); sums to 0.

    Source: Tsukida and Gupta (2011), "How to analyze paired comparison data", UWEETR-2011-0004, which Ma et al. (2020)
    use for their global ranking.

    >>> mu = global_scores(np.array([[0.0, 0.8413], [0.1587, 0.0]]), prior=1e-9)
    >>> float((mu[0] - mu[1]).round(3))
    1.0
    """
    count = np.maximum(np.nan_to_num(strength), 0)
    models = count.shape[-1]
    diagonal = np.arange(models)
    count[..., diagonal, diagonal] = 0
    mu = np.zeros(count.shape[:-1])
    for _ in range(MOST_STEPS):
        difference = mu[..., :, None] - mu[..., None, :]
        hazard = np.exp(-(difference**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(difference))
        pull, bend = count * hazard, count * hazard * (difference + hazard)
        slope = pull.sum(-1) - pull.sum(-2) - prior * mu
        bend = bend + bend.swapaxes(-1, -2)
        curvature = -bend
        curvature[..., diagonal, diagonal] += bend.sum(-1) + prior
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        # The likelihood is concave, but flat far from its top: a whole Newton step from there may jump beyond it.
        longest = np.abs(step).max(-1, keepdims=True)
        mu = mu + step * np.minimum(1, 1 / np.maximum(longest, 1e-300))
        if longest.max() < CONVERGED:
            break
    return mu


def rank_models(
    attacks: Sequence[Attack],
    answers: Answers,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Competition:
    """Who won.

    Intervals come from the Bayesian bootstrap of pairs and of raters: every draw gives each distinct pair, and each
    rater, an exponential weight. A pair that several attackers found has one weight. The plain bootstrap would leave
    short duels without any pair. Where every pair has one rater, the weights of raters cancel.

    Args:
        attacks: as found.
        answers: to at least one of them.
        draws, confidence, seed: of the bootstrap.

    Returns:
        Both measures of every model that attacks or defends.

    Source: Rubin (1981) for the weights; Owen and Eckles (2012) for products of weights of crossed factors.
    """
    models = list(dict.fromkeys(name for attack in attacks for name in (attack.attacker, attack.defender)))
    place = {model: number for number, model in enumerate(models)}
    rated, of_rated = np.unique(answers.attack, return_inverse=True)
    attacker = np.array([place[attacks[i].attacker] for i in rated])
    defender = np.array([place[attacks[i].defender] for i in rated])
    weight = _weights([attacks[i] for i in rated])
    pairs, pair = np.unique(answers.pair, return_inverse=True)
    raters, rater = np.unique(answers.rater, return_inverse=True)
    pair_of_rated = np.zeros(len(rated), np.int64)
    pair_of_rated[of_rated] = pair

    def matrices(pair_weight: Floats, rater_weight: Floats) -> tuple[Floats, Floats]:
        vote = rater_weight[rater]
        mean = np.bincount(of_rated, vote * answers.agreement) / np.bincount(of_rated, vote)
        drawn = weight * pair_weight[pair_of_rated]
        return aggressiveness_and_resistance(mean, drawn, attacker, defender, len(models))

    rng = np.random.default_rng(seed)
    whole = matrices(np.ones(len(pairs)), np.ones(len(raters)))
    drawn = [matrices(rng.exponential(size=len(pairs)), rng.exponential(size=len(raters))) for _ in range(draws)]
    aggressiveness, resistance = (
        _standing(models, whole[measure], np.stack([one[measure] for one in drawn]), confidence) for measure in (0, 1)
    )
    return Competition(aggressiveness, resistance, len(pairs), len(raters))


def _weights(attacks: Sequence[Attack]) -> Floats:
    """The level's share of the defender's videos, divided among the pairs of the level."""
    cells = [(attack.attacker, attack.defender, attack.level) for attack in attacks]
    on_level = Counter(cells)
    return np.array([attack.weight / on_level[cell] for attack, cell in zip(attacks, cells, strict=True)])


def _standing(models: list[str], matrix: Floats, draws: Floats, confidence: float) -> Standing:
    scores, score_draws = global_scores(matrix), global_scores(draws)
    return Standing(
        {m: percentile_interval(float(scores[i]), score_draws[:, i], confidence) for i, m in enumerate(models)},
        {
            (m, other): None
            if np.isnan(matrix[i, j])
            else percentile_interval(float(matrix[i, j]), draws[:, i, j], confidence)
            for i, m in enumerate(models)
            for j, other in enumerate(models)
            if i != j
        },
    )
