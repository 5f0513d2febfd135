import numpy as np

from mdsvqa.labeling.parts import compared_parts, linked_parts
from mdsvqa.labeling.votes import PairVotes
from votes_made_up import of_table

NAN = np.nan


def test_a_chain_of_raters_links_videos():
    values = np.array([[1, NAN, NAN], [2, 3, NAN], [NAN, 4, NAN], [NAN, NAN, 5]])
    videos, raters = linked_parts(of_table(values))
    assert videos.tolist() == [0, 0, 0, 1]
    assert raters.tolist() == [0, 0, 1]


def test_a_video_without_votes_is_a_part_of_its_own():
    values = np.array([[NAN, NAN], [1, 2], [2, NAN]])
    assert linked_parts(of_table(values))[0].tolist() == [0, 1, 1]


def test_pairs_link_what_they_compare():
    votes = PairVotes.of(["a", "c", "d"], ["b", "b", "e"], ["x"] * 3, [1, 1, 1])
    assert compared_parts(votes).tolist() == [0, 0, 0, 1, 1]
