"""What settings are made of: groups of fields that are checked, documented and recorded in one place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place, Remote, place_of, scheme_of
from mdsvqa.runtime.setting_errors import in_one_case, line_of, meant, reason

T = TypeVar("T")
# The largest that every library here takes, with room for the rounds that count up from it.
MOST_SEED = 2**31 - 1
_UNRECORDED, _ADDED = "unrecorded", "added"

# Of a field: no part of what makes a result what it is: how fast and on what it is made, or named in the record of the
# result by itself.
Unrecorded = Annotated[T, _UNRECORDED]
# Of a field that is younger than results on disk: recorded where it is not at its default, so that they stay valid.
Added = Annotated[T, _ADDED]


class ConfigError(InputError):
    """A study file or an option that cannot be used; the message names it and what to change."""


def in_study(path: Path, info: ValidationInfo) -> Path:
    """A path of a study.yaml, from the study's folder; any other one as it is."""
    scheme = scheme_of(path)
    if scheme is not None:
        raise ValueError(f"found a path with the scheme {scheme!r} ({path}); expected a file or folder of this machine")
    return path if info.context is None else info.context["folder"] / path.expanduser()


def read_place(written: Any) -> Any:
    """A path, or an address in a store or on a server."""
    return place_of(written) if isinstance(written, str | Path) else written


def _written(place: Place) -> str:
    return place.url if isinstance(place, Remote) else str(place)


def place_in_study(place: Place, info: ValidationInfo) -> Place:
    """A place of a study.yaml: a path of this machine from the study's folder, any other one as it is."""
    return place if isinstance(place, Remote) else in_study(place, info)


def beside_study(name: str, info: ValidationInfo) -> str:
    """The path of a checkpoint that lies beside a study, or the name as it is."""
    if info.context is None:
        return name
    place = info.context["folder"] / Path(name).expanduser()
    return str(place) if place.is_dir() or place.suffix == ".safetensors" else name


def in_lower_case(name: Any) -> Any:
    """A name that may be written in any case, and with underscores: MDS is mds."""
    return name.strip().casefold().replace("_", "-") if isinstance(name, str) else name


# A file; in a study.yaml it counts from the study's folder.
StudyPath = Annotated[Path, AfterValidator(in_study)]
# The same, or in a store or on a server.
StudyPlace = Annotated[
    Place, BeforeValidator(read_place), AfterValidator(place_in_study), PlainSerializer(_written, str, when_used="json")
]
# A folder beside the study, or else a name: of the Hugging Face Hub, or of a model.
Checkpoint = Annotated[str, AfterValidator(beside_study)]


class Settings(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    # Names in records of results that differ from those of the fields: results that are there stay valid.
    recorded_as: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: in_one_case(kinds.get(name), value) for name, value in values.items()}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, which takes a name that no setting has, and changes nothing by it.

        Raises:
            TypeError: there is no such setting.
        """
        if unknown := (update or {}).keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)

    def record(self, *, whole: bool = False) -> dict[str, Any]:
        """The settings as they stand in the record of what made a result, JSON-able.

        Args:
            whole: also those that are `Unrecorded`.
        """
        found: dict[str, Any] = {}
        dumped = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            if field.exclude or (_UNRECORDED in field.metadata and not whole):
                continue
            value = getattr(self, name)
            if _ADDED in field.metadata and value == field.default:
                continue
            found[self.recorded_as.get(name, name)] = (
                value.record(whole=whole) if isinstance(value, Settings) else dumped[name]
            )
        return found


Read = TypeVar("Read", bound=Settings)


def read_settings(path: Path, kind: type[Read]) -> Read:
    """Reads a study.yaml, or what some settings say of it; paths in it are relative to its folder.

    Raises:
        ConfigError: unreadable, not YAML, or a setting that does not exist or has a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file. `mdsvqa init` writes one, or correct the path.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). `mdsvqa init` writes one.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text. Name the study file, as `mdsvqa init` writes it.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigError(f"{path}{line}: not valid YAML ({problem}). Correct that line, or its indentation.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected settings such as `videos: manifest.csv`, found {found!r}.")
    try:
        return kind.model_validate(found, context={"folder": path.resolve().parent})
    except ValidationError as error:
        told = [_told(text, kind, each) for each in error.errors()]
        sentences = [f"{'' if line is None else f'line {line}: '}{what}" for line, what in told]
        if len(sentences) == 1:
            raise ConfigError(f"{path}, {sentences[0]}" if told[0][0] else f"{path}: {sentences[0]}") from None
        listed = "".join(f"\n  {each}" for each in sentences)
        raise ConfigError(f"{path}: {len(told)} settings to correct:{listed}") from None


def _told(text: str, kind: type[Settings], error: Mapping[str, Any]) -> tuple[int | None, str]:
    """The line of a mistaken setting, and what is wrong with it."""
    place = error["loc"]
    name = ".".join(str(part) for part in place) or "study"
    if error["type"] == "extra_forbidden":
        return line_of(text, place), f"{name}: there is no such setting{meant(kind, place) or '.'}"
    return line_of(text, place), f"{name}: {reason(error).removesuffix('.')}."
