import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.videos.frame_times import Sampling, pick_frames, reduced_size


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
    st.integers(1, 30),
    st.floats(0.5, 60),
)
def test_picks_agree_with_a_look_at_the_screen(lengths: list[int], count: int, rate: float) -> None:
    ends = np.cumsum(lengths) / 100
    times, duration = np.concatenate([[0.0], ends[:-1]]), float(ends[-1])

    def on_screen(time: float) -> int:
        return max(k for k, start in enumerate(times) if start <= time + 1e-3)

    centres = {on_screen((k + 0.5) * duration / count) for k in range(count)}
    assert pick_frames(times, duration, Sampling(frames=count)).tolist() == sorted(centres)
    steps = {on_screen(k / rate) for k in range(int(duration * rate) + 2) if k == 0 or k / rate < duration - 1e-3}
    assert pick_frames(times, duration, Sampling(rate=rate)).tolist() == sorted(steps)
    capped = pick_frames(times, duration, Sampling(rate=rate, at_most=count)).tolist()
    assert capped == sorted(steps if len(steps) <= count else centres)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 2_000_000))
def test_most_pixels_is_never_exceeded_and_nearly_used(width: int, height: int, most: int) -> None:
    w, h = reduced_size(width, height, Sampling(frames=1, most_pixels=most))
    assert 1 <= w <= width
    assert 1 <= h <= height
    assert w * h <= most
    if width * height <= most:
        assert (w, h) == (width, height)
    elif w > 1 and h > 1:
        scale = (most / (width * height)) ** 0.5
        assert width * scale - w <= 1 + 1e-6
        assert height * scale - h <= 1 + 1e-6


@pytest.mark.parametrize(
    "arguments",
    [
        *({}, {"frames": 4, "rate": 1}, {"frames": 0}, {"rate": -1}, {"rate": 1, "at_most": 0}),
        *({"frames": 1, "longest_side": 1, "shortest_side": 1}, {"frames": 1, "longest_side": 1, "most_pixels": 1}),
        *({"frames": 4, "at_most": 2}, {"frames": 1, "most_pixels": 0}),
    ],
)
def test_sampling_refuses_nonsense(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Sampling(**arguments)
