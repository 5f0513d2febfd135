"""What a metric is: one record each; `evaluation.metrics` has them all."""

from collections.abc import Callable
from dataclasses import dataclass

from mdsvqa.runtime.arrays import Floats


@dataclass(frozen=True)
class Metric:
    """A measure of agreement.

    Attributes:
        name: in tables.
        label: for readers.
        value: of scores and MOS, both of shape (n,); NaN where undefined.
        draws: the same in each resample, shape (draws,), from scores (n,) or (draws, n), MOS (n,) and counts (draws, n)
            of each video in each resample.
        after_fit: scores are mapped to MOS by the four-parameter logistic first.
        higher_is_better: else lower is.
    """

    name: str
    label: str
    value: Callable[[Floats, Floats], float]
    draws: Callable[[Floats, Floats, Floats], Floats]
    after_fit: bool = False
    higher_is_better: bool = True
