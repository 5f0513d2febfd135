"""Checkpoints, adapters and videos against the stack that the released checkpoint was trained with, run beside this.

transformers 4.49, PEFT 0.17, qwen-vl-utils 0.0.10 and decord; `make reference` installs them.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, read_clip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus
from places import REFERENCE, STACK

PYTHON = REFERENCE / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="no reference in .reference; `make reference` installs it"),
]
SIDE = Path(__file__).parents[2] / "reference_side.py"
PIXELS = 12 * 28 * 28
CLOSE = 1e-4
REFUSED = {"pissa": "init_lora_weights", "bias": "bias", "convolution": "an adapter of a Conv3d is not computed"}


def by_the_reference(command: str, folder: Path) -> None:
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", str(SIDE), command, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    by_the_reference("make", folder)
    return folder


def loaded(base: Path, adapter: Path | None = None, **settings: Any) -> VlmReader:
    asked = VlmSettings(**{"dtype": "float32", "device": "cpu", **settings})
    return VlmReader(load_checkpoint(asked, str(base), None if adapter is None else str(adapter)), asked)


@pytest.mark.parametrize("checkpoint", ["plain", "tied", "windows", "deeper"])
def test_logits_are_those_of_the_reference_or_the_adapter_is_refused(made: Path, checkpoint: str) -> None:
    place = made / checkpoint
    wanted = load_file(place / "logits.safetensors")
    for name in sorted({key.split("/")[0] for key in wanted}):
        for merge in (False, True):
            adapter = None if name == "base" else place / name
            if name in REFUSED:
                with pytest.raises(ModelError, match=REFUSED[name]):
                    loaded(place / "base", adapter, merge=merge)
                continue
            model = loaded(place / "base", adapter, merge=merge).model
            for batch in (key.split("/")[1] for key in wanted if key.startswith(f"{name}/")):
                given = load_file(place / f"{batch}.safetensors")
                real = given["attention_mask"].bool()
                given["mm_token_type_ids"] = (given["input_ids"] == model.config.video_token_id).int() * 2
                with torch.no_grad():
                    off = float((model(**given).logits - wanted[f"{name}/{batch}"])[real].abs().max())
                assert off < CLOSE, (name, merge, batch)
                print(f"{checkpoint}, {name}{' merged' if merge else ''}, {batch}: logits differ by {off:.1e}")


def test_videos_have_the_frames_replies_and_scores_of_the_reference(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", source=6, pool=3, test=2, seconds=(1.0, 9.0), workers=2)
    videos = load_videos(corpus)[:10]
    thinking, only = prompts.quality_prompt("generate"), prompts.quality_prompt("expected")
    asked = {
        "base": str(STACK / "base"),
        "adapter": str(STACK / "adapter"),
        "pixels": PIXELS,
        "videos": [str(video.path) for video in videos],
        "thinking": thinking,
        "only": only,
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    by_the_reference("watch", tmp_path)
    answers = json.loads((tmp_path / "answers.json").read_text())
    limits = {"min_pixels": PIXELS, "max_pixels": PIXELS}
    writer = loaded(STACK / "base", STACK / "adapter", max_new_tokens=32, **limits)
    expecting = loaded(STACK / "base", STACK / "adapter", reading="expected", **limits)
    for number, (video, wanted) in enumerate(zip(videos, answers, strict=True)):
        clip = read_clip(video, writer.sight)
        assert isinstance(clip, ModelClip)
        assert np.array_equal(clip.frames, np.load(tmp_path / f"{number}.npy"))
        batch = writer.batch([clip], [writer.prompt])
        assert (batch["input_ids"][0].tolist(), [clip.seconds_per_grid]) == (wanted["tokens"], wanted["seconds"])
        with torch.inference_mode():
            first = writer.model(**batch).logits[0, -1].log_softmax(-1)
        off = float((first - torch.tensor(wanted["first"])).abs().max())
        (reply,) = writer.replies([clip], 1, drawn=False)[0]
        assert reply.text == wanted["reply"]
        score = expecting.expectation([clip])
        apart = abs(float(score.value) - wanted["expected"])
        print(f"{video.id}: log-probabilities differ by {off:.1e}, expected scores by {apart:.1e}")
        assert off < CLOSE
        assert apart < CLOSE
