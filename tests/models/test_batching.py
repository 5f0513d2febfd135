import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.models.batching import batches_by_tokens, run_halving


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 2000))
def test_every_item_is_in_one_batch_and_no_batch_of_several_is_too_large(lengths: list[int], most: int) -> None:
    batches = list(batches_by_tokens(lengths, most))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    sizes = []

    def run(items: list[int]) -> list[str]:
        sizes.append(len(items))
        if len(items) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [f"ok {item}" for item in items]

    assert run_halving(list(range(7)), run, str) == [f"ok {i}" for i in range(7)]
    assert sizes[0] == 7
    assert max(sizes[-2:]) <= 2


def test_an_item_that_does_not_fit_alone_fails_and_the_rest_goes_on() -> None:
    def run(items: list[int]) -> list[str]:
        if 3 in items:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return [str(item) for item in items]

    assert run_halving([1, 2, 3, 4], run, lambda item: f"failed {item}") == ["1", "2", "failed 3", "4"]


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def run(items: list[int]) -> list[str]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_halving([1, 2], run, str)
