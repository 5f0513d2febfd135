"""From the name of a quality model to the model: the only place that tells kinds apart by their names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mdsvqa.models.base import ModelError, QualityModel
from mdsvqa.models.plugin import load_class
from mdsvqa.models.settings import PRECOMPUTED, STATISTICAL, ServedSettings, VlmSettings
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.models.vlm.load import load_scorer, need_vlm_packages

# statistical: embedded, or a file that it was saved to. checkpoint: a vision-language model, a folder or a Hub name.
# plugin: a class by its dotted path. predictions: a table. served: a checkpoint behind a server.
Kind = Literal["statistical", "checkpoint", "plugin", "predictions", "served"]


def kind_of(model: str) -> Kind:
    """Which kind of quality model a name means."""
    if model == PRECOMPUTED:
        return "predictions"
    if model == STATISTICAL or Path(model).suffix == ".safetensors":
        return "statistical"
    if Path(model).expanduser().is_dir() or ("/" in model and ":" not in model):
        return "checkpoint"
    return "plugin"


@dataclass(frozen=True)
class Model:
    """A quality model f by its name. Weights are loaded when they are first needed, and stay.

    Attributes:
        name: as `load_model` takes it.
        kind: of model.
        vlm: settings of a vision-language model.
        server: that is asked in place of weights here.
    """

    name: str
    kind: Kind
    vlm: VlmSettings = field(default_factory=VlmSettings)
    server: ServedSettings | None = None

    @cached_property
    def saved(self) -> KernelModel | None:
        """The statistical model in a file; None for the one that is trained first."""
        return None if self.name == STATISTICAL else KernelModel.load(Path(self.name))

    @cached_property
    def plugin(self) -> QualityModel:
        """The instance of anyone's class."""
        return load_class(self.name)

    @cached_property
    def reader(self) -> tuple[Any, Any]:
        """The checkpoint with its weights, and what makes its scores; see `load_scorer`."""
        return load_scorer(self.name, self.vlm)


def load_model(name: str, *, server: str | Sequence[str] | ServedSettings | None = None, **settings: Any) -> Model:
    """A quality model.

    Args:
        name: "statistical" (trained first, on the labeled videos), a file that a statistical model was saved to,
            "package.module:Class", or a vision-language checkpoint: a folder or a Hub name.
        server: URL of a server that has the checkpoint, or of several; asked in place of weights here.
        settings: of a vision-language model: `adapter`, `reading`, `fps` and the rest of `VlmSettings`, or `vlm` with
            all of them.

    Raises:
        ModelError: there is no such file or class, or packages are missing.
        ValidationError: there is no such setting, or its value is wrong.
    """
    vlm = settings.pop("vlm", None) or VlmSettings(**settings)
    if server is not None:
        url = server if isinstance(server, str | ServedSettings) else tuple(server)
        asked = url if isinstance(url, ServedSettings) else ServedSettings(url=url, model=name)
        need_vlm_packages(f"server {asked.urls[0]}")
        return Model(name, "served", vlm, asked)
    model = Model(name, kind_of(name), vlm)
    if model.kind == "predictions":
        raise ModelError(f"model {name!r}: predictions are no model; evaluate them, or name their table in a study.")
    if model.kind == "checkpoint":
        need_vlm_packages(f"model {name!r}")
    elif model.kind == "plugin":
        assert model.plugin is not None
    else:
        assert model.saved is not None or name == STATISTICAL
    return model
