"""Scenes: every content can be drawn in every format, and a frame depends on its time only."""

import numpy as np
import pytest

from mdsvqa.videos.simulated.scenes import (
    CONTENTS,
    SOURCE_PHOTOGRAPHS,
    TARGET_PHOTOGRAPHS,
    Category,
    Scene,
    load_photograph,
    masking,
    render,
)


@pytest.mark.parametrize(("category", "name"), [(c, name) for c, names in CONTENTS.items() for name in names])
def test_every_content_in_every_format(category: Category, name: str) -> None:
    for width, height in ((320, 180), (180, 320), (240, 240)):
        scene = Scene(category, (name,), width, height, 2.0, seed=11)
        frames = list(render(scene, [0.0, 1.9]))
        assert all(frame.shape == (height, width, 3) and frame.dtype == np.uint8 for frame in frames)
        assert frames[0].std() > 10
        alone = next(render(scene, [1.9]))
        assert np.array_equal(alone, frames[1])


def test_two_shots_are_cut_in_the_middle() -> None:
    scene = Scene("photograph", ("china.jpg", "coffee.png"), 320, 180, 2.0, seed=2)
    times = np.arange(48) / 24
    frames = np.stack(list(render(scene, times))).astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert int(change.argmax()) == 23


def test_masking_of_flat_and_of_busy_pairs() -> None:
    flat = np.full((32, 32, 3), 90, dtype=np.uint8)
    assert masking([flat, flat]).texture == masking([flat, flat]).motion == 0.0
    busy = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8))
    assert masking(busy).texture > 0.8
    assert masking(busy).motion > 0.8


def test_photographs() -> None:
    assert not set(SOURCE_PHOTOGRAPHS) & set(TARGET_PHOTOGRAPHS)
    assert load_photograph("china.jpg").shape == (427, 640, 3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_photograph("nowhere.png")
