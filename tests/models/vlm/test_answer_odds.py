import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.models.vlm.answer_odds import AnswerOdds
from mdsvqa.models.vlm.expected import AnswerTokens, AnswerTree, expected_value

# A vocabulary of the digits, the point, and five other tokens.
TOKENS = AnswerTokens(tuple(range(10)), 10)
SYMBOLS = [*"0123456789", "."]


def random_model(seed: int, sharpness: float) -> dict[str, np.ndarray]:
    """Log-probabilities of all tokens behind every beginning of an answer, favouring what is well-formed."""
    rng = np.random.default_rng(seed)
    found = {}
    for beginning in all_beginnings():
        logits = rng.normal(0, sharpness, 16)
        logits[10 if len(beginning) == 1 else slice(1, 6) if not beginning else slice(0, 10)] += 4
        found[beginning] = logits - np.log(np.exp(logits).sum())
    return found


def all_beginnings() -> list[str]:
    firsts = "1234"
    return ["", *firsts, *(f"{d}." for d in firsts), *(f"{d}.{t}" for d in firsts for t in "0123456789")]


def whole(model: dict[str, np.ndarray]) -> float:
    """The expected score as it is computed of a model that is loaded here."""
    tree = AnswerTree.of(TOKENS)
    paths = ["".join(SYMBOLS[token] for token in tree.tokens[row].tolist()) for row in tree.visible]
    behind = torch.tensor(np.array([model[path] for path in paths]))[None]
    return float(expected_value(torch.tensor(model[""])[None], behind, TOKENS).value)


def ask(odds: AnswerOdds, model: dict[str, np.ndarray], beginning: str) -> None:
    """What a server tells that was told to write digits and points only."""
    written, rows, text = [], [], beginning
    for _ in range(4 - len(beginning)):
        row = np.exp(model[text][:11]) if text in model else np.full(11, 1 / 11)
        written.append(SYMBOLS[int(row.argmax())])
        rows.append(row.tolist())
        text += written[-1]
    odds.add(beginning, written, rows)


@given(st.integers(0, 10_000), st.floats(0.1, 6))
def test_asking_until_nothing_is_unsure_gives_the_score_of_the_whole_tree(seed: int, sharpness: float) -> None:
    model, odds = random_model(seed, sharpness), AnswerOdds()
    ask(odds, model, "")
    for allowed in (0.1, 0.002, 0.0):
        asked = 0
        while wanted := odds.unsure(allowed):
            for beginning in wanted[:8]:
                ask(odds, model, beginning)
                asked += 1
        assert odds.value == pytest.approx(whole(model), abs=allowed + 1e-5)
        assert sum(odds.doubts().values()) <= allowed + 1e-12
        assert asked <= 48


def test_a_sure_model_is_asked_little() -> None:
    model, odds = random_model(3, 0.3), AnswerOdds()
    # 3.4: nearly always, whatever the second decimal.
    model[""] = np.log(np.array([1e-6] * 3 + [1 - 15e-6] + [1e-6] * 12))
    model["3."] = np.log(np.array([1e-6] * 4 + [1 - 15e-6] + [1e-6] * 11))
    ask(odds, model, "")
    assert odds.unsure(0.002) == []
    assert odds.value == pytest.approx(whole(model), abs=1e-4)


def test_what_is_no_beginning_of_an_answer_is_not_taken_up() -> None:
    odds = AnswerOdds()
    rows = [[1 / 11] * 11] * 4
    odds.add("", ["3", "3", "1", "0"], rows)
    assert set(odds.behind) == {"", "3"}
    odds.add("3.", ["4", "2"], rows[:2])
    assert set(odds.behind) == {"", "3", "3.", "3.4"}
    odds.add("5", [".", "0"], rows[:2])
    assert "5" not in odds.behind
    assert odds.on_scale == pytest.approx(5 / 11)
    assert odds.numeric == pytest.approx(10 / 11)


def test_impossible_answers_are_no_error() -> None:
    odds = AnswerOdds()
    odds.add("", ["0"], [[0.0] * 11])
    assert (odds.on_scale, odds.value) == (0.0, 0.0)
    assert not any(odds.doubts().values())
    for beginning in itertools.chain("1234", ("1.", "2.")):
        odds.add(beginning, ["."], [[0.0] * 11])
    assert odds.value == 0.0
