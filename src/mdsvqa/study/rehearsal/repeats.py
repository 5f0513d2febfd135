"""One repeat of a rehearsal: the loop on a part of the source that plays the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.statistical.kernel_model import fit_statistical
from mdsvqa.runtime.results import fingerprint
from mdsvqa.selection.catalogue import BASE, EVERYTHING, rule_named
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.settings import Space
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.loop import (
    COMMITTEE,
    Pool,
    State,
    known_errors,
    learn,
    predicted,
    simulate,
)
from mdsvqa.study.rehearsal.contenders import RANDOM, Contender

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
# Of a pseudo-target's videos, those to measure on; of the other source videos likewise.
TARGET_TEST, SOURCE_TEST = 1 / 3, 0.15
# The yardstick is the mean of several draws: its chance would be in every gain otherwise.
RANDOM_DRAWS = 3
# Videos that one repeat looks at, of a pseudo-target and of the others, drawn anew in each; and pairs of a data set by
# which f is fine-tuned. More make a repeat longer, and what more repeats tell is worth more.
MOST, MOST_OTHERS, MOST_PAIRS = 600, 600, 5000


@dataclass(frozen=True)
class Stage:
    """What all repeats share.

    Attributes:
        source: the labeled videos, MOS everywhere; `content` is not read.
        spaces: features in which videos are compared, of the same videos, by name.
        config: of the study.
        cost, gamma: of f, for training it again.
    """

    source: Pool
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
    members: Indices
    others: Indices
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
class Result:
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
    train: Indices
    chosen: Indices
    test: Indices


@dataclass(frozen=True)
class _Played:
    """A pseudo-target with its roles: indices of the source, f without it, and its pool."""

    train: Indices
    pool: Indices
    target_test: Indices
    source_test: Indices
    start: State
    videos: Pool
    seed: int


def run_repeat(stage: Stage, job: Job) -> list[Result]:
    """Trains f without the pseudo-target, rates the difficulty of its pool, and tries every contender on it.

    Args:
        stage: shared by all repeats.
        job: one repeat. The draws depend on the study's seed, the pseudo-target's name and the number of the repeat,
            and on nothing else: every engine gives the same result.

    Returns:
        One result a contender and budget.
    """
    config, source = _quick(stage.config), stage.source
    played = _played(stage, job)
    first = _difficulties(played.start, played.videos, config, played.seed, job.contenders)
    found = []

    def measured(state: State) -> tuple[float, float]:
        return _srcc(state, source, played.target_test), _srcc(state, source, played.source_test)

    if job.bounds:
        everyone = np.arange(len(played.videos))
        found.append(Result(job.target, job.repeat, BASE, 0, *measured(played.start)))
        whole = learn(played.start, played.videos, everyone, played.videos.mos, config, played.seed)
        found.append(Result(job.target, job.repeat, EVERYTHING, len(played.videos), *measured(whole)))
    for contender in job.contenders:
        draws = RANDOM_DRAWS if contender.rule == RANDOM else 1
        for budget in job.budgets:
            reached = [measured(_spent(stage, played, contender, budget, first, draw)) for draw in range(draws)]
            found.append(Result(job.target, job.repeat, contender.name, budget, *np.mean(reached, axis=0).tolist()))
    return found


def choices_of(stage: Stage, job: Job) -> list[Choice]:
    """What each contender of a repeat chose at its first budget; of random selection the first draw.

    Args:
        stage, job: as in `run_repeat`.
    """
    played = _played(stage, job)
    first = _difficulties(played.start, played.videos, _quick(stage.config), played.seed, job.contenders)
    place = {video: int(index) for video, index in zip(played.videos.ids, played.pool, strict=True)}
    found = []
    for contender in job.contenders:
        state = _spent(stage, played, contender, job.budgets[0], first, 0)
        chosen = np.array([place[video] for video in state.chosen], np.int64)
        found.append(Choice(job.target, contender.name, played.train, chosen, played.target_test))
    return found


def _played(stage: Stage, job: Job) -> _Played:
    source = stage.source
    seed = crc32(f"{stage.config.seed} {job.target} {job.repeat}".encode()) >> 2
    rng = np.random.default_rng(seed)
    members = rng.permutation(job.members)[:MOST]
    others = rng.permutation(job.others)[:MOST_OTHERS]
    target_test, pool = _cut(members, TARGET_TEST)
    source_test, train = _cut(others, SOURCE_TEST)
    labeled = source.labeled(train, source.mos[train])
    base = fit_statistical(labeled, cost=stage.cost, gamma=stage.gamma)
    # The pool's labels come from other studies than the source's, as those of a real pool do.
    videos = replace(source.take(pool), dataset=1 - source.dataset[pool])
    return _Played(train, pool, target_test, source_test, State(base, base, labeled), videos, seed)


def _spent(
    stage: Stage, played: _Played, contender: Contender, budget: int, first: Mapping[bool, Floats], draw: int
) -> State:
    """The loop by one contender, from f without the pseudo-target."""
    content = stage.spaces[contender.features or "content"].take(played.pool)
    offered = replace(played.videos, content=content)
    difficulty = first.get(contender.rule == COMMITTEE, np.zeros(len(offered)))
    config = contender.applied(_quick(stage.config))
    return simulate(played.start, offered, config, budget, played.seed + draw, difficulty)


def _difficulties(
    start: State, videos: Pool, config: StudyConfig, seed: int, contenders: Sequence[Contender]
) -> dict[bool, Floats]:
    """Of g, and of the committee, as far as a contender goes by them."""
    goes_by = [rule_named(each.rule).difficulty for each in contenders]
    kinds = {name == COMMITTEE for name in goes_by if name is not None}
    if not kinds:
        return {}
    known = known_errors(start, videos, config, seed)
    return {kind: predicted(*known, config, seed, committee=kind).difficulty for kind in sorted(kinds)}


def _srcc(state: State, videos: Pool, test: Indices) -> float:
    """Within data sets; 0 where all scores are equal."""
    found = srcc_within(state.model.predict(videos.features[test]), videos.mos[test], videos.dataset[test])
    return 0.0 if np.isnan(found) else found


def _quick(config: StudyConfig) -> StudyConfig:
    pairs = min(config.finetuning.most_pairs, MOST_PAIRS)
    return config.model_copy(update={"finetuning": config.finetuning.model_copy(update={"most_pairs": pairs})})


def _cut(videos: Indices, share: float) -> tuple[Indices, Indices]:
    cut = round(share * len(videos))
    return videos[:cut], videos[cut:]
