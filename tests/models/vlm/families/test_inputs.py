"""What each family gives its model, beside what its own processor makes of the same frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import AutoProcessor
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.clips import ModelClip, read_clip, resize_clip, sampling_of
from mdsvqa.models.vlm.families.base import Family
from mdsvqa.models.vlm.families.catalogue import family_of
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import decode_video
from mdsvqa.videos.manifest import load_videos

# Pixels of a batch by name.
PIXELS = ("pixel_values_videos", "pixel_values")


@pytest.fixture
def family(any_vlm: Path) -> Family:
    return family_of(any_vlm, "tiny")


@pytest.fixture
def processor(any_vlm: Path):
    return AutoProcessor.from_pretrained(any_vlm)


def their_batch(processor, clips: list[Clip], text: str) -> dict[str, torch.Tensor]:
    """What the processor makes of clips one by one, each with its frames' own times, padded here by hand."""
    rows, pixels, others = [], [], {}
    for clip in clips:
        fps = 1 / np.diff(clip.timestamps).mean() if len(clip.frames) > 1 else 24.0
        metadata = {
            "fps": fps,
            "total_num_frames": len(clip.frames),
            "frames_indices": (clip.timestamps * fps).tolist(),
        }
        found = processor(
            text=[text],
            videos=[torch.from_numpy(clip.frames)],
            video_metadata=[metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        rows.append(found["input_ids"][0].tolist())
        (name,) = (name for name in PIXELS if name in found)
        pixels.append(found[name])
        for key in ("video_grid_thw", "second_per_grid_ts"):
            if key in found:
                others.setdefault(key, []).append(torch.as_tensor(found[key]).float())
    longest = max(map(len, rows))
    pad = processor.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    joined = {key: torch.cat(values) for key, values in others.items()}
    return {"input_ids": ids, "attention_mask": mask, name: torch.cat(pixels), **joined}


def their_text(processor, question: str) -> str:
    turn = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}]
    text = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    if type(processor).__name__ == "Qwen3VLProcessor":
        # That of 5.23 leaves the marks around the placeholder where those of each step go; see the family.
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
    return text


def assert_near(family: Family, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Where frames are resized as in the training of Qwen, today's processors round some pixels otherwise."""
    off = (ours - theirs).abs()
    assert off.max() < (1e-3 if family.name == "InternVL" else 0.2)
    assert off.mean() < 5e-3


def test_inputs_of_eight_videos_are_those_of_the_processor(family, processor, small_corpus: Path) -> None:
    videos = load_videos(small_corpus)[:8]
    # Qwen3-VL's processor does not enlarge frames to a size.
    least = {"min_pixels": 1} if family.name == "Qwen3-VL" else {}
    sight = family.sight(VlmSettings(sampling="rate", fps=6.0, **least), processor)
    prompt = family.prompt(processor, prompts.QUALITY)
    clips = [decode_video(video, sampling_of(sight)) for video in videos]
    seen = [read_clip(video, sight) for video in videos]
    assert all(isinstance(clip, ModelClip) for clip in seen)
    ours = family.batch(seen, [prompt] * 8, processor, sight, torch.device("cpu"))
    theirs = their_batch(processor, clips, their_text(processor, prompts.QUALITY))
    assert set(theirs) <= set(ours)
    for name, wanted in theirs.items():
        if name in PIXELS:
            assert ours[name].shape == wanted.shape
            assert_near(family, ours[name], wanted)
        elif name == "second_per_grid_ts":
            # Told is the rate that was asked for, as in training.
            assert torch.allclose(ours[name], torch.full((8,), 2 / 6))
        else:
            assert torch.equal(ours[name].long(), wanted.long()), name


def test_odd_numbers_and_single_frames_are_read_as_the_processor_reads_them(family, processor) -> None:
    rng = np.random.default_rng(3)
    # Qwen3-VL's processor takes no single frame.
    shapes = [(3, 90, 160), (3 if family.name == "Qwen3-VL" else 1, 120, 120), (5, 160, 90)]
    clips = [
        Clip(f"c{k}", rng.integers(0, 256, (n, 3, h, w), dtype=np.uint8), np.arange(n) / 2, 2.0)
        for k, (n, h, w) in enumerate(shapes)
    ]
    sight = family.sight(VlmSettings(min_pixels=1) if family.name == "Qwen3-VL" else VlmSettings(), processor)
    prompt = family.prompt(processor, prompts.QUALITY)
    ours = family.batch(
        [resize_clip(clip, sight, 2.0) for clip in clips], [prompt] * 3, processor, sight, torch.device("cpu")
    )
    theirs = their_batch(processor, clips, their_text(processor, prompts.QUALITY))
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    (name,) = (name for name in PIXELS if name in theirs)
    assert_near(family, ours[name], theirs[name])


def test_a_batch_takes_no_more_tokens_than_its_clips_say(family, processor) -> None:
    rng = np.random.default_rng(3)
    clip = Clip("a", rng.integers(0, 256, (12, 3, 90, 160), dtype=np.uint8), np.arange(12) * 9.0, 1 / 9)
    sight = family.sight(VlmSettings(), processor)
    seen = resize_clip(clip, sight)
    prompt = family.prompt(processor, prompts.QUALITY)
    batch = family.batch([seen], [prompt], processor, sight, torch.device("cpu"))
    assert 0.8 * (seen.tokens + prompt.tokens) <= batch["input_ids"].shape[1] <= seen.tokens + prompt.tokens


def test_names_of_older_files_and_of_today_are_each_others(family, any_vlm: Path) -> None:
    model = family.without_weights(any_vlm)
    for name, _ in model.named_modules():
        # What an adapter or a file names lies in one of the three parts.
        if name.count(".") > 1 or name == "lm_head":
            assert family.current_name(family.old_name(name)) == name
            assert family.current_name(name) == name
