import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

pytest.importorskip("transformers")

from mdsvqa.difficulty.vlm.reinforce import _FORM, Reinforce, answer_rewards
from mdsvqa.models.training.fidelity import Fidelity, ranking_loss
from mdsvqa.models.vlm.expected import Expectation
from mdsvqa.models.vlm.token_sampling import Drawn


class Reader:
    """A model of one weight: its expected answers are that times the clips."""

    overhead, device = 10, torch.device("cpu")

    def __init__(self) -> None:
        self.weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def expectation(self, clips) -> Expectation:
        value = self.weight * torch.tensor(clips, dtype=torch.float64)
        return Expectation(value, torch.ones_like(value), torch.ones_like(value))


def fidelity(p: float, target: float) -> float:
    return 1 - math.sqrt(p * target) - math.sqrt((1 - p) * (1 - target))


def test_the_loss_is_the_mean_of_all_pairs_within_a_data_set_with_ties_as_halves() -> None:
    values, truth = [1.5, 3.0, 2.0, 4.0, 2.5], [0.2, 0.2, 0.5, 0.1, 0.9]
    dataset = [0, 0, 0, 1, 1]
    by_hand = [
        fidelity(norm.cdf((1.5 - 3.0) / math.sqrt(2)), 0.5),
        fidelity(norm.cdf((1.5 - 2.0) / math.sqrt(2)), 0.0),
        fidelity(norm.cdf((3.0 - 2.0) / math.sqrt(2)), 0.0),
        fidelity(norm.cdf((4.0 - 2.5) / math.sqrt(2)), 0.0),
    ]
    found = ranking_loss(*(torch.tensor(x) for x in (values, truth, dataset)))
    assert found.item() == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_a_video_without_a_value_is_in_no_pair_and_no_pair_is_no_loss() -> None:
    values = torch.tensor([1.0, math.nan, 3.0])
    all_three = ranking_loss(values, torch.tensor([0.1, 0.9, 0.2]), torch.zeros(3))
    two = ranking_loss(values[[0, 2]], torch.tensor([0.1, 0.2]), torch.zeros(2))
    assert all_three.item() == two.item()
    assert ranking_loss(values, torch.ones(3), torch.tensor([0, 1, 2])).item() == 0


def test_pulled_in_parts_the_weight_has_the_gradient_of_the_whole_loss() -> None:
    clips, truth = [1.0, 2.0, 3.5, 1.2], np.array([0.1, 0.4, 0.2, 0.9])
    reader = Reader()
    objective = Fidelity(reader, truth, np.zeros(4, np.int64), 0.0)  # type: ignore[arg-type]
    batch = np.arange(4)
    values = objective.read(clips).values.detach()  # type: ignore[arg-type]
    coefficients, figures = objective.coefficients(values, batch)
    for part in ([0, 2], [1, 3]):
        readings = type("Readings", (), {"values": values[part], "kept": ()})
        objective.surrogate([clips[i] for i in part], np.array(part), readings, coefficients[part]).backward()
    loss = ranking_loss(reader.expectation(clips).value, torch.from_numpy(truth), torch.zeros(4))
    (whole,) = torch.autograd.grad(loss, reader.weight)
    assert figures["loss"] == pytest.approx(loss.item())
    assert reader.weight.grad.item() == pytest.approx(whole.item(), rel=1e-6)


def test_rewards_by_hand_and_nothing_for_what_cannot_be_parsed() -> None:
    values = torch.tensor([3.0, 2.0, math.nan, 5.0])
    truth, dataset = torch.tensor([0.5, 0.5, 0.9, 0.1]), torch.tensor([0, 0, 0, 1])
    half = norm.cdf(1 / math.sqrt(2))
    agreed = math.sqrt(half * 0.5) + math.sqrt((1 - half) * 0.5)
    assert answer_rewards(values, truth, dataset).tolist() == pytest.approx([agreed, agreed, 0.0, 0.0])


def test_reinforce_weighs_form_and_rank_and_its_advantages_sum_to_nothing() -> None:
    objective = Reinforce(Reader(), np.array([1.0, 2.0, 3.0]), np.zeros(3, np.int64), 0.5)  # type: ignore[arg-type]
    # Formed; not formed; unparsable.
    values = torch.tensor([2.0, -3.0, math.nan])
    advantages, figures = objective.coefficients(values, np.arange(3))
    right = math.sqrt(norm.cdf(1 / math.sqrt(2)))
    total = np.array([right + 0.5, right, 0.0])
    assert advantages.tolist() == pytest.approx(((total - total.mean()) / 3).tolist())
    assert figures["well_formed"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("<answer>3.2</answer>", True),
        (" <answer>3</answer>\n", True),
        ("So: <answer>3</answer>", False),
        ("3.2", False),
    ],
)
def test_only_the_whole_reply_counts_as_formed(text: str, formed: bool) -> None:
    assert bool(_FORM.fullmatch(Drawn((1,), text, 3.0).text)) == formed
