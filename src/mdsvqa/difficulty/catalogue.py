"""Every way to a difficulty, one record each. A predictor is a file in this room and a line here."""

from importlib import import_module

from mdsvqa.difficulty.base import Predictor
from mdsvqa.difficulty.settings import AUTO
from mdsvqa.runtime.matching import nearest
from mdsvqa.runtime.settings import ConfigError

# Modules of this room, in the order in which predictors are listed: the simplest first.
MODULES = (
    "ranker",
    "forest",
    "second_opinion",
    "process_opinion",
    "rank_average",
    "committee",
    "noise_stability",
    "baselines",
)
_EVERY: tuple[Predictor, ...] = tuple(
    predictor for module in MODULES for predictor in import_module(f"mdsvqa.difficulty.{module}").PREDICTORS
)
# They learn from f's errors.
PREDICTORS = {each.name: each for each in _EVERY if each.learns}
# What they are compared with; these learn from no label.
BASELINES = {each.name: each for each in _EVERY if not each.learns}


def check_predictor(name: str) -> None:
    """Raises a ConfigError where no predictor has this name, nor is it auto."""
    if name != AUTO and name not in PREDICTORS:
        raise ConfigError(
            f"there is no predictor {name!r}{nearest(name, PREDICTORS)}; expected one of {AUTO}, "
            f"{', '.join(PREDICTORS)}."
        )
