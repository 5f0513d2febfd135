"""The embedded model: trained on the source, refitted for honest errors, fine-tuned by ranking in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.prediction import refitted_source
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.evaluation.correlation import srcc_within
from mdsvqa.models.settings import STATISTICAL, FinetuningSettings
from mdsvqa.models.statistical.finetune import finetune, train
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, Recipe, fit_statistical
from mdsvqa.models.statistical.route import Route, read_by
from mdsvqa.models.statistical.two_domain_gp import MOST_EXACT, fit_source_process
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.results import SCORES, Maker, column, companion, fingerprint
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, Scores
from mdsvqa.study.data import StudyData, feature_sets
from mdsvqa.study.inputs import recorded

# Labeled videos of a Gaussian process, as of the regression's cross-validation.
FEWEST = 10


def score_rows(
    model: KernelModel, ids: Sequence[str], features: Floats, route: Route = "target"
) -> list[dict[str, Any]]:
    """Rows of a scores table: scores limited to the 1-5 scale, their spread where the model knows one, and which model
    read where another than the model itself might have."""
    found = read_by(model, features, route)
    known = [{} if np.isnan(spread) else {"spread": spread} for spread in found.spread.tolist()]
    by = [{} if route == "target" else {"text": "target" if own else "base"} for own in found.tuned.tolist()]
    scores = np.clip(found.score, 1, 5).tolist()
    return [
        {"id": video, "score": score, **spread, **reader, "status": "ok"}
        for video, score, spread, reader in zip(ids, scores, known, by, strict=True)
    ]


def fit_source(data: StudyData, seed: int) -> KernelModel:
    """A model of the source: a Gaussian process where sets of features have kernels of their own, else a regression.

    Raises:
        InputError: too few labeled videos.
    """
    labeled = data.labeled_source()
    if not data.feature_sets:
        return fit_statistical(labeled, seed=seed)
    if len(labeled) < FEWEST:
        raise InputError(f"the quality model needs at least {FEWEST} labeled videos; found {len(labeled)}.")
    return fit_source_process(labeled, data.feature_sets)


def _recipe(config: StudyConfig) -> Recipe | None:
    sets = feature_sets(config) or ("statistical",)
    if isinstance(config.quality.features, Path):
        return None
    return recorded(sets, config.quality.frames, config.quality.view(), config.content, config.out / "content")


@dataclass(frozen=True)
class StatisticalModel:
    """A `StudyModel` and `Refittable`, as values: on files where it has a folder, else on arrays.

    Attributes:
        base: f before any new label.
        model: f now.
        labeled: what it has learned from: the source, then the new labels.
        settings: of the fine-tuning.
        run: the study's folder; None where nothing is to be written.
        maker: what made it.
        turn: rounds that it has learned from.
    """

    base: KernelModel
    model: KernelModel
    labeled: LabeledFeatures
    settings: FinetuningSettings
    run: Run | None = None
    maker: Maker | None = None
    turn: int = 0

    name = "statistical (embedded)"
    trains_here = True

    @classmethod
    def start(cls, base: KernelModel, labeled: LabeledFeatures, settings: FinetuningSettings) -> "StatisticalModel":
        """On arrays, before any new label."""
        return cls(base, base, labeled, settings)

    @classmethod
    def of_study(cls, config: StudyConfig, data: StudyData, run: Run) -> "StatisticalModel":
        """Trained on the study's source, or loaded from a file that an earlier study saved."""
        labeled, recipe = data.labeled_source(), _recipe(config)
        maker: dict[str, Any] = {"step": "scores"}
        if config.quality.model != STATISTICAL:
            path = Path(config.quality.model)
            maker |= {"model": fingerprint(path.read_bytes().hex())}
            base = KernelModel.load(path)
            if base.recipe is not None and recipe is not None and base.recipe.content != recipe.content:
                raise InputError(
                    f"{path}: was trained on content by {dict(base.recipe.content)}, and this study's is by "
                    f"{dict(recipe.content)}. Name the same encoder and frames by `content`."
                )
            return cls(base, base, labeled, config.finetuning, run, maker)
        maker |= {"model": STATISTICAL, "training": data.labels_fingerprint(), "seed": config.seed}
        maker |= {"features": data.maker["features"]}
        saved = companion(run.out / "scores", f"base-{fingerprint(maker)}.safetensors")
        if not saved.exists():
            with run.show.working(f"Training the base model on {len(labeled)} source videos"):
                replace(fit_source(data, config.seed), recipe=recipe).save(saved)
        base = replace(KernelModel.load(saved), recipe=recipe)
        return cls(base, base, labeled, config.finetuning, run, maker)

    def within(self, run: Run) -> "StatisticalModel":
        """See `StudyModel`."""
        return replace(self, run=run)

    def made_by(self, data: StudyData) -> Maker:
        """See `StudyModel`."""
        return self.maker or {}

    def scores(self, data: StudyData) -> Scores:
        """See `StudyModel`; in a folder limited to the 1-5 scale."""
        unknown = np.full(len(data.videos), np.nan)
        if self.run is None:
            return Scores(self.model.predict(data.features), self.model.spread(data.features), unknown)

        def rows() -> list[dict[str, Any]]:
            return [
                *(
                    {**row, **data.about.get(row["id"], {})}
                    for row in score_rows(self.model, [video.id for video in data.videos], data.features)
                ),
                *({"id": i, "status": "undecodable", "text": why} for i, why in data.failures.items()),
            ]

        name = f"round-{self.turn}/scores" if self.turn else "scores"
        ids = [video.id for video in data.videos]
        table = self.run.within(name).table(SCORES, {**self.made_by(data), "videos": fingerprint(ids)}, rows, name=name)
        if self.turn:
            self.model.save(self.run.out / f"round-{self.turn}" / "model.safetensors")
        return Scores(column(table, ids, "score"), column(table, ids, "spread"), unknown)

    def refit(self, labeled: LabeledFeatures, seed: int) -> Predict:
        """See `Refittable`."""
        return train(self.base, labeled, self.settings, seed).predict

    def errors(
        self, data: StudyData, asked: Ints, settings: DifficultySettings, seed: int
    ) -> tuple[KnownErrors, Unlabeled]:
        """See `StudyModel`: each labeled video is scored by a model that did not know its label."""
        features = data.features[asked]
        refit = partial(self.refit, seed=seed)
        return refitted_source(self.labeled, features, self.model.predict(features), refit, settings, seed)

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> "StatisticalModel":
        """See `StudyModel`."""
        new = data.labeled(labels.index, labels.mos)
        learned = self.labeled.join(new)
        show = Silent() if self.run is None else self.run.show
        said = list(zip(data.ids(labels.index), labels.mos.tolist(), strict=True))
        maker: dict[str, Any] = {"step": "finetune", "selection": fingerprint(labels.maker)}
        maker |= {"settings": self.settings.record(whole=True), "labels": fingerprint(said)}
        with show.working(f"Fine-tuning on {counted(len(self.labeled), 'label')} and {len(new)} new"):
            model = finetune(self.base, learned, self.settings, seed)
        return replace(self, model=model, labeled=learned, maker=maker, turn=turn)

    def notes(self, data: StudyData) -> list[str]:
        """See `StudyModel`."""
        said = self._on_the_source(data)
        if self.model.process is None:
            return said
        if len(self.labeled) > MOST_EXACT:
            said.append(
                f"The Gaussian process was solved on {len(self.model.anchors)} of {len(self.labeled)} labeled videos: "
                f"more than {MOST_EXACT} are too many to solve for exactly."
            )
        if data.feature_sets and self.turn == 0:
            shares = self.model.process.kernel.amplitudes / self.model.process.kernel.variance
            said.append(f"Sets of features have these weights: {', '.join(f'{share:.2f}' for share in shares)}.")
        return said

    def _on_the_source(self, data: StudyData) -> list[str]:
        """What fine-tuning costs on content like the source's, and how the two models side by side do there."""
        tests = data.source_test
        if self.model.before is None or len(tests) < FEWEST:
            return []
        routes: tuple[Route, ...] = ("base", "target", "nearest")
        found = {route: read_by(self.model, data.features[tests], route).score for route in routes}
        by = {route: srcc_within(score, data.mos(tests), data.dataset[tests]) for route, score in found.items()}
        return [
            f"SRCC on the source's test videos: {by['base']:.3f} by the base model, {by['target']:.3f} by the "
            f"fine-tuned one, {by['nearest']:.3f} where each video is read by the one whose labels are nearer "
            "(mdsvqa score --route nearest)."
        ]
