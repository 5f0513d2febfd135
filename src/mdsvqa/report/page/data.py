"""What a study hands to its page: plain values, nothing that draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.tables import Table


@dataclass(frozen=True)
class RuleResult:
    """How f does after fine-tuning on the videos that one selection rule chose.

    Attributes:
        rule: short name. "base" is f with no new labels, "random" the yardstick, "all" the upper bound with
            every pool video labeled.
        label: the rule as a reader knows it.
        target: metrics on the target test set, keys srcc, plcc, krcc, rmse; any of them may be missing.
        source_srcc: SRCC on held-out videos of the source set, which shows what was forgotten.
        gain_over_random, gain_over_base: paired differences in target SRCC.
        seeds: fine-tuning runs behind the figures.
        labels: new labels spent.
        p_over_random: that the gain over random is none, adjusted for all rules; None where it was not asked.
    """

    rule: str
    label: str
    target: Mapping[str, Interval]
    source_srcc: Interval | None = None
    gain_over_random: Interval | None = None
    gain_over_base: Interval | None = None
    seeds: int = 1
    labels: int = 0
    p_over_random: float | None = None


@dataclass(frozen=True)
class RoundResult:
    """One turn of the loop.

    Attributes:
        number: 1-based; 0 is the base model.
        labels: new labels spent so far.
        target_srcc: on the target test set, None when it was not measured.
    """

    number: int
    labels: int
    target_srcc: Interval | None = None


@dataclass(frozen=True)
class PoolPoint:
    """One pool video on the content map.

    Attributes:
        id: of the video.
        x, y: its place on the map, any unit.
        difficulty: predicted by g, as its percentile in the pool, 0 to 100.
        rank: 1-based place in the selection, None when not selected.
        thumbnail: `data:image/` URI, None when there is none.
        score: f's prediction.
        mos: the mean opinion score where it is known.
        diversity: the mean distance to the videos selected before it.
        audit: it was drawn at random to be measured on; no rule chose it, nothing learns from it.
        play: address of its file, from the page.
    """

    id: str
    x: float
    y: float
    difficulty: float
    rank: int | None = None
    thumbnail: str | None = None
    score: float | None = None
    mos: float | None = None
    diversity: float | None = None
    audit: bool = False
    play: str | None = None


@dataclass(frozen=True)
class ScatterPoint:
    """One test video: its MOS, and f's prediction before and after fine-tuning."""

    id: str
    mos: float
    before: float
    after: float


@dataclass(frozen=True)
class Reading:
    """One way to read the score of a language model, on the test videos.

    Attributes:
        name: of the reading.
        target, source: SRCC on the two test sets, None where there is none.
        videos: test videos that have a score by it.
        distinct: different values among these.
    """

    name: str
    target: Interval | None
    source: Interval | None
    videos: int
    distinct: int


@dataclass(frozen=True)
class BudgetPoint:
    """A model of the rehearsal.

    Attributes:
        label: as a reader knows it.
        kind: "base" and "everything", the bounds; "random"; "recommended".
        labels: spent, 0 for the model before any; not looked at for the bounds.
        srcc: target SRCC, the mean over pseudo-targets.
    """

    label: str
    kind: str
    labels: int
    srcc: float


@dataclass(frozen=True)
class PairedVideo:
    """One video of a pair: its MOS, f's prediction before and after fine-tuning, and its thumbnail as a data URI."""

    id: str
    mos: float
    before: float
    after: float
    thumbnail: str | None = None


@dataclass(frozen=True)
class VideoPair:
    """Two test videos on which the two models disagree; `better` is the one that the seeing model scores higher."""

    better: PairedVideo
    worse: PairedVideo


@dataclass(frozen=True)
class PredictedInterval:
    """Where the fine-tuned model expects the MOS of a test video, and the MOS, in points of the new labels."""

    id: str
    low: float
    high: float
    mos: float


@dataclass(frozen=True)
class Undecoded:
    """A video that gave no frames, and the decoder's reason."""

    id: str
    reason: str


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes:
        title: of the study.
        simulated: the ratings do not come from people; the page says so at its top.
        headline: what was found, in plain sentences; the first is the verdict.
        next_step: what to do now, in one sentence; empty for nothing.
        made: by which version and when.
        matters: the settings that matter most, by name.
        facts: counts, budget, models, in reading order.
        rules: the rules compared, "base" first, "all" last when it was run.
        rules_said: what each of them does, in a sentence.
        pool: every pool video that has a difficulty.
        scatter: the test videos.
        scatter_before, scatter_after: keys srcc, plcc, of the two panels of the scatter.
        readings: of the base model's score, where there are several.
        failures: videos that could not be decoded.
        settings: of the study; nested mappings are shown with dotted names.
        notes: limits the reader must know.
        rounds: of the loop, in order; shown when there are two or more.
        commands: that reproduce the study, in order.
        tables: figures to be shown, copied and written as files, by name: "rules", "datasets", "rounds", "failure",
            "audit", "reliability", "rehearsal"; any of them may be missing.
        failure: what the table "failure" says, in sentences.
        budgets_said: whether few labels hurt in the rehearsal, and why.
        rehearsal: what the rehearsal recommended and what came of it, in sentences; shown with the table "rehearsal".
        budgets: of the rehearsal, what more labels would buy.
        base_sees_none, tuned_sees_none: pairs of test videos that the base model, or the fine-tuned one, scores about
            equal and the other most differently.
        intervals: of target test videos, by a model that knows its uncertainty; what they say is `intervals_said`.
        half_widths: of the 95% confidence intervals of MOS, where the ratings behind them are known.
        after_label: what the second scatter panel shows.
        confidence: of every interval, in (0, 1).
    """

    title: str
    simulated: bool
    headline: Sequence[str] = ()
    next_step: str = ""
    made: str = ""
    matters: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    rules: Sequence[RuleResult] = ()
    rules_said: str = ""
    pool: Sequence[PoolPoint] = ()
    scatter: Sequence[ScatterPoint] = ()
    scatter_before: Mapping[str, Interval] = field(default_factory=dict)
    scatter_after: Mapping[str, Interval] = field(default_factory=dict)
    readings: Sequence[Reading] = ()
    failures: Sequence[Undecoded] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    rounds: Sequence[RoundResult] = ()
    commands: Sequence[str] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    failure: Sequence[str] = ()
    rehearsal: Sequence[str] = ()
    budgets: Sequence[BudgetPoint] = ()
    budgets_said: str = ""
    base_sees_none: Sequence[VideoPair] = ()
    tuned_sees_none: Sequence[VideoPair] = ()
    intervals: Sequence[PredictedInterval] = ()
    intervals_said: str = ""
    half_widths: Sequence[float] = ()
    after_label: str = "fine-tuned on the selected videos"
    confidence: float = 0.95
