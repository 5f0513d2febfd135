import itertools

import pytest
import torch

from mdsvqa.models.vlm.expected import AnswerTokens, AnswerTree, expected_value

ANSWER = AnswerTokens(tuple(range(10)), 10)
END = 11
VOCABULARY = 13


def test_the_tree_shows_each_token_its_ancestors_only() -> None:
    tree = AnswerTree.of(ANSWER)
    assert tree.tokens.tolist() == [*itertools.chain.from_iterable([d, 10, *range(10)] for d in (1, 2, 3, 4))]
    assert tree.depth[:4].tolist() == [0, 1, 2, 2]
    # The decimal 7 behind "2." sees itself, the point and the 2.
    row = 12 + 2 + 7
    assert torch.nonzero(tree.visible[row]).flatten().tolist() == [12, 13, row]


def test_the_expected_value_equals_the_sum_over_all_answers() -> None:
    torch.manual_seed(0)
    tree = AnswerTree.of(ANSWER)
    first, behind = torch.randn(3, VOCABULARY).double(), torch.randn(3, len(tree.tokens), VOCABULARY).double()
    found = expected_value(first, behind, ANSWER)
    for row in range(3):
        p = first[row].softmax(-1)
        assert found.on_scale[row].item() == pytest.approx(p[1:6].sum().item(), rel=1e-5)
        assert found.numeric[row].item() == pytest.approx(p[:10].sum().item(), rel=1e-5)
        total = 0.0
        for digit in range(1, 6):
            chance = (p[digit] / p[1:6].sum()).item()
            if digit == 5:
                total += chance * 5
                continue
            node = 12 * (digit - 1)
            point = behind[row, node].softmax(-1)[10].item()
            total += chance * (1 - point) * digit
            tenths = behind[row, node + 1, :10].softmax(-1)
            for tenth in range(10):
                hundredths = behind[row, node + 2 + tenth].softmax(-1)
                rest = 1 - hundredths[:10].sum().item()
                so_far = chance * point * tenths[tenth].item()
                total += so_far * rest * (digit + tenth / 10)
                for hundredth in range(10):
                    value = digit + tenth / 10 + hundredth / 100
                    total += so_far * hundredths[hundredth].item() * value
        assert found.value[row].item() == pytest.approx(total, rel=1e-5)


def test_a_certain_answer_is_its_own_mean_and_the_mean_has_a_gradient() -> None:
    tree = AnswerTree.of(ANSWER)
    first, behind = torch.zeros(1, VOCABULARY), torch.zeros(1, len(tree.tokens), VOCABULARY)
    first[0, 3] = 100
    node = 12 * 2
    behind[0, node, 10] = behind[0, node + 1, 4] = behind[0, node + 6, 2] = 100
    first.requires_grad_(True)
    found = expected_value(first, behind, ANSWER)
    assert found.value.item() == pytest.approx(3.42, abs=1e-5)
    found.value.sum().backward()
    assert torch.isfinite(first.grad).all()


def test_a_tokenizer_that_joins_digits_is_refused() -> None:
    def joining(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [0] if len(text) > 1 else [ord(text)]}

    with pytest.raises(ValueError, match="each digit"):
        AnswerTokens.of(joining)
