"""What predictors see of the source and the pool."""

from dataclasses import replace

import numpy as np
from scipy.spatial.distance import cdist

from mdsvqa.difficulty.base import NEIGHBOURS, Unlabeled


def nearest(x, y, *, skip: int = 0):
    return np.sort(cdist(x, y), axis=1)[:, skip : skip + NEIGHBOURS].mean(1)


def test_unknown_numbers_are_zero() -> None:
    videos = Unlabeled.of(np.zeros((2, 1)), np.ones(2), readings=np.array([np.nan, 0.5]))
    assert (videos.spread.tolist(), videos.readings.tolist()) == ([0, 0], [0, 0.5])


def test_distances_leave_out_the_video_itself(make_source) -> None:
    source = make_source(30)
    z = source.standardise(source.videos.features)
    np.testing.assert_allclose(source.distances(), nearest(z, z, skip=1))
    others = make_source(8, seed=1).videos
    np.testing.assert_allclose(source.distances(others), nearest(source.standardise(others.features), z))


def test_distances_count_from_what_f_learned_from(make_source) -> None:
    known = make_source(20, seed=2).videos.features
    source = replace(make_source(30), learned_from=known)
    z, at = source.standardise(source.videos.features), source.standardise(known)
    np.testing.assert_allclose(source.distances(), nearest(z, at))
    # A part of the held-out videos is as far from them as before; in the unit of that part.
    part = source.take(np.arange(10))
    expected = nearest(part.standardise(part.videos.features), part.standardise(known))
    np.testing.assert_allclose(part.distances(), expected)


def test_a_part_keeps_its_errors(make_source) -> None:
    source = make_source(30)
    np.testing.assert_array_equal(source.take(np.array([4, 2])).error, source.error[[4, 2]])
    np.testing.assert_allclose(source.error, np.abs(source.videos.features[:, 1]))
