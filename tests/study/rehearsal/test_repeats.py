"""One repeat: who plays what, the same result wherever it is done, labels of a study of their own."""

from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.study.rehearsal.pseudo_targets import PseudoTarget
from mdsvqa.study.rehearsal.repeats import Job, RepeatInputs, cast, run_repeat
from rehearsals import make_inputs, second_data_set

RULES = ["random", "k-means", "mds", "committee"]


def test_every_rule_spends_the_budget_and_some_the_others(inputs: RepeatInputs, target: PseudoTarget) -> None:
    found = run_repeat(inputs, Job(target, 0, RULES, 4, [2, 8], ["random", "k-means"]))
    assert [(each.contender, each.budget) for each in found] == [
        ("base", 0),
        ("everything", 30),
        *((rule, budget) for rule in ("random", "k-means") for budget in (2, 4, 8)),
        *((rule, 4) for rule in ("mds", "committee")),
    ]
    assert all(-1 <= each.target_srcc <= 1 and -1 <= each.source_srcc <= 1 for each in found)
    reached = {each.contender: each.target_srcc for each in found}
    assert reached["everything"] > reached["base"] + 0.3


def test_roles_are_drawn_anew_in_each_repeat_and_never_overlap(inputs: RepeatInputs, target: PseudoTarget) -> None:
    first, second = (cast(inputs.data, target, seed) for seed in (1, 2))
    for data in (first, second):
        assert sorted([*data.pool, *data.target_test]) == target.members.tolist()
        assert sorted([*data.source, *data.source_test]) == target.others.tolist()
        assert (len(data.pool), len(data.source)) == (30, 23)
    assert set(first.pool) != set(second.pool)
    assert set(first.source) != set(second.source)


def test_labels_of_the_pool_are_of_a_study_of_their_own(inputs: RepeatInputs, target: PseudoTarget) -> None:
    data = cast(inputs.data, target, 0)
    assert set(data.dataset[data.pool]).isdisjoint(data.dataset[data.source])
    assert (data.dataset[data.pool] > 0).all()


def test_mos_of_the_pool_on_another_scale_change_nothing(inputs: RepeatInputs, target: PseudoTarget) -> None:
    pool = set(cast(inputs.data, target, 0).pool.tolist())
    assert pool
    job = Job(target, 0, ["random", "k-means"], 5)
    moved = [
        replace(video, mos=20 + 7 * (video.mos or 0)) if index % 2 else video
        for index, video in enumerate(inputs.data.videos)
    ]
    other = replace(inputs, data=replace(inputs.data, videos=moved))
    plain = [(each.contender, each.target_srcc) for each in run_repeat(inputs, job)]
    assert [(each.contender, pytest.approx(each.target_srcc, abs=1e-9)) for each in run_repeat(other, job)] == plain


def test_the_draw_depends_on_the_target_and_the_number_and_nothing_else() -> None:
    target = second_data_set()
    one = Job(target, 3, ["random", "k-means"], 5)
    alone = run_repeat(make_inputs(), one)
    among = run_repeat(make_inputs(), replace(one, rules=["random", "mds", "k-means"]))
    by_rule = {each.contender: each for each in among}
    assert [by_rule[each.contender] for each in alone] == alone
    assert run_repeat(make_inputs(), replace(one, repeat=4)) != alone
    assert one.id != replace(one, repeat=4).id != replace(one, rules=["random"]).id


def test_scores_that_are_all_equal_correlate_0(target: PseudoTarget) -> None:
    inputs = make_inputs()
    flat = replace(inputs, data=replace(inputs.data, features=np.zeros_like(inputs.data.features)))
    assert {each.target_srcc for each in run_repeat(flat, Job(target, 0, ["random"], 4))} == {0.0}
