"""A tiny model of a family's real classes, made on the spot: for tests, the demonstration, and anyone's experiments.

It has a vision tower, a language model, a tokenizer, a processor and a chat template, and is saved in the files of a
checkpoint, so that everything that loads the real one loads it. `tiny_training` teaches it to rate videos.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import idctn
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from mdsvqa.models.transformers_vision import transformers
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.families.catalogue import FAMILIES, family_named

DEFAULT = next(iter(FAMILIES))
# Frames of the simulated corpus at about their own size: what is wrong with them shows at the scale of pixels.
PIXELS = 66 * 28 * 28
FRAMES = 2
WIDTH = 96
# The labels of the five-point scale of ITU-T P.910, worst first.
LABELS = ("bad", "poor", "fair", "good", "excellent")
# The real one thinks for a hundred tokens and more; long enough that thinking costs here too.
THOUGHT = "I look at sharpness, noise, blocks, exposure and motion. Taken together, the quality is {}."
_PAD, _END = "<|endoftext|>", "<|im_end|>"


def reply_to(mos: float) -> str:
    """What the tiny model learns to write about a video of this MOS.

    >>> print(reply_to(3.417))
    <think>I look at sharpness, noise, blocks, exposure and motion. Taken together, the quality is good.</think>
    <answer>3.42</answer>
    """
    label = LABELS[min(4, max(0, int((mos - 1) / 0.8)))]
    return f"<think>{THOUGHT.format(label)}</think>\n<answer>{mos:.2f}</answer>"


def make_tokenizer(specials: Sequence[str], **named: Any) -> transformers.Qwen2Tokenizer:
    """A byte-level BPE tokenizer of Qwen's class, with a vocabulary of what the prompts and replies hold.

    Args:
        specials: tokens that stand for no text.
        named: those of them that the tokenizer knows by what they are for.
    """
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
        additional_special_tokens=list(specials),
        eos_token=_END,
        pad_token=_PAD,
        **named,
    )


def make_processor(pixels: int = PIXELS, frames: int = FRAMES, family: str = DEFAULT) -> Any:
    """A family's processor around `make_tokenizer`.

    Args:
        pixels: of every frame, nearly.
        frames: of every video.
        family: its name in the catalogue.
    """
    found = family_named(family)
    return found.tiny_processor(make_tokenizer(found.specials), pixels, frames)


def make_model(tokenizer: Any, seed: int = 0, width: int = WIDTH, family: str = DEFAULT) -> Any:
    """An untrained model of about 0.6 million parameters, the same for the same seed.

    Args:
        tokenizer: says how many words there are.
        seed: of the weights.
        width: of the language model; see `Family.tiny_config`.
        family: its name in the catalogue.
    """
    found = family_named(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = found.untrained(found.tiny_config(tokenizer, width))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.eval()
    return model


def frequency_filters(count: int, span: int, patch: int) -> NDArray[np.float32]:
    """The lowest spatial frequencies of a patch as filters: what blur, noise and blocks change.

    Args:
        count: of filters.
        span: frames of a patch.
        patch: side of it.

    Returns:
        Shape (count, 3, span, patch, patch), unit norm: discrete cosines of luma from low to high frequency, each
        summed over time; every third also as the difference of the frames (flicker), every sixth as red against blue.
    """
    order = sorted((i + j, i, j) for i in range(patch) for j in range(patch))
    # Evenly over all frequencies: artefacts live in the high ones as well.
    chosen = [order[k] for k in np.linspace(0, len(order) - 1, count, dtype=int)]
    filters = np.zeros((count, 3, span, patch, patch))
    for place, (_, i, j) in enumerate(chosen):
        spectrum = np.zeros((patch, patch))
        spectrum[i, j] = 1.0
        wave = idctn(spectrum, norm="ortho")
        time = np.array([1.0, -1.0] if place % 3 == 2 and span == 2 else [1.0] * span)
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
