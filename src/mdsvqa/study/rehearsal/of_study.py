"""The rehearsal of a study file, whatever its quality model is."""

from pathlib import Path

from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.runtime.progress import Show
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.data import gather
from mdsvqa.study.external import RULES, is_external
from mdsvqa.study.rehearsal.engines import EngineName
from mdsvqa.study.rehearsal.proxy import proxy_of
from mdsvqa.study.rehearsal.run import Rehearsal, rehearse
from mdsvqa.study.run import Run, base_model


def rehearse_study(
    config: StudyConfig,
    show: Show,
    *,
    engine_name: EngineName = "local",
    address: str | None = None,
    overwrite: bool = False,
) -> Rehearsal:
    """Runs the rehearsal of a study, or goes on with it; see `rehearsing.rehearse`."""
    external = is_external(config.quality.model)
    if not external and config.quality.model != "statistical":
        KernelModel.load(Path(config.quality.model))
    material = gather(config, show, overwrite=overwrite)
    rules, said = None, ""
    if external:
        proxy = proxy_of(config, material, show, overwrite=overwrite)
        material, base, rules, said = proxy.material, proxy.base, RULES, proxy.said
    else:
        base, _ = base_model(Run(config, show, overwrite), material)
    return rehearse(
        config,
        material,
        base,
        show,
        rules=rules,
        proxy=said,
        engine_name=engine_name,
        address=address,
        overwrite=overwrite,
    )
