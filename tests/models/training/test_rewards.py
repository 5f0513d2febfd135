import math

import pytest
import torch
from scipy.stats import norm

from mdsvqa.models.training.rewards import ranking_rewards, well_formed


def test_rewards_by_hand() -> None:
    # Two replies a video; MOS 4, 2, 2; the third video's second reply cannot be parsed.
    score = torch.tensor([4.0, 3.0, 2.0, 2.5, 3.5, math.nan])
    video = torch.tensor([0, 0, 1, 1, 2, 2])
    mos = torch.tensor([4.0, 4.0, 2.0, 2.0, 2.0, 2.0])
    found = ranking_rewards(score, video, mos, torch.zeros(6))
    variance, mean = (0.5, 0.125, 0.0), (3.5, 2.25, 3.5)

    def agreement(own: float, i: int, j: int, truth: float) -> float:
        p = norm.cdf((own - mean[j]) / math.sqrt(variance[i] + variance[j] + 1e-6))
        return math.sqrt(p * truth) + math.sqrt((1 - p) * (1 - truth))

    expected = [
        (agreement(4.0, 0, 1, 1.0) + agreement(4.0, 0, 2, 1.0)) / 2,
        (agreement(3.0, 0, 1, 1.0) + agreement(3.0, 0, 2, 1.0)) / 2,
        (agreement(2.0, 1, 0, 0.0) + agreement(2.0, 1, 2, 0.5)) / 2,
        (agreement(2.5, 1, 0, 0.0) + agreement(2.5, 1, 2, 0.5)) / 2,
        (agreement(3.5, 2, 0, 0.0) + agreement(3.5, 2, 1, 0.5)) / 2,
        0.0,
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_videos_of_two_data_sets_are_never_compared() -> None:
    score, video = torch.tensor([4.0, 2.0, 1.0]), torch.tensor([0, 1, 2])
    mos, dataset = torch.tensor([1.0, 5.0, 4.0]), torch.tensor([0, 1, 1])
    found = ranking_rewards(score, video, mos, dataset)
    assert found[0] == 0
    assert found[1:].tolist() == pytest.approx([1.0, 1.0])


def test_identical_scores_for_all_pay_what_the_trial_saw() -> None:
    # Why collapse is watched for: it earns more than a bad ranker.
    found = ranking_rewards(torch.full((4,), 3.0), torch.arange(4), torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.zeros(4))
    assert found.tolist() == pytest.approx([math.sqrt(0.5)] * 4)


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("<think>a</think><answer>3</answer>", True),
        ("<think>a\nb</think>\n <answer>3</answer>\n", True),
        ("<think>a</think> so <answer>3</answer>", False),
        ("<answer>3</answer>", False),
        ("<think>a</think><answer>3", False),
    ],
)
def test_form(text: str, formed: bool) -> None:
    assert well_formed(text) == formed
