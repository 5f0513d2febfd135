"""Votes of simulated studies."""

import numpy as np

from mdsvqa.labeling.votes import Votes


def of_table(values: np.ndarray, **columns: object) -> Votes:
    """Votes of a table of (video, rater), none where it is NaN."""
    j, i = np.nonzero(~np.isnan(values))
    videos, raters = [f"v{k}" for k in range(values.shape[0])], [f"r{k}" for k in range(values.shape[1])]
    return Votes.of(
        [videos[k] for k in j], [raters[k] for k in i], values[j, i], videos=videos, raters=raters, **columns
    )


def study(videos: int, raters: int, seed: int = 0, *, bias: float = 0.4, noise: float = 0.6) -> np.ndarray:
    """Whole votes from 1 to 5 of all raters on all videos."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1.5, 4.5, videos)
    made = quality[:, None] + rng.normal(0, bias, raters) + rng.normal(0, noise, (videos, raters))
    return np.clip(np.round(made), 1, 5)
