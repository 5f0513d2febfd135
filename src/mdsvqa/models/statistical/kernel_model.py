"""The embedded quality model: natural scene statistics and a support vector regression.

As in BRISQUE and VIDEVAL: features of the distorted video, standardised, and an RBF-kernel support vector regression on
MOS. scikit-learn fits; what it found is kept as plain arrays, so a saved model is a safetensors file and not a pickle.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.svm import SVR

from mdsvqa.models.base import Score
from mdsvqa.models.statistical.features import clip_features
from mdsvqa.models.statistical.kernels import GaussianProcess, Kernel, squared_distances
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import Maker
from mdsvqa.videos.clip import Clip

COSTS = (1.0, 3.0, 10.0, 30.0, 100.0)
# Multiples of 1 / number of features.
WIDTHS = (0.03, 0.1, 0.3, 1.0)
TUBE = 0.1


@dataclass(frozen=True)
class LabeledFeatures:
    """Videos with labels, as arrays.

    Attributes:
        features: shape (n, dims); NaN where a feature could not be computed.
        mos: on the 1-5 scale, shape (n,).
        dataset: integer code of the study that each label comes from, shape (n,).
        new: whether it is none of the source's, shape (n,).
    """

    features: Floats
    mos: Floats
    dataset: Ints
    new: Flags

    def __len__(self) -> int:
        return len(self.mos)

    def take(self, chosen: Ints) -> "LabeledFeatures":
        return LabeledFeatures(self.features[chosen], self.mos[chosen], self.dataset[chosen], self.new[chosen])

    def join(self, other: "LabeledFeatures") -> "LabeledFeatures":
        return LabeledFeatures(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.mos, other.mos]),
            np.concatenate([self.dataset, other.dataset]),
            np.concatenate([self.new, other.new]),
        )


@dataclass(frozen=True)
class Uncertainty:
    """How far a label may be from the score, with u(x) = (k(x, anchors), 1): its variance is unit^2 (prior - u' R u).

    Attributes:
        prior: variance of a label before anything is known, in z-scores.
        unit: of a z-score, in MOS points.
        reduction: R, shape (anchors + 1, anchors + 1), symmetric.
    """

    prior: float
    unit: float
    reduction: Floats

    def spread(self, kernel: Floats) -> Floats:
        """Standard deviation of a label, in MOS points, shape (n,).

        Args:
            kernel: between the videos and the anchors, shape (n, anchors).
        """
        u = np.column_stack([kernel, np.ones(len(kernel))])
        variance = self.prior - np.einsum("ij,ij->i", u @ self.reduction, u)
        return self.unit * np.sqrt(np.maximum(variance, 0))


@dataclass(frozen=True)
class Recipe:
    """How the features are made that a model reads.

    Attributes:
        sets: of features, side by side.
        frames, view: of each video, for the statistical ones; the view where it is not the usual one.
        settings, content: of the content encoder, and what its table says made it; empty where no content is read.
    """

    sets: tuple[str, ...]
    frames: int
    view: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    content: Maker = field(default_factory=dict)

    def text(self) -> str:
        """As it stands in a file."""
        return json.dumps(vars(self), sort_keys=True)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """From what `text` gave."""
        said = json.loads(text)
        return cls(**{**said, "sets": tuple(said["sets"])})


@dataclass(frozen=True)
class KernelModel:
    """f(x) = intercept + sum_i weights_i k(z(x), anchors_i), z(x) standardised and limited to +-4.

    Attributes:
        center, scale: of the features, shape (dims,).
        anchors: standardised features, shape (anchors, dims).
        weights: shape (anchors,).
        intercept, gamma, cost: the last is the C that it was fitted with, kept for fitting again.
        process: k and the noise beside it, where it is a Gaussian process; without one k is exp(-gamma |z - anchor|^2).
        uncertainty: of the scores; None where the model knows none.
        before: the model that it was fine-tuned from; None where it was not.
        of_new: which anchors are newly labeled videos, shape (anchors,); goes with `before`.
        recipe: of the features; None where they are a table's, or the file that it was saved to is older.
    """

    center: Floats
    scale: Floats
    anchors: Floats
    weights: Floats
    intercept: float
    gamma: float
    cost: float
    process: GaussianProcess | None = None
    uncertainty: Uncertainty | None = None
    before: "KernelModel | None" = None
    of_new: Flags | None = None
    recipe: Recipe | None = None

    def finetuned_from(self, before: "KernelModel", of_new: Flags) -> "KernelModel":
        """The same with the model that it came from, which forgets any of its own."""
        return replace(self, before=replace(before, before=None, of_new=None), of_new=of_new)

    def standardise(self, features: Floats) -> Floats:
        """Features (n, dims) in standard deviations of the training set; a missing one counts as average."""
        return Standardiser(self.center, self.scale)(features)

    def kernel(self, z: Floats, anchors: Floats) -> Floats:
        """k between standardised features, shape (len(z), len(anchors))."""
        if self.process is not None:
            return self.process.kernel(z, anchors)
        return np.exp(-self.gamma * squared_distances(z, anchors))

    def predict(self, features: Floats) -> Floats:
        """Predicted MOS, shape (n,), for features of shape (n, dims).

        Raises:
            InputError: features of another kind than the model was trained on.
        """
        return self.intercept + self._kernel_to_anchors(features) @ self.weights

    def spread(self, features: Floats) -> Floats:
        """Standard deviation of a video's MOS around its score, shape (n,); NaN where the model knows none.

        Raises:
            InputError: as `predict`.
        """
        kernel = self._kernel_to_anchors(features)
        return np.full(len(features), np.nan) if self.uncertainty is None else self.uncertainty.spread(kernel)

    def _kernel_to_anchors(self, features: Floats) -> Floats:
        if features.shape[1] != len(self.center):
            raise InputError(
                f"this model was trained on {len(self.center)} features a video; found {features.shape[1]}."
            )
        return self.kernel(self.standardise(features), self.anchors)

    def add(self, anchors: Floats, weights: Floats) -> "KernelModel":
        """The same model with further anchors: f + the expansion on them. What it knew of its uncertainty is void."""
        return replace(
            self,
            anchors=np.concatenate([self.anchors, anchors]),
            weights=np.concatenate([self.weights, weights]),
            uncertainty=None,
            before=None,
            of_new=None,
        )

    def arrays(self) -> dict[str, Floats]:
        """All of it as arrays by name, scalars of shape ()."""
        apart = ("process", "uncertainty", "before", "of_new", "recipe")
        found = {name: value for name, value in vars(self).items() if name not in apart}
        if self.before is not None:
            found |= {f"before.{name}": value for name, value in self.before.arrays().items()}
            found["of_new"] = self.of_new
        if self.process is not None:
            found |= {f"process.{name}": value for name, value in vars(self.process.kernel).items()}
            found["process.noise"] = self.process.noise
        if self.uncertainty is not None:
            found |= {f"uncertainty.{name}": value for name, value in vars(self.uncertainty).items()}
        # safetensors writes memory as it lies: arrays in another than row order would come back scrambled.
        return {name: np.array(value, np.float64, order="C") for name, value in found.items()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Floats]) -> Self:
        """From what `arrays` gave.

        Raises:
            KeyError, TypeError: some are missing, or others are there.
        """
        of_before, of_process = _taken(arrays, "before."), _taken(arrays, "process.")
        known, of_new = _taken(arrays, "uncertainty."), arrays.pop("of_new", None)
        scalars = {name: float(arrays.pop(name)) for name in ("intercept", "gamma", "cost")}
        parts: dict[str, Any] = {"of_new": None if of_new is None else of_new.astype(bool)}
        if of_before:
            parts["before"] = cls.of_arrays(of_before)
        if of_process:
            noise, sizes = float(of_process.pop("noise")), of_process.pop("sizes").astype(np.int64)
            parts["process"] = GaussianProcess(Kernel(sizes, **of_process), noise)
        if known:
            parts["uncertainty"] = Uncertainty(float(known["prior"]), float(known["unit"]), known["reduction"])
        return cls(**arrays, **scalars, **parts)  # type: ignore[arg-type]

    def save(self, path: Path) -> None:
        """Writes a safetensors file."""
        # One entry alone: several are written in any order, and equal models are to be equal files.
        said = {"format": "mdsvqa.statistical.1"} if self.recipe is None else {"recipe": self.recipe.text()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(self.arrays(), metadata=said))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: not such a file.
        """
        try:
            with safe_open(path, "numpy") as file:
                said = (file.metadata() or {}).get("recipe")
            model = cls.of_arrays(load_file(path))
            return model if said is None else replace(model, recipe=Recipe.of_text(said))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a saved statistical model ({error}).") from None


def _taken(arrays: dict[str, Floats], prefix: str) -> dict[str, Floats]:
    return {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}


def fit_statistical(
    data: LabeledFeatures,
    *,
    cost: float | None = None,
    gamma: float | None = None,
    folds: int = 5,
    seed: int = 0,
) -> KernelModel:
    """Fits the support vector regression.

    Args:
        data: at least 2 videos a fold where cost or gamma is to be found.
        cost, gamma: of the regression; by default the pair with the smallest cross-validated squared error.
        folds, seed: of the cross-validation.

    Raises:
        InputError: too few labeled videos.
    """
    search_wanted = cost is None or gamma is None
    if search_wanted and len(data) < 2 * folds:
        raise InputError(f"the quality model needs at least {2 * folds} labeled videos; found {len(data)}.")
    standardiser = Standardiser.fit(data.features)
    z = standardiser(data.features)
    if cost is None or gamma is None:
        grid = {"C": COSTS, "gamma": [width / z.shape[1] for width in WIDTHS]}
        split = KFold(folds, shuffle=True, random_state=seed)
        search = GridSearchCV(SVR(epsilon=TUBE), grid, scoring="neg_mean_squared_error", cv=split)
        search.fit(z, data.mos)
        cost, gamma = float(search.best_params_["C"]), float(search.best_params_["gamma"])
    fitted = SVR(C=cost, gamma=gamma, epsilon=TUBE).fit(z, data.mos)
    return KernelModel(
        standardiser.center,
        standardiser.scale,
        anchors=z[fitted.support_],
        weights=fitted.dual_coef_[0],
        intercept=float(fitted.intercept_[0]),
        gamma=gamma,
        cost=cost,
    )


class StatisticalModel:
    """The embedded quality model as a `QualityModel`: scores clips, limited to 1-5."""

    def __init__(self, kernel_model: KernelModel) -> None:
        self.kernel_model = kernel_model

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """Scores clips; see `QualityModel.score`."""
        features = np.stack([clip_features(clip) for clip in clips]).astype(np.float64)
        scores = np.clip(self.kernel_model.predict(features), 1, 5)
        return [Score(clip.id, float(score)) for clip, score in zip(clips, scores, strict=True)]
