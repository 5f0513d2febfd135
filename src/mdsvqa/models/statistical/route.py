"""Which of two models reads a video: the one before fine-tuning, or the fine-tuned one.

Fine-tuning costs on content like the source's. So a fine-tuned model keeps the one that it came from.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.models.statistical.kernels import squared_distances
from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.runtime.errors import InputError

Route = Literal["target", "base", "nearest"]


@dataclass(frozen=True)
class Reading:
    """Scores, their spread where the model that read knows one, and whether the fine-tuned model read, each (n,)."""

    score: Floats
    spread: Floats
    tuned: Flags


def read_by(model: KernelModel, features: Floats, route: Route) -> Reading:
    """Scores of videos by the model that the route says.

    Args:
        model: fine-tuned, or not where the route is "target".
        features: shape (n, dims).
        route: target, the fine-tuned model; base, the one before; nearest, the fine-tuned one for the videos that are
            nearer to its new labels than to its source, see `nearer_to_new`.

    Raises:
        InputError: the model was not fine-tuned.
    """
    everyone = np.ones(len(features), bool)
    if route == "target":
        return Reading(model.predict(features), model.spread(features), everyone)
    if model.before is None:
        raise InputError(f"--route {route}: this model was not fine-tuned, so there is no other one to read by.")
    tuned = nearer_to_new(model, features) if route == "nearest" else ~everyone
    pairs = [(one.predict(features), one.spread(features)) for one in (model, model.before)]
    score, spread = (np.where(tuned, own, before) for own, before in zip(*pairs, strict=True))
    return Reading(score, spread, tuned)


def nearer_to_new(model: KernelModel, features: Floats) -> Flags:
    """Whether the nearest labeled video is a new one, among the new ones and as many of the source's, shape (n,).

    With all of the source's, one of so many would be nearest by chance. Distances are Euclidean between the
    standardised features that the model reads, which hold content where they have a set of it.
    """
    assert model.of_new is not None
    new, source = model.anchors[model.of_new], model.anchors[~model.of_new]
    places = np.unique(np.linspace(0, len(source) - 1, min(len(new), len(source))).round().astype(int))
    z = model.standardise(features)
    return squared_distances(z, new).min(1) < squared_distances(z, source[places]).min(1)
