from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mdsvqa.models.settings import VlmFinetuning
from mdsvqa.models.training.batches import quotas, training_batches

OLD, NEW = False, True


def strata(*sizes: tuple[int, int, bool]):
    dataset = np.concatenate([np.full(count, code) for code, count, _ in sizes])
    new = np.concatenate([np.full(count, is_new) for _, count, is_new in sizes])
    return dataset, new


def test_every_video_comes_once_before_any_comes_twice() -> None:
    dataset, new = strata((0, 24, OLD))
    drawn = np.concatenate(list(islice(training_batches(dataset, new, 8, seed=1), 6)))
    assert sorted(drawn[:24]) == list(range(24))
    assert sorted(drawn[24:]) == list(range(24))
    assert drawn[:24].tolist() != drawn[24:].tolist()


def test_the_same_arguments_give_the_same_batches_and_another_seed_others() -> None:
    dataset, new = strata((0, 30, OLD), (1, 10, NEW))
    first, again, other = (
        np.concatenate(list(islice(training_batches(dataset, new, 8, seed=s), 5))) for s in (3, 3, 4)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_share_of_new_videos_is_the_one_that_was_asked_for() -> None:
    dataset, new = strata((0, 300, OLD), (1, 20, NEW))
    for share, count in ((0.25, 8), (0.5, 16), (0.0, 0)):
        for batch in islice(training_batches(dataset, new, 32, 0, new_share=share), 5):
            assert new[batch].sum() == count
            assert len(batch) == 32


def test_a_small_data_set_has_enough_videos_in_a_batch_to_be_ranked() -> None:
    dataset, new = strata((0, 1000, OLD), (1, 30, OLD), (2, 20, NEW))
    for batch in islice(training_batches(dataset, new, 16, 0), 10):
        assert np.bincount(dataset[batch]).tolist() == [8, 4, 4]


def test_more_data_sets_than_fit_take_turns() -> None:
    dataset, new = strata(*[(code, 10, OLD) for code in range(5)])
    batches = list(islice(training_batches(dataset, new, 8, 0, least=4), 5))
    assert all((np.bincount(dataset[batch])[np.unique(dataset[batch])] >= 4).all() for batch in batches)
    assert set(np.concatenate([dataset[batch] for batch in batches])) == {0, 1, 2, 3, 4}


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=5),
    st.integers(2, 40),
    st.none() | st.floats(0, 1),
    st.integers(1, 5),
)
def test_quotas_fill_the_batch_with_distinct_videos(
    given_strata: list[tuple[int, bool]], batch: int, share: float | None, least: int
) -> None:
    sizes = np.array([size for size, _ in given_strata])
    found = quotas(sizes, np.array([is_new for _, is_new in given_strata]), batch, share, least)
    assert all(0 <= count <= size for count, size in zip(found, sizes, strict=True))
    if np.minimum(sizes, least).sum() <= batch:
        assert sum(found) <= batch


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_the_target_s_pairs_have_their_weight(share: float) -> None:
    dataset = np.repeat([0, 1], 500)
    settings = VlmFinetuning(target_weight=share)
    batch = next(training_batches(dataset, dataset == 1, 200, 0, new_share=settings.new_share))
    new, old = (int((dataset[batch] == code).sum()) for code in (1, 0))
    pairs = new * (new - 1) / 2, old * (old - 1) / 2
    assert pairs[0] / sum(pairs) == pytest.approx(share, abs=0.01)


def test_results_of_before_there_was_a_target_weight_are_reused() -> None:
    assert VlmFinetuning().record()["new_share"] == 0.5
    assert VlmFinetuning().record()["new_weight"] == 1.0
    assert "target_weight" not in VlmFinetuning().record()
    assert VlmFinetuning(target_weight=None).record()["new_share"] is None
    assert VlmFinetuning(target_weight=0.8).record() != VlmFinetuning().record()


def test_what_it_replaced_is_named() -> None:
    with pytest.raises(ValidationError, match=r"target_weight`; 0\.69 is what new_share 0\.6 was"):
        VlmFinetuning(new_share=0.6)
