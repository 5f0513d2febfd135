import json

import numpy as np
import pytest

from mdsvqa.labeling.screening import RULES, Flag, ScreeningSettings, flagged, flags, screening_figures, side_by_side
from mdsvqa.labeling.votes import Votes
from votes_made_up import of_table, study


def rules_broken(votes, **settings):
    return {(votes.raters[flag.rater], flag.rule) for flag in flags(votes, ScreeningSettings(**settings))}


def with_votes(video, rater, vote, **columns):
    good = of_table(study(20, 9, noise=0.3))
    rows = [good.videos[k] for k in good.video] + list(video)
    raters = [good.raters[k] for k in good.rater] + list(rater)
    whole = {
        name: np.concatenate([np.broadcast_to(getattr(good, name), len(good)), np.broadcast_to(value, len(video))])
        for name, value in columns.items()
    }
    return Votes.of(rows, raters, [*good.vote, *vote], **whole)


def test_attentive_raters_break_no_rule():
    assert rules_broken(of_table(study(20, 9, noise=0.3))) == set()


def test_each_rule_finds_its_rater():
    names = [f"v{j}" for j in range(20)]
    rng = np.random.default_rng(0)
    assert rules_broken(with_votes(names, ["bad"] * 20, rng.permutation(np.tile([2, 3, 4, 3], 5)))) == {
        ("bad", "correlation")
    }
    assert rules_broken(with_votes(names, ["bad"] * 20, [3] * 20)) == {("bad", "spread")}
    traps = with_votes(["t"] * 2, ["r0"] * 2, [5, 4], kind="trap", expected=2.0)
    assert rules_broken(traps) == {("r0", "wrong_traps")}
    assert rules_broken(traps, wrong_traps=2) == set()
    assert rules_broken(traps, wrong_traps=None) == set()
    anchors = with_votes(["k"] * 3, ["r1"] * 3, [5, 1, 4], kind="anchor", expected=3.0)
    assert rules_broken(anchors) == {("r1", "anchors_off")}
    plays = with_votes([f"w{j}" for j in range(6)], ["r2"] * 6, [3] * 6, disturbed=True)
    assert rules_broken(plays) == {("r2", "disturbed")}


def test_few_votes_flag_nobody():
    names = [f"v{j}" for j in range(5)]
    votes = with_votes(names, ["bad"] * 5, [3] * 5)
    assert rules_broken(votes) == set()
    assert rules_broken(votes, least_votes=5) == {("bad", "spread")}


def test_mos_stand_side_by_side():
    votes = with_votes([f"v{j}" for j in range(20)], ["bad"] * 20, [1] * 20)
    found = side_by_side(votes, flags(votes, ScreeningSettings()), "mos")
    good = of_table(study(20, 9, noise=0.3))
    np.testing.assert_allclose(found.kept.mos, [good.vote[good.video == j].mean() for j in range(20)])
    assert (found.every.mos <= found.kept.mos).all()
    everybody = [Flag(rater, "spread", "") for rater in range(len(votes.raters))]
    assert side_by_side(votes, everybody).kept is None
    assert flagged(votes, everybody).all()


def test_every_rule_is_a_setting():
    assert set(RULES) < set(ScreeningSettings.model_fields)
    with pytest.raises(ValueError, match="correlation"):
        ScreeningSettings(correlation=2)


def test_screening_is_told_with_what_it_changes():
    votes = of_table(study(8, 5))
    broken = [Flag(4, "spread", "too even"), Flag(4, "correlation", "low")]
    found = screening_figures(votes, broken, side_by_side(votes, broken, "mos"))
    json.dumps(found, allow_nan=False)
    values = study(8, 5)
    change = np.abs(values.mean(1) - values[:, :4].mean(1))
    assert found["without_flagged"]["mean_change"] == pytest.approx(change.mean())
    assert found["without_flagged"]["largest_change"] == pytest.approx(change.max())
    assert found["rules"] == {"spread": 1, "correlation": 1}
    assert found["raters"] == [{"rater": 4, "reasons": ["too even", "low"]}]
