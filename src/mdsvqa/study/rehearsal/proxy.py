"""What stands in for f in a rehearsal where f cannot be trained anew in a second."""

from dataclasses import dataclass, replace

import numpy as np

from mdsvqa.models.statistical.kernel_model import KernelModel, fit_statistical
from mdsvqa.models.vlm.load import is_vlm
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import fingerprint
from mdsvqa.runtime.workers import cores
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import Material

FEATURES = (
    "In the rehearsal a regression on the study's features, fine-tuned by ranking, stands in for the quality model, "
    "which is not trained here."
)
EMBEDDINGS = (
    "In the rehearsal a ranking head on the frozen embeddings of the vision-language model stands in for its "
    "fine-tuning."
)


@dataclass(frozen=True)
class Proxy:
    """What stands in for f.

    Attributes:
        material: of the study, with the features that the proxy reads.
        base: the proxy, trained on the source.
        said: a sentence about it.
    """

    material: Material
    base: KernelModel
    said: str


def proxy_of(config: StudyConfig, material: Material, show: Show, *, overwrite: bool = False) -> Proxy:
    """A ranking head in the place of a model that is not trained here, or only by hours of fine-tuning.

    On the frozen embeddings of a vision-language checkpoint, else on the study's features. The predictions of f are
    no input: it has learned the labels of the source.

    Raises:
        InputError: too few labeled videos.
    """
    if is_vlm(config.quality.model):
        from mdsvqa.models.vlm.embedding import embed_with_vlm  # noqa: PLC0415

        vlm = config.quality.vlm
        found = embed_with_vlm(
            material.videos,
            config.out / "embeddings",
            config.quality.model,
            vlm,
            cores(config.workers),
            show,
            overwrite=overwrite,
        )
        known = np.asarray(np.isfinite(found).all(1))
        material = replace(material, features=found).only(known, "the quality model gave no embedding")
        made = fingerprint([material.ids(material.source), found[known].tobytes().hex()])
        material = replace(material, maker={**material.maker, "features": made})
    with show.working("Training the stand-in of the rehearsal"):
        base = fit_statistical(material.labeled_source(), seed=config.seed)
    return Proxy(material, base, EMBEDDINGS if is_vlm(config.quality.model) else FEATURES)
