"""From f, its labels and a pool to a difficulty for each video of the pool."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdsvqa.difficulty.base import KnownErrors, Unlabeled
from mdsvqa.difficulty.catalogue import BASELINES, PREDICTORS
from mdsvqa.difficulty.choice import Validated, best_predictor, cross_validate
from mdsvqa.difficulty.cross_fitting import Refit, committee_spread, cross_fitted_scores
from mdsvqa.difficulty.settings import AUTO, DifficultySettings
from mdsvqa.models.statistical.kernel_model import LabeledFeatures
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import companion, json_text

# In the folder of a difficulty table: which predictor made it.
PREDICTOR = "predictor.json"


@dataclass(frozen=True)
class Prediction:
    """Difficulties, and how they came about.

    Attributes:
        difficulty: shape (m,); higher is harder. Only its order means anything.
        predictor: by name.
        validated: every predictor's cross-validated rank correlation with the source's errors; empty where the
            predictor was named, not chosen.
    """

    difficulty: Floats
    predictor: str
    validated: Sequence[Validated] = ()

    def __str__(self) -> str:
        if not self.validated:
            return f"failure predictor: {self.predictor}"
        figures = ", ".join(f"{each.name} {each.mean:+.2f}" for each in self.validated)
        return (
            f"failure predictor: {self.predictor}, the simplest within one standard error of the best by SRCC with the "
            f"errors of source videos unlike those it learned from ({figures})"
        )


def refitted_source(
    labeled: LabeledFeatures, pool: Floats, pool_score: Floats, refit: Refit, settings: DifficultySettings, seed: int
) -> tuple[KnownErrors, Unlabeled]:
    """Cross-fitted errors of an f that can be trained anew, and what is known of the pool.

    Args:
        labeled: videos that f learns from.
        pool: features, shape (m, dims).
        pool_score: f's scores, shape (m,).
        refit: trains f.
    """
    score, _ = cross_fitted_scores(labeled, refit, settings.folds, seed)
    spread, pool_spread = committee_spread(labeled, refit, settings.committee, pool, seed)
    videos = Unlabeled.of(labeled.features, score, spread)
    source = KnownErrors.of(videos, labeled.mos, labeled.dataset, settings, seed, predict=refit(labeled))
    return source, Unlabeled.of(pool, pool_score, pool_spread)


def predict_difficulty(
    source: KnownErrors, pool: Unlabeled, settings: DifficultySettings, seed: int = 0, rule: str | None = None
) -> Prediction:
    """Trains g on the source's errors and applies it to the pool.

    Args:
        source: labeled videos with f's errors.
        pool: m videos.
        settings, seed: of g.
        rule: one of BASELINES, in place of a predictor.
    """
    name = rule or settings.predictor
    validated: Sequence[Validated] = ()
    if name == AUTO:
        validated = cross_validate(source, settings, seed)
        name = best_predictor(validated)
    chosen = {**PREDICTORS, **BASELINES}[name]
    return Prediction(chosen.predict(source, pool, settings, seed), name, validated)


def usual_predictor(settings: DifficultySettings, *, refitted: bool) -> DifficultySettings:
    """The settings with "auto" made up where experience says what is best: for an f that was refitted.

    See `DifficultySettings.predictor`.
    """
    if settings.predictor == AUTO and refitted:
        return settings.model_copy(update={"predictor": "linear"})
    return settings


def difficulty_rows(ids: Sequence[str], found: Prediction) -> list[dict[str, Any]]:
    """Rows of a difficulty table."""
    return [{"id": i, "difficulty": d, "status": "ok"} for i, d in zip(ids, found.difficulty.tolist(), strict=True)]


def write_choice(folder: Path, found: Prediction) -> None:
    """Writes beside a difficulty table which predictor made it, and how every predictor did."""
    record = {"predictor": found.predictor, "validated": [{**asdict(v), "mean": v.mean} for v in found.validated]}
    write_atomically(companion(folder, PREDICTOR), (json_text(record, indent=2) + "\n").encode())
