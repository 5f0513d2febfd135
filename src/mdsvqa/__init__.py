"""mdsvqa: choose which videos to label next, fine-tune a video quality model on them, prove whether it helped.

These names are the package's interface; each is imported when it is first used. Everything else may move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdsvqa.evaluation.intervals import Interval
    from mdsvqa.models.base import QualityModel, Score
    from mdsvqa.models.open import load_model
    from mdsvqa.report.write import write_report
    from mdsvqa.runtime.errors import InputError
    from mdsvqa.study.api import encode, finetune, predict_difficulty, rehearse, run, score, select
    from mdsvqa.study.judging import compare, evaluate, evaluate_difficulty
    from mdsvqa.videos.clip import Clip
    from mdsvqa.videos.manifest import read_videos
    from mdsvqa.videos.video import Video

__version__ = "0.1.0"
__all__ = [
    "Clip",
    "InputError",
    "Interval",
    "QualityModel",
    "Score",
    "Video",
    "compare",
    "encode",
    "evaluate",
    "evaluate_difficulty",
    "finetune",
    "load_model",
    "predict_difficulty",
    "read_videos",
    "rehearse",
    "run",
    "score",
    "select",
    "write_report",
]

_PLACES = {
    "evaluation.intervals": ("Interval",),
    "models.base": ("QualityModel", "Score"),
    "models.open": ("load_model",),
    "report.write": ("write_report",),
    "runtime.errors": ("InputError",),
    "study.api": ("encode", "finetune", "predict_difficulty", "rehearse", "run", "score", "select"),
    "study.judging": ("compare", "evaluate", "evaluate_difficulty"),
    "videos.clip": ("Clip",),
    "videos.manifest": ("read_videos",),
    "videos.video": ("Video",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mdsvqa' has no attribute {name!r}")
    return getattr(import_module(f"mdsvqa.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
