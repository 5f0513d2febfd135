"""Numbers and verdicts in words: the only code that says whether a difference is one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.rule_summary import LEVEL
from mdsvqa.report.page.data import RuleResult
from mdsvqa.runtime.words import listed

MISSING = "–"
# Rules that are measured to frame the others; they are never the winner.
FRAMES = ("base", "random", "all")


@dataclass(frozen=True)
class Verdict:
    """What may be said of a rule against random selection.

    Attributes:
        tone: better, worse, open (cannot tell) or frame (a reference).
        text: the same in words.
    """

    tone: str
    text: str


def number(value: float | None, decimals: int = 3, *, signed: bool = False) -> str:
    """A number for a reader: a true minus sign, never a negative zero.

    >>> number(-0.0001), number(0.04, 3, signed=True), number(float("nan"))
    ('0.000', '+0.040', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def tick_label(value: float, step: float, *, signed: bool = False) -> str:
    """A tick with the decimals that its step needs.

    >>> tick_label(0.65, 0.05), tick_label(3.0, 1.0)
    ('0.65', '3')
    """
    return number(value, max(0, -math.floor(math.log10(step) + 1e-9)), signed=signed)


def bounds(interval: Interval | None, decimals: int = 3, *, signed: bool = False) -> str:
    """The two ends of an interval, empty when they are not known.

    >>> bounds(Interval(0.5, 0.4, 0.6))
    '[0.400, 0.600]'
    """
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    low, high = (number(end, decimals, signed=signed) for end in (interval.low, interval.high))
    return f"[{low}, {high}]"


def known(interval: Interval | None) -> bool:
    """Whether an interval has both ends, so that something may be concluded from it."""
    return interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)


def verdict(result: RuleResult) -> Verdict:
    """What the paired gain over random allows one to say of a rule, among as many as were compared."""
    if result.rule in FRAMES:
        text = {"base": "before any new label", "random": "the yardstick", "all": "upper bound"}[result.rule]
        return Verdict("frame", text)
    gain = result.gain_over_random
    if gain is None or not known(gain):
        return Verdict("open", "not compared with random")
    p = 0.0 if result.p_over_random is None else result.p_over_random
    if not (gain.excludes_zero and p < LEVEL):
        return Verdict("open", "not distinguishable from random")
    return Verdict("better", "better than random") if gain.low > 0 else Verdict("worse", "worse than random")


def winner(rules: Sequence[RuleResult]) -> str | None:
    """The rule with the highest target SRCC, None unless its gain over random is above zero for sure."""
    rivals = [result for result in rules if result.rule not in FRAMES and "srcc" in result.target]
    rivals = [result for result in rivals if math.isfinite(result.target["srcc"].value)]
    best = max(rivals, key=lambda result: result.target["srcc"].value, default=None)
    return best.rule if best is not None and verdict(best).tone == "better" else None


def comparison_sentences(rules: Sequence[RuleResult]) -> list[str]:
    """One sentence for each group of rules that shares a verdict."""
    endings = (
        ("better than random", "better than random selection"),
        ("worse than random", "worse than random selection"),
        ("not distinguishable from random", "not distinguishable from random selection"),
        ("not compared with random", "not compared with random selection"),
    )
    sentences = []
    for text, ending in endings:
        labels = [result.label for result in rules if verdict(result).text == text]
        if labels:
            names = listed(labels)
            sentences.append(f"{names[:1].upper()}{names[1:]} {'is' if len(labels) == 1 else 'are'} {ending}.")
    return sentences


def flat_settings(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as rows of dotted name and text.

    >>> flat_settings({"content": {"weight": 0.25, "spread": None}})
    [('content.weight', '0.25'), ('content.spread', '–')]
    """
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flat_settings(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _setting(value)))
    return rows


def _setting(value: object) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | Mapping):
        return ", ".join(_setting(item) for item in value) or MISSING
    return str(value)
