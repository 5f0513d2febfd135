"""The embedded quality model against scikit-learn's own regression, and its file."""

import pickletools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from mdsvqa.models.statistical.features import clip_features
from mdsvqa.models.statistical.kernel_model import (
    COSTS,
    TUBE,
    WIDTHS,
    KernelModel,
    LabeledFeatures,
    StatisticalModel,
    fit_statistical,
)
from mdsvqa.runtime.errors import InputError
from mdsvqa.videos.clip import Clip

Floats = NDArray[np.float64]


def labeled(size: int = 60, seed: int = 0) -> LabeledFeatures:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(size, 5)) * [1, 10, 0.1, 1, 1] + [0, 50, 0, 0, 0]
    mos = 3 + np.tanh(features[:, 0]) + 0.3 * np.sin(features[:, 1] / 10) + 0.05 * rng.normal(size=size)
    return LabeledFeatures(features, mos, np.zeros(size, np.int64), np.zeros(size, bool))


@pytest.fixture(scope="module")
def model() -> KernelModel:
    return fit_statistical(labeled(), cost=10.0, gamma=0.1)


@pytest.mark.parametrize(("cost", "gamma"), [(1.0, 0.01), (10.0, 0.1), (100.0, 1.0)])
def test_predicts_what_scikit_learn_predicts(cost: float, gamma: float) -> None:
    data, others = labeled(), labeled(40, seed=1)
    scaler = StandardScaler().fit(data.features)

    def z(features: Floats) -> Floats:
        return np.clip(scaler.transform(features), -4, 4)

    theirs = SVR(C=cost, gamma=gamma, epsilon=TUBE).fit(z(data.features), data.mos)
    ours = fit_statistical(data, cost=cost, gamma=gamma)
    for features in (data.features, others.features):
        np.testing.assert_allclose(ours.predict(features), theirs.predict(z(features)), rtol=0, atol=1e-9)


def test_predict_is_the_written_formula() -> None:
    model = KernelModel(np.zeros(2), np.ones(2), np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([2.0, -1.0]), 3.0, 0.5, 1)
    # At (1, 0): squared distances 1 and 4.
    assert model.predict(np.array([[1.0, 0.0]]))[0] == pytest.approx(3 + 2 * np.exp(-0.5) - np.exp(-2))


def test_kernel_is_scipy_s(model: KernelModel) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 7, 5))
    np.testing.assert_allclose(model.kernel(x, y), np.exp(-model.gamma * cdist(x, y, "sqeuclidean")), atol=1e-12)


def test_add_adds_an_expansion(model: KernelModel) -> None:
    rng = np.random.default_rng(0)
    anchors, weights, features = rng.normal(size=(3, 5)), rng.normal(size=3), labeled(20, seed=2).features
    expected = model.predict(features) + model.kernel(model.standardise(features), anchors) @ weights
    np.testing.assert_allclose(model.add(anchors, weights).predict(features), expected, atol=1e-12)


def test_chooses_the_settings_with_the_smallest_cross_validated_error() -> None:
    data = labeled(40)
    z = StandardScaler().fit_transform(data.features)
    split = KFold(5, shuffle=True, random_state=3)
    errors = {}
    for cost in COSTS:
        for width in WIDTHS:
            predicted = cross_val_predict(SVR(C=cost, gamma=width / 5, epsilon=TUBE), z, data.mos, cv=split)
            errors[cost, width / 5] = np.mean((predicted - data.mos) ** 2)
    found = fit_statistical(data, seed=3)
    assert (found.cost, found.gamma) == pytest.approx(min(errors, key=errors.get))


def test_learns() -> None:
    unseen = labeled(200, seed=5)
    found = fit_statistical(labeled(120)).predict(unseen.features)
    assert spearmanr(found, unseen.mos).statistic > 0.9


def test_only_one_setting_given_is_searched_for_the_other() -> None:
    found = fit_statistical(labeled(), cost=7.0)
    assert found.gamma in [width / 5 for width in WIDTHS]


def test_deterministic() -> None:
    first, second = fit_statistical(labeled()), fit_statistical(labeled())
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))


def test_missing_features_count_as_average(model: KernelModel) -> None:
    features = labeled(3, seed=4).features
    average, missing = features.copy(), features.copy()
    average[:, 1], missing[:, 1] = model.center[1], np.nan
    np.testing.assert_array_equal(model.predict(missing), model.predict(average))


def test_trains_with_missing_features() -> None:
    data = labeled()
    data.features[::7, 2] = np.nan
    data.features[:, 4] = np.nan
    assert np.isfinite(fit_statistical(data, cost=1.0, gamma=0.1).predict(data.features)).all()


def test_far_away_features_count_as_four_deviations(model: KernelModel) -> None:
    far = np.array([[1e9, 0.0, 0.0, 0.0, 0.0]])
    limit = far.copy()
    limit[0, 0] = model.center[0] + 4 * model.scale[0]
    assert model.predict(far)[0] == pytest.approx(model.predict(limit)[0], abs=1e-12)


def test_too_few_videos() -> None:
    with pytest.raises(InputError, match="at least 10 labeled videos; found 9"):
        fit_statistical(labeled(9))


def test_known_settings_need_no_cross_validation() -> None:
    # 10 videos are enough to train on, so each of their 5 folds must be enough to train again.
    assert np.isfinite(fit_statistical(labeled(8), cost=1.0, gamma=0.1).predict(labeled(3).features)).all()


@pytest.mark.parametrize("dims", [4, 6])
def test_features_of_another_kind(model: KernelModel, dims: int) -> None:
    with pytest.raises(InputError, match=f"trained on 5 features a video; found {dims}"):
        model.predict(np.zeros((2, dims)))


def test_saved_and_loaded_to_the_bit(model: KernelModel, tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "model.safetensors"
    model.save(path)
    loaded = KernelModel.load(path)
    for name, value in vars(model).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    features = labeled(9, seed=8).features
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))


def test_saved_whatever_the_order_in_memory(model: KernelModel, tmp_path: Path) -> None:
    saved = replace(model, anchors=np.asfortranarray(model.anchors), weights=model.weights[::-1])
    saved.save(tmp_path / "model.safetensors")
    loaded = KernelModel.load(tmp_path / "model.safetensors")
    for name, value in vars(saved).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def test_the_file_is_safetensors_and_no_pickle(model: KernelModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "mdsvqa.statistical.1"}
        assert set(file.keys()) == {"center", "scale", "anchors", "weights", "intercept", "gamma", "cost"}
    with pytest.raises(ValueError, match=r"pickle|opcode"):
        list(pickletools.genops(path.read_bytes()))
    model.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04K\x01.", b"\xff" * 64])
def test_another_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: not a saved statistical model"):
        KernelModel.load(path)


@pytest.mark.parametrize("missing", ["center", "gamma"])
def test_safetensors_of_something_else(model: KernelModel, missing: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    arrays = dict(model.arrays())
    del arrays[missing]
    save_file(arrays, path)
    with pytest.raises(InputError, match=f"not a saved statistical model .*{missing}"):
        KernelModel.load(path)
    save_file({**arrays, missing: np.asarray(getattr(model, missing)), "adapter": np.zeros(2)}, path)
    with pytest.raises(InputError, match=r"not a saved statistical model .*adapter"):
        KernelModel.load(path)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InputError, match="not a saved statistical model"):
            KernelModel.load(path)


def test_a_truncated_file(model: KernelModel, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="not a saved statistical model"):
        KernelModel.load(path)


def test_scores_of_clips_are_limited_to_the_scale() -> None:
    rng = np.random.default_rng(0)
    clips = [Clip(f"v{i}", rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8), np.arange(2.0)) for i in range(3)]
    features = np.stack([clip_features(clip) for clip in clips]).astype(np.float64)
    dims = features.shape[1]
    # Far below the scale, on it, and far above it.
    anchors = features - features.mean(axis=0)
    kernel = KernelModel(features.mean(axis=0), np.ones(dims), np.clip(anchors, -4, 4), np.zeros(3), 3.0, 50.0, 1.0)
    scores = StatisticalModel(replace(kernel, weights=np.array([-9.0, 0.25, 9.0]))).score(clips)
    assert [score.id for score in scores] == ["v0", "v1", "v2"]
    assert [score.score for score in scores] == pytest.approx([1.0, 3.25, 5.0])
    assert {score.status for score in scores} == {"ok"}


def test_take_and_join() -> None:
    data = labeled(6)
    again = data.take(np.array([0, 1])).join(data.take(np.arange(2, 6)))
    np.testing.assert_array_equal(again.features, data.features)
    np.testing.assert_array_equal(again.mos, data.mos)
    assert len(again) == 6
