"""FreeSel: chance, with the better odds for what is far from everything chosen."""

import numpy as np

from mdsvqa.selection.base import Pick, Pool, Rule
from mdsvqa.selection.distances.matrices import affordable
from mdsvqa.selection.eligible import Eligible
from mdsvqa.selection.settings import SelectionSettings


def freesel(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Draws the first video at random, and each next one with probability proportional to the square of its distance
    to the nearest chosen video.

    Starts from what earlier rounds chose. Where all that is left coincides with chosen videos, it is drawn uniformly.
    Distances are those of mean frames where Chamfer distances would take too long (see `affordable`).

    The paper draws by the same squares, but local patterns of images by their cosine distance, several an image, and
    takes the image of the pattern that is drawn. Here a whole video is drawn, and its frames are its patterns.

    Source: Xie et al. (2023); the draw is that of k-means++, Arthur and Vassilvitskii (2007).
    """
    eligible = Eligible(pool, budget)
    rng = np.random.default_rng(seed)
    content = affordable(pool.content, len(pool.chosen) + eligible.about_how_many())
    nearest = np.full(len(pool), np.inf)
    for index in pool.chosen:
        nearest = np.minimum(nearest, content.distances_from(content.of(index)))
    picks: list[Pick] = []
    while (mask := eligible.mask).any():
        first = np.isinf(nearest).all()
        odds = np.where(mask, 1.0 if first else nearest**2, 0.0)
        if odds.sum() == 0:
            odds = mask.astype(np.float64)
        drawn = int(rng.choice(len(pool), p=odds / odds.sum()))
        if eligible.choose(drawn):
            picks.append(Pick(drawn, float(pool.difficulty[drawn]), None if first else float(nearest[drawn])))
            nearest = np.minimum(nearest, content.distances_from(content.of(drawn)))
    return picks


RULES = (
    Rule(
        "freesel",
        freesel,
        label="FreeSel",
        takes="by chance, far videos more likely",
        use="for a choice that varies by seed and still spreads",
        every_pair=True,
    ),
)
