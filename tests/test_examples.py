"""Models that others keep: each example is short, and those that need nothing fetched run."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import yaml
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from typer.testing import CliRunner

import mdsvqa
from mdsvqa.cli.app import app
from mdsvqa.models.plugin import load_class
from mdsvqa.study.config import read_study
from mdsvqa.videos.clip import Clip

EXAMPLES = Path(mdsvqa.__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
# Packages that an example is about, and what is not to be met outside of an environment of its own.
FOREIGN = {"brisque", "pyiqa", "dover", "fastvqa"}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_example_is_short_and_has_a_study_that_names_its_class(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    study = path.with_suffix(".yaml")
    config = read_study(study)
    module, _, name = config.quality.model.partition(":")
    assert module == path.stem
    classes = {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    assert name in classes
    assert f"PYTHONPATH=examples mdsvqa run examples/{study.name}" in text
    # Whatever else it imports is there.
    imported = re.findall(r"^(?:from|import) ([a-z_0-9]+)", text, re.MULTILINE)
    assert all(importlib.util.find_spec(package) for package in set(imported) - FOREIGN)
    if set(imported) & FOREIGN:
        assert "Needs" in text


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return EXAMPLES


def picture(noise: float = 0.0, blur: float = 0.0) -> Clip:
    """scikit-image's astronaut, made worse."""
    clean = gaussian_filter(skimage.data.astronaut().astype(float), (blur, blur, 0))[::2, ::2]
    worse = clean + np.random.default_rng(0).normal(0, noise, clean.shape)
    return Clip("a", np.clip(worse, 0, 255).astype(np.uint8).transpose(2, 0, 1)[None], np.zeros(1))


def test_brisque_falls_with_noise_and_blur_and_is_what_the_package_says(examples: Path) -> None:
    brisque = pytest.importorskip("brisque", reason="needs pip install brisque")
    score = load_class("brisque_metric:BrisqueMetric").score
    noise = [found.score for found in score([picture(noise=sigma) for sigma in (5, 10, 20, 40)])]
    blur = [found.score for found in score([picture(blur=sigma) for sigma in (0.5, 1.2, 2, 3)])]
    for scores in (noise, blur):
        assert scores == sorted(scores, reverse=True)
        assert 5 > scores[0] > scores[-1] + 0.8 > 1.8

    class Flat(brisque.BRISQUE):
        def scale_features(self, features):
            return super().scale_features([np.asarray(feature).item() for feature in features])

    theirs = Flat(url=False).score(picture(noise=20).frames[0].transpose(1, 2, 0))
    assert noise[2] == pytest.approx(5 - 4 * theirs / 100, abs=1e-9)


@pytest.mark.parametrize(("name", "packages"), [("brisque_metric", ["brisque"]), ("encoder_head", [])])
def test_a_study_runs(name: str, packages: list[str], examples: Path, small_corpus: Path, tmp_path: Path) -> None:
    for package in packages:
        pytest.importorskip(package)
    study = yaml.safe_load((examples / f"{name}.yaml").read_text())
    study |= {"videos": str(small_corpus), "simulated": True, "workers": 1, "selection": {"rule": "mds", "budget": 4}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    told = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml")])
    # A model that does not fine-tune itself waits for somebody who does.
    assert told.exit_code == (0 if name == "encoder_head" else 3), told.output
    out = tmp_path / study["out"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary
    rounds = sorted(path.name for path in out.glob("round-*"))
    assert len(rounds) == study.get("rounds", 1)
    if name == "encoder_head":
        # Each round from the head as it was made, with all labels so far.
        assert [len(list((out / each).rglob("head.pt"))) for each in rounds] == [1, 1]


def test_the_head_learns_an_order_of_simulated_videos(examples: Path, small_corpus: Path, tmp_path: Path) -> None:
    from mdsvqa.videos.decoding import Sampling, decode_all
    from mdsvqa.videos.manifest import load_videos

    videos = [video for video in load_videos(small_corpus) if video.split == "train"]
    model = load_class("encoder_head:EncoderHead")
    tuned = model.finetune(videos, tmp_path)
    clips = [clip for _, clip in decode_all(videos, Sampling(frames=4), 1)]
    mos = [video.mos for video in videos]
    before, after = ([score.score for score in each.score(clips)] for each in (model, tuned))
    assert spearmanr(after, mos).statistic > max(0.6, spearmanr(before, mos).statistic + 0.2)
    assert all(1 <= value <= 5 for value in after)
