"""Orders of sessions, drawn many times."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from mdsvqa.labeling.collecting.orders import ANCHOR, REPEAT, TRAP, VIDEO, Rules, Shown, session_order


def videos(count: int, contents: int, seconds: float = 10.0) -> list[list[Shown]]:
    return [[Shown(VIDEO, number, seconds, frozenset({f"c{number % contents}"}))] for number in range(count)]


def extras(kind: str, count: int) -> list[Shown]:
    return [
        Shown(kind, (1000 if kind == TRAP else 2000) + number, 10.0, frozenset({f"{kind}{number}"}))
        for number in range(count)
    ]


@pytest.mark.parametrize(("count", "contents"), [(100, 50), (100, 4), (30, 3), (14, 14), (10, 5), (40, 2)])
def test_orders_keep_the_rules(count: int, contents: int) -> None:
    rules = Rules(seconds=1200, repeats=2, gap=8, trap_every=12, anchor_every=12)
    first_places = []
    for seed in range(60):
        order = session_order(videos(count, contents), extras(TRAP, 9), extras(ANCHOR, 9), rules, random.Random(seed))
        kinds = Counter(slot.kind for slot in order)
        assert sum(slot.seconds for slot in order) <= 1200
        assert abs(kinds[TRAP] - len(order) / 12) <= 1
        assert abs(kinds[ANCHOR] - len(order) / 12) <= 1
        assert kinds[REPEAT] == min(2, max(0, kinds[VIDEO] - 8))
        if contents > 2:
            assert all(not one.contents & other.contents for one, other in pairwise(order))
        places: dict[int, int] = {}
        for place, slot in enumerate(order):
            if slot.kind == REPEAT:
                assert place - places[slot.first] > 8
            else:
                assert slot.first not in places
                places[slot.first] = place
        first_places.append(places.get(0, -1))
    assert len(set(first_places)) > min(count, 20) // 2


def test_a_session_has_one_video_however_long_and_none_where_nothing_is_wanted() -> None:
    rules = Rules(60, 2, 8, 12, 12)
    assert [slot.first for slot in session_order(videos(3, 3, 100.0), [], [], rules, random.Random(0))] == [0]
    assert session_order([], extras(TRAP, 3), extras(ANCHOR, 3), rules, random.Random(0)) == []


def test_what_is_wanted_most_is_taken() -> None:
    order = session_order(videos(50, 50), [], [], Rules(200, 0, 8, 12, 12), random.Random(3))
    assert sorted(slot.first for slot in order) == list(range(20))
    assert [slot.first for slot in order] != list(range(20))
