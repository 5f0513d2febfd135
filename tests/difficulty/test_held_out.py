"""Which errors any f is judged by."""

import numpy as np

from mdsvqa.difficulty.held_out import Labeled, external_source
from mdsvqa.difficulty.settings import DifficultySettings

SETTINGS = DifficultySettings(held_out=10, error="raw")


def test_enough_held_out_videos_are_learned_from_and_fewer_are_warned_of(make_source) -> None:
    train, rest = (
        Labeled(source.videos, source.mos, source.dataset) for source in (make_source(40), make_source(10, seed=1))
    )
    source, sentence, held_out = external_source(train, rest, SETTINGS, 0)
    assert held_out
    assert "10 source videos of split test" in sentence
    np.testing.assert_array_equal(source.error, np.abs(rest.videos.score - rest.mos))
    assert source.learned_from is train.videos.features
    few = Labeled(rest.videos.take(np.arange(9)), rest.mos[:9], rest.dataset[:9])
    source, sentence, held_out = external_source(train, few, SETTINGS, 0)
    assert not held_out
    assert "there are 9" in sentence
    assert source.learned_from is None
    np.testing.assert_array_equal(source.error, np.abs(train.videos.score - train.mos))
