"""The model that a study names, as the loop takes it."""

from pathlib import Path

from mdsvqa.models.open import kind_of
from mdsvqa.models.settings import STATISTICAL
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.settings import AUTO
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.checkpoint import CheckpointModel
from mdsvqa.study.participants.plugin import PluginModel
from mdsvqa.study.participants.predictions import PredictionsModel, check_tables
from mdsvqa.study.participants.served import ServedModel
from mdsvqa.study.participants.statistical import StatisticalModel


def open_before_data(config: StudyConfig, run: Run) -> StudyModel | None:
    """f, and what is wrong with it said now, not after hours of decoding; None where it is trained on the data."""
    quality = config.quality
    check_tables(quality.predictions, quality.scores_after)
    kind = kind_of(quality.model)
    if kind == "statistical":
        if quality.model != STATISTICAL:
            KernelModel.load(Path(quality.model))
        return None
    kinds = {"checkpoint": CheckpointModel, "plugin": PluginModel, "predictions": PredictionsModel}
    f: StudyModel = (kinds[kind] if quality.server is None else ServedModel)(config, run)
    rule = config.selection.rule
    if rule != AUTO and rule_named(rule).difficulty == "committee":
        raise ConfigError(f"selection: rule {rule} needs a model that can be refitted; `model: statistical` is one.")
    if not f.trains_here and (config.rounds > 1 or config.comparison.rules):
        raise ConfigError(
            "rounds and comparison need a model that can be fine-tuned here: the statistical one, a vision-language "
            "checkpoint, or a class with a method finetune(videos, folder)."
        )
    refitted = [name for name in config.comparison.rules if rule_named(name).difficulty == "committee"]
    if refitted:
        raise ConfigError(f"comparison: rule {refitted[0]} needs a model that can be refitted.")
    if config.difficulty.adapter is not None and (kind != "checkpoint" or quality.server is not None):
        raise ConfigError("difficulty.adapter: goes with a vision-language `quality.model`.")
    return f


def participant(config: StudyConfig, early: StudyModel | None, data: StudyData, run: Run) -> StudyModel:
    """f, once the study's data are there."""
    return StatisticalModel.of_study(config, data, run) if early is None else early
