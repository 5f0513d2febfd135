import numpy as np

from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.stopping import StoppingSettings, standing
from votes_made_up import of_table, study


def estimate(raters, videos=20):
    return panel(of_table(study(videos, raters)))


def test_it_goes_on_until_nine_of_ten_are_narrow():
    few, many = standing(estimate(8), StoppingSettings()), standing(estimate(40), StoppingSettings())
    assert (few.ended, few.reason) == (False, "")
    assert many.ended
    assert "100% of the videos" in many.reason
    values = study(20, 40)
    values[:3, 12:] = np.nan
    found = panel(of_table(values))
    half = (found.high - found.low) / 2
    tight = StoppingSettings(half_width=float(half[3:].max()))
    assert standing(found, tight).share == 0.85
    assert standing(found, tight).reached.tolist() == [False] * 3 + [True] * 17
    assert not standing(found, tight).ended


def test_every_video_needs_the_least_number_of_votes():
    values = study(20, 40)
    values[0, 7:] = np.nan
    found = panel(of_table(values))
    assert standing(found, StoppingSettings()).share == 0.95
    assert not standing(found, StoppingSettings()).ended
    assert standing(found, StoppingSettings(least_votes=7)).ended


def test_numbers_and_budget_end_it():
    found = estimate(4)
    assert standing(found, StoppingSettings(votes=4)).reason == "every video has 4 votes"
    assert not standing(found, StoppingSettings(votes=5)).ended
    assert standing(found, StoppingSettings(budget=80)).reason == "the budget of 80 votes is spent"
    assert not standing(found, StoppingSettings(budget=81, half_width=None)).ended


def test_nothing_waits_for_what_nobody_can_play():
    values = study(20, 40)
    values[3] = np.nan
    found = panel(of_table(values))
    unratable = np.arange(20) == 3
    assert not standing(found, StoppingSettings()).ended
    assert standing(found, StoppingSettings(), unratable=unratable).ended


def test_levels_of_another_scale():
    found = panel(of_table(25 * (study(20, 40) - 1), scale=(0.0, 100.0)))
    assert not standing(found, StoppingSettings()).ended
    assert standing(found, StoppingSettings(), level=25.0).ended
