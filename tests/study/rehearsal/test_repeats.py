"""One repeat: who is trained on, chosen from and measured on."""

from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.study.data import StudyData
from mdsvqa.study.rehearsal import repeats as module
from mdsvqa.study.rehearsal.contenders import contenders
from mdsvqa.study.rehearsal.repeats import Job, RepeatInputs, run_repeat

RULES = contenders(["k-means", "mds", "committee"], [3.0], ["standard"], ["content"])


def job(**changes: object) -> Job:
    return replace(Job("first half", np.arange(45), np.arange(45, 90), 0, RULES, [6]), **changes)  # type: ignore[arg-type]


def test_a_result_for_each_contender_and_budget(inputs: RepeatInputs) -> None:
    found = run_repeat(inputs, job(budgets=[4, 8]))
    assert [(r.contender, r.budget) for r in found] == [
        ("base", 0),
        ("everything", 30),
        *((name, budget) for name in ("random", "k-means", "mds", "committee") for budget in (4, 8)),
    ]
    assert all(-1 <= r.target_srcc <= 1 and -1 <= r.source_srcc <= 1 for r in found)


def test_the_same_job_ends_the_same_and_another_repeat_otherwise(inputs: RepeatInputs) -> None:
    assert run_repeat(inputs, job()) == run_repeat(inputs, job())
    assert run_repeat(inputs, job())[2].target_srcc != run_repeat(inputs, job(repeat=1))[2].target_srcc


def test_contenders_do_not_change_each_others_results(inputs: RepeatInputs) -> None:
    """The more promising go on alone."""
    alone = [RULES[0], RULES[2]]
    everyone = {r.contender: r for r in run_repeat(inputs, job())}
    for result in run_repeat(inputs, job(contenders=alone)):
        assert result == everyone[result.contender]


def test_nobody_is_trained_on_chosen_from_and_measured_on_at_once(
    inputs: RepeatInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, offered, measured = set(), set(), set()
    features = {tuple(row): i for i, row in enumerate(inputs.data.features.tolist())}
    fit, srcc, loop = module.fit_statistical, module._srcc, module.rounds

    def spy_fit(data, **settings):
        trained.update(features[tuple(row)] for row in data.features.tolist())
        return fit(data, **settings)

    def spy_srcc(scores, tests, side):
        measured.update(features[tuple(row)] for row in tests.features[side].tolist())
        return srcc(scores, tests, side)

    def spy_rounds(f, g, data, pool, *rest):
        offered.update(int(i) for i in pool.index)
        return loop(f, g, data, pool, *rest)

    monkeypatch.setattr(module, "fit_statistical", spy_fit)
    monkeypatch.setattr(module, "_srcc", spy_srcc)
    monkeypatch.setattr(module, "rounds", spy_rounds)
    run_repeat(inputs, job())
    assert not trained & offered
    assert not measured & (trained | offered)
    assert trained <= set(range(45, 90))
    assert offered <= set(range(45))
    assert len(offered) == 30
    assert trained | offered | measured == set(range(90))


def test_scores_are_compared_within_data_sets(inputs: RepeatInputs) -> None:
    """One data set's MOS far above the other's: a shift between them must not show in any figure."""
    first = np.arange(90) % 2 == 0
    videos = [replace(v, dataset="ab"[i % 2], mos=v.mos + 0.0) for i, v in enumerate(inputs.data.videos)]
    moved_up = [replace(v, mos=v.mos + 100) if first[i] else v for i, v in enumerate(videos)]
    there = inputs.data
    two, shifted = (
        replace(inputs, data=StudyData.of_videos(some, there.features, there.content)) for some in (videos, moved_up)
    )
    base, moved = (run_repeat(each, job(contenders=RULES[:1]))[0] for each in (two, shifted))
    assert abs(moved.target_srcc) < 0.95
    assert -1 <= base.target_srcc <= 1


def test_the_name_of_a_job_tells_what_it_asks(inputs: RepeatInputs) -> None:
    names = [
        job().id,
        job(repeat=1).id,
        job(budgets=[7]).id,
        job(contenders=RULES[:2]).id,
        job(members=np.arange(44)).id,
        job(others=np.arange(46, 90)).id,
    ]
    assert len(set(names)) == 6
