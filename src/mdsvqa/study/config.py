"""What a study.yaml may say; each group stands in the room that obeys it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from mdsvqa.difficulty.catalogue import check_predictor
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.settings import ContentSettings, FinetuningSettings, QualitySettings
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.settings import (
    MOST_SEED,
    Added,
    ConfigError,
    Settings,
    StudyPath,
    StudyPlace,
    Unrecorded,
    read_settings,
)
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.settings import AUTO, SelectionSettings, budget_count
from mdsvqa.study.labeling import LabelingSettings, said_without_a_value
from mdsvqa.videos.settings import ManifestSettings, ViewSettings


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
    """The loop tried on the labeled source before labels are paid for, each of its data sets the target of the others.

    Parts of a single study foretell nothing: over rules, what they gain there is uncorrelated with what they gain on a
    real target; on a whole other data set it is correlated (benchmarks/rehearsal.py).
    """

    rules: tuple[RuleName, ...] | None = Field(
        None, description="To compare with random selection; by default every rule that the model allows."
    )
    # No rule is ahead of it on six directions, and it asks nothing of a failure predictor (benchmarks/real_domains.py).
    fallback: RuleName = Field(
        "facility-location",
        description="The rule of auto, unless it is behind random selection beyond doubt, or another rule ahead of it.",
    )
    targets: str = Field(
        "datasets",
        description="Parts of the source that play the target in turn: its datasets, or a column of the manifest or of "
        "`selection.about`, such as category.",
    )
    budgets: tuple[int | str, ...] = Field(("2%", "5%", "10%"), description="Of the curve, beside the study's own.")
    repeats: int = Field(
        16, ge=2, description="On each pseudo-target, every rule in each; half of the source is drawn anew."
    )
    minutes: float | None = Field(None, gt=0, description="Begin no further repeat after so many minutes.")

    @field_validator("targets")
    @classmethod
    def _are_other_studies(cls, targets: str) -> str:
        if targets in ("directions", "clusters"):
            raise ValueError(
                f"{targets} of one data set foretell nothing about another; expected datasets, or a column of the "
                "manifest such as category."
            )
        return targets

    @field_validator("budgets")
    @classmethod
    def _are_budgets(cls, budgets: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for budget in budgets:
            budget_count(budget, 1000)
        return budgets


class StudyConfig(ViewSettings):
    """A whole study; `hdr` and `deinterlace` hold for all that looks at videos and does not say otherwise itself."""

    title: str = Field("Study", description="Of the report.")
    videos: StudyPlace = Field(
        description="Manifest (CSV, Excel, MATLAB, JSONL, Parquet or name-MOS text, here or in a store) with the "
        "source (split train and test, with MOS) and the pool (split pool), and a labeled test set of the target if "
        "there is one."
    )
    out: StudyPath = Field(Path("results"), validate_default=True, description="Folder for the results.")
    mos_scale: str | dict[str, str] = Field(
        "1-5", description='Of the manifest\'s MOS: "1-5", "0-100", "DMOS 0-100"; or one for each dataset.'
    )
    labels: StudyPath | None = Field(
        None,
        description="Table with id, mos and maybe mos_std: what the raters said of the selected videos. Where the "
        "manifest has another MOS of a pool video, this one is used.",
    )
    manifest: Added[ManifestSettings] = Field(ManifestSettings(), description="How the manifest is read.")
    labels_scale: str = Field("1-5", description="Of that file.")
    simulated: bool = Field(False, description="The MOS are made up; said wherever they are shown.")
    rounds: int = Field(
        1, ge=1, description="Over which the budget is split; after each, f is fine-tuned and g trained again."
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Of everything.")
    workers: int = Field(0, ge=0, description="Processes that decode; 0 means one for each core.")
    # Not even in records of everything: results that were there before it stay valid.
    engine: Unrecorded[Added[EngineSettings]] = Field(EngineSettings(), description="Where work is done.")
    quality: QualitySettings = QualitySettings()
    difficulty: DifficultySettings = DifficultySettings()
    content: ContentSettings = ContentSettings()
    selection: SelectionSettings = SelectionSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()
    labeling: Added[LabelingSettings | None] = Field(
        None, description="A rating study of the selected videos, opened by `mdsvqa label serve`."
    )

    # The file that said all this; None where nothing did.
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The study.yaml, as it was named."""
        return self._file

    _bare_labeling = field_validator("labeling", mode="before")(said_without_a_value)

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
        return selection if selection.rule == AUTO else selection.model_copy(update={"rule": _rule(selection.rule)})

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
    config = read_settings(path, StudyConfig)
    config._file = path
    return config
