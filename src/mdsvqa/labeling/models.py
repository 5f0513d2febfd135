"""The models that turn votes into MOS, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mdsvqa.labeling import itu
from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.pairs import thurstone
from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.runtime.errors import InputError


@dataclass(frozen=True)
class MosModel:
    """A model of votes.

    Attributes:
        estimate: from a table of votes, all of which count.
        about: one sentence for people.
    """

    estimate: Callable[[Votes], Estimate]
    about: str


DEFAULT, PAIRS = "panel", "pairs"
MODELS: Mapping[str, MosModel] = {
    DEFAULT: MosModel(
        panel, "quality, bias and noise of raters, both of these shrunk; for any number of votes (the default)."
    ),
    "mos": MosModel(itu.mos, "the plain mean, with Student's interval."),
    "bt500": MosModel(itu.bt500, "the mean after the screening of raters of ITU-R BT.500."),
    "p913": MosModel(itu.p913, "the mean after each rater's bias is taken off, then that screening (ITU-T P.913)."),
    "p910": MosModel(
        itu.p910, "maximum likelihood of ITU-T P.910, Annex E; for many votes of every rater on most videos."
    ),
}


def estimate_mos(votes: Votes, model: str = DEFAULT) -> Estimate:
    """MOS of the votes that count.

    Args:
        votes: any; those that do not count are left out.
        model: one of MODELS.

    Raises:
        InputError: there is no such model, or no vote counts.
    """
    if model == PAIRS:
        raise InputError(f"found votes on single videos, which the model {PAIRS!r} does not take; it compares pairs.")
    if model not in MODELS:
        raise InputError(f"found the model {model!r}; expected one of {', '.join(MODELS)}.")
    counted = votes.counted()
    if not len(counted):
        raise InputError(
            f"of {len(votes)} votes none counts (those to repeats, traps, anchors and training do not, nor disturbed "
            "or excluded ones), so there is no MOS. Collect votes, or count some again."
        )
    return MODELS[model].estimate(counted)


def estimate_scores(votes: Votes | PairVotes, model: str | None = None) -> Estimate:
    """MOS of votes, or scores of pairs.

    Args:
        votes: any; those that do not count are left out.
        model: one of MODELS, or PAIRS for pairs; by default the one for the kind of votes.

    Raises:
        InputError: the model is not for these votes, or no vote counts.
    """
    if isinstance(votes, Votes):
        return estimate_mos(votes, model or DEFAULT)
    if model not in (None, PAIRS):
        raise InputError(f"found pairs, which the model {model!r} does not take; expected {PAIRS!r}.")
    counted = votes.counted()
    if not len(counted):
        raise InputError(f"of {len(votes)} answers to pairs none counts, so there are no scores.")
    return thurstone(counted)
