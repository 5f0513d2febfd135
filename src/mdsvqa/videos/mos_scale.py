"""The scale that a study rated on, and the way from there to 1-5."""

import re
from dataclasses import dataclass
from typing import Self

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
# Share of a scale by which a mean may lie beyond an end: what float32 leaves of an exact one.
_HAIR = 1e-6
_SCALE = re.compile(rf"(?:(d?mos)[\s:]+)?({_NUMBER})\s*(?:-|–|to|\.\.)\s*({_NUMBER})", re.IGNORECASE)


@dataclass(frozen=True)
class MosScale:
    """A rating scale.

    Attributes:
        low, high: the ends of the scale, low < high.
        inverted: whether a higher value is a worse video, as in DMOS.
    """

    low: float
    high: float
    inverted: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(
                f"found a MOS scale from {self.low:g} to {self.high:g}; expected the lower end first. "
                "Write 'DMOS LOW-HIGH' for a scale on which higher is worse."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a scale as people write it.

        Args:
            text: "LOW-HIGH", or "DMOS LOW-HIGH" where higher is worse; a colon may stand for the space.

        Raises:
            ValueError: text is anything else.

        >>> MosScale.parse("0-100")
        MosScale(low=0.0, high=100.0, inverted=False)
        >>> MosScale.parse("dmos:0-100").inverted
        True
        """
        match = _SCALE.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"found the MOS scale {text!r}; expected LOW-HIGH as in '1-5' or '0-100', or 'DMOS 0-100' for a "
                "scale on which higher is worse."
            )
        kind, low, high = match.groups()
        return cls(float(low), float(high), inverted=kind is not None and kind.lower() == "dmos")

    def to_five(self, mos: float) -> float:
        """A rating moved linearly to 1 (worst) to 5 (best); one that is a hair beyond an end is at the end.

        Raises:
            ValueError: mos is not on the scale.

        >>> MosScale(0, 100).to_five(75), MosScale(0, 100, inverted=True).to_five(75)
        (4.0, 2.0)
        >>> MosScale(0, 100).to_five(100.00000000000001)
        5.0
        """
        hair = _HAIR * (self.high - self.low)
        if not self.low - hair <= mos <= self.high + hair:
            raise ValueError(
                f"found MOS {mos:.12g}; expected {self.low:g} to {self.high:g}, the stated scale. "
                "State the scale that the study used, or correct the value."
            )
        mos = min(max(mos, self.low), self.high)
        if (self.low, self.high, self.inverted) == (1, 5, False):
            return mos  # the formula below would cost the last digit
        share = (mos - self.low) / (self.high - self.low)
        return 5.0 - 4.0 * share if self.inverted else 1.0 + 4.0 * share

    def std_to_five(self, std: float) -> float:
        """A standard deviation of ratings on this scale, on the 1-5 scale.

        >>> MosScale(0, 100).std_to_five(25)
        1.0
        """
        return 4.0 * std / (self.high - self.low)
