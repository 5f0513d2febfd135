"""Videos a second of InternVL3-8B's shape with random weights: a plain loop, batched generation, the expected score.

    python benchmarks/internvl_scoring.py                  # on a GPU
    python benchmarks/internvl_scoring.py --layers 1 --tokens 4 --videos 2 --repeats 1    # without a GPU

Both ways start from the same 12 decoded frames of 1080p, and write as many tokens.
"""

import argparse
import json
from typing import Any

import numpy as np
import torch

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import make_processor
from mdsvqa.videos.clip import Clip
from vlm_scoring import median_times, plain_loop, ratios, report

FRAMES, SIDE = 12, 448


def build_8b(processor: Any, layers: int | None, device: torch.device, dtype: torch.dtype) -> Any:
    """InternVL3-8B's shape: InternViT-300M and a language model of 7 billion parameters."""
    config = transformers.InternVLConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": 151_674,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": layers or 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "bos_token_id": None,
            "pad_token_id": processor.tokenizer.pad_token_id,
        },
        vision_config={"num_hidden_layers": layers or 24, "attention_bias": True, "image_size": (SIDE, SIDE)},
        image_token_id=processor.image_token_id,
        tie_word_embeddings=False,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return transformers.InternVLForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=200, help="of each reply")
    parser.add_argument("--layers", type=int, help="of the configuration; all of them by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    processor = make_processor(SIDE**2, FRAMES, "internvl")
    model = build_8b(processor, arguments.layers, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    checkpoint = Checkpoint(model, processor, {})
    settings = VlmSettings(max_new_tokens=arguments.tokens)
    generate = VlmReader(checkpoint, settings)
    # Random weights never end an answer: exactly as many tokens as asked for, as in the plain loop.
    model.generation_config.eos_token_id = None
    expected = VlmReader(checkpoint, settings.model_copy(update={"reading": "expected"}))
    rng = np.random.default_rng(0)
    clips = [
        Clip(str(k), rng.integers(0, 256, (FRAMES, 3, 1080, 1920), np.uint8), np.arange(FRAMES) / 2, 30.0, 6.0)
        for k in range(arguments.videos)
    ]
    seconds = median_times(
        {
            "plain": lambda: plain_loop(checkpoint, clips, arguments.tokens, exactly=True),
            "batched": lambda: generate.score(clips),
            "expected": lambda: expected.score(clips),
        },
        arguments.repeats,
    )
    report(seconds, len(clips))
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    rates = {f"{way}_videos_per_second": round(len(clips) / found, 3) for way, found in seconds.items()}
    print(json.dumps({"size": "internvl3-8b", "device": name, "videos": len(clips), **ratios(seconds), **rates}))


if __name__ == "__main__":
    main()
