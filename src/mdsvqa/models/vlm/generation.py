"""Replies written token by token, for many videos at once, into a cache that stays where it is.

Questions are read in groups that fit, and each group's keys and values go to their place in one cache, which has room
for the replies; then all replies are written together. A step of writing reads all weights whatever it writes, so it
is to write as many replies as fit. transformers' own loop copies the whole cache for each token, and reads the question
anew for each of several replies.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

from mdsvqa.models.vlm.families.base import Family

Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Writing:
    """How replies are written.

    Attributes:
        most: tokens of a reply.
        samples: replies to each question.
        temperature: at which tokens are drawn; None takes the likeliest one.
        never: tokens that are not written.
        pad: what stands behind a reply that has ended.
        ends: tokens that end a reply.
    """

    most: int
    samples: int
    temperature: float | None
    never: Sequence[int]
    pad: int
    ends: Sequence[int]


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in a buffer with room for more.

    Args:
        rows: replies.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows, self._columns = rows, 0
        self._buffers: tuple[Tensor, ...] = ()
        self._group: tuple[slice, slice] | None = None
        self._filled = 0

    def grow(self, lacking: int, columns: int) -> None:
        """Makes room for longer questions, in front; `columns` is the room for question and reply from then on."""
        self._columns = columns
        self._buffers = tuple(pad(buffer, (0, 0, lacking, 0)) for buffer in self._buffers)

    def begin_group(self, rows: slice, columns: slice) -> None:
        """The next keys and values are those of whole questions, which go to these rows and columns."""
        self._group, self._filled = (rows, columns), 0

    def begin_writing(self, filled: int) -> None:
        """From here on each token goes behind what is filled, in all rows."""
        self._group, self._filled = None, filled

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See transformers' `DynamicLayer`."""
        if not self._buffers:
            self.lazy_initialization(key_states, value_states)
            self._buffers = (self._room(key_states), self._room(value_states))
        if self._group is not None:
            rows, columns = self._group
            for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
                place = buffer[rows, :, columns].unflatten(0, (len(states), -1))
                place.copy_(states.unsqueeze(1).expand_as(place))
            self._filled = columns.stop - columns.start
            return key_states, value_states
        end = self._filled + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._filled : end] = states
        self._filled = end
        keys, values = (buffer[:, :, :end] for buffer in self._buffers)
        return keys, values

    def _room(self, states: Tensor) -> Tensor:
        # Zeros: padding has no weight, but what is not a number times 0 is none either.
        return states.new_zeros((self._rows, states.shape[1], self._columns, states.shape[3]))

    def get_seq_length(self) -> int:
        """Tokens that are in it."""
        return self._filled


def write(
    family: Family,
    model: Any,
    groups: Iterable[tuple[slice, dict[str, Tensor]]],
    questions: int,
    writing: Writing,
    steps_of: Callable[[Tensor], Sequence[Step]],
    ended: Callable[[Tensor, int], Tensor] | None,
) -> Tensor:
    """Replies to questions about videos.

    Args:
        family, model: with a head.
        groups: batches as of `Family.batch`, each with the rows of its questions; the longest first as a rule.
        questions: of all groups.
        writing: how.
        steps_of: from the mask of all questions, shape (rows, L), to what changes the logits (rows, V) of the next
            token, given all tokens of each row, from the question's on.
        ended: which rows are done beside those with an end token, from the rows and where their replies begin; None
            for no others.

    Returns:
        Tokens, padded behind their ends, shape (rows, tokens of the longest); rows are replies, a question's one after
        the other.
    """
    rows = questions * writing.samples
    device = next(model.parameters()).device
    ids = torch.full((rows, writing.most), writing.pad, device=device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    layers = [RoomyLayer(rows) for _ in range(family.language_model(model).config.num_hidden_layers)]
    cache = Cache(layers=list(layers))
    depth = torch.arange(writing.most, device=device)
    logits: Tensor | None = None
    positions: Tensor | None = None
    for asked, batch in groups:
        own = slice(asked.start * writing.samples, asked.stop * writing.samples)
        if (lacking := batch["input_ids"].shape[1] + writing.most - ids.shape[1]) > 0:
            # In front: what is there already ends where all questions end.
            ids, mask = pad(ids, (lacking, 0), value=writing.pad), pad(mask, (lacking, 0))
            for layer in layers:
                layer.grow(lacking, ids.shape[1])
        length = ids.shape[1] - writing.most
        columns = slice(length - batch["input_ids"].shape[1], length)
        for layer in layers:
            layer.begin_group(own, columns)
        found = model(**batch, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        behind = family.tree_positions(model, batch, depth)[1].repeat_interleave(writing.samples, -2)
        if logits is None or positions is None:
            logits = found.new_empty((rows, found.shape[-1]))
            positions = behind.new_empty((*behind.shape[:-2], rows, writing.most))
        logits[own] = found.repeat_interleave(writing.samples, 0)
        positions[..., own, :] = behind
        ids[own, columns] = batch["input_ids"].repeat_interleave(writing.samples, 0)
        mask[own, columns] = batch["attention_mask"].bool().repeat_interleave(writing.samples, 0)
    assert logits is not None
    assert positions is not None
    for layer in layers:
        layer.begin_writing(length)
    # cuDNN would make a plan for every length anew.
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        return _written(model, cache, ids, mask, positions, logits, writing, steps_of(mask[:, :length]), ended)


def _written(
    model: Any,
    cache: Cache,
    ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    logits: Tensor,
    writing: Writing,
    steps: Sequence[Step],
    ended: Callable[[Tensor, int], Tensor] | None,
) -> Tensor:
    never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=ids.device)
    never[list(writing.never)] = True
    ends = torch.tensor(list(writing.ends), device=ids.device)
    going = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    length, written = ids.shape[1] - writing.most, 0
    while True:
        scores = logits.float().masked_fill(never, -torch.inf)
        for step in steps:
            scores = step(ids[:, : length + written], scores)
        if writing.temperature is None:
            chosen = scores.argmax(-1)
        else:
            chosen = (scores / writing.temperature).softmax(-1).multinomial(1)[:, 0]
        ids[:, length + written] = torch.where(going, chosen, writing.pad)
        written += 1
        end = length + written
        going &= ~torch.isin(ids[:, end - 1], ends)
        if ended is not None:
            going &= ~ended(ids[:, :end], length)
        if written == writing.most or not bool(going.any()):
            return ids[:, length:end]
        logits = model(
            input_ids=ids[:, end - 1 : end],
            attention_mask=mask[:, :end],
            position_ids=positions[..., written - 1 : written],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]


def write_by_generate(
    model: Any,
    batch: dict[str, Tensor],
    writing: Writing,
    steps_of: Callable[[Tensor], Sequence[Step]],
    ended: Callable[[Tensor, int], Tensor] | None,
) -> Tensor:
    """What `write` gives, by transformers' own loop: for a family whose positions are not known here.

    Args:
        model, writing, steps_of, ended: as there.
        batch: of all questions.
    """
    length = batch["input_ids"].shape[1]
    sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if writing.temperature is not None:
        sampling = {"do_sample": True, "temperature": writing.temperature, "top_p": 1.0, "top_k": 0}
    written: Tensor = model.generate(
        **batch,
        **sampling,
        num_return_sequences=writing.samples,
        repetition_penalty=1.0,
        max_new_tokens=writing.most,
        suppress_tokens=list(writing.never) or None,
        logits_processor=list(steps_of(batch["attention_mask"] > 0)),
        stopping_criteria=[] if ended is None else [lambda ids, scores, **_: ended(ids, length)],
    )
    return written[:, length:]


def end_tokens(model: Any) -> list[int]:
    """Those that end a reply of a model."""
    named = model.generation_config.eos_token_id
    return [] if named is None else [named] if isinstance(named, int) else list(named)
