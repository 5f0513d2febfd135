"""Videos a second of a vision-language model: a plain loop, batched generation, the expected score.

    python benchmarks/vlm_scoring.py                  # a tiny model on the CPU; trains it first, about two minutes
    python benchmarks/vlm_scoring.py --size 7b        # random weights of the 7B configuration, on a GPU

The plain loop is what a script does: one video, the processor, `generate`, the next. Frames are decoded beforehand, at
their own size; all three ways start from them, so resizing and everything else the processor does is in every time. The
ways take turns, and the ratios are of medians. Last, a pass from files: how long the model waited for frames.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.answers import parse_answer
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.table_scoring import score_with_reader
from mdsvqa.models.vlm.tiny.model import make_processor
from mdsvqa.runtime.progress import terminal
from mdsvqa.runtime.run import Run
from mdsvqa.study.demo import SECONDS, make_demo_vlm
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, decode_all
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.simulated.corpus import make_corpus

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"


def plain_loop(checkpoint: Checkpoint, clips: Sequence[Clip], most_tokens: int, exactly: bool) -> list[float | None]:
    """What a script does that scores videos one by one."""
    model, processor = checkpoint.model, checkpoint.processor
    content = [{"type": "video"}, {"type": "text", "text": prompts.QUALITY}]
    scores = []
    for clip in clips:
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        inputs = processor(
            text=[text],
            videos=[torch.from_numpy(clip.frames)],
            video_metadata=[
                {
                    "fps": 2.0,
                    "total_num_frames": len(clip.frames),
                    "frames_indices": list(range(len(clip.frames))),
                }
            ],
            do_sample_frames=False,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            written = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=most_tokens,
                min_new_tokens=most_tokens if exactly else None,
            )
        reply = processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        scores.append(parse_answer(reply).value)
    return scores


def median_times(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, taking turns after a first round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def three_ways(
    checkpoint: Checkpoint, clips: Sequence[Clip], tokens: int, repeats: int
) -> tuple[VlmReader, VlmReader, dict[str, float]]:
    """Readers by replies and by the expected score, and median seconds of the plain loop and of both; printed too.

    Random weights never end an answer: exactly as many tokens as asked for are written, as in the plain loop.
    """
    checkpoint.model.generation_config.eos_token_id = None
    settings = VlmSettings(max_new_tokens=tokens)
    generate = VlmReader(checkpoint, settings)
    expected = VlmReader(checkpoint, settings.model_copy(update={"reading": "expected"}))
    seconds = median_times(
        {
            "plain": lambda: plain_loop(checkpoint, clips, tokens, exactly=True),
            "batched": lambda: generate.score(clips),
            "expected": lambda: expected.score(clips),
        },
        repeats,
    )
    report(seconds, len(clips))
    return generate, expected, seconds


def tiny(count: int, repeats: int, workers: int) -> dict[str, Any]:
    """The comparison on the tiny model, and a pass from files."""
    folder = BUILD / "tiny-vlm"
    with terminal() as show:
        if not (folder / "config.json").is_file():
            make_demo_vlm(folder, None, show, seed=0, workers=workers)
        manifest = make_corpus(
            BUILD / "corpus", source=0, pool=max(count, 200), test=0, seconds=SECONDS, workers=workers
        )
        videos = load_videos(manifest)
        settings = VlmSettings()
        checkpoint = load_checkpoint(settings, str(folder))
        generate, expected = (
            VlmReader(checkpoint, settings.model_copy(update={"reading": reading}))
            for reading in ("generate", "expected")
        )
        frames = Sampling(frames=generate.sight.frames)
        clips = [clip for _, clip in decode_all(videos[:count], frames, workers) if isinstance(clip, Clip)]
        seconds = median_times(
            {
                "plain": lambda: plain_loop(checkpoint, clips, settings.max_new_tokens, exactly=False),
                "batched": lambda: generate.score(clips),
                "expected": lambda: expected.score(clips),
            },
            repeats,
        )
        plain = plain_loop(checkpoint, clips, settings.max_new_tokens, exactly=False)
        batched = generate.score(clips)
        same = np.mean([a == b.score for a, b in zip(plain, batched, strict=True)])
        written = [len(checkpoint.processor.tokenizer(score.text or "")["input_ids"]) for score in batched]
        with tempfile.TemporaryDirectory() as out:
            _, clock = score_with_reader(videos, generate, {}, Run(Path(out), show, workers))
    report(seconds, len(clips))
    print(f"batched generation gives the plain loop's score for {same:.0%} of the videos")
    print(f"a reply has {np.mean(written):.0f} tokens on average")
    print(f"from files: {clock.verdict()}")
    share = clock.waiting / (clock.waiting + clock.model)
    return {
        **ratios(seconds),
        "videos": len(clips),
        "reply_tokens": round(float(np.mean(written)), 1),
        "same_scores": float(same),
        "waiting_share": round(share, 3),
    }


def seven_billion(count: int, repeats: int, layers: int | None) -> dict[str, Any]:
    """The comparison on the 7B configuration with random weights, 20 s clips at 2 frames a second, 200 tokens."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    processor = make_processor()
    processor.video_processor.size = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
    processor.video_processor.num_frames = None
    model = build_7b(processor, layers, device, dtype)
    checkpoint = Checkpoint(model, processor, {})
    tokens = 200
    rng = np.random.default_rng(0)
    clips = [
        Clip(str(k), rng.integers(0, 256, (40, 3, 1080, 1920), np.uint8), np.arange(40) / 2, 30.0, 20.0)
        for k in range(count)
    ]
    generate, expected, seconds = three_ways(checkpoint, clips, tokens, repeats)
    seen = generate.sight
    operations = count * flops(model, 40 // seen.span * 20 * 36, expected.prompt.tokens + 48)
    share = operations / seconds["expected"] / matrix_rate(device, dtype)
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    print(f"{name}: the expected score reaches {share:.0%} of the measured rate of matrix products; {memory:.1f} GiB")
    return {**ratios(seconds), "videos": count, "device": name, "matrix_rate_share": round(share, 3)} | {
        f"{way}_videos_per_second": round(count / found, 3) for way, found in seconds.items()
    }


def build_7b(processor: Any, layers: int | None, device: torch.device, dtype: torch.dtype) -> Any:
    """Qwen2.5-VL-7B with random weights; fewer layers to try the script."""
    ids = {name: processor.tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": layers or 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 128_000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "bos_token_id": None,
            "pad_token_id": processor.tokenizer.pad_token_id,
        },
        vision_config={
            "depth": layers or 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "tokens_per_second": 2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=processor.tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=processor.tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.eval()
    return model


def flops(model: Any, video_tokens: int, text_tokens: int) -> float:
    """Floating-point operations of one pass: two a parameter and token, and the products of the attention."""
    text, vision = model.config.text_config, model.config.vision_config
    length, patches = video_tokens + text_tokens, 4 * video_tokens
    in_text = sum(p.numel() for p in model.model.language_model.layers.parameters()) * length
    in_vision = sum(p.numel() for p in model.model.visual.blocks.parameters()) * patches
    in_merger = sum(p.numel() for p in model.model.visual.merger.parameters()) * video_tokens
    attention = text.num_hidden_layers * text.hidden_size * length**2
    whole = sum(layer < vision.depth for layer in vision.fullatt_block_indexes)
    # Full attention is within one step of the temporal grid, that of the others within windows of 64 patches.
    frame = patches / 20
    attention += 2 * vision.hidden_size * patches * (whole * frame + (vision.depth - whole) * 64)
    return 2.0 * (in_text + in_vision + in_merger + attention)


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = 8192) -> float:
    """Floating-point operations a second of a large matrix product, measured here."""
    side = side if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for turn in range(2):
        began = time.perf_counter()
        for _ in range(10 if turn else 3):
            left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
    return 10 * 2 * side**3 / (time.perf_counter() - began)


def ratios(seconds: dict[str, float]) -> dict[str, float]:
    """The figures of the comparison."""
    return {
        "batched_over_plain": round(seconds["plain"] / seconds["batched"], 2),
        "expected_over_plain": round(seconds["plain"] / seconds["expected"], 2),
    }


def report(seconds: dict[str, float], count: int) -> None:
    """Prints each way beside the plain loop."""
    for way, found in seconds.items():
        print(f"{way:<10} {count / found:8.2f} videos/s   {seconds['plain'] / found:6.2f} x the plain loop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "7b"], default="tiny")
    parser.add_argument("--videos", type=int, help="how many; 64, or 8 for 7b")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    parser.add_argument("--layers", type=int, help="of the 7B configuration, to try it where there is no GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.size == "tiny":
        result = tiny(arguments.videos or 64, arguments.repeats, arguments.workers)
    else:
        result = seven_billion(arguments.videos or 8, arguments.repeats, arguments.layers)
    print(json.dumps({"size": arguments.size, **result}))


if __name__ == "__main__":
    main()
