"""One repeat of a rehearsal: the loop on a part of the source that plays the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.results import fingerprint
from mdsvqa.selection.audit import Budget
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import BASE, EVERYTHING, rule_named
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import Space
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import PoolArrays, StudyData
from mdsvqa.study.failure_predictors import FromFeatures
from mdsvqa.study.loop import Round, rounds
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.rehearsal.contenders import RANDOM, Contender
from mdsvqa.study.rule_comparison import FirstKnown, all_known, know

# Of a pseudo-target's videos, those to measure on; of the other source videos likewise.
TARGET_TEST, SOURCE_TEST = 1 / 3, 0.15
# The yardstick is the mean of several draws: its chance would be in every gain otherwise.
RANDOM_DRAWS = 3
# Videos that one repeat looks at, of a pseudo-target and of the others, drawn anew in each; and pairs of a data set by
# which f is fine-tuned. More make a repeat longer, and what more repeats tell is worth more.
MOST, MOST_OTHERS, MOST_PAIRS = 600, 600, 5000


@dataclass(frozen=True)
class RepeatInputs:
    """What all repeats share.

    Attributes:
        data: the labeled source and nothing else, MOS everywhere; its content is not read.
        spaces: features in which videos are compared, of the same videos, by name.
        config: of the study.
        cost, gamma: of f, for training it again.
    """

    data: StudyData
    spaces: Mapping[Space, Content]
    config: StudyConfig
    cost: float
    gamma: float


@dataclass(frozen=True)
class Job:
    """One repeat, to be done anywhere.

    Attributes:
        target: name of the pseudo-target.
        members: its videos, indices of the source.
        others: of which f is trained, and source SRCC is measured.
        repeat: number, from 0: draws who is in the pool and who is measured on.
        contenders: to compare, random selection first.
        budgets: labels to spend, ascending.
        bounds: whether f without any new label and with the whole pool's are measured, too.
    """

    target: str
    members: Ints
    others: Ints
    repeat: int
    contenders: Sequence[Contender]
    budgets: Sequence[int]
    bounds: bool = True

    @property
    def id(self) -> str:
        """Tells it from every other one of a rehearsal."""
        asked = [[vars(each) for each in self.contenders], list(self.budgets), self.bounds]
        return f"{self.target} {self.repeat} {fingerprint([self.members.tolist(), self.others.tolist(), *asked])}"


@dataclass(frozen=True)
class RepeatResult:
    """What one contender reached in one repeat at one budget.

    Attributes:
        target, repeat: of the job.
        contender: by name; "base" and "everything" are f with no new label and with the whole pool's, at budgets 0 and
            the pool's size.
        budget: labels.
        target_srcc: on the rest of the pseudo-target; for random selection the mean over its draws.
        source_srcc: on held-out videos of the rest of the source.
    """

    target: str
    repeat: int
    contender: str
    budget: int
    target_srcc: float
    source_srcc: float


@dataclass(frozen=True)
class Choice:
    """What one contender chose in one repeat, as indices of the source.

    Attributes:
        target, contender: by name.
        train: f learned from these.
        chosen: in the order of their choice.
        test: the rest of the pseudo-target.
    """

    target: str
    contender: str
    train: Ints
    chosen: Ints
    test: Ints


@dataclass(frozen=True)
class _SetUp:
    """A pseudo-target with its roles, and f without it.

    Attributes:
        data: of all source videos, each in the role that it plays.
        f: trained without the pseudo-target.
        config: of the study, with fewer pairs.
        seed: of the repeat.
    """

    data: StudyData
    f: StatisticalModel
    config: StudyConfig
    seed: int

    def pool(self, content: Content) -> PoolArrays:
        """The part of the pseudo-target that plays the pool."""
        index = self.data.pool
        return PoolArrays(self.data.ids(index), index, content.take(index))

    def difficulties(self, contenders: Sequence[Contender]) -> dict[str | None, Floats]:
        """Those that the contenders go by, in the first round."""
        rules = [rule_named(each.rule) for each in contenders]
        g = FromFeatures(self.config.difficulty)
        return g.every(rules, self.f, self.data, self.data.pool, self.seed)


def run_repeat(inputs: RepeatInputs, job: Job) -> list[RepeatResult]:
    """Trains f without the pseudo-target, rates the difficulty of its pool, and tries every contender on it.

    Args:
        inputs: shared by all repeats.
        job: one repeat. The draws depend on the study's seed, the pseudo-target's name and the number of the repeat,
            and on nothing else: every engine gives the same result.

    Returns:
        One result a contender and budget.
    """
    there = set_up_repeat(inputs, job)
    data, first = there.data, there.difficulties(job.contenders)
    tests = data.of(np.concatenate([data.target_test, data.source_test]))
    sides = np.split(np.arange(len(tests.videos)), [len(data.target_test)])
    found = []

    def measured(f: StudyModel) -> list[float]:
        scores = f.scores(tests).score
        return [_srcc(scores, tests, side) for side in sides]

    if job.bounds:
        whole = there.f.finetuned(data, all_known(data, data.pool), 1, there.seed)
        found.append(RepeatResult(job.target, job.repeat, BASE, 0, *measured(there.f)))
        found.append(RepeatResult(job.target, job.repeat, EVERYTHING, len(data.pool), *measured(whole)))
    for contender in job.contenders:
        draws = RANDOM_DRAWS if contender.rule == RANDOM else 1
        for budget in job.budgets:
            turns = [run_contender(inputs, there, contender, budget, first, draw) for draw in range(draws)]
            reached = np.mean([measured(rounds_[-1].model) for rounds_ in turns], axis=0)
            found.append(RepeatResult(job.target, job.repeat, contender.name, budget, *reached.tolist()))
    return found


def choices_of(inputs: RepeatInputs, job: Job) -> list[Choice]:
    """What each contender of a repeat chose at its first budget; of random selection the first draw.

    Args:
        inputs, job: as in `run_repeat`.
    """
    there = set_up_repeat(inputs, job)
    data, first, found = there.data, there.difficulties(job.contenders), []
    for contender in job.contenders:
        turns = run_contender(inputs, there, contender, job.budgets[0], first, 0)
        places = np.array([pick.index for turn in turns for pick in turn.picks], np.int64)
        chosen = data.pool[places]
        found.append(Choice(job.target, contender.name, data.source, chosen, data.target_test))
    return found


def set_up_repeat(inputs: RepeatInputs, job: Job) -> _SetUp:
    """Draws who plays what, and trains f without the pseudo-target."""
    seed = crc32(f"{inputs.config.seed} {job.target} {job.repeat}".encode()) >> 2
    rng = np.random.default_rng(seed)
    members = rng.permutation(job.members)[:MOST]
    others = rng.permutation(job.others)[:MOST_OTHERS]
    target_test, pool = _cut(members, TARGET_TEST)
    source_test, train = _cut(others, SOURCE_TEST)
    # The pool's labels come from other studies than the source's, as those of a real pool do.
    dataset = inputs.data.dataset.copy()
    dataset[pool] = 1 - dataset[pool]
    data = replace(
        inputs.data, dataset=dataset, source=train, pool=pool, target_test=target_test, source_test=source_test
    )
    base = fit_statistical(data.labeled_source(), cost=inputs.cost, gamma=inputs.gamma)
    config = _quick(inputs.config)
    return _SetUp(data, StatisticalModel.start(base, data.labeled_source(), config.finetuning), config, seed)


def run_contender(
    inputs: RepeatInputs,
    there: _SetUp,
    contender: Contender,
    budget: int,
    first: Mapping[str | None, Floats],
    draw: int,
) -> list[Round]:
    """The loop by one contender, from f without the pseudo-target."""
    pool, config = there.pool(inputs.spaces[contender.features or "content"]), contender.applied(there.config)
    keep, raters = FirstKnown(first, len(pool)), partial(know, there.data, pool)
    g, seed = FromFeatures(config.difficulty), there.seed + draw
    return list(rounds(there.f, g, there.data, pool, Budget(budget, Limits()), config, raters, keep, seed))


def _srcc(scores: Floats, data: StudyData, test: Ints) -> float:
    """Within data sets; 0 where all scores are equal."""
    found = srcc_within(scores[test], data.mos(test), data.dataset[test])
    return 0.0 if np.isnan(found) else found


def _quick(config: StudyConfig) -> StudyConfig:
    pairs = min(config.finetuning.most_pairs, MOST_PAIRS)
    return config.model_copy(update={"finetuning": config.finetuning.model_copy(update={"most_pairs": pairs})})


def _cut(videos: Ints, share: float) -> tuple[Ints, Ints]:
    cut = round(share * len(videos))
    return videos[:cut], videos[cut:]
