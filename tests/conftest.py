"""A small simulated corpus and a study of it, made once for all tests that need real files."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from hypothesis import settings
from threadpoolctl import threadpool_limits

from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.ray_cluster import need_ray
from mdsvqa.videos.simulated.corpus import make_corpus

# Run by another environment, with packages that this one lacks.
collect_ignore = ["reference_side.py"]
# The problems here are small: more threads wait for each other, ten times as long on a busy machine.
threadpool_limits(1)
torch.set_num_threads(1)
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(scope="session", autouse=True)
def single_precision() -> Iterator[None]:
    """On a GPU what asks for no precision gets single: tolerances of all tests are those of it. test_gpu.py asks."""
    if not torch.cuda.is_available():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for module in ("mdsvqa.models.vlm.checkpoint", "mdsvqa.models.encoders.encoders"):
            patch.setattr(f"{module}.pick_dtype", single_unless_asked)
        yield


def single_unless_asked(wanted: str, device: torch.device) -> torch.dtype:
    """In place of `checkpoints.pick_dtype`."""
    return torch.float32 if wanted == "auto" else getattr(torch, wanted)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of 40 source, 24 pool and 12 test videos of half a second."""
    folder = tmp_path_factory.mktemp("corpus")
    return make_corpus(folder, source=40, pool=24, test=12, seconds=(0.5, 0.7), workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of this machine with two cores and no GPU."""
    try:
        ray = need_ray()
    except InputError as error:
        pytest.skip(str(error))
    # Workers find what tests send them.
    places = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ray.init(
        "local",
        num_cpus=2,
        num_gpus=0,
        log_to_driver=False,
        logging_level="ERROR",
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": places}},
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def write_study(tmp_path: Path, small_corpus: Path):
    """Writes a study of the small corpus into this test's folder; keywords replace or add settings."""

    def write(name: str = "study.yaml", **settings: object) -> Path:
        study: Mapping[str, object] = {
            "title": "Small",
            "videos": str(small_corpus),
            "out": "results",
            "simulated": True,
            "workers": 2,
            "selection": {"budget": 4},
            **settings,
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(study))
        return path

    return write


@pytest.fixture(scope="session")
def make_tiny(tmp_path_factory: pytest.TempPathFactory, small_corpus: Path) -> Callable[[str], Path]:
    """Gives a checkpoint of a family's real classes, taught to answer in the asked form and hardly more."""
    pytest.importorskip("transformers")
    from mdsvqa.models.vlm.tiny.making import make_tiny_vlm
    from mdsvqa.models.vlm.tiny.training import TinyTraining
    from mdsvqa.runtime.progress import Silent
    from mdsvqa.videos.manifest import load_videos

    # Seconds each: the processes of one run share them.
    temporary = tmp_path_factory.getbasetemp()
    place = temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary

    @cache
    def make(family: str) -> Path:
        folder, made = place / f"tiny-{family}", place / f"tiny-{family}.made"
        with FileLock(place / f"tiny-{family}.lock"):
            if not made.exists():
                train = [video for video in load_videos(small_corpus) if video.split == "train"]
                training = TinyTraining(steps=100, batch=8, learning_rate=4e-3)
                make_tiny_vlm(folder, train, train[:4], training, 0, Silent(), pixels=8 * 28 * 28, family=family)
                made.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_vlm(make_tiny: Callable[[str], Path]) -> Path:
    """A small checkpoint of the first family, with small frames; see `make_tiny`."""
    return make_tiny("qwen2_5_vl")


@pytest.fixture(scope="session", params=list(FAMILIES))
def any_vlm(request: pytest.FixtureRequest, make_tiny: Callable[[str], Path]) -> Path:
    """One of every family, each in its turn."""
    return make_tiny(request.param)


ALIKE = [pytest.param(family, marks=pytest.mark.slow) for family in ("qwen2_vl", "qwen3_vl")]


@pytest.fixture(scope="session", params=["qwen2_5_vl", "internvl", *ALIKE])
def differing_vlm(request: pytest.FixtureRequest, make_tiny: Callable[[str], Path]) -> Path:
    """One of every family; of those that are much alike one is enough where time is short."""
    return make_tiny(request.param)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The machine's own Chromium, started once: two Playwrights in one process are refused."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a chromium on the path (apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()
