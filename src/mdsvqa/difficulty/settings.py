"""Settings of failure predictors, each default with its source."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from mdsvqa.models.settings import AdapterTraining
from mdsvqa.runtime.settings import Settings, beside_study, in_lower_case

ErrorName = Literal["raw", "calibrated", "rank"]
TRAIN, AUTO = "train", "auto"


def _train_or_beside(name: str, info: ValidationInfo) -> str:
    return name if name == TRAIN else beside_study(name, info)


class FailureTraining(AdapterTraining):
    """How a vision-language model learns to predict its own failures."""

    # On the tiny model it learns where the published one does not (benchmarks/vlm_failure.py).
    objective: Literal["fidelity", "reinforce"] = Field(
        "fidelity",
        description="Train by fidelity (the expected answer) or by reinforce (rewards a drawn one, as published).",
    )
    error: ErrorName = Field("rank", description="Let g learn to rank this error: raw, calibrated, rank.")
    format_weight: float = Field(
        1.0,
        ge=0,
        description="Weigh what keeps answers in their form so much: of reinforce a reward beside one in [0, 1], of "
        "fidelity the "
        "negative log-probability of a digit from 1 to 5 beside a loss in [0, 1].",
    )


class DifficultySettings(Settings):
    """g, the failure predictor."""

    # Where f is refitted "auto" means "linear": of the predictors it ranks the errors on another data set best, and the
    # cross-validation on clusters of the source says so too (benchmarks/failure_transfer.py). For a VLM whose errors
    # the predictors with many inputs rank far better, cross-validation finds that (benchmarks/failure_prediction.py).
    predictor: Annotated[str, BeforeValidator(in_lower_case)] = Field(
        AUTO,
        description="By name; auto chooses one by cross-validation on the source where f cannot be refitted.",
    )
    # f' learns to rank, and so is chosen for it what f ranks wrong: against raw errors the gain of MDS rose from -0.003
    # to +0.023 and from -0.070 to -0.047 SRCC, YouTube-UGC to KoNViD-1k and back (benchmarks/real_domains.py).
    error: ErrorName = Field(
        "rank",
        description="Let g learn to rank this error: raw (|f - MOS|), calibrated (after the monotone fit of f to "
        "MOS), or rank "
        "(the difference of ranks).",
    )
    # Errors are measured on f refitted without the video's fold. In-sample errors predict nothing.
    folds: int = Field(5, ge=2, description="By which f is refitted.")
    committee: int = Field(10, ge=4, description="Models refitted on parts of the labels.")
    # Of 10,000 random pairs more change nothing that can be measured; 20,000 keep every study under a second.
    most_pairs: int = Field(20_000, ge=1, description="That are compared.")
    steps: int = Field(80, ge=1, description="Of the optimiser.")
    # Both by cross-domain SRCC with the true errors, YouTube-UGC to KoNViD-1k and back (benchmarks/real_domains.py):
    # few inputs transfer better than many.
    weight_decay: float = Field(0.01, gt=0, description="Of the ranker.")
    features_share: float = Field(0.3, gt=0, description="Weight of the features in its input.")
    trees: int = Field(100, ge=1, description="Of the forest.")
    # A rank correlation of 30 has a standard error of 0.19; fewer say next to nothing.
    held_out: int = Field(
        30,
        ge=10,
        description="Labeled source videos of split test from which errors of an f that cannot be refitted are "
        "learned from.",
    )
    noise: float = Field(0.1, gt=0, description="Of noise-stability, in standard deviations of each feature.")
    passes: int = Field(20, ge=2, description="Pass each video so often, for noise-stability and mc-dropout.")
    adapter: Annotated[str, AfterValidator(_train_or_beside)] | None = Field(
        None,
        description="g as a PEFT adapter on f, where f is a vision-language model: a folder, a Hub name, or train to "
        "train one in the study's folder. In place of a predictor that reads features.",
    )
    vlm: FailureTraining = Field(FailureTraining(), description="How that is trained.")
