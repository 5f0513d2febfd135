"""What stands in for f in a rehearsal where f cannot be trained anew in a second."""

from dataclasses import dataclass, replace

import numpy as np

from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.runtime.results import fingerprint
from mdsvqa.runtime.run import Run
from mdsvqa.selection.catalogue import RULES
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.checkpoint import CheckpointModel
from mdsvqa.study.participants.statistical import StatisticalModel, fit_source

FEATURES = (
    "In the rehearsal a regression on the study's features, fine-tuned by ranking, stands in for the quality model, "
    "which is not trained here."
)
EMBEDDINGS = (
    "In the rehearsal a ranking head on the frozen embeddings of the vision-language model stands in for its "
    "fine-tuning."
)


@dataclass(frozen=True)
class StandIn:
    """What a rehearsal trains again and again.

    Attributes:
        data: of the study, with the features that it reads.
        base: f, or what stands in for it, trained on the source; only its hyper-parameters are used.
        rules: that f allows.
        said: a sentence about what stands in for f; empty where f itself is trained.
    """

    data: StudyData
    base: KernelModel
    rules: tuple[str, ...]
    said: str = ""


def stand_in(config: StudyConfig, data: StudyData, f: StudyModel, run: Run) -> StandIn:
    """f itself where it is trained in a second, else a ranking head in its place.

    On the frozen embeddings of a vision-language checkpoint, else on the study's features. The predictions of f are
    no input: it has learned the labels of the source.

    Raises:
        InputError: too few labeled videos.
    """
    if isinstance(f, StatisticalModel):
        return StandIn(data, f.base, tuple(RULES))
    allowed = tuple(rule.name for rule in RULES.values() if rule.difficulty != "committee")
    embedded = isinstance(f, CheckpointModel)
    if isinstance(f, CheckpointModel):
        from mdsvqa.models.vlm.embedding import embed_with_vlm  # noqa: PLC0415

        found = embed_with_vlm(data.videos, f.checkpoint, f.settings, run.within("embeddings"))
        known = np.asarray(np.isfinite(found).all(1))
        data = replace(data, features=found, feature_sets=()).only(known, "the quality model gave no embedding")
        made = fingerprint([data.ids(data.source), found[known].tobytes().hex()])
        data = replace(data, maker={**data.maker, "features": made})
    with run.show.working("Training the stand-in of the rehearsal"):
        base = fit_source(data, config.seed)
    return StandIn(data, base, allowed, EMBEDDINGS if embedded else FEATURES)
