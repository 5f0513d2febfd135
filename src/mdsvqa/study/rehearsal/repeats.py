"""One repeat of a rehearsal: the loop on a data set of the source that plays the target."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.statistical.finetune import fit_again
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.results import fingerprint
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import BASE, EVERYTHING, rule_named
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.loop import rounds
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rule_comparison import FirstKnown, all_known, know

RANDOM = "random"
# Of a pseudo-target's videos, those to measure on; of the other data sets', those that f does not learn from.
TARGET_TEST, SOURCE_TEST = 1 / 3, 1 / 2
# The yardstick is the mean of several draws: its chance would be in every gain otherwise.
RANDOM_DRAWS = 3
# Pairs of a data set by which f is fine-tuned by ranking: more make a repeat longer, and more repeats tell more.
MOST_PAIRS = 5000


@dataclass(frozen=True)
class RepeatInputs:
    """What all repeats share.

    Attributes:
        data: the labeled source and nothing else, MOS everywhere.
        config: of the study.
        base: f on the whole source; it is trained again, with its hyper-parameters.
    """

    data: StudyData
    config: StudyConfig
    base: KernelModel


@dataclass(frozen=True)
class Job:
    """One repeat, to be done anywhere.

    Attributes:
        target: the pseudo-target.
        repeat: number, from 0: draws who trains f, who is in the pool and who is measured on.
        rules: to compare, random selection first.
        budget: labels to spend.
        curve: further budgets, for the rules in `curved`.
        curved: rules that spend them.
    """

    target: PseudoTarget
    repeat: int
    rules: Sequence[str]
    budget: int
    curve: Sequence[int] = ()
    curved: Sequence[str] = ()

    @property
    def id(self) -> str:
        """Tells it from every other one of a rehearsal."""
        who = [self.target.members.tolist(), self.target.others.tolist()]
        asked = [list(self.rules), self.budget, list(self.curve), list(self.curved)]
        return f"{self.target.name} {self.repeat} {fingerprint([who, asked])}"


@dataclass(frozen=True)
class RepeatResult:
    """What one rule reached in one repeat at one budget.

    Attributes:
        target, repeat: of the job.
        contender: rule by name; "base" and "everything" are f with no new label and with the whole pool's, at budgets 0
            and the pool's size.
        budget: labels.
        target_srcc: on the rest of the pseudo-target; for random selection the mean over its draws.
        source_srcc: on the videos of the other data sets that f did not learn from.
    """

    target: str
    repeat: int
    contender: str
    budget: int
    target_srcc: float
    source_srcc: float


def run_repeat(inputs: RepeatInputs, job: Job) -> list[RepeatResult]:
    """Trains f without the pseudo-target, rates the difficulty of its pool, and tries every rule on it.

    Args:
        inputs: shared by all repeats.
        job: one repeat. The draws depend on the study's seed, the pseudo-target's name and the number of the repeat,
            and on nothing else: every engine gives the same result.

    Returns:
        One result a rule and budget, and the bounds.
    """
    config, seed = inputs.config, crc32(f"{inputs.config.seed} {job.target.name} {job.repeat}".encode()) >> 2
    data = cast(inputs.data, job.target, seed)
    base = fit_again(inputs.base, data.labeled_source())
    pairs = min(config.finetuning.most_pairs, MOST_PAIRS)
    f = StatisticalModel.start(base, data.labeled_source(), config.finetuning.model_copy(update={"most_pairs": pairs}))
    g, pool = (
        FromFeatures(config.difficulty),
        PoolArrays(data.ids(data.pool), data.pool, data.space(config.selection.features, data.pool)),
    )
    first = g.every([rule_named(rule) for rule in job.rules], f, data, data.pool, seed)
    keep, raters = FirstKnown(first, len(pool)), partial(know, data, pool)
    tests = data.of(np.concatenate([data.target_test, data.source_test]))
    sides = np.split(np.arange(len(tests.videos)), [len(data.target_test)])

    def measured(model: StudyModel) -> list[float]:
        scores = model.scores(tests).score
        return [_srcc(scores, tests, side) for side in sides]

    def after(rule: str, budget: int, draw: int) -> list[float]:
        ruled = config.model_copy(update={"selection": config.selection.model_copy(update={"rule": rule})})
        turns = list(rounds(f, g, data, pool, Budget(budget, Limits()), ruled, raters, keep, seed + draw))
        return measured(turns[-1].model)

    whole = f.finetuned(data, all_known(data, data.pool), 1, seed)
    found = [RepeatResult(job.target.name, job.repeat, BASE, 0, *measured(f))]
    found.append(RepeatResult(job.target.name, job.repeat, EVERYTHING, len(pool), *measured(whole)))
    for rule in job.rules:
        for budget in sorted({job.budget, *(job.curve if rule in job.curved else ())}):
            reached = np.mean([after(rule, budget, draw) for draw in range(RANDOM_DRAWS if rule == RANDOM else 1)], 0)
            found.append(RepeatResult(job.target.name, job.repeat, rule, budget, *reached.tolist()))
    return found


def cast(source: StudyData, target: PseudoTarget, seed: int) -> StudyData:
    """Who plays what: half of the other data sets trains f, the pseudo-target is split into a pool and a test part."""
    rng = np.random.default_rng(seed)
    target_test, pool = _cut(rng.permutation(target.members), TARGET_TEST)
    source_test, train = _cut(rng.permutation(target.others), SOURCE_TEST)
    # The pool's labels come from other studies than the source's, as those of a real pool do.
    dataset = source.dataset.copy()
    dataset[pool] = 1 - dataset[pool]
    return replace(source, dataset=dataset, source=train, pool=pool, target_test=target_test, source_test=source_test)


def _srcc(scores: Floats, data: StudyData, test: Ints) -> float:
    """Within data sets; 0 where all scores are equal."""
    found = srcc_within(scores[test], data.mos(test), data.dataset[test])
    return 0.0 if np.isnan(found) else found


def _cut(videos: Ints, share: float) -> tuple[Ints, Ints]:
    cut = round(share * len(videos))
    return videos[:cut], videos[cut:]
