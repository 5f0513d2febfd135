import csv
import io
import json

import numpy as np
import pytest

from mdsvqa.labeling.figures import raters_csv, screening_figures, vote_figures
from mdsvqa.labeling.models import estimate_mos
from mdsvqa.labeling.screening import Flag, side_by_side
from mdsvqa.labeling.votes import Votes
from votes_made_up import of_table, study

NAN = np.nan


def test_what_is_reported_is_counted():
    base = of_table(study(6, 5))
    votes = Votes.of(
        [*(base.videos[j] for j in base.video), "v0", "t", "v1", "v2"],
        [*(base.raters[i] for i in base.rater), "r0", "r1", "r2", "r3"],
        [*base.vote, base.vote[0], 2, 3, 3],
        kind=["video"] * 30 + ["repeat", "trap", "video", "video"],
        expected=[NAN] * 31 + [5, NAN, NAN],
        disturbed=[False] * 32 + [True, False],
        excluded=[""] * 33 + ["corrected"],
    )
    found = vote_figures(votes, estimate_mos(votes))
    json.dumps(found, allow_nan=False)
    assert (found["videos"], found["videos_rated"], found["raters"], found["parts"]) == (7, 6, 5, 1)
    assert found["votes"]["by_kind"] == {"repeat": 1, "trap": 1, "video": 32}
    assert (found["votes"]["given"], found["votes"]["counted"], found["votes"]["disturbed"]) == (34, 30, 1)
    assert found["votes"]["excluded"] == {"corrected": 1}
    assert found["votes"]["per_video"]["least"] == 0
    assert found["agreement"]["repeat_difference"] == 0
    assert (found["agreement"]["traps"], found["agreement"]["traps_wrong"]) == (1, 1)
    assert found["sos"]["mos"][6] is None


def test_of_a_single_vote_everything_undefined_is_none():
    votes = Votes.of(["a"], ["x"], [3])
    found = vote_figures(votes, estimate_mos(votes, "mos"))
    json.dumps(found, allow_nan=False)
    assert found["interval_half_width"] is None
    assert found["agreement"]["krippendorff_alpha"] is None


def test_screening_is_told_with_what_it_changes():
    votes = of_table(study(8, 5))
    flags = [Flag(4, "spread", "too even"), Flag(4, "correlation", "low")]
    found = screening_figures(votes, flags, side_by_side(votes, flags, "mos"))
    json.dumps(found, allow_nan=False)
    values = study(8, 5)
    change = np.abs(values.mean(1) - values[:, :4].mean(1))
    assert found["without_flagged"]["mean_change"] == pytest.approx(change.mean())
    assert found["without_flagged"]["largest_change"] == pytest.approx(change.max())
    assert found["rules"] == {"spread": 1, "correlation": 1}
    assert found["raters"] == [{"rater": 4, "reasons": ["too even", "low"]}]


def test_the_table_of_raters():
    votes = of_table(study(8, 3))
    text = raters_csv(votes, estimate_mos(votes), [Flag(1, "spread", "=even")], ["r001", "r002", "r003"])
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["r001", "r002", "r003"]
    assert [row["flags"] for row in rows] == ["", "'=even", ""]
    assert [row["votes"] for row in rows] == ["8"] * 3
    assert float(rows[0]["weight"]) == estimate_mos(votes).weight[0]
