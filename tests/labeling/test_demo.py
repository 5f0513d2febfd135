"""The demonstration's rating study: simulated raters over HTTP, and what their MOS are worth."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from commands import printed
from mdsvqa.labeling.demo import rate_demo, rated
from mdsvqa.labeling.material import read_material
from mdsvqa.labeling.simulated_raters import Clips, mean_opinion, simulated_opinion
from mdsvqa.runtime.progress import Silent
from mdsvqa.study.demo import LABEL_STUDY, UNLABELED, without_mos
from mdsvqa.videos.simulated.corpus import TARGET, make_corpus, read_ratings


def test_the_mean_opinion_is_that_of_very_many_raters() -> None:
    panel, rng = TARGET.panel, np.random.default_rng(0)
    for quality in (1.0, 2.4, 4.9):
        votes = [
            read_ratings(quality, panel, rng.normal(0, panel.bias_std, panel.raters), rng).mean() for _ in range(2000)
        ]
        assert mean_opinion(quality, panel) == pytest.approx(np.mean(votes), abs=0.02)


def test_a_simulated_rater_obeys_traps_and_has_a_habit() -> None:
    clips = Clips({"good": 4.5, "bad": 1.2}, {"trap": 2})
    raters = [simulated_opinion(clips, TARGET.panel, seed) for seed in range(200)]
    assert {rater("trap") for rater in raters} == {2}
    good, bad = (np.array([[rater(name) for _ in range(20)] for rater in raters]) for name in ("good", "bad"))
    assert good.mean() == pytest.approx(mean_opinion(4.5, TARGET.panel), abs=0.1)
    assert bad.mean() < good.mean() - 2
    # Means of raters differ by their habits, far more than by the noise of twenty votes.
    assert good.mean(1).std() > 0.2


@pytest.mark.slow
def test_the_loop_goes_on_with_what_simulated_raters_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = make_corpus(tmp_path / "corpus", source=40, pool=20, test=12, seconds=(0.5, 0.7), workers=2)
    (tmp_path / "corpus" / UNLABELED).write_bytes(without_mos(manifest))
    study = tmp_path / "study.yaml"
    study.write_text(LABEL_STUDY.format(path=study, seed=0).replace("budget: 5%", "budget: 6"), encoding="utf-8")
    printed(capsys, "run", study, "--json", code=3)
    votes = rate_demo(study, manifest, Silent(), raters=4)
    material = read_material(study)
    assert len(material.videos) == 6
    given = 4 * (6 + material.settings.training)
    assert votes >= given
    found = rated(study, manifest)
    assert (found.videos, found.votes) == (6, 24)
    with manifest.open(encoding="utf-8") as file:
        truth = {row["id"]: mean_opinion(float(row["true_quality"]), TARGET.panel) for row in csv.DictReader(file)}
    assert material.labels is not None
    with material.labels.open(encoding="utf-8") as file:
        off = [float(row["mos"]) - truth[row["id"]] for row in csv.DictReader(file)]
    assert found.rmse == pytest.approx(np.sqrt(np.mean(np.square(off))))
    # Four votes with a spread of 0.7 each.
    assert found.rmse < 0.8
    assert json.loads(printed(capsys, "run", study, "--json")[0])["waiting_for"] is None
