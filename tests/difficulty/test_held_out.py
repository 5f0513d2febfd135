"""Which errors any f is judged by."""

import numpy as np

from mdsvqa.difficulty.held_out import unrefitted_errors, where_from
from mdsvqa.difficulty.settings import DifficultySettings

SETTINGS = DifficultySettings(held_out=10, error="raw")


def test_enough_held_out_videos_are_learned_from_and_fewer_are_warned_of(make_source) -> None:
    everyone = make_source(50)
    train, rest = np.arange(40), np.arange(40, 50)
    errors = np.abs(everyone.videos.score - everyone.mos)

    def known(held_out):
        return unrefitted_errors(everyone.videos, everyone.mos, everyone.dataset, train, held_out, SETTINGS, 0)

    enough = known(rest)
    np.testing.assert_array_equal(enough.error, errors[rest])
    np.testing.assert_array_equal(enough.learned_from, everyone.videos.features[train])
    assert "10 source videos of split test" in where_from(10, SETTINGS)
    few = known(rest[1:])
    np.testing.assert_array_equal(few.error, errors[train])
    assert few.learned_from is None
    assert "there are 9" in where_from(9, SETTINGS)
