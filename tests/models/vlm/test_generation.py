"""Replies of many videos at once are those of transformers' own loop, and no token moves what came before it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("transformers")

from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.generation import Writing, write
from mdsvqa.models.vlm.reader import VlmReader

MOST = 24


@pytest.fixture(scope="module")
def reader(tiny_vlm: Path) -> VlmReader:
    settings = VlmSettings(max_new_tokens=MOST, device="cpu")
    return VlmReader(load_checkpoint(settings, str(tiny_vlm)), settings)


def clip_of(name: str, frames: int, rows: int, columns: int) -> ModelClip:
    pixels = np.random.default_rng(len(name) + frames).integers(0, 256, (frames, 3, 28 * rows, 28 * columns), np.uint8)
    return ModelClip(name, pixels, 1.0, frames // 2 * rows * columns)


CLIPS = [clip_of("longest", 6, 3, 4), clip_of("middle", 4, 4, 3), clip_of("short", 2, 2, 3), clip_of("s", 2, 3, 2)]


def theirs(reader: VlmReader, clip: ModelClip) -> list[int]:
    """What transformers' own loop writes about one clip."""
    batch = reader.batch([clip], [reader.prompt])
    written = reader.model.generate(
        **batch,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        max_new_tokens=MOST,
        suppress_tokens=reader.suppressed,
    )
    return written[0, batch["input_ids"].shape[1] :].tolist()


def written(reader: VlmReader, sizes: list[int], order: list[int], samples: int) -> torch.Tensor:
    def groups() -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
        start = 0
        for size in sizes:
            part = [CLIPS[k] for k in order[start : start + size]]
            yield slice(start, start + size), reader.batch(part, [reader.prompt] * size)
            start += size

    ends = reader.model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else list(ends or [])
    writing = Writing(MOST, samples, None, reader.suppressed, reader.tokenizer.pad_token_id, ends)
    with torch.inference_mode():
        return write(reader.family, reader.model, groups(), len(order), writing, lambda mask: (), None)


# Groups of one and of several, the longest first and last.
@pytest.mark.parametrize(
    ("sizes", "order"), [([4], [0, 1, 2, 3]), ([1, 2, 1], [0, 1, 2, 3]), ([2, 1, 1], [3, 2, 1, 0])]
)
def test_replies_are_those_of_transformers_own_loop(reader: VlmReader, sizes: list[int], order: list[int]) -> None:
    found = written(reader, sizes, order, 2).tolist()
    pad = reader.tokenizer.pad_token_id
    for place, k in enumerate(order):
        wanted = theirs(reader, CLIPS[k])
        for row in found[2 * place : 2 * place + 2]:
            assert row[: len(wanted)] == wanted
            assert set(row[len(wanted) :]) <= {pad}


class Copied(TorchDispatchMode):
    """Counts the bytes that are copied, by the pass of the model in which they are."""

    KINDS = ("cat", "copy_", "clone", "_to_copy", "index_put_", "repeat")

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[int] = Counter()
        self.passes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func._schema.name.removeprefix("aten::") in self.KINDS:
            source = args[1] if func._schema.name == "aten::copy_" else found
            self.bytes[self.passes] += source.nbytes
        return found


def copied_a_token(reader: VlmReader, frames: int) -> int:
    clips = [clip_of(f"clip-{k}", frames, 5, 5) for k in range(4)]
    counter = Copied()
    hook = reader.model.register_forward_pre_hook(lambda *_: setattr(counter, "passes", counter.passes + 1))
    with counter:
        reader.written(clips, 1, None, answer_ends=False)
    hook.remove()
    assert counter.passes == reader.settings.max_new_tokens
    # The first pass reads the questions; an early and a late token must cost the same.
    assert counter.bytes[3] == counter.bytes[counter.passes - 1]
    return counter.bytes[3]


def test_bytes_copied_for_a_token_do_not_depend_on_the_length_of_the_context(reader: VlmReader, monkeypatch) -> None:
    # However soon this model would end.
    monkeypatch.setattr("mdsvqa.models.vlm.reader.end_tokens", lambda model: [])
    # 50 and 2,000 tokens of video.
    assert copied_a_token(reader, 4) == copied_a_token(reader, 160) > 0
