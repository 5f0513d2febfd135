"""The published rewards of a drawn reply: how well its score ranks, and whether it has the asked form."""

import re

import torch
from torch import Tensor

from mdsvqa.evaluation.thurstone import preference

# Of the squared scale on which two videos' scores are compared, as published.
STABILITY = 1e-6
_FORM = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)


def well_formed(text: str) -> bool:
    r"""Whether a whole completion is a thought and an answer.

    >>> well_formed("<think>Sharp.</think>\n<answer>4.2</answer>"), well_formed("<answer>4.2</answer>")
    (True, False)
    """
    return _FORM.fullmatch(text.strip()) is not None


def ranking_rewards(score: Tensor, video: Tensor, mos: Tensor, dataset: Tensor) -> Tensor:
    """The ranking reward of each of several replies to each of several videos.

    Args:
        score: of each reply, 1-5, NaN where there is none, shape (n,).
        video: integer code of the video that a reply is about, shape (n,).
        mos, dataset: of that video, shape (n,).

    Returns:
        Reply k of video i: the mean over the other videos j of its data set of sqrt(p gt) + sqrt((1-p)(1-gt)), where
        p = Phi((s_ik - mean_j) / sqrt(var_i + var_j + 1e-6)), and gt = 1, 0.5 or 0 as MOS_i is above, equal to or below
        MOS_j. Means and variances are of the replies that have a score; videos without one are compared with nobody.
        0 for a reply without a score. Shape (n,), float64.

    Source: equations of VisualQuality-R1, as used by Zou et al. (2026), section 3.4.

    >>> score, video = torch.tensor([4.0, 4.0, 2.0, 2.0]), torch.tensor([0, 0, 1, 1])
    >>> ranking_rewards(score, video, torch.tensor([3.0, 3.0, 1.0, 1.0]), torch.zeros(4)).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    score = score.double()
    there = ~torch.isnan(score)
    codes, place = torch.unique(video, return_inverse=True)
    count = torch.zeros(len(codes), dtype=torch.float64).index_add(0, place, there.double())
    known = score.nan_to_num()
    mean = torch.zeros_like(count).index_add(0, place, known) / count.clamp_min(1)
    off = torch.where(there, (known - mean[place]) ** 2, 0.0)
    # The unbiased variance, as published; of a single reply none is known.
    variance = torch.zeros_like(count).index_add(0, place, off) / (count - 1).clamp_min(1)
    first = torch.zeros_like(codes).scatter(0, place, torch.arange(len(video)))
    mos_of, dataset_of = mos.double()[first], dataset[first]
    scale = torch.sqrt(variance[place][:, None] + variance[None, :] + STABILITY)
    probability = torch.special.ndtr((known[:, None] - mean[None, :]) / scale)
    truth = preference(mos.double()[:, None], mos_of[None, :])
    agreed = torch.sqrt(probability * truth) + torch.sqrt((1 - probability) * (1 - truth))
    compared = (dataset[:, None] == dataset_of[None, :]) & (video[:, None] != codes[None, :]) & (count > 0)[None, :]
    compared &= there[:, None]
    return (agreed * compared).sum(1) / compared.sum(1).clamp_min(1)
