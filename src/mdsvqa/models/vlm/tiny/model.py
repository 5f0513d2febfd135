"""A tiny Qwen2.5-VL of the real classes, made on the spot: for tests, the demonstration, and anyone's experiments.

It has a vision tower, a language model, a tokenizer, a processor and a chat template, and is saved in the files of a
checkpoint, so that everything that loads the real one loads it. `tiny_training` teaches it to rate videos.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import idctn
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm import prompts

PATCH, SPAN, MERGE = 14, 2, 2
# Frames of the simulated corpus at about their own size: what is wrong with them shows at the scale of pixels.
PIXELS = 66 * 28 * 28
FRAMES = 2
WIDTH = 96
# The labels of the five-point scale of ITU-T P.910, worst first.
LABELS = ("bad", "poor", "fair", "good", "excellent")
# The real one thinks for a hundred tokens and more; long enough that thinking costs here too.
THOUGHT = "I look at sharpness, noise, blocks, exposure and motion. Taken together, the quality is {}."
# Of the weights at the start: one over the root of the width. The default of 0.02 is made for a width in thousands.
_SPREAD = 0.1
_SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_PAD = "<|endoftext|>"
# As the family's own: a system turn where there is none, one placeholder a picture or video.
_CHAT = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] in ('video', 'video_url') %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def reply_to(mos: float) -> str:
    """What the tiny model learns to write about a video of this MOS.

    >>> print(reply_to(3.417))
    <think>I look at sharpness, noise, blocks, exposure and motion. Taken together, the quality is good.</think>
    <answer>3.42</answer>
    """
    label = LABELS[min(4, max(0, int((mos - 1) / 0.8)))]
    return f"<think>{THOUGHT.format(label)}</think>\n<answer>{mos:.2f}</answer>"


def make_tokenizer() -> transformers.Qwen2Tokenizer:
    """A byte-level BPE tokenizer of the family's class, with a vocabulary of what the prompts and replies hold."""
    trained = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(transformers.models.qwen2.tokenization_qwen2.PRETOKENIZE_REGEX), "isolated")
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    questions = [prompts.QUALITY, prompts.QUALITY_ANSWER_ONLY, prompts.DIFFICULTY]
    chat = "system\nYou are a helpful assistant.\nuser\nassistant\n"
    text = [*questions, chat, *(reply_to(mos) for mos in np.linspace(1, 5, 41))]
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator(text * 2, trainer)
    found = json.loads(trained.to_str())["model"]
    merges: Any = [tuple(merge) for merge in found["merges"]]
    return transformers.Qwen2Tokenizer(
        vocab=found["vocab"],
        merges=merges,
        additional_special_tokens=list(_SPECIAL),
        eos_token="<|im_end|>",
        pad_token=_PAD,
    )


def make_processor(pixels: int = PIXELS, frames: int = FRAMES) -> Any:
    """The family's processor around `make_tokenizer`.

    Args:
        pixels: of every frame, nearly.
        frames: of every video.
    """
    size = {"shortest_edge": pixels, "longest_edge": pixels}
    sides: dict[str, Any] = {"patch_size": PATCH, "temporal_patch_size": SPAN, "merge_size": MERGE, "size": size}
    return transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**sides),
        tokenizer=make_tokenizer(),
        video_processor=transformers.Qwen2VLVideoProcessor(**sides, cap_pixels_per_frame=True, num_frames=frames),
        chat_template=_CHAT,
    )


def make_model(tokenizer: Any, seed: int = 0, width: int = WIDTH) -> transformers.Qwen2_5_VLForConditionalGeneration:
    """An untrained model of about 0.6 million parameters, the same for the same seed.

    Args:
        tokenizer: says how many words there are.
        seed: of the weights.
        width: of the language model, a multiple of 8; vLLM wants 128 or another one whose quarter it knows.
    """
    seeing, heads = 64, 4
    half = width // heads // 2
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "initializer_range": _SPREAD,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 3,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": 8192,
            # Sums to half of a head's width.
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": seeing,
            "initializer_range": _SPREAD,
            "intermediate_size": 2 * seeing,
            "num_heads": heads,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": SPAN,
            "out_hidden_size": width,
            "window_size": 4 * MERGE * PATCH,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.eval()
    return model


def frequency_filters(count: int) -> NDArray[np.float32]:
    """The lowest spatial frequencies of a patch as filters: what blur, noise and blocks change.

    Args:
        count: of filters.

    Returns:
        Shape (count, 3, SPAN, PATCH, PATCH), unit norm: discrete cosines of luma from low to high frequency, each
        summed over time; every third also as the difference of the frames (flicker), every sixth as red against blue.
    """
    order = sorted((i + j, i, j) for i in range(PATCH) for j in range(PATCH))
    # Evenly over all frequencies: artefacts live in the high ones as well.
    chosen = [order[k] for k in np.linspace(0, len(order) - 1, count, dtype=int)]
    filters = np.zeros((count, 3, SPAN, PATCH, PATCH))
    for place, (_, i, j) in enumerate(chosen):
        spectrum = np.zeros((PATCH, PATCH))
        spectrum[i, j] = 1.0
        wave = idctn(spectrum, norm="ortho")
        time = np.array([1.0, -1.0] if place % 3 == 2 else [1.0, 1.0])
        colour = np.array([1.0, 0.0, -1.0] if place % 6 == 4 else [0.3, 0.6, 0.1])
        filters[place] = colour[:, None, None, None] * time[None, :, None, None] * wave
        filters[place] /= np.linalg.norm(filters[place])
    return filters.astype(np.float32)


def save_checkpoint(model: Any, processor: Any, folder: Path) -> None:
    """Writes a checkpoint as `from_pretrained` reads it; a kill leaves none, or a whole one."""
    unfinished = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
