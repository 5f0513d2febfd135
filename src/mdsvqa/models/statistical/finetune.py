"""Fine-tunes the statistical model: source labels and the newly labeled videos, each within its own study.

Two subjective studies never share a scale. So labels enter as z-scores of their data set (`two_domain_gp`), or as pairs
of one data set: then the model is moved as little as possible (in the norm of its kernel space) so that it ranks the
pairs of every data set right.
"""

from dataclasses import replace

import numpy as np

from mdsvqa.models.ranking_loss import WeighedPairs, fidelity_of, minimise
from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, fit_statistical
from mdsvqa.models.statistical.two_domain_gp import finetune_two_domains, fit_source_process
from mdsvqa.runtime.arrays import Floats


def finetune(base: KernelModel, data: LabeledFeatures, settings: FinetuningSettings, seed: int = 0) -> KernelModel:
    """The model that learned from the labels of both domains, by `settings.method`.

    Args:
        base: the model to start from.
        data: source and new labels.
        settings: of the method.
        seed: of `rank_pairs`.
    """
    if settings.method == "two-domain-gp":
        return finetune_two_domains(base, data)
    return rank_pairs(base, data, settings, seed)


def rank_pairs(base: KernelModel, data: LabeledFeatures, settings: FinetuningSettings, seed: int = 0) -> KernelModel:
    """Adds a correction to a model so that it ranks the labeled videos of each data set right.

    Minimises, over the correction c(x) = sum_i alpha_i k(x, x_i) on the labeled videos, the mean fidelity loss over the
    pairs of each data set, plus a penalty on c's squared kernel norm. The new data sets have `settings.target_weight`
    of the loss in equal parts, the source's the rest. Afterwards the scores are put back on the source's MOS scale by a
    least-squares line, which changes no rank.

    Args:
        base: the model to start from.
        data: source and new labels.
        settings: of the objective.
        seed: which pairs are used where a data set has more than `settings.most_pairs`.

    Returns:
        The fine-tuned model.
    """
    z = base.standardise(data.features)
    kernel, before = base.kernel(z, z), base.predict(data.features)
    pairs = WeighedPairs.within(data.mos, data.dataset, settings.most_pairs, seed, data.new, settings.target_weight)
    penalty = settings.stiffness / int(np.unique(data.dataset, return_counts=True)[1].min())

    def objective(alpha: Floats) -> tuple[float, Floats]:
        correction = kernel @ alpha
        score = before + correction
        loss, by_pair = fidelity_of(score[pairs.better] - score[pairs.worse], pairs, settings.noise**2)
        by_score = np.bincount(pairs.better, by_pair, len(data)) - np.bincount(pairs.worse, by_pair, len(data))
        return loss + penalty * float(alpha @ correction), kernel @ by_score + 2 * penalty * correction

    alpha = minimise(objective, len(data), settings.steps)
    tuned = _on_source_scale(base.add(z, alpha), data)
    return tuned.finetuned_from(base, np.concatenate([np.zeros(len(base.anchors), bool), data.new]))


def _on_source_scale(model: KernelModel, data: LabeledFeatures) -> KernelModel:
    source = ~data.new
    slope, offset = np.polyfit(model.predict(data.features[source]), data.mos[source], 1)
    if slope <= 0:
        return model
    return replace(model, weights=slope * model.weights, intercept=float(slope * model.intercept + offset))


def fit_again(base: KernelModel, data: LabeledFeatures) -> KernelModel:
    """A model of the same kind and hyper-parameters on other labels: a Gaussian process, or a regression."""
    if base.process is not None:
        return fit_source_process(data, base.process.kernel.sizes.tolist(), base.process)
    return fit_statistical(data, cost=base.cost, gamma=base.gamma)


def train(base: KernelModel, data: LabeledFeatures, settings: FinetuningSettings, seed: int) -> KernelModel:
    """The whole training of f with known hyper-parameters: the model of the source, then the new labels.

    Args:
        base: says the kind and the hyper-parameters.
        data: source and maybe new labels.
        settings, seed: of the fine-tuning.
    """
    again = fit_again(base, data.take(np.flatnonzero(~data.new)))
    return finetune(again, data, settings, seed) if data.new.any() else again
