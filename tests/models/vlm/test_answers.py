import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.models.vlm.answers import Answer, parse_answer

OUTCOMES = {
    "3.42": 3.42,
    "3": 3.0,
    " 3.20 ": 3.2,
    "\n3.2\n": 3.2,
    "+3.2": 3.2,
    "3.": 3.0,
    "1": 1.0,
    "5.00": 5.0,
    "4.5/5": 4.5,
    "4.5 / 5.0": 4.5,
    "4.5 out of 5": 4.5,
    "5/5": 5.0,
    "Score: 3.2": 3.2,
    "score-3.2": 3.2,
    "**3.2**": 3.2,
    "3.2.": 3.2,
    "3.2, fair": 3.2,
    "3.2 (fair)": 3.2,
    '"3.2"': 3.2,
    "3.2 points": 3.2,
    "7.5": "out_of_range",
    "-1": "out_of_range",
    "-3.2": "out_of_range",
    "\u22123.2": "out_of_range",
    "0": "out_of_range",
    "0.99": "out_of_range",
    ".5": "out_of_range",
    "5.01": "out_of_range",
    "10/5": "out_of_range",
    "9" * 400: "out_of_range",
    "3,42": "unparsable",
    "3.2 or 4.1": "unparsable",
    "3.2 4.1": "unparsable",
    "3-4": "unparsable",
    "3/4": "unparsable",
    "4/10": "unparsable",
    "4/5/5": "unparsable",
    "1.2.3": "unparsable",
    "3..2": "unparsable",
    "3.2e1": "unparsable",
    "3%": "unparsable",
    "3rd": "unparsable",
    "v3": "unparsable",
    "\u0663": "unparsable",
    "\uff13.\uff12": "unparsable",
    "3\u0664": "unparsable",
    "3\u00bd": "unparsable",
    "3\u00b2": "unparsable",
    "three": "unparsable",
    "nan": "unparsable",
    "inf": "unparsable",
    "": "unparsable",
    "  ": "unparsable",
}


@pytest.mark.parametrize("inside", OUTCOMES)
def test_each_content_of_the_tag_has_its_outcome(inside: str) -> None:
    expected = OUTCOMES[inside]
    answer = Answer(None, expected) if isinstance(expected, str) else Answer(expected, "ok")
    assert parse_answer(f"<think>Sharp, 24 fps, 9 of 10.</think>\n<answer>{inside}</answer>") == answer


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("<answer>3.2</answer> I would say 4.", 3.2),
        ("<answer>1</answer> no: <answer>3.2</answer>", 3.2),
        ("<answer><answer>3.2</answer>", 3.2),
        ("<ANSWER> 3.2 </Answer>", 3.2),
        ("< answer >3.2< / answer >", 3.2),
        ("<answer>3.2", None),
        ("<answer>3.2</ans", None),
        ("<answer>2</answer><answer>3.2", None),
        ("3.2</answer>", None),
        ("3.2", None),
        ("", None),
    ],
)
def test_the_last_tag_counts_and_only_when_it_is_whole(reply: str, value: float | None) -> None:
    assert parse_answer(reply).value == value


@given(st.floats(1, 5).map(lambda value: round(value, 2)), st.text(), st.text())
def test_a_score_in_the_asked_form_is_read_whatever_stands_around_it(value: float, before: str, after: str) -> None:
    after = re.sub("<", "", after)
    assert parse_answer(f"{before}<answer>{value:.2f}</answer>{after}") == Answer(value, "ok")


@given(st.text())
def test_any_text_in_the_tag_gives_one_of_the_outcomes_and_never_raises(inside: str) -> None:
    answer = parse_answer(f"<answer>{inside}</answer>")
    assert (answer.status == "ok") == (answer.value is not None)
    if answer.value is not None:
        assert 1 <= answer.value <= 5
        # Never a number that is not there.
        assert any(abs(float(found) - answer.value) < 1e-12 for found in re.findall(r"\d+\.?\d*|\.\d+", inside))


NUMBER = st.decimals(0, 20, places=2, allow_nan=False)


@given(NUMBER, NUMBER, st.sampled_from([" ", " or ", "-", " to ", ";", "\n", ", "]))
def test_two_numbers_are_never_read_as_one(first: object, second: object, between: str) -> None:
    assert parse_answer(f"<answer>{first}{between}{second}</answer>").status == "unparsable"


@given(st.text(alphabet="<>/answer 0123456789.,-5oute%*", max_size=60))
def test_noise_made_of_the_form_itself_never_raises(reply: str) -> None:
    assert parse_answer(reply).status in ("ok", "out_of_range", "unparsable")
