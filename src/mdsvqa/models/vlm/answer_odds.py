"""The expected score from probabilities that come a few at a time, and what to ask for next.

A model that is loaded here gives the whole tree of answers in one pass (`expected.read_tree`). A server gives the
probabilities behind one beginning of an answer, and behind each token that it goes on with. Most answers are hardly
possible: it is enough to ask until what is not known can no longer move the mean by more than a little.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mdsvqa.models.vlm.expected import BRANCHING, FIRST_DIGITS

# Beginnings that an answer with two decimals can have and go on.
_BEGINNING = re.compile(r"([1-4](\.[0-9]?)?)?")
# Half of what decimals that were not read can add to a score: 0.00 to 0.99, and 0.00 to 0.09.
_HALF, _HALF_HUNDREDTHS = 0.495, 0.045


@dataclass
class AnswerOdds:
    """What is known of the answers that a model could give.

    Attributes:
        behind: by the beginning of an answer ("", "3", "3.", "3.4"): probabilities of digits 0 to 9 and the point as
            the next token, 11 numbers.
    """

    behind: dict[str, Sequence[float]] = field(default_factory=dict)

    def add(self, beginning: str, tokens: Sequence[str], probabilities: Sequence[Sequence[float]]) -> None:
        """Takes up a reply.

        Args:
            beginning: with which the answer was begun.
            tokens: digits and points that were written behind it.
            probabilities: at each of them, as in `behind`.
        """
        for token, odds in zip(tokens, probabilities, strict=True):
            if not _BEGINNING.fullmatch(beginning):
                return
            self.behind[beginning] = odds
            beginning += token

    @property
    def on_scale(self) -> float:
        """Probability that the answer begins with a digit from 1 to 5."""
        return float(sum(self.behind[""][1:6]))

    @property
    def numeric(self) -> float:
        """Probability that the answer begins with a digit."""
        return float(sum(self.behind[""][:10]))

    @property
    def value(self) -> float:
        """The expected score as `expected.expected_value` has it; decimals that are not known count as their mean."""
        first = self.behind[""]
        total = sum(
            first[digit] * (digit + (self._fraction(digit) if digit in BRANCHING else 0)) for digit in FIRST_DIGITS
        )
        return float(total / (self.on_scale or 1.0))

    def doubts(self) -> dict[str, float]:
        """Beginnings that are not known, and by how much each can move the score at the most; largest first."""
        found = {}
        for digit in BRANCHING:
            share = self.behind[""][digit] / (self.on_scale or 1.0)
            if (point := self._point(digit)) is None:
                found[f"{digit}"] = share * _HALF
            elif f"{digit}." not in self.behind:
                found[f"{digit}."] = share * point * _HALF
            else:
                for tenth, odds in enumerate(self._tenths(digit)):
                    if f"{digit}.{tenth}" not in self.behind:
                        found[f"{digit}.{tenth}"] = share * point * odds * _HALF_HUNDREDTHS
        return dict(sorted(found.items(), key=lambda doubt: -doubt[1]))

    def unsure(self, allowed: float) -> list[str]:
        """The fewest beginnings to ask for, so that the others together move the score by no more than allowed.

        >>> odds = AnswerOdds({"": [0, 0, 0, 0.9, 0.1, 0, 0, 0, 0, 0, 0]})
        >>> odds.unsure(0.1), odds.unsure(0.01)
        (['3'], ['3', '4'])
        """
        doubts = self.doubts()
        left, wanted = sum(doubts.values()), []
        for beginning, doubt in doubts.items():
            if left <= allowed:
                break
            wanted.append(beginning)
            left -= doubt
        return wanted

    def _point(self, digit: int) -> float | None:
        return self.behind[f"{digit}"][10] if f"{digit}" in self.behind else None

    def _tenths(self, digit: int) -> list[float]:
        odds = self.behind[f"{digit}."][:10]
        return [each / (sum(odds) or 1.0) for each in odds]

    def _fraction(self, digit: int) -> float:
        """Expected decimals behind a first digit."""
        point = self._point(digit)
        if point is None:
            return _HALF
        if f"{digit}." not in self.behind:
            return point * _HALF
        total = 0.0
        for tenth, odds in enumerate(self._tenths(digit)):
            behind = self.behind.get(f"{digit}.{tenth}")
            hundredths = _HALF_HUNDREDTHS if behind is None else sum(k * behind[k] for k in range(10)) / 100
            total += odds * (tenth / 10 + hundredths)
        return point * total
