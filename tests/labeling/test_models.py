import numpy as np
import pytest

from mdsvqa.labeling.models import MODELS, estimate_mos, estimate_scores
from mdsvqa.labeling.vote_export import videos_csv
from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.user_tables import ColumnError
from mdsvqa.videos.labels import FIVE_LEVELS, read_labels
from votes_made_up import of_table, study

PAIR = PairVotes.of(["a"], ["b"], ["x"], [1])


@pytest.mark.parametrize("model", MODELS)
def test_only_votes_that_count_do(model):
    values = study(6, 5)
    counted = of_table(values)
    names = [counted.videos[j] for j in counted.video], [counted.raters[i] for i in counted.rater]
    more = Votes.of(
        [*names[0], "v0", "v1", "v2", "v3", "v4"],
        [*names[1], "r0", "r1", "r2", "r3", "r4"],
        [*counted.vote, 1, 5, 1, 5, 1],
        kind=["video"] * 30 + ["repeat", "trap", "anchor", "video", "video"],
        disturbed=[False] * 33 + [True, False],
        excluded=[""] * 34 + ["corrected"],
    )
    one, other = estimate_mos(counted, model), estimate_mos(more, model)
    np.testing.assert_array_equal(one.mos, other.mos)
    assert other.votes.tolist() == [5] * 6


def test_no_vote_that_counts_is_an_error_not_a_table_of_nothing():
    with pytest.raises(InputError, match="of 1 votes none counts"):
        estimate_mos(Votes.of(["a"], ["x"], [3], kind="trap"))
    with pytest.raises(InputError, match="none counts"):
        estimate_scores(PairVotes.of(["a"], ["b"], ["x"], [1], excluded="late"))


def test_models_refuse_what_they_are_not_for():
    votes = of_table(study(4, 3))
    with pytest.raises(InputError, match="found pairs, which the model 'p910' does not take"):
        estimate_scores(PAIR, "p910")
    with pytest.raises(InputError, match="compares pairs"):
        estimate_scores(votes, "pairs")
    with pytest.raises(InputError, match="found the model 'x'"):
        estimate_scores(votes, "x")
    assert estimate_scores(votes).model == "panel"
    assert estimate_scores(PAIR).model == "pairs"


def test_what_needs_levels_refuses_scores_of_pairs_in_a_sentence(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(videos_csv(estimate_scores(PAIR), PAIR))
    assert path.read_text(encoding="utf-8-sig").splitlines()[0].startswith('"id","score","score_low","score_high"')
    with pytest.raises(ColumnError, match=r"scores come from pairs, .* MOS on the 1-5 scale are expected"):
        read_labels(path, FIVE_LEVELS)
    # Who learns by ranking takes them: the better one is at the upper end.
    assert read_labels(path, FIVE_LEVELS, ranked=True).mos == {"a": 5.0, "b": 1.0}
    three = PairVotes.of(["a", "a", "b", "b"], ["b", "c", "c", "c"], ["x"] * 4, [1, 1, 1, 0], videos=["z"])
    path.write_bytes(videos_csv(estimate_scores(three), three))
    ranked = read_labels(path, FIVE_LEVELS, ranked=True)
    assert ranked.unratable == {"z"}
    assert (ranked.mos["a"], ranked.mos["c"]) == pytest.approx((5, 1))
    score = dict(zip(three.videos, estimate_scores(three).mos, strict=True))
    share = (score["b"] - score["c"]) / (score["a"] - score["c"])
    assert ranked.mos["b"] == pytest.approx(1 + 4 * share)
    path.write_bytes(videos_csv(estimate_mos(of_table(study(4, 3))), of_table(study(4, 3))))
    assert len(read_labels(path, FIVE_LEVELS).mos) == 4


def test_excluding_raters_keeps_reasons_that_were_there():
    votes = Votes.of(["a", "b", "a"], ["x", "x", "y"], [1, 2, 3], excluded=["corrected", "", ""])
    found = votes.without_raters(np.array([True, False]), "rater flagged")
    assert found.excluded.tolist() == ["corrected", "rater flagged", ""]
    assert found.counts.tolist() == [False, False, True]
