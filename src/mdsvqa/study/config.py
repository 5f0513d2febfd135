"""What a study.yaml may say; each group stands in the room that obeys it."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from mdsvqa.difficulty.catalogue import check_predictor
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.settings import ContentSettings, FinetuningSettings, QualitySettings
from mdsvqa.runtime.settings import MOST_SEED, ConfigError, Settings, StudyPath
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.settings import AUTO, Scale, SelectionSettings, Space, budget_count
from mdsvqa.videos.view import ViewSettings


def _rule(name: str) -> str:
    try:
        return rule_named(name).name
    except ConfigError as error:
        raise ValueError(str(error)) from None


# The name of a selection rule.
RuleName = Annotated[str, AfterValidator(_rule)]


class ComparisonSettings(Settings):
    """The same loop under other rules. Needs MOS of the whole pool: for research, not for a pool to be labeled."""

    rules: tuple[RuleName, ...] = Field((), description="To compare; none for no comparison.")
    seeds: int = Field(10, ge=2, description="Repeats of selection and fine-tuning.")
    # Rules without chance would otherwise be tried once, on one pool; with another part of it each time the interval
    # says what another pool of the kind would give.
    pool_share: float = Field(
        0.8, gt=0, le=1, description="Of the pool that a repeat may choose from, drawn anew in each."
    )


class RehearsalSettings(Settings):
    """The loop tried on the labeled source before labels are paid for."""

    rules: tuple[RuleName, ...] | None = Field(
        None, description="To compare with random selection; by default every rule that the model allows."
    )
    # The best mean of fifteen is then a lucky one. Covering the pool was ahead of random selection in both directions
    # between YouTube-UGC and KoNViD-1k, and asks nothing of a failure predictor (benchmarks/real_domains.py).
    fallback: RuleName = Field(
        "facility-location", description="The rule of auto where none can be told from random selection."
    )
    lambdas: tuple[float, ...] | None = Field(None, description="To try with each rule that weighs by lambda.")
    scales: tuple[Scale, ...] | None = Field(None, description="To try with the same rules.")
    features: tuple[Space, ...] | None = Field(None, description="To try with each rule that compares videos.")
    targets: str = Field(
        "directions",
        description="Parts of the source that play the target: directions (the two ends of the source along each main "
        "direction of its content), clusters of its content, or a column of the manifest or of `selection.about`, such "
        "as category.",
    )
    clusters: int = Field(5, ge=2, description="How many.")
    budgets: tuple[int | str, ...] = Field(("2%", "5%", "10%"), description="Of the curve, beside the study's own.")
    # A gain differs by 0.035 SRCC from repeat to repeat: with 16 on each of six pseudo-targets its mean does by 0.004.
    repeats: int = Field(
        16, ge=2, description="On each pseudo-target, for the rules that do best; those that do worst get a quarter."
    )
    minutes: float | None = Field(None, gt=0, description="After which no further repeat is begun.")
    real: int = Field(
        0,
        ge=0,
        description="Of a vision-language model: pseudo-targets on which it is itself fine-tuned in the end, by random "
        "selection and by the recommended rule.",
    )

    @field_validator("budgets")
    @classmethod
    def _are_budgets(cls, budgets: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for budget in budgets:
            budget_count(budget, 1000)
        return budgets


class StudyConfig(ViewSettings):
    """A whole study; `hdr` and `deinterlace` hold for all that looks at videos and does not say otherwise itself."""

    title: str = Field("Study", description="Of the report.")
    videos: StudyPath = Field(
        description="Manifest (CSV, JSONL, Parquet or name-MOS text) with the source (split train and test, with MOS) "
        "and the pool (split pool), and a labeled test set of the target if there is one."
    )
    out: StudyPath = Field(Path("results"), validate_default=True, description="Folder for the results.")
    mos_scale: str | dict[str, str] = Field(
        "1-5", description='Of the manifest\'s MOS: "1-5", "0-100", "DMOS 0-100"; or one for each dataset.'
    )
    labels: StudyPath | None = Field(
        None,
        description="CSV with id, mos and maybe mos_std: what the raters said of the selected videos. Where the "
        "manifest has MOS of a pool video, that is used.",
    )
    labels_scale: str = Field("1-5", description="Of that file.")
    simulated: bool = Field(False, description="The MOS are made up; said wherever they are shown.")
    rounds: int = Field(
        1, ge=1, description="Over which the budget is split; after each, f is fine-tuned and g trained again."
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Of everything.")
    workers: int = Field(0, ge=0, description="Processes that decode; 0 means one for each core.")
    quality: QualitySettings = QualitySettings()
    difficulty: DifficultySettings = DifficultySettings()
    content: ContentSettings = ContentSettings()
    selection: SelectionSettings = SelectionSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()

    @model_validator(mode="before")
    @classmethod
    def _view_of_all(cls, given: Any) -> Any:
        view = {name: given[name] for name in ViewSettings.model_fields if name in given}
        if not view:
            return given
        found = {**given, **{name: _viewed(given.get(name, {}), view) for name in ("quality", "content")}}
        quality = found["quality"]
        if isinstance(quality, QualitySettings):
            found["quality"] = quality.model_copy(update={"vlm": _viewed(quality.vlm, view)})
        elif isinstance(quality, dict):
            found["quality"] = {**quality, "vlm": _viewed(quality.get("vlm", {}), view)}
        return found

    @field_validator("selection")
    @classmethod
    def _rule_exists(cls, selection: SelectionSettings) -> SelectionSettings:
        if selection.rule != AUTO:
            _rule(selection.rule)
        return selection

    @field_validator("difficulty")
    @classmethod
    def _predictor_exists(cls, difficulty: DifficultySettings) -> DifficultySettings:
        try:
            check_predictor(difficulty.predictor)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return difficulty


def _viewed(group: Any, view: dict[str, Any]) -> Any:
    """A group of settings with a view of the whole study, where it says nothing else."""
    if isinstance(group, ViewSettings):
        return group.model_copy(update={name: view[name] for name in view.keys() - group.model_fields_set})
    return {**view, **group} if isinstance(group, dict) else group


def read_study(path: Path) -> StudyConfig:
    """Reads a study.yaml; paths in it are relative to its folder.

    Raises:
        ConfigError: unreadable, not YAML, or a setting that does not exist or has a wrong value.
    """
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). `mdsvqa init` writes one.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected settings such as `videos: manifest.csv`, found {found!r}.")
    try:
        return StudyConfig.model_validate(found, context={"folder": path.resolve().parent})
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'study'}: "
            + ("there is no such setting" if e["type"] == "extra_forbidden" else e["msg"].removeprefix("Value error, "))
            for e in error.errors()
        ]
        raise ConfigError(f"{path}: {len(lines)} setting(s) to correct:\n" + "\n".join(lines)) from None
