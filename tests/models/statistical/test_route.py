"""Two models side by side: which of them reads a video."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.finetune import finetune
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, fit_statistical
from mdsvqa.models.statistical.route import nearer_to_new, read_by
from mdsvqa.runtime.errors import InputError


def domain(new: bool, size: int, seed: int) -> LabeledFeatures:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, 4)) + np.array([0, 0, 4.0 * new, 0])
    return LabeledFeatures(x, 3 + np.tanh(x[:, int(new)]), np.full(size, int(new)), np.full(size, new))


SOURCE, NEW = domain(False, 120, 0), domain(True, 30, 1)


@pytest.fixture(scope="module", params=["two-domain-gp", "ranking"])
def tuned(request: pytest.FixtureRequest) -> KernelModel:
    base = fit_statistical(SOURCE, cost=10.0, gamma=0.1)
    return finetune(base, SOURCE.join(NEW), FinetuningSettings(method=request.param))


def test_each_video_is_read_by_the_model_of_its_domain(tuned: KernelModel) -> None:
    x = np.concatenate([domain(False, 50, 2).features, domain(True, 50, 3).features])
    found = read_by(tuned, x, "nearest")
    assert found.tuned[:50].mean() < 0.1
    assert found.tuned[50:].mean() > 0.9
    assert tuned.before is not None
    np.testing.assert_array_equal(found.score[found.tuned], tuned.predict(x)[found.tuned])
    np.testing.assert_array_equal(found.score[~found.tuned], tuned.before.predict(x)[~found.tuned])


def test_nearest_is_among_as_many_source_videos_as_new_ones(tuned: KernelModel) -> None:
    x = domain(False, 40, 4).features
    assert tuned.of_new is not None
    source = tuned.anchors[~tuned.of_new]
    some = source[np.unique(np.linspace(0, len(source) - 1, 30).round().astype(int))]
    z = tuned.standardise(x)
    wanted = cdist(z, tuned.anchors[tuned.of_new]).min(1) < cdist(z, some).min(1)
    np.testing.assert_array_equal(nearer_to_new(tuned, x), wanted)
    assert tuned.of_new.sum() == 30


def test_base_and_target(tuned: KernelModel) -> None:
    x = domain(True, 10, 5).features
    base = fit_statistical(SOURCE, cost=10.0, gamma=0.1)
    np.testing.assert_array_equal(read_by(tuned, x, "base").score, base.predict(x))
    np.testing.assert_array_equal(read_by(tuned, x, "target").score, tuned.predict(x))
    assert not read_by(tuned, x, "base").tuned.any()


def test_a_file_holds_both(tuned: KernelModel, tmp_path: Path) -> None:
    tuned.save(tmp_path / "tuned.safetensors")
    loaded, x = KernelModel.load(tmp_path / "tuned.safetensors"), domain(True, 10, 5).features
    for route in ("base", "target", "nearest"):
        np.testing.assert_array_equal(read_by(loaded, x, route).score, read_by(tuned, x, route).score)  # type: ignore[arg-type]


def test_fine_tuned_again_it_keeps_the_one_before_and_no_more(tuned: KernelModel) -> None:
    again = finetune(tuned, SOURCE.join(NEW), FinetuningSettings())
    assert again.before is not None
    assert again.before.before is None


def test_a_model_that_was_not_fine_tuned_has_no_other() -> None:
    base = fit_statistical(SOURCE, cost=10.0, gamma=0.1)
    with pytest.raises(InputError, match="not fine-tuned"):
        read_by(base, SOURCE.features, "nearest")
