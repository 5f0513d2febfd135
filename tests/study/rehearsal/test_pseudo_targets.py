"""Which parts of the source play the target, and what is said where there are none."""

import pytest

from mdsvqa.study.rehearsal.pseudo_targets import nothing_to_rehearse, pseudo_targets


def test_each_data_set_is_the_target_of_all_others() -> None:
    values = ["b", "a", "c"] * 30
    found = pseudo_targets(values)
    assert [each.name for each in found] == ["a", "b", "c"]
    for each in found:
        assert [values[i] for i in each.members] == [each.name] * 30
        assert sorted([*each.members, *each.others]) == list(range(90))


def test_small_parts_play_no_target_but_are_learned_from() -> None:
    found = pseudo_targets(["a"] * 30 + ["b"] * 40 + ["tiny"] * 5 + [None] * 3, "category")
    assert [each.name for each in found] == ["category a", "category b"]
    assert len(found[0].others) == 48


@pytest.mark.parametrize("values", [["a"] * 200, ["a"] * 200 + ["b"] * 23, ["a", None] * 100, []])
def test_with_a_single_part_there_is_nothing_to_rehearse(values: list[str | None]) -> None:
    assert pseudo_targets(values) == []


def test_it_says_what_was_found() -> None:
    assert "two or more data sets of at least 24 videos" in nothing_to_rehearse(["a"] * 200 + ["b"] * 3)
    assert "a (200 videos), b (3 videos)" in nothing_to_rehearse(["a"] * 200 + ["b"] * 3)
    assert "values of 'category'" in nothing_to_rehearse(["a"] * 200, "category")
    assert "found none" in nothing_to_rehearse([None, None], "category")
