"""One turn of the loop on arrays: rate difficulty, choose, learn. No files, no printing.

study.py runs it on tables of videos; comparisons and benchmarks run it many times on the same arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Source, Videos
from mdsvqa.difficulty.prediction import Prediction, predict_difficulty, refitted_source, usual_predictor
from mdsvqa.models.statistical.finetune import finetune, train
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures
from mdsvqa.selection.base import Limits, Pick
from mdsvqa.selection.catalogue import EVERYTHING, rule_named
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.select import FREE, select
from mdsvqa.study.config import StudyConfig

Floats = NDArray[np.float64]
COMMITTEE = "committee"


@dataclass(frozen=True)
class Pool:
    """The unlabeled videos, as arrays of one length.

    Attributes:
        ids: unique.
        features: of the quality model, shape (n, dims).
        content: frame features.
        mos: where somebody knows them, NaN elsewhere, shape (n,).
        dataset: integer code of the study that will rate each video, 1 and above, shape (n,).
        limits: that the choice of each round must keep to.
    """

    ids: Sequence[str]
    features: Floats
    content: Content
    mos: Floats
    dataset: NDArray[np.int64]
    limits: Limits = FREE

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: NDArray[np.int64]) -> "Pool":
        return Pool(
            [self.ids[int(i)] for i in chosen],
            self.features[chosen],
            self.content.take(chosen),
            self.mos[chosen],
            self.dataset[chosen],
            self.limits.take(chosen),
        )

    def labeled(self, chosen: NDArray[np.int64], mos: Floats) -> LabeledFeatures:
        """Some videos with the MOS that they were given."""
        return LabeledFeatures(self.features[chosen], mos, self.dataset[chosen])


@dataclass(frozen=True)
class State:
    """Where the loop stands.

    Attributes:
        base: f before any new label.
        model: f now.
        labeled: what f has learned from: the source, then the new labels.
        chosen: ids of the pool that were chosen so far.
    """

    base: KernelModel
    model: KernelModel
    labeled: LabeledFeatures
    chosen: tuple[str, ...] = ()


def rate_difficulty(state: State, pool: Pool, config: StudyConfig, seed: int) -> Prediction:
    """g: how wrong f is expected to be on each video of the pool; only the order means anything.

    For the rule "committee" it is the committee's spread.
    """
    source, videos = known_errors(state, pool, config, seed)
    return predicted(source, videos, config, seed, committee=config.selection.rule == COMMITTEE)


def known_errors(state: State, pool: Pool, config: StudyConfig, seed: int) -> tuple[Source, Videos]:
    """The errors of f on what is labeled, and what is known of the pool; it takes most of the time of g."""
    refit = partial(_refit, state=state, config=config, seed=seed)
    settings = usual_predictor(config.difficulty, refitted=True)
    return refitted_source(state.labeled, pool.features, state.model.predict(pool.features), refit, settings, seed)


def predicted(source: Source, pool: Videos, config: StudyConfig, seed: int, *, committee: bool) -> Prediction:
    """The difficulty of the pool from what is known; for the committee its spread."""
    settings = usual_predictor(config.difficulty, refitted=True)
    return predict_difficulty(source, pool, settings, seed, COMMITTEE if committee else None)


def _refit(data: LabeledFeatures, state: State, config: StudyConfig, seed: int) -> "partial[Floats]":
    model = train(data, state.base.cost, state.base.gamma, config.finetuning, seed)
    return partial(model.predict)


def choose(
    state: State, pool: Pool, difficulty: Floats, config: StudyConfig, budget: int, seed: int, audit: float = 0.0
) -> list[Pick]:
    """D: the videos to label next, by the rule of the configuration; `audit` as in `select`."""
    chosen, limits = state.chosen, pool.limits
    return select(
        pool.ids,
        difficulty,
        pool.content,
        budget,
        config.selection,
        chosen=chosen,
        limits=limits,
        audit=audit,
        seed=seed,
    )


def learn(state: State, pool: Pool, rated: NDArray[np.int64], mos: Floats, config: StudyConfig, seed: int) -> State:
    """f': fine-tunes on the source and all new labels so far.

    Args:
        rated: indices of the pool's videos with new labels, shape (k,).
        mos: their labels, shape (k,).
    """
    labeled = state.labeled.join(pool.labeled(rated, mos))
    model = finetune(state.base, labeled, config.finetuning, seed)
    return replace(state, model=model, labeled=labeled, chosen=(*state.chosen, *(pool.ids[int(i)] for i in rated)))


def budget_by_round(budget: int, rounds: int) -> list[int]:
    """A budget split as evenly as whole videos allow, the larger parts first.

    >>> budget_by_round(20, 3)
    [7, 7, 6]
    """
    return [budget // rounds + (turn < budget % rounds) for turn in range(rounds)]


def simulate(state: State, pool: Pool, config: StudyConfig, budget: int, seed: int, first: Floats) -> State:
    """The whole loop on a pool whose MOS are all known.

    Args:
        state: at the start.
        pool: with MOS everywhere.
        config: rule, rounds and the rest.
        budget: over all rounds, of which there are no more than videos.
        seed: of everything.
        first: difficulty in the first round, shape (n,), which every rule shares.

    Returns:
        The state after the last round.
    """
    difficulty = first
    for turn, part in enumerate(budget_by_round(budget, min(config.rounds, budget))):
        if turn > 0 and rule_named(config.selection.rule).difficulty is not None:
            difficulty = rate_difficulty(state, pool, config, seed).difficulty
        picks = choose(state, pool, difficulty, config, part, seed + turn)
        rated = np.array([pick.index for pick in picks], np.int64)
        state = learn(state, pool, rated, pool.mos[rated], config, seed)
    return state


@dataclass(frozen=True)
class Trial:
    """One rule, one seed.

    Attributes:
        rule: also "everything", the whole part of the pool labeled.
        seed: of the trial.
        selected: ids in the order of their choice.
        target_scores, source_scores: of the fine-tuned model on the two test sets.
    """

    rule: str
    seed: int
    selected: Sequence[str]
    target_scores: Floats
    source_scores: Floats


@dataclass(frozen=True)
class Setting:
    """What all trials of a comparison share.

    Attributes:
        start: state before any new label.
        pool: with MOS everywhere.
        target_test, source_test: features of the two test sets.
        config: of the study.
        budget: videos to label in each trial.
    """

    start: State
    pool: Pool
    target_test: Floats
    source_test: Floats
    config: StudyConfig
    budget: int


def run_trials(setting: Setting, rules: Sequence[str], seed: int) -> list[Trial]:
    """Every rule on the same random part of the pool.

    Args:
        setting: shared by all seeds.
        rules: by name; `EVERYTHING` labels the whole part.
        seed: draws the part of the pool, and is the seed of the failure predictor and of every rule.

    Returns:
        One trial a rule.
    """
    config = setting.config
    rng = np.random.default_rng([config.seed, seed])
    share = max(setting.budget, round(config.comparison.pool_share * len(setting.pool)))
    part = setting.pool.take(np.sort(rng.permutation(len(setting.pool))[:share]))
    # Of the committee, and of g: once for all rules that go by the same.
    kinds = {
        goes_by == COMMITTEE for goes_by in (rule_named(r).difficulty for r in rules if r != EVERYTHING) if goes_by
    }
    known = known_errors(setting.start, part, config, seed) if kinds else None
    first = {kind: predicted(*known, config, seed, committee=kind).difficulty for kind in kinds if known}
    trials = []
    for rule in rules:
        if rule == EVERYTHING:
            everyone = np.arange(len(part))
            state = learn(setting.start, part, everyone, part.mos, config, seed)
        else:
            ruled = config.model_copy(update={"selection": config.selection.model_copy(update={"rule": rule})})
            state = simulate(
                setting.start, part, ruled, setting.budget, seed, first.get(rule == COMMITTEE, np.zeros(len(part)))
            )
        target, source = (state.model.predict(x) for x in (setting.target_test, setting.source_test))
        trials.append(Trial(rule, seed, state.chosen, target, source))
    return trials
