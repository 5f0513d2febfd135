"""From the name of a quality model to the model: the only place that tells kinds apart by their names."""

from pathlib import Path
from typing import Literal

from mdsvqa.models.settings import PRECOMPUTED, STATISTICAL

# statistical: embedded, or a file that it was saved to. checkpoint: a vision-language model, a folder or a Hub name.
# plugin: a class by its dotted path. predictions: a table.
Kind = Literal["statistical", "checkpoint", "plugin", "predictions"]


def kind_of(model: str) -> Kind:
    """Which kind of quality model a name means."""
    if model == PRECOMPUTED:
        return "predictions"
    if model == STATISTICAL or Path(model).suffix == ".safetensors":
        return "statistical"
    if Path(model).expanduser().is_dir() or ("/" in model and ":" not in model):
        return "checkpoint"
    return "plugin"
