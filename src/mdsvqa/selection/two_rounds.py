"""Two rounds: first what represents the pool, then what the labels of that say is difficult."""

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.facility_location import facility_location
from mdsvqa.selection.greedy import greedy


def two_rounds(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """`facility_location` where nothing of the pool is labeled yet, and `greedy` from then on.

    In between the failure predictor is trained again, on the errors that the first labels showed: errors on the target
    itself, of which those on the source say little. Needs two rounds or more; the audit is no round.
    """
    return (facility_location if pool.first_round else greedy)(pool, budget, settings, seed)
