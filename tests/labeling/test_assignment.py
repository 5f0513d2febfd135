import numpy as np
import pytest

from mdsvqa.labeling.assignment import (
    EVEN,
    INFORMATION,
    RULES,
    WIDEST,
    UnderWay,
    next_videos,
    panelists,
    standard_errors,
)
from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.parts import linked_parts
from mdsvqa.labeling.votes import Votes
from mdsvqa.runtime.errors import InputError
from votes_made_up import of_table, study

NAN = np.nan
NOBODY = Votes.of([], [], [], videos=[f"v{j}" for j in range(30)])


def some(values, share, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(values.shape) < share, values, NAN)


def add(pending, places, rater):
    return UnderWay(np.append(pending.video, places), np.append(pending.rater, np.full(len(places), rater)))


def test_standard_errors_are_those_of_the_model():
    votes = of_table(some(study(15, 8), 0.6))
    np.testing.assert_allclose(standard_errors(votes, UnderWay.none(), panelists(votes)), panel(votes).se, rtol=1e-4)


def test_a_vote_under_way_counts_as_information():
    votes = of_table(some(study(15, 8), 0.6))
    known = panelists(votes)
    before = standard_errors(votes, UnderWay.none(), known)
    # A newcomer, beyond the raters of the table.
    after = standard_errors(votes, UnderWay(np.array([3]), np.array([8])), known)
    assert after[3] < before[3]
    assert (after <= before + 1e-9).all()


@pytest.mark.parametrize("rule", RULES)
def test_nobody_gets_a_video_twice(rule):
    values = some(study(20, 5), 0.5)
    votes = of_table(values)
    pending = UnderWay(np.array([0, 1]), np.array([2, 2]))
    found = next_videos(votes, 2, 50, np.random.default_rng(0), rule=rule, under_way=pending)
    seen = {*np.flatnonzero(~np.isnan(values[:, 2])).tolist(), 0, 1}
    assert set(found.tolist()) == set(range(20)) - seen
    assert len(found) == 20 - len(seen)


def test_a_disturbed_or_excluded_vote_was_seen():
    votes = Votes.of(["a", "b"], ["x", "x"], [3, 3], disturbed=[True, False], excluded=["", "late"], videos=["c"])
    assert next_videos(votes, 0, 9, np.random.default_rng(0)).tolist() == [0]


def test_only_open_videos_are_given():
    open_ = np.arange(30) < 4
    assert set(next_videos(NOBODY, None, 9, np.random.default_rng(0), open_=open_).tolist()) == {0, 1, 2, 3}


def test_the_least_known_comes_first():
    values = study(12, 9)
    values[4, 2:] = NAN
    values[7, 4:] = NAN
    votes = of_table(values)
    assert next_videos(votes, None, 2, np.random.default_rng(0)).tolist() == [4, 7]
    assert next_videos(votes, None, 2, np.random.default_rng(0), rule=EVEN).tolist() == [4, 7]


def test_who_voted_counts_not_only_how_often():
    # Two videos with as many votes; those on the second are of raters who vote at random.
    values = study(30, 10, noise=0.3)
    values[:, 5:] = np.random.default_rng(3).integers(1, 6, (30, 5))
    values[0, 5:], values[1, :5] = NAN, NAN
    votes = of_table(values)
    first = next_videos(votes, None, 1, np.random.default_rng(0))
    assert first.tolist() == [1]


def test_widest_asks_where_votes_lie_apart():
    values = study(12, 8, noise=0.3)
    values[5] = [1, 5, 1, 5, 1, 5, 1, 5]
    votes = of_table(values)
    assert next_videos(votes, None, 1, np.random.default_rng(0), rule=WIDEST).tolist() == [5]


def test_two_hundred_at_once_do_not_get_the_same():
    pending = UnderWay.none()
    for rater in range(200):
        places = next_videos(NOBODY, rater, 6, np.random.default_rng(rater), under_way=pending)
        assert len(set(places.tolist())) == 6
        pending = add(pending, places, rater)
    counts = np.bincount(pending.video, minlength=30)
    assert counts.max() - counts.min() <= 2


def test_ties_are_drawn():
    first = {next_videos(NOBODY, None, 1, np.random.default_rng(seed)).item() for seed in range(20)}
    assert len(first) > 5


@pytest.mark.parametrize("rule", RULES)
def test_many_videos_and_few_slots_stay_linked(rule):
    # 200 videos, sessions of 10: without links, twenty raters would have none in common.
    votes = Votes.of([], [], [], videos=[f"v{j}" for j in range(200)], raters=[f"r{i}" for i in range(20)])
    pending = UnderWay.none()
    for rater in range(20):
        pending = add(
            pending, next_videos(votes, rater, 10, np.random.default_rng(rater), rule=rule, under_way=pending), rater
        )
    names = [f"v{j}" for j in pending.video], [f"r{i}" for i in pending.rater]
    of_video, _ = linked_parts(Votes.of(*names, np.full(len(pending.video), 3)))
    assert set(of_video.tolist()) == {0}


def test_two_groups_are_joined_by_the_next_session():
    values = np.full((60, 8), NAN)
    whole = study(60, 8)
    values[:30, :4], values[30:, 4:] = whole[:30, :4], whole[30:, 4:]
    values[:12, :2] = NAN
    votes = of_table(values)
    assert linked_parts(votes)[0].max() == 1
    found = next_videos(votes, None, 6, np.random.default_rng(0))
    assert (found < 30).any()
    assert (found >= 30).any()


def test_an_unknown_rule_is_named():
    with pytest.raises(InputError, match=r"'best'.*information, widest, even"):
        next_videos(NOBODY, None, 1, np.random.default_rng(0), rule="best")


def test_before_the_first_vote_the_usual_figures_are_taken():
    known = panelists(NOBODY)
    assert known.newcomer == pytest.approx(1 / 0.49)
    assert np.isinf(standard_errors(NOBODY, UnderWay.none(), known)).all()
    assert next_videos(NOBODY, None, 4, np.random.default_rng(0), rule=INFORMATION).shape == (4,)
