import json

import numpy as np
import pytest
from scipy import stats

from mdsvqa.labeling.itu import bt500, kurtosis_rejections, mos, p910, p913
from mdsvqa.labeling.vote_tables import read_votes
from places import DATA
from votes_made_up import of_table, study

RATINGS = DATA / "ratings"
needs_ratings = pytest.mark.skipif(not RATINGS.is_dir(), reason=f"real votes are not there: {RATINGS}")
# As the software that the figures come from rounds it.
Z = 1.95996


@needs_ratings
def test_p910_is_the_example_published_with_the_recommendation():
    found = p910(read_votes(RATINGS / "itut_p910_demo.csv"))
    expected = json.loads((RATINGS / "itut_p910_demo.expected.json").read_text())
    for values, name in (
        (found.mos, "mos_j"),
        (found.se, "sos_j"),
        (found.bias, "bias_i"),
        (found.inconsistency, "inconsistency_i"),
    ):
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-9)


# Of sureal 0.9.0: mean MOS and half-width of mos; rejected and mean of bt500; rejected and half-width of p913; first
# and last MOS and half-width of p910.
SUREAL = {
    "nflx_public": (3.544791, 0.25453, 1, 3.535190, 4, 0.24931, 1.329080, 4.765869, 0.22845),
    "nflx_public_4_random_raters": (3.553586, 0.30771, 3, 3.546179, 3, 0.25226, 1.372095, 4.741709, 0.28647),
    "vqeg_hd3": (3.244792, 0.29254, 1, 3.231884, 2, 0.24447, 1.768878, 3.838687, 0.23494),
    "agh_tv_2017": (2.511045, 0.19195, 0, 2.511045, 5, 0.16101, 1.706932, 4.362324, 0.16081),
}


@needs_ratings
@pytest.mark.parametrize("name", SUREAL)
def test_real_studies_give_the_figures_of_sureal(name):
    votes = read_votes(RATINGS / f"{name}.csv")
    plain, screened, unbiased, likely = (model(votes) for model in (mos, bt500, p913, p910))
    found = (
        *(plain.mos.mean(), Z * plain.se.mean()),
        *(screened.rejected.sum(), screened.mos.mean()),
        *(unbiased.rejected.sum(), Z * unbiased.se.mean()),
        *(likely.mos[0], likely.mos[-1], Z * likely.se.mean()),
    )
    digits = (1e-6, 1e-5, 0, 1e-6, 0, 1e-5, 1e-6, 1e-6, 1e-5)
    for value, expected, digit in zip(found, SUREAL[name], digits, strict=True):
        # Half of the last printed digit.
        assert value == pytest.approx(expected, abs=digit / 2 * 1.01)


def test_the_plain_mean_has_the_interval_of_scipy():
    values = study(5, 7)
    found = mos(of_table(values))
    for j, row in enumerate(values):
        low, high = stats.t.interval(0.95, 6, row.mean(), stats.sem(row))
        assert (found.mos[j], found.low[j], found.high[j]) == pytest.approx((row.mean(), low, high))


def plain_rejections(values):
    """The text of BT.500, vote by vote, with scipy's kurtosis."""
    above, below = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for row in values:
        given = row[~np.isnan(row)]
        kurtosis = stats.kurtosis(given, fisher=False) if given.std() > 0 else np.nan
        limit = (2 if 2 <= kurtosis <= 4 else np.sqrt(20)) * given.std()
        for i, vote in enumerate(row):
            above[i] += given.std() > 0 and vote >= given.mean() + limit
            below[i] += given.std() > 0 and vote <= given.mean() - limit
    far = above + below
    return (far / len(values) > 0.05) & (np.abs(above - below) < 0.3 * far)


@pytest.mark.parametrize("seed", range(5))
def test_screening_is_the_text_of_bt500(seed):
    values = study(40, 20, seed)
    rng = np.random.default_rng(seed)
    values[:, :3] = rng.integers(1, 6, (40, 3))
    values[:, 2] = values[:, 3] + np.where(np.arange(40) % 2, 2, -2)
    values[rng.random(values.shape) < 0.2] = np.nan
    votes = of_table(values)
    expected = plain_rejections(values)
    np.testing.assert_array_equal(kurtosis_rejections(votes, votes.vote), expected)


def test_where_all_agree_nobody_is_far():
    values = np.tile(np.arange(1.0, 6)[:, None], (1, 12))
    assert not bt500(of_table(values)).rejected.any()


def test_if_all_would_be_rejected_nobody_is():
    # A quarter of the votes two levels off, half of them each way: kurtosis 4, and two deviations are two levels.
    values = np.full((16, 16), 3.0)
    for j in range(16):
        values[j, [j, (j + 1) % 16]], values[j, [(j + 2) % 16, (j + 3) % 16]] = 5, 1
    votes = of_table(values)
    assert plain_rejections(values).all()
    assert not kurtosis_rejections(votes, votes.vote).any()


def test_bias_is_the_mean_distance_from_the_means():
    values = study(30, 6)
    found = p913(of_table(values))
    np.testing.assert_allclose(found.bias, (values - values.mean(1, keepdims=True)).mean(0))


def test_p910_of_parts_centres_each_for_itself():
    values = np.full((6, 8), np.nan)
    values[:3, :4], values[3:, 4:] = study(3, 4, 1), study(3, 4, 2)
    found = p910(of_table(values))
    assert found.parts == 2
    assert found.bias[:4].sum() == pytest.approx(0, abs=1e-9)
    assert found.bias[4:].sum() == pytest.approx(0, abs=1e-9)
