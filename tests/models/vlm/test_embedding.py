"""Embeddings of a vision-language model: those of the plain forward pass, whatever the batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.clips import read_clip
from mdsvqa.models.vlm.embedding import embed_with_vlm
from mdsvqa.models.vlm.load import load_vlm
from mdsvqa.runtime.progress import Silent
from mdsvqa.runtime.run import Run
from mdsvqa.videos.manifest import load_videos

SETTINGS = VlmSettings(frames=4, device="cpu")


def test_embeddings_are_the_last_hidden_state_behind_the_question(
    any_vlm: Path, small_corpus: Path, tmp_path: Path
) -> None:
    videos = load_videos(small_corpus)[:5]
    found = embed_with_vlm(videos, str(any_vlm), SETTINGS, Run(tmp_path / "embeddings", Silent(), 0))
    reader, _ = load_vlm(str(any_vlm), SETTINGS.model_copy(update={"reading": "expected"}))
    assert found.shape == (5, reader.model.config.text_config.hidden_size)
    for video, row in zip(videos, found, strict=True):
        clip = read_clip(video, reader.sight)
        batch = reader.batch([clip], [reader.prompt])
        with torch.inference_mode():
            states = reader.model(**batch, output_hidden_states=True).hidden_states[-1][0, -1]
        np.testing.assert_allclose(row, states.float().numpy(), atol=2e-3)


def test_a_second_run_reads_and_a_broken_video_has_none(
    tiny_vlm: Path, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    good, bad = load_videos(small_corpus)[:2]
    videos = [good, replace(bad, path=broken)]
    first = embed_with_vlm(videos, str(tiny_vlm), SETTINGS, Run(tmp_path / "embeddings", Silent(), 0))
    assert np.isfinite(first[0]).all()
    assert np.isnan(first[1]).all()
    monkeypatch.setattr("mdsvqa.models.vlm.embedding._embedded", lambda *_: pytest.fail("read again"))
    again = embed_with_vlm(videos, str(tiny_vlm), SETTINGS, Run(tmp_path / "embeddings", Silent(), 0))
    np.testing.assert_array_equal(again, first)
