"""What a model is shown and asked, against what the code of the released checkpoint makes of eight videos."""

import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, Prompt, VisualLimits, read_clip, sampling_of, wanted_limits
from mdsvqa.models.vlm.expected import AnswerTree, expected_value, read_tree, read_tree_at_once
from mdsvqa.models.vlm.families.qwen2_5_vl import FAMILY
from mdsvqa.models.vlm.families.transformers_family import tokenise_prompt
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.videos import packets
from mdsvqa.videos.decoding import sample_clip
from mdsvqa.videos.video import Video
from places import STACK

INPUTS = json.loads((STACK / "inputs.json").read_text())
# Presentation times of the one of variable rate: as many frames in as many seconds as the stored one.
UNEVEN = np.sort(np.random.default_rng(0).choice(np.arange(1, 590), 174, replace=False))


def write_video(
    path: Path, frames: int, width: int, height: int, rate: Fraction, times: list[int] | None = None
) -> Path:
    """Frames whose luma says their number: three areas beside each other, each a digit to the base of 16."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "18", "g": "25"}
        stream.codec_context.time_base = 1 / rate if times is None else Fraction(1, 60)
        for number in range(frames):
            picture = np.full((height * 3 // 2, width), 128, np.uint8)
            for part in range(3):
                digit = number // 16**part % 16
                picture[:height, part * width // 3 : (part + 1) * width // 3] = 16 + 12 * digit
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number if times is None else times[number], stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers of frames of `write_video`."""
    found = []
    for frame in frames:
        height, width = frame.shape[1:]
        third = width // 3
        luma = [
            float(frame[:, height // 4 : -height // 4, p * third + 8 : (p + 1) * third - 8].mean()) for p in range(3)
        ]
        # Limited range: 16 to 235 are 0 to 255.
        found.append(sum(round(value * 219 / 255 / 12) * 16**part for part, value in enumerate(luma)))
    return found


def turned(path: Path) -> Path:
    """Sets the display matrix of an MP4 to a quarter of a turn, in place."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one = 0x10000
    matrix = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30]
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    return path


def rate_of(case: dict[str, object]) -> Fraction:
    seconds = int(str(case["video"]).rsplit("_", 1)[1].removesuffix("s.mp4"))
    return Fraction(2997, 100) if "2997" in str(case["video"]) else Fraction(int(case["frames_in_file"]), seconds)


@pytest.mark.parametrize("case", INPUTS["cases"], ids=lambda case: case["video"])
def test_a_model_is_shown_what_the_reference_shows_it(case, tmp_path: Path) -> None:
    uneven = [0, *UNEVEN.tolist()] if "vfr" in case["video"] else None
    size = case["stored_width"], case["stored_height"]
    path = write_video(tmp_path / case["video"], case["frames_in_file"], *size, rate_of(case), uneven)
    height, width, (steps, rows, columns) = case["read_height"], case["read_width"], case["grid"]
    if "rot90" in case["video"]:
        # The reference reads it lying; here it is read upright, as people see it.
        turned(path)
        height, width, rows, columns = width, height, columns, rows
    sight = FAMILY.sight(VlmSettings(), load_processor())
    clip = sample_clip(path, "a", sampling_of(sight))
    upright = np.rot90(clip.frames, 1, (2, 3)) if "rot90" in case["video"] else clip.frames
    assert numbers(upright) == case["indices"]
    seen = read_clip(Video("a", path), sight)
    assert isinstance(seen, ModelClip)
    assert seen.frames.shape == (case["frames_taken"], 3, height, width)
    assert (len(seen.frames) // 2, height // 14, width // 14) == (steps, rows, columns)
    assert (seen.seconds_per_grid, seen.tokens) == (case["second_per_grid"], case["video_tokens"])


def load_processor():
    from mdsvqa.models.transformers_vision import AutoProcessor

    return AutoProcessor.from_pretrained(STACK / "base")


def test_questions_are_word_for_word_those_of_the_reference() -> None:
    text = INPUTS["text_of_question"]
    before, after = text.split("<|video_pad|>", 1)[0], text.rsplit("<|video_pad|>", 1)[1]
    processor = load_processor()
    prompt = tokenise_prompt(processor, prompts.QUALITY)
    assert processor.tokenizer.decode(prompt.before) == before
    assert processor.tokenizer.decode(prompt.after) == after
    # Of the code of Zou et al. (2026): question templates "scoring" and "only_scoring", and the difficulty.
    question = after.removeprefix("<|vision_end|>").split(" First output")[0]
    only = " Please only output the final answer with only one score in <answer> </answer> tags."
    assert question + only == prompts.QUALITY_ANSWER_ONLY
    asked, rating = question.split("What is your overall rating on the quality of this video? ")
    assert (
        asked
        + "Assess how difficult it is to evaluate this video's quality for video quality assessment. "
        + rating.replace("The rating", "The difficulty rating")
        .replace("very poor quality", "very easy to evaluate")
        .replace("excellent quality", "very difficult to evaluate")
        + only
        == prompts.DIFFICULTY
    )


def reference_rule(frames: int, rate: float, wanted: float = 2.0) -> list[int]:
    """The number and the places of frames, as a formula: qwen-vl-utils 0.0.10 on any video."""
    even = math.floor(min(max(frames / rate * wanted, 4), min(768, frames) // 2 * 2) / 2) * 2
    return [int(place) for place in torch.linspace(0, frames - 1, even, dtype=torch.float64).round()]


LENGTHS = [1.0, 1.5, 2.3, 3.7, 5.0, 6.4, 8.8, 12.1, 20.0, 60.0]


@pytest.mark.parametrize("rate", ["24", "25", "30000/1001", "30", "50", "60"])
def test_frames_of_any_rate_and_length_are_those_of_the_reference(rate: str, tmp_path: Path) -> None:
    fps = Fraction(rate)
    for number, seconds in enumerate(LENGTHS):
        frames = round(seconds * fps)
        path = write_video(tmp_path / f"{number}.mp4", frames, 96, 64, fps)
        for wanted in (1.0, 2.0, 4.0):
            clip = sample_clip(path, "a", sampling_of(VisualLimits(rate=wanted)))
            assert numbers(clip.frames) == reference_rule(frames, float(fps), wanted)
            seen = read_clip(Video("a", path), VisualLimits(rate=wanted))
            assert isinstance(seen, ModelClip)
            assert len(seen.frames) == len(clip.frames)
            assert seen.seconds_per_grid == 2 / wanted


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7])
def test_videos_of_a_few_frames_give_an_even_number_of_them(frames: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames, 96, 64, Fraction(25))
    clip = sample_clip(path, "a", sampling_of(VisualLimits()))
    # The reference fails on a single frame.
    assert numbers(clip.frames) == ([0] if frames == 1 else reference_rule(frames, 25.0))


def test_a_rate_that_no_camera_has_is_not_believed(tmp_path: Path, monkeypatch) -> None:
    path = write_video(tmp_path / "a.mp4", 180, 96, 64, Fraction(30))
    found, believed = [], packets._stated_rate
    for stated in (None, Fraction(918495264, 32677), Fraction(1, 1000)):
        header = SimpleNamespace(average_rate=stated)
        monkeypatch.setattr(packets, "_stated_rate", lambda stream, counted, header=header: believed(header, counted))
        found.append(numbers(sample_clip(path, "a", sampling_of(VisualLimits())).frames))
    assert found == [reference_rule(180, 30.0)] * 3


def test_what_is_sampled_is_said_by_the_settings_then_by_the_checkpoint() -> None:
    assert wanted_limits(VlmSettings()) == VisualLimits()
    assert wanted_limits(VlmSettings(), frames=8).frames == 8
    assert wanted_limits(VlmSettings(sampling="reference"), frames=8, rate=1.0) == VisualLimits(rate=1.0)
    assert wanted_limits(VlmSettings(sampling="rate", fps=3)) == VisualLimits(rate=3, spread=False)
    assert wanted_limits(VlmSettings(frames=5)).frames == 5
    with pytest.raises(ModelError, match="sampling count"):
        wanted_limits(VlmSettings(sampling="count"))
    for wrong in ({"sampling": "rate", "frames": 3}, {"sampling": "count", "fps": 2}, {"fps": 2, "frames": 3}):
        with pytest.raises(ValueError, match="`frames`"):
            VlmSettings(**wrong)


@pytest.fixture(scope="module")
def reader() -> VlmReader:
    settings = VlmSettings(reading="expected")
    return VlmReader(load_checkpoint(settings, str(STACK / "base"), str(STACK / "adapter")), settings)


def long_clip(steps: int, seconds: float = 1.0) -> ModelClip:
    frames = np.random.default_rng(steps).integers(0, 256, (2 * steps, 3, 56, 84), dtype=np.uint8)
    return ModelClip(f"clip-{steps}", frames, seconds, steps * 6)


def test_the_expected_score_of_a_long_video_is_that_of_a_pass_for_every_branch(reader: VlmReader) -> None:
    clips = [long_clip(12), long_clip(20), long_clip(16, 0.5)]
    batch = reader.batch(clips, [reader.prompt] * len(clips))
    wanted = [brute_force(reader, clip) for clip in clips]
    with torch.no_grad():
        for read in (read_tree, read_tree_at_once):
            logits = read(reader.family, reader.model, batch, AnswerTree.of(reader.answer))
            found = expected_value(*logits, reader.answer)
            assert found.value.tolist() == pytest.approx(wanted, abs=1e-5)


def brute_force(reader: VlmReader, clip: ModelClip) -> float:
    """A whole pass over the question, the video and the answer so far, for every answer so far."""
    tree = AnswerTree.of(reader.answer)

    def behind(path: list[int]) -> torch.Tensor:
        prompt = Prompt(reader.prompt.before, [*reader.prompt.after, *path])
        with torch.no_grad():
            return reader.model(**reader.batch([clip], [prompt])).logits[:, -1]

    nodes = [behind(tree.tokens[row].tolist()) for row in tree.visible]
    return float(expected_value(behind([]), torch.stack(nodes, 1), reader.answer).value)


def test_a_written_reply_stands_where_a_pass_over_it_puts_it(reader: VlmReader) -> None:
    writer = VlmReader(
        Checkpoint(reader.model, reader.processor, {}), VlmSettings(max_new_tokens=16, repetition_penalty=1.0)
    )
    for clip in (long_clip(12), long_clip(20)):
        batch = writer.batch([clip], [writer.prompt])
        with torch.inference_mode():
            written = writer.model.generate(**batch, do_sample=False, max_new_tokens=16, repetition_penalty=1.0)
            length, reply = batch["input_ids"].shape[1], written[0, batch["input_ids"].shape[1] :].tolist()
            prompt = Prompt(writer.prompt.before, [*writer.prompt.after, *reply])
            logits = writer.model(**writer.batch([clip], [prompt])).logits[0, length - 1 : -1]
        assert logits.argmax(-1).tolist() == reply


def test_the_penalty_is_the_checkpoints_unless_another_is_asked_for(reader: VlmReader) -> None:
    checkpoint = Checkpoint(reader.model, reader.processor, {})
    assert VlmReader(checkpoint, VlmSettings()).penalty == 1.05
    assert VlmReader(checkpoint, VlmSettings(repetition_penalty=1.2)).penalty == 1.2


@pytest.mark.parametrize("penalty", [1.05, 1.5])
def test_replies_are_those_of_transformers_own_penalty_alone_and_in_a_padded_batch(reader, penalty: float) -> None:
    settings = VlmSettings(max_new_tokens=24, repetition_penalty=penalty)
    own: dict[str, object] = {"do_sample": False, "max_new_tokens": 24, "repetition_penalty": penalty}
    writer = VlmReader(Checkpoint(reader.model, reader.processor, {}), settings)
    clips = [long_clip(12), long_clip(3), long_clip(5)]
    together = [reply[0].text for reply in writer.replies(clips, 1, drawn=False)]
    for clip, found in zip(clips, together, strict=True):
        batch = writer.batch([clip], [writer.prompt])
        with torch.inference_mode():
            written = writer.model.generate(**batch, **own, suppress_tokens=writer.suppressed)
        assert found == writer.tokenizer.decode(written[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def test_replies_that_end_for_want_of_tokens_are_marked(reader: VlmReader) -> None:
    writer = VlmReader(Checkpoint(reader.model, reader.processor, {}), VlmSettings(max_new_tokens=16))
    scores = writer.read([long_clip(3), long_clip(4)])
    # Random weights never come to an answer.
    assert [(score.status, score.cut) for score in scores] == [("unparsable", True)] * 2


def test_the_stored_questions_video_stands_where_the_stored_batch_has_it() -> None:
    """Positions in numbers: text begins one behind the largest position of the video, time included."""
    checkpoint = load_checkpoint(VlmSettings(), str(STACK / "base"))
    reader = VlmReader(checkpoint, VlmSettings())
    batch = load_file(STACK / "batch.safetensors")
    grid = {
        name: batch[name] for name in ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts", "attention_mask")
    }
    positions, ahead = reader.model.model.get_rope_index(batch["input_ids"], **grid)
    for row in range(2):
        kinds = batch["mm_token_type_ids"][row]
        video, last = positions[:, row][:, kinds == 2], positions[:, row, -1]
        tail = int(len(kinds) - kinds.nonzero()[-1] - 1)
        assert last.tolist() == [int(video.max()) + tail] * 3
        assert int(ahead[row]) == int(last[0]) + 1 - int(batch["attention_mask"][row].sum())
