"""Budgets and limits: whatever a rule likes, its final choice keeps to them and cannot be added to."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mdsvqa.runtime.errors import InputError
from mdsvqa.selection.base import Limits, Pool
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.eligible import Eligible, in_order


@dataclass
class Case:
    """Videos on a line. Times are whole tenths of a second here, and seconds in the pool.

    Attributes:
        places, tenths, group: of each video.
        chosen: earlier.
        budget: videos.
        most, least, apart: limits.
        most_tenths: None for a budget in videos.
    """

    places: list[int]
    tenths: list[int]
    group: list[int]
    chosen: list[int]
    budget: int
    most: int | None
    least: int
    apart: float
    most_tenths: int | None

    def pool(self) -> Pool:
        content = Content.stack([np.array([[float(place)]]) for place in self.places])
        seconds, total = np.array(self.tenths) / 10, None if self.most_tenths is None else self.most_tenths / 10
        limits = Limits(np.array(self.group), self.most, self.least, self.apart, seconds, total)
        n = len(self.places)
        return Pool([str(i) for i in range(n)], np.zeros(n), content, tuple(self.chosen), limits)

    def candidates(self) -> list[int]:
        return [i for i in range(len(self.places)) if i not in self.chosen]

    def cost(self, video: int) -> int:
        return 0 if self.most_tenths is None else self.tenths[video]

    def fewest(self, group: int) -> int:
        """Videos of a group that there have to be at the end."""
        all_of_it = sum(self.group[i] == group for i in range(len(self.places)))
        now = sum(self.group[i] == group for i in self.chosen)
        return max(now, min(self.least, all_of_it, len(self.places) if self.most is None else self.most))

    def can_be_paid(self) -> bool:
        number = tenths = 0
        for group in {code for code in self.group if code >= 0}:
            costs = sorted(self.cost(i) for i in self.candidates() if self.group[i] == group)
            short = self.fewest(group) - sum(self.group[i] == group for i in self.chosen)
            number, tenths = number + short, tenths + sum(costs[:short])
        return number <= self.budget and tenths <= (self.most_tenths or 0)

    def allowed(self, picked: list[int]) -> bool:
        """Whether a choice keeps to everything but the fewest of each group."""
        everything = [*self.chosen, *picked]
        counts = Counter(self.group[i] for i in everything if self.group[i] >= 0)
        earlier = Counter(self.group[i] for i in self.chosen)
        return (
            len(set(everything)) == len(everything)
            and len(picked) <= self.budget
            and sum(map(self.cost, picked)) <= (self.most_tenths or 0)
            and (self.most is None or all(counts[g] <= max(self.most, earlier[g]) for g in counts))
            and all(abs(self.places[i] - self.places[j]) >= self.apart for i in picked for j in everything if i != j)
        )


@st.composite
def cases(draw: st.DrawFn, **fixed: Any) -> Case:
    n = draw(st.integers(1, 12))

    def each(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=n, max_size=n))

    drawn = {
        "places": each(st.integers(0, 9)),
        "tenths": each(st.integers(1, 6)),
        "group": each(st.integers(-1, 3)),
        "chosen": draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)),
        "budget": draw(st.integers(0, 14)),
        "most": draw(st.none() | st.integers(1, 3)),
        "least": draw(st.integers(0, 2)),
        "apart": draw(st.sampled_from([0.0, 0.0, 1.0, 2.0])),
        "most_tenths": draw(st.none() | st.integers(0, 40)),
    }
    return Case(**(drawn | fixed))


def any_choice(eligible: Eligible, seed: int) -> list[int]:
    """As a rule that likes videos in a random order."""
    rng = np.random.default_rng(seed)
    picked = []
    while (mask := eligible.mask).any():
        video = int(rng.choice(np.flatnonzero(mask)))
        if eligible.choose(video):
            picked.append(video)
    return picked


@settings(max_examples=400, deadline=None)
@given(cases(), st.integers(0, 99))
def test_final_choice_by_brute_force(case: Case, seed: int) -> None:
    if not case.can_be_paid():
        event("cannot be paid")
        with pytest.raises(InputError, match=f"at least {case.least} videos of each group need"):
            Eligible(case.pool(), case.budget)
        return
    picked = any_choice(Eligible(case.pool(), case.budget), seed)
    assert case.allowed(picked)
    assert not any(case.allowed([*picked, video]) for video in case.candidates())
    if case.apart == 0:
        counts = Counter(case.group[i] for i in [*case.chosen, *picked])
        assert all(counts[group] >= case.fewest(group) for group in set(case.group) if group >= 0)


@settings(max_examples=150, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_an_order_of_preference_is_kept(case: Case, random: Any) -> None:
    if not case.can_be_paid():
        return
    order = list(range(len(case.places)))
    random.shuffle(order)
    picked = in_order(Eligible(case.pool(), case.budget), np.array(order))
    assert case.allowed(picked)
    assert not any(case.allowed([*picked, video]) for video in case.candidates())
    if case.least == 0:
        # Whoever was passed over could not be added to what came before it in the order.
        for place, video in enumerate(order):
            before = [i for i in picked if order.index(i) < place]
            assert (video in picked) == (video in case.candidates() and case.allowed([*before, video]))


@settings(max_examples=60, deadline=None)
@given(cases(most=None, least=0, apart=0.0, most_tenths=None), st.integers(0, 9))
def test_a_budget_in_videos_is_spent(case: Case, seed: int) -> None:
    eligible = Eligible(case.pool(), case.budget)
    assert eligible.about_how_many() == min(case.budget, len(case.candidates()))
    picked = any_choice(eligible, seed)
    assert len(picked) == min(case.budget, len(case.candidates()))
    assert eligible.about_how_many() == 0


def case(**about: Any) -> Case:
    n = len(about["places"])
    usual = {"tenths": [10] * n, "group": [-1] * n, "chosen": [], "budget": n, "most": None, "least": 0, "apart": 0.0}
    return Case(**(usual | {"most_tenths": None} | about))


def opened(**about: Any) -> Eligible:
    described = case(**about)
    return Eligible(described.pool(), described.budget)


def test_most_per_group_closes_a_full_group() -> None:
    eligible = opened(places=[0] * 5, group=[0, 0, 1, 1, -1], most=1, chosen=[0])
    assert eligible.mask.tolist() == [False, False, True, True, True]
    assert eligible.choose(3)
    assert eligible.mask.tolist() == [False, False, False, False, True]


def test_least_per_group_is_kept_free() -> None:
    # Three videos, one of each of two groups: one is free; then only what is short.
    eligible = opened(places=[0] * 5, group=[-1, -1, 0, 0, 1], least=1, budget=3)
    assert eligible.mask.all()
    assert eligible.choose(0)
    assert eligible.mask.tolist() == [False, False, True, True, True]
    assert eligible.choose(3)
    assert eligible.mask.tolist() == [False, False, False, False, True]


def test_least_per_group_in_seconds() -> None:
    # Groups need 1 + 2 s of 5 s: 2 s are free for the first video, and 2 + 1 s for the second of the first group.
    about = {"places": [0] * 4, "tenths": [21, 30, 10, 20], "group": [-1, 0, 0, 1], "least": 1, "most_tenths": 50}
    eligible = opened(**about)
    assert eligible.mask.tolist() == [False, True, True, True]
    assert eligible.choose(1)
    assert eligible.mask.tolist() == [False, False, False, True]


def test_earlier_choices_count_for_the_fewest_of_a_group() -> None:
    assert opened(places=[0] * 3, group=[0, 0, 1], least=1, budget=1, chosen=[0]).mask.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"budget": 3}, "at least 2 videos of each group need 4 videos, and the budget is 3."),
        ({"most_tenths": 39}, "at least 2 videos of each group need 4 seconds, and the budget is 3.9."),
        ({"most_tenths": 90, "budget": 3}, "at least 2 videos of each group need 4 videos, and the budget is 3."),
    ],
)
def test_a_budget_that_cannot_pay_the_fewest_says_so(about: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        opened(places=[0] * 5, group=[0, 0, 0, 1, 1], least=2, **about)


def test_a_group_cannot_be_asked_for_more_than_it_may_have() -> None:
    eligible = opened(places=[0] * 6, group=[0, 0, 0, 1, 1, 1], least=3, most=1, budget=2)
    assert sorted(any_choice(eligible, 0)) in ([0, 3], [0, 4], [0, 5], [1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5])


def test_sums_of_seconds_may_round() -> None:
    # 0.1 + 0.1 + 0.1 is more than 0.3 in double precision.
    eligible = opened(places=[0] * 3, tenths=[1, 1, 1], group=[0, 1, 2], least=1, most_tenths=3)
    assert len(any_choice(eligible, 0)) == 3


def test_near_duplicates_are_closed() -> None:
    eligible = opened(places=[0, 1, 2, 5], apart=2.0, chosen=[0])
    # Nobody knows before it is tried.
    assert eligible.mask.tolist() == [False, True, True, True]
    assert not eligible.choose(1)
    assert eligible.mask.tolist() == [False, False, True, True]
    assert eligible.choose(2)
    assert eligible.choose_first(np.array([0, 1, 2])) is None
    assert eligible.choose_first(np.array([2, 3])) == 3


def test_what_cannot_be_had_any_more_is_not_saved_for() -> None:
    # Group 0 is short of one. The cheap one of it is a near-duplicate, the other is too dear: the rest is free again.
    about = {"places": [0, 0, 5, 9], "tenths": [10, 10, 90, 30], "group": [-1, 0, 0, -1], "most_tenths": 40}
    eligible = opened(chosen=[0], least=1, apart=1.0, **about)
    assert not eligible.choose(1)
    assert eligible.mask.tolist() == [False, False, False, True]


def test_nothing_is_open_without_a_budget() -> None:
    assert not opened(places=[0, 1], budget=0).mask.any()
    assert not opened(places=[0, 1], most_tenths=0).mask.any()
    # An audit has taken more time than there was.
    assert not opened(places=[0, 1], most_tenths=-5).mask.any()


def test_about_how_many_more_videos() -> None:
    # 12 s in videos of 2 and 4 s: four of 3 s; one at least.
    about = {"places": [0] * 6, "tenths": [20, 40] * 3}
    assert opened(most_tenths=120, **about).about_how_many() == 4
    assert opened(most_tenths=120, **(about | {"budget": 3})).about_how_many() == 3
    assert opened(most_tenths=20, **about).about_how_many() == 1


def test_masks_are_copies() -> None:
    eligible = opened(places=[0, 1])
    eligible.mask[:] = False
    assert eligible.mask.all()
