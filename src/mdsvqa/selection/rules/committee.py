"""Query by committee: the videos on which models trained on other parts of the labels disagree most."""

from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.rules.hardest import hardest
from mdsvqa.study.config import SelectionSettings


def committee(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """Takes the candidates of highest difficulty, which has to be the committee's spread (`difficulty.committee`).

    Source: Seung et al. (1992), Query by committee.
    """
    return hardest(pool, budget, settings, seed)
