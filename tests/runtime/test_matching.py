"""Ids of two tables: what matches nothing is said, and why where that can be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.user_tables import ColumnError

IDS = st.lists(st.text("abc", min_size=1, max_size=3), unique=True, min_size=1, max_size=6)


@given(IDS, IDS)
def test_all_some_or_none(ids: list[str], known: list[str]) -> None:
    strange = [video for video in ids if video not in known]
    if len(strange) == len(ids):
        with pytest.raises(ColumnError, match=rf"t\.csv: .*found such as '{ids[0]}'.*, expected such as '{known[0]}'"):
            match_ids("t.csv", ids, known, "the pool")
        return
    said = match_ids("t.csv", ids, known, "the pool")
    assert (said == "") == (not strange)
    if strange:
        assert said.startswith(f"t.csv: {len(strange)} of its {len(ids)} ids ")
        assert f"not in the pool, such as {strange[0]!r}" in said


@pytest.mark.parametrize(
    ("found", "known", "hint"),
    [
        ("v1.mp4", "v1", "the ending of the file name"),
        ("v1", "v1.mp4", "the ending of the file name"),
        ("films/v1", "v1", "the folder"),
        ("films/v1.mp4", "v1", "the folder and the ending"),
        ("V1", "v1", "capital letters"),
    ],
)
def test_what_they_differ_in(found: str, known: str, hint: str) -> None:
    with pytest.raises(ColumnError, match=f"They differ in {hint}"):
        match_ids("t.csv", [found], [known, "x"], "the pool")


def test_there_may_be_nothing_to_match() -> None:
    assert match_ids("t.csv", [], ["a"], "the pool") == ""
    with pytest.raises(ColumnError, match="and the pool has none"):
        match_ids("t.csv", ["a"], [], "the pool")
