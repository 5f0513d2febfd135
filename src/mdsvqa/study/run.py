"""A study on files: the loop with every result on disk, so that a second run reads what is there and goes on behind it.

data        features and content of every video                       -> features/, content/
score       the base model f on every video                           -> scores/
rehearse    which rule to choose by (`rule: auto`)                    -> rehearsal/
then, for each round (loop.py):
difficulty  g predicts where f will be wrong                          -> round-1/difficulty/
select      the most difficult videos that differ from each other     -> round-1/selection/
label       what goes out to raters, and the MOS that come back       -> round-1/to_label.csv
finetune    f learns to rank the newly labeled videos                 -> round-1/ or finetuned/
and last:
compare     the same loop under other rules, where all MOS are known  -> comparison/
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdsvqa.difficulty.prediction import Prediction, difficulty_rows, write_choice
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import DIFFICULTY, SELECTION, Maker, column, fingerprint
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.audit import AUDIT, budget_of
from mdsvqa.selection.base import Pick, Rule
from mdsvqa.selection.select import selection_rows
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import PoolArrays, StudyData, gather, pool_labels
from mdsvqa.study.failure_predictors import failure_predictor
from mdsvqa.study.loop import Round, rounds
from mdsvqa.study.participants.open import open_before_data, participant
from mdsvqa.study.participants.statistical import StatisticalModel
from mdsvqa.study.rehearsal.run import load_rehearsal, with_rehearsed_rule
from mdsvqa.study.result import StudyResult
from mdsvqa.study.rule_comparison import check_comparison, compare_rules
from mdsvqa.videos.labels import Labels, write_label_request


def run_study(config: StudyConfig, show: Show, *, overwrite: bool = False) -> StudyResult:
    """Runs the loop, or goes on with it.

    Args:
        config: the study.
        show: how it speaks.
        overwrite: make anew what other settings made, instead of refusing.

    Returns:
        Everything that evaluation and report need.

    Raises:
        ConfigError, ManifestError, ColumnError, TableError: something handed in cannot be used; the message says what.
    """
    run = Run(config.out, show, cores(config.workers), overwrite)
    early = open_before_data(config, run)
    data = gather(config, run)
    check_comparison(config, data)
    f = participant(config, early, data, run)
    data = data.only(np.isfinite(f.scores(data).score), "the quality model gave no score")
    base, (config, why) = f.scores(data), with_rehearsed_rule(config, data, f, run)
    pool = data.pool_arrays(config)
    budget = budget_of(config.selection, len(pool), pool.limits)
    tables = Tables(config, data, pool.within(budget.spread(min(config.rounds, budget.videos)).limits), run)
    raters, g = RatersFile(tables, gather_labels(config, data, show)), failure_predictor(config.difficulty)
    notes = f.notes(data)
    for note in notes:
        show.note(note)
    # The page has a place of its own for what a rehearsal found.
    notes += [why] if why and load_rehearsal(config) is None else []
    result = StudyResult(config, data, f.name, [], [base.score], np.empty(0), notes=notes)
    if config.quality.vlm.reading == "generate" and np.isfinite(base.expected).any():
        result = replace(result, readings={"parsed answer": base.score, "expected score": base.expected})
    for done in rounds(f, g, data, pool, budget, config, raters, tables, config.seed):
        result = _after_round(result, pool, done)
    if result.waiting_for:
        return result
    return replace(result, rule_runs=compare_rules(config, data, pool, f, result.difficulty, run))


def _after_round(result: StudyResult, pool: PoolArrays, done: Round) -> StudyResult:
    earlier = len(result.selected)
    rows = selection_rows(pool.ids, done.picks, result.config.selection.rule)
    result = replace(
        result,
        selected=[*result.selected, *({**row, "round": done.turn, "rank": earlier + row["rank"]} for row in rows)],
        difficulty=result.difficulty if earlier else done.difficulty,
        audit={**result.audit, **({} if done.labels is None else done.labels.audit)},
    )
    if done.waiting is not None:
        return replace(result, waiting_for=done.waiting.sentence)
    scores, notes = done.model.scores(result.data), done.model.notes(result.data)
    # Of a language model it is how much drawn replies differ, not how far a MOS may be.
    spread = scores.spread if isinstance(done.model, StatisticalModel) else None
    return replace(result, scores=[*result.scores, scores.score], spread=spread, notes=[*result.notes, *notes])


@dataclass
class Tables:
    """A `loop.Keep` that reads difficulties and choices where they are, and writes them where they are not.

    Attributes:
        pool: under the limits of one round.
        chosen: videos so far.
        made: what made the last result; each names what made its inputs.
    """

    config: StudyConfig
    data: StudyData
    pool: PoolArrays
    run: Run
    chosen: int = 0
    made: Maker | None = None

    def difficulty(self, turn: int, rule: Rule, f: StudyModel, compute: Callable[[], Prediction]) -> Floats:
        """See `loop.Keep`."""
        config, data, show = self.config, self.data, self.run.show
        show.note(f"Round {turn} of {config.rounds}: choosing from {len(self.pool) - self.chosen} videos")
        maker = {"step": "difficulty", "round": turn, "model": fingerprint(f.made_by(data)), "material": data.maker}
        maker |= {"settings": config.difficulty.record(whole=True), "seed": config.seed}
        maker |= {"rule": rule.name} if rule.difficulty == "committee" else {}
        maker |= {"pool": fingerprint(self.pool.ids), "source": data.labels_fingerprint()}
        place = self.run.within(f"round-{turn}/difficulty")

        def rows() -> list[dict[str, Any]]:
            with show.working(f"Round {turn}: training the failure predictor"):
                found = compute()
            show.note(str(found))
            write_choice(place.out, found)
            return difficulty_rows(self.pool.ids, found)

        table = place.table(DIFFICULTY, maker, rows, name=f"round-{turn}/difficulty")
        self.made = maker
        return column(table, self.pool.ids, "difficulty")

    def selection(self, turn: int, compute: Callable[[], list[Pick]]) -> list[Pick]:
        """See `loop.Keep`."""
        config, rule = self.config, self.config.selection.rule
        maker = {"step": "selection", "round": turn, "difficulty": fingerprint(self.made), "material": self.data.maker}
        maker |= {"settings": config.selection.record(), "seed": config.seed, "rounds": config.rounds}
        name = f"round-{turn}/selection"
        maker |= {"limits": fingerprint(self.pool.limits.record())}
        rows = self.run.within(name).table(
            SELECTION, maker, lambda: selection_rows(self.pool.ids, compute(), rule), name=name
        )
        self.made, self.chosen = maker, self.chosen + rows.num_rows
        place = {video: index for index, video in enumerate(self.pool.ids)}
        return [
            Pick(place[row["id"]], row["difficulty"], row["diversity"], row["utility"], row["rule"])
            for row in rows.to_pylist()
        ]


@dataclass(frozen=True)
class RatersFile:
    """`loop.Raters` who write into a file: what is not in it is asked for.

    Attributes:
        tables: with the choice that they rate.
        labels: all that anyone knows.
    """

    tables: Tables
    labels: Labels

    def __call__(self, turn: int, picks: Sequence[Pick]) -> NewLabels | Waiting:
        """See `loop.Raters`.

        Raises:
            ConfigError: not one video could be rated.
        """
        config, pool, known = self.tables.config, self.tables.pool, self.labels.mos
        unrated = [pool.ids[pick.index] for pick in picks]
        unrated = [video for video in unrated if video not in known.keys() | self.labels.unratable]
        if unrated:
            return Waiting(self._request(turn, unrated))
        rated = [pick.index for pick in picks if pool.ids[pick.index] in known]
        drawn = {pick.index for pick in picks if pick.rule == AUDIT}
        learned = np.array([place for place in rated if place not in drawn], np.int64)
        if len(learned) == 0:
            raise ConfigError(f"{config.labels}: not one of the selected videos could be rated. Raise the budget.")
        audit = {pool.ids[place]: known[pool.ids[place]] for place in rated if place in drawn}
        mos = np.array([known[pool.ids[place]] for place in learned])
        return NewLabels(pool.index[learned], mos, audit, self.tables.made or {})

    def _request(self, turn: int, unrated: Sequence[str]) -> str:
        """Writes which videos need raters next, and says what to do with the list."""
        path = self.tables.run.out / f"round-{turn}" / "to_label.csv"
        videos = {video.id: video for video in self.tables.data.videos}
        write_label_request(path, [videos[video] for video in unrated])
        answer = self.tables.config.labels or "a CSV that `labels:` in the study file names"
        return (
            f"{len(unrated)} videos need labels; they are listed in {path}, the most useful first. Put their MOS into "
            f"{answer} (columns id, mos; an empty mos says that a video could not be rated) and run again."
        )


def gather_labels(config: StudyConfig, data: StudyData, show: Show) -> Labels:
    """All MOS of pool videos that anyone knows; says how many of them belong to no video of the pool."""
    known = pool_labels(config, data)
    strange = sorted(known.mos.keys() - set(data.ids(data.pool)))
    if strange:
        show.note(f"{config.labels}: {len(strange)} of its ids are not in the usable pool, such as {strange[0]!r}")
    return known
