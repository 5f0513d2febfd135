"""Videos a second of each family of vision-language models: a plain loop, batched generation, the expected score.

    python benchmarks/vlm_families.py                       # tiny untrained models on the CPU, a minute
    python benchmarks/vlm_families.py --size internvl3-8b   # random weights of InternVL3-8B's shape, on a GPU

All ways start from the same decoded frames, and both loops write as many tokens.
"""

import argparse
import json
from typing import Any

import numpy as np
import torch

from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.families.catalogue import FAMILIES
from mdsvqa.models.vlm.tiny.model import make_model, make_processor
from mdsvqa.videos.clip import Clip
from vlm_scoring import ratios, three_ways

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


def compare(
    checkpoint: Checkpoint, count: int, repeats: int, tokens: int, shape: tuple[int, int, int]
) -> dict[str, Any]:
    """The three ways on clips of noise of a shape (frames, height, width)."""
    rng = np.random.default_rng(0)
    frames, height, width = shape
    clips = [
        Clip(str(k), rng.integers(0, 256, (frames, 3, height, width), np.uint8), np.arange(frames) / 2, 2.0, frames / 2)
        for k in range(count)
    ]
    *_, seconds = three_ways(checkpoint, clips, tokens, repeats)
    return {**ratios(seconds), **{f"{way}_videos_per_second": round(count / s, 3) for way, s in seconds.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "internvl3-8b"], default="tiny")
    parser.add_argument("--videos", type=int, help="how many; 16, or 8 for the large one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, help="of each reply; 40, or 200 for the large one")
    parser.add_argument("--layers", type=int, help="of the large one, to try it where there is no GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    if arguments.size == "tiny":
        for family in FAMILIES:
            processor = make_processor(family=family)
            checkpoint = Checkpoint(make_model(processor.tokenizer, family=family), processor, {})
            found = compare(
                checkpoint, arguments.videos or 16, arguments.repeats, arguments.tokens or 40, (2, 240, 320)
            )
            print(json.dumps({"family": family, **found}), flush=True)
        return
    processor = make_processor(SIDE**2, FRAMES, "internvl")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    checkpoint = Checkpoint(build_8b(processor, arguments.layers, device, dtype), processor, {})
    shape = (FRAMES, 1080, 1920)
    found = compare(checkpoint, arguments.videos or 8, arguments.repeats, arguments.tokens or 200, shape)
    print(json.dumps({"size": arguments.size, "device": name, **found}))


if __name__ == "__main__":
    main()
