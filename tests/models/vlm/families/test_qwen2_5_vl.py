import numpy as np
import pytest
import torch

from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, resize_clip, resized_size, sampling_of
from mdsvqa.models.vlm.families.qwen2_5_vl import Normalisation, collate
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Undecodable

pytest.importorskip("transformers")

from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.families.transformers_family import tokenise_prompt
from mdsvqa.models.vlm.tiny.model import make_processor

CPU = torch.device("cpu")


def a_clip(name: str, frames: int, height: int, width: int, rate: float = 2.0) -> Clip:
    rng = np.random.default_rng(len(name) + frames)
    pictures = rng.integers(0, 256, (frames, 3, height, width), dtype=np.uint8)
    return Clip(name, pictures, np.arange(frames) / rate, fps=24.0, duration=frames / rate)


@pytest.fixture(scope="module")
def processor():
    return make_processor(pixels=24 * 28 * 28)


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (2160, 3840), (180, 320), (97, 1001), (28, 28), (1, 150)])
@pytest.mark.parametrize("frames", [2, 40, 768])
def test_sizes_are_those_of_transformers_video_processor(size: tuple[int, int], frames: int) -> None:
    sight = VisualLimits()
    theirs = transformers.Qwen2VLVideoProcessor(
        size={"shortest_edge": sight.fewest_pixels, "longest_edge": sight.most_pixels}, cap_pixels_per_frame=True
    )
    video = torch.zeros(1, frames, 3, *size, dtype=torch.uint8, device="meta")
    resized = theirs.resize(
        video, theirs.size, theirs.resample, factor=28, temporal_factor=2, cap_pixels_per_frame=True
    )
    assert resized_size(*size, frames, sight) == tuple(resized.shape[-2:])


def test_a_batch_equals_what_the_processor_makes_of_it(processor) -> None:
    # At their size: today's processors round otherwise than the training's where they resize.
    clips = [a_clip("a", 4, 112, 168), a_clip("bb", 3, 168, 112, rate=1.0), a_clip("ccc", 1, 56, 336)]
    side = 24 * 28 * 28
    sight = VisualLimits(most_pixels=side, fewest_pixels=side)
    seen = [resize_clip(clip, sight) for clip in clips]
    prompt = tokenise_prompt(processor, prompts.QUALITY)
    ours = collate(
        seen,
        [prompt] * 3,
        video_token=processor.video_token_id,
        pad_token=processor.tokenizer.pad_token_id,
        normalisation=Normalisation.of(processor.video_processor),
        patch=14,
        span=2,
        device=CPU,
    )
    content = [{"type": "video"}, {"type": "text", "text": prompts.QUALITY}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    metadata = [
        {"fps": 1 / np.diff(c.timestamps).mean() if len(c.frames) > 1 else c.fps, "total_num_frames": len(c.frames)}
        for c in clips
    ]
    theirs = processor(
        text=[text] * 3,
        videos=[torch.from_numpy(clip.frames) for clip in clips],
        video_metadata=metadata,
        padding=True,
        padding_side="left",
        do_sample_frames=False,
        return_tensors="pt",
    )
    assert set(ours) == set(theirs) - {"video_metadata"}
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "video_grid_thw"):
        assert torch.equal(ours[name].long(), theirs[name].long()), name
    assert torch.allclose(ours["pixel_values_videos"], theirs["pixel_values_videos"], rtol=0, atol=1e-6)
    assert torch.allclose(ours["second_per_grid_ts"].float(), torch.as_tensor(theirs["second_per_grid_ts"]).float())


@pytest.mark.parametrize("size", [(1080, 1920), (90, 160), (97, 1001), (360, 203)])
def test_frames_are_resized_as_in_the_training(size: tuple[int, int]) -> None:
    """By the call of qwen-vl-utils, `transforms.functional.resize`; that of today's processors rounds otherwise."""
    from torchvision.transforms import InterpolationMode, functional

    clip = a_clip("a", 4, *size)
    seen = resize_clip(clip, VisualLimits())
    wanted = functional.resize(
        torch.from_numpy(clip.frames), list(seen.frames.shape[2:]), InterpolationMode.BICUBIC, antialias=True
    )
    assert np.array_equal(seen.frames, wanted.numpy())


def test_a_frame_that_is_too_narrow_is_undecodable() -> None:
    found = resize_clip(a_clip("thin", 2, 1, 300), VisualLimits())
    assert isinstance(found, Undecodable)
    assert "200 times" in found.reason


def test_an_odd_number_of_frames_repeats_the_last_one() -> None:
    found = resize_clip(a_clip("odd", 3, 56, 56), VisualLimits(most_pixels=56 * 56, fewest_pixels=56 * 56))
    assert isinstance(found, ModelClip)
    assert found.frames.shape == (4, 3, 56, 56)
    assert np.array_equal(found.frames[2], found.frames[3])
    assert found.tokens == 2 * 4
    assert found.seconds_per_grid == pytest.approx(1.0)


def test_a_number_of_frames_wins_over_a_rate() -> None:
    assert sampling_of(VisualLimits(frames=3)).frames == 3
    assert (
        sampling_of(VisualLimits()).rate,
        sampling_of(VisualLimits()).at_least,
        sampling_of(VisualLimits()).at_most,
    ) == (2.0, 4, 768)
