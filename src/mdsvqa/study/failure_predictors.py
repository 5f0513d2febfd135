"""g in the loop: from f and what is known to a difficulty of every video of the pool."""

from dataclasses import dataclass

import numpy as np

from mdsvqa.difficulty.prediction import Prediction, predict_difficulty, usual_predictor
from mdsvqa.difficulty.settings import TRAIN, DifficultySettings
from mdsvqa.models.base import ModelError
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.results import column
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.words import counted
from mdsvqa.selection.base import Rule
from mdsvqa.study.contracts import Refittable, StudyModel
from mdsvqa.study.data import StudyData
from mdsvqa.study.loop import FailurePredictor
from mdsvqa.study.participants.checkpoint import CheckpointModel


def failure_predictor(settings: DifficultySettings) -> FailurePredictor:
    """The g that the settings ask for."""
    return FromFeatures(settings) if settings.adapter is None else FromAdapter(settings)


@dataclass(frozen=True)
class FromFeatures:
    """g as a predictor that reads features and f's errors; for the rule committee the spread of a committee."""

    settings: DifficultySettings

    def __call__(self, rule: Rule, f: StudyModel, data: StudyData, asked: Ints, seed: int) -> Prediction:
        """See `loop.FailurePredictor`."""
        settings = usual_predictor(self.settings, refitted=isinstance(f, Refittable))
        source, pool = f.errors(data, asked, settings, seed)
        name = rule.name if rule.difficulty == "committee" else None
        return predict_difficulty(source, pool, settings, seed, name)

    def every(
        self, rules: list[Rule], f: StudyModel, data: StudyData, asked: Ints, seed: int
    ) -> dict[str | None, Floats]:
        """The difficulties that some rules go by, by `Rule.difficulty`; f's errors are measured once for all."""
        wanted = {rule.difficulty: rule for rule in rules if rule.difficulty is not None}
        if not wanted:
            return {}
        settings = usual_predictor(self.settings, refitted=isinstance(f, Refittable))
        known = f.errors(data, asked, settings, seed)
        names = {kind: rule.name if kind == "committee" else None for kind, rule in wanted.items()}
        return {kind: predict_difficulty(*known, settings, seed, name).difficulty for kind, name in names.items()}


@dataclass(frozen=True)
class FromAdapter:
    """g as an adapter on f, a vision-language model: named, or trained on f's errors in the study's folder."""

    settings: DifficultySettings

    def __call__(self, rule: Rule, f: StudyModel, data: StudyData, asked: Ints, seed: int) -> Prediction:
        """See `loop.FailurePredictor`; the videos that it gives no answer for are the easiest."""
        from mdsvqa.difficulty.vlm.predict import predict_with_vlm  # noqa: PLC0415
        from mdsvqa.difficulty.vlm.train import train_failure_predictor  # noqa: PLC0415

        if not isinstance(f, CheckpointModel):
            raise ConfigError("difficulty.adapter: goes with a vision-language `quality.model`.")
        frozen, run, adapter = f.settings.below(), f.folder, str(self.settings.adapter)
        if adapter == TRAIN:
            labeled, scores = f.labeled(data, self.settings), f.scores(data).score
            videos = [data.videos[int(index)] for index in labeled]
            known = {data.videos[int(index)].id: float(scores[index]) for index in labeled}
            training = self.settings.vlm.model_copy(update={"seed": seed})
            place = run.within("failure-predictor")
            train_failure_predictor(videos, known, f.checkpoint, frozen, training, place)
            adapter = str(place.out)
        pool = [data.videos[int(index)] for index in asked]
        table = predict_with_vlm(pool, f.checkpoint, adapter, frozen, run.within("failure-predicted"))
        difficulty = column(table, data.ids(asked), "difficulty")
        missing = np.isnan(difficulty)
        if missing.all():
            raise ModelError(f"adapter {adapter!r}: gives no difficulty for any video of the pool.")
        if missing.any():
            run.show.note(
                f"Difficulty: {missing.sum()} of {counted(len(pool), 'video')} without one, taken for the easiest"
            )
        return Prediction(np.where(missing, np.nanmin(difficulty), difficulty), f"adapter {adapter}")
