"""Where a run of a study ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.frames import Rows
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import Waiting
from mdsvqa.study.data import StudyData


@dataclass(frozen=True)
class RuleRun:
    """What one rule reached with one seed, from f before any new label.

    Attributes:
        rule: also "everything", the whole part of the pool labeled.
        seed: of the run.
        selected: ids in the order of their choice.
        target_scores, source_scores: of the fine-tuned model on the two test sets.
    """

    rule: str
    seed: int
    selected: Sequence[str]
    target_scores: Floats
    source_scores: Floats


@dataclass(frozen=True)
class StudyResult(Rows):
    """Where a run ended.

    Attributes:
        config: of the study, with the rule that was used where it said "auto".
        data: videos and arrays.
        model: f, as readers know it.
        selected: rows of the selection tables, in the order of their choice.
        scores: f before (first) and after each round so far: of all of the data's videos, each of shape (n,).
        difficulty: of the pool's videos in the first round.
        waiting: for what people have to do before the loop can go on; None when it is done.
        notes: limits of this run that its reader must know.
        rule_runs: of the comparison of rules; empty without one.
        readings: other ways to read the base model's score, of all of the data's videos, by name; NaN where there is
            none.
        spread: standard deviation of a MOS around the last score, shape (n,), NaN where there is none; None before the
            first round.
        audit: MOS of the videos that were drawn at random to be measured on, by id.
    """

    config: StudyConfig
    data: StudyData
    model: str
    selected: Sequence[dict[str, Any]]
    scores: Sequence[Floats]
    difficulty: Floats
    waiting: Waiting | None = None
    notes: Sequence[str] = ()
    rule_runs: Sequence[RuleRun] = ()
    readings: Mapping[str, Floats] = field(default_factory=dict)
    spread: Floats | None = None
    audit: Mapping[str, float] = field(default_factory=dict)

    @property
    def waiting_for(self) -> str:
        """What people have to do before the loop can go on, in a sentence; empty when it is done."""
        return "" if self.waiting is None else self.waiting.sentence

    def rows(self) -> Sequence[dict[str, Any]]:
        """One a chosen video."""
        return self.selected
