"""The made-up corpus: the same bytes however it is made, and honest about what it holds."""

import csv
import dataclasses
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from mdsvqa.videos.simulated.corpus import (
    FRAME_RATE,
    MANIFEST_COLUMNS,
    SOURCE,
    TARGET,
    Panel,
    make_corpus,
    plan_corpus,
    read_ratings,
)

TINY = {"source": 5, "pool": 4, "test": 2, "seconds": (0.4, 0.6)}


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, workers=1, **TINY)
    return folder


def test_manifest(corpus: Path) -> None:
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert Counter((row["dataset"], row["split"]) for row in rows) == {
        ("simulated-source", "train"): 4,
        ("simulated-source", "test"): 1,
        ("simulated-target", "pool"): 4,
        ("simulated-target", "test"): 2,
    }
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert 1.0 <= float(row["mos"]) <= 5.0
        assert float(row["mos_std"]) >= 0.0
        assert int(row["ratings"]) == 24
        assert len(row["distortion"].split("+")) == len(row["severity"].split("+"))


def test_files_are_h264_of_the_planned_size(corpus: Path) -> None:
    for recipe in plan_corpus(seed=0, **TINY):
        with av.open(str(corpus / recipe.path)) as container:
            stream = container.streams.video[0]
            shown = sum(1 for _ in container.decode(stream))
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height) == (recipe.scene.width, recipe.scene.height)
            assert shown == round(recipe.scene.duration * FRAME_RATE)


def test_workers_and_interruptions_change_no_byte(corpus: Path, tmp_path: Path) -> None:
    make_corpus(tmp_path, workers=2, **TINY)
    assert contents_of(tmp_path) == contents_of(corpus)
    # As a kill leaves it: some videos and no manifest.
    (tmp_path / "manifest.csv").unlink()
    for path in sorted((tmp_path / "videos").iterdir())[::2]:
        path.unlink()
    make_corpus(tmp_path, workers=1, **TINY)
    assert contents_of(tmp_path) == contents_of(corpus)


def test_a_complete_corpus_is_left_alone(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    seen: list[tuple[int, int]] = []
    assert make_corpus(corpus, progress=lambda done, total: seen.append((done, total)), **TINY) == (
        corpus / "manifest.csv"
    )
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before
    assert not seen


def test_other_settings_are_refused(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"'seed': 0,.*'seed': 7,"):
        make_corpus(corpus, seed=7, **TINY)


def test_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_corpus(
        tmp_path,
        source=1,
        pool=1,
        test=1,
        seconds=(0.2, 0.3),
        workers=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_video_depends_on_its_id_and_the_seed_only() -> None:
    small = plan_corpus(seed=3, source=10, pool=5, test=5)
    large = {recipe.id: recipe for recipe in plan_corpus(seed=3, source=20, pool=9, test=7)}
    assert all(large[recipe.id] == recipe for recipe in small)
    other = plan_corpus(seed=4, source=10, pool=5, test=5)
    assert not {recipe.scene.seed for recipe in other} & {recipe.scene.seed for recipe in small}


def test_domains_differ_and_no_scene_appears_twice() -> None:
    recipes = plan_corpus(seed=0, source=300, pool=400, test=150)
    assert len({recipe.scene.seed for recipe in recipes}) == len(recipes)
    pool = [recipe for recipe in recipes if recipe.split == "pool"]
    shares = Counter(recipe.scene.category for recipe in pool)
    for category, share in TARGET.categories.items():
        # Three standard deviations of a binomial share.
        assert abs(shares[category] / 400 - share) < 3 * np.sqrt(share * (1 - share) / 400)
    pristine = sum(not recipe.distortions for recipe in recipes) / len(recipes)
    assert 0.06 < pristine < 0.14
    shown = {
        dataset: {name for r in recipes if r.domain.dataset == dataset for name in r.scene.contents}
        for dataset in (SOURCE.dataset, TARGET.dataset)
    }
    assert not shown[SOURCE.dataset] & shown[TARGET.dataset]


def test_ratings_follow_the_stated_formula() -> None:
    panel = Panel(raters=20_000, slope=0.9, offset=-0.2, bias_std=0.0)
    ratings = read_ratings(3.5, panel, np.zeros(panel.raters), np.random.default_rng(0))
    assert set(ratings) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    # Away from the ends of the scale, rounding adds 1/12 to the variance and nothing to the mean.
    assert ratings.mean() == pytest.approx(3.0 + 0.9 * 0.5 - 0.2, abs=0.02)
    assert ratings.var() == pytest.approx(0.6**2 + 1 / 12, abs=0.02)
    silent = dataclasses.replace(panel, noise_std=0.0)
    assert set(read_ratings(9.0, silent, np.zeros(panel.raters), np.random.default_rng(0))) == {5.0}
