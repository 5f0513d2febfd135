from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.videos.time_line import is_in_order, time_line, usable_rate

FRAME = 1 / 30
PLAIN = list(range(120))
HOUR = 30 * 3600


def but(**changed: int | None) -> list[int | None]:
    """Plain stamps, with others for some frames: `_60=59`."""
    stamps: list[int | None] = list(PLAIN)
    for name, stamp in changed.items():
        stamps[int(name[1:])] = stamp
    return stamps


@pytest.mark.parametrize(
    ("stamps", "lost"),
    [
        (but(), []),
        (but(_60=59), [60]),
        (but(_60=30), [60]),
        (but(_60=0), [60]),
        (but(_60=None), [60]),
        (but(_60=60 + HOUR), [60]),
        (but(_60=60 - HOUR), [60]),
        (but(_60=90), [60]),
        (but(_119=119 + HOUR), [119]),
        (but(_119=3), [119]),
        (but(_0=500), [0]),
        (but(_0=None), [0]),
        (but(_20=HOUR, _40=3, _41=2, _80=None, _119=0), [20, 40, 41, 80, 119]),
    ],
)
def test_a_bad_stamp_costs_its_frame_and_no_other(stamps: list[int | None], lost: list[int]) -> None:
    line = time_line(stamps, FRAME, 1.0)
    assert np.flatnonzero(~line.good).tolist() == lost
    assert line.damaged == len(lost)
    assert (line.jumps, line.counted) == (0, False)
    kept = [number for number in PLAIN if number not in lost]
    assert line.times[kept] == pytest.approx((np.array(kept) - kept[0]) * FRAME)
    assert line.duration == pytest.approx((kept[-1] - kept[0] + 1) * FRAME)


@pytest.mark.parametrize(
    ("stamps", "jumps"),
    [
        ([*range(60), *range(60 + HOUR, 120 + HOUR)], 1),
        ([*range(60), *range(60)], 1),
        ([*range(500, 560), *range(60)], 1),
        ([*range(40), *range(40 + HOUR, 80 + HOUR), *range(80 + 3 * HOUR, 120 + 3 * HOUR)], 2),
        ([0, *range(1 + HOUR, 120 + HOUR)], 1),
    ],
)
def test_parts_that_were_joined_follow_each_other(stamps: list[int], jumps: int) -> None:
    line = time_line(stamps, FRAME, 1.0)
    assert line.times == pytest.approx(np.arange(len(stamps)) * FRAME)
    assert line.duration == pytest.approx(len(stamps) * FRAME)
    assert (line.damaged, line.jumps, line.counted) == (0, jumps, False)


def test_a_bad_stamp_leaves_a_variable_rate_as_it_is() -> None:
    starts = [1000 * k for k in range(20)] + [20_000 + 20 * k for k in range(100)]
    line = time_line([*starts[:60], starts[59], *starts[61:]], 1e-3, 1e-3)
    assert np.flatnonzero(~line.good).tolist() == [60]
    assert line.duration == pytest.approx(22.0)


def test_pauses_of_the_picture_stay() -> None:
    # A lecture: a slide for four minutes among others, and a time lapse of a frame every two minutes.
    for stamps in ([0, 30, 270, 300, 420, 450, 600], list(range(0, 2400, 120)), [0, 90], [0, 1, 2, 3, 50, 51]):
        line = time_line(stamps, 1.0, 1.0)
        assert line.times.tolist() == stamps
        assert line.jumps == 0


def test_frames_are_counted_where_most_stamps_tell_nothing() -> None:
    for useless in ([5] * 120, [None] * 120, [3, 3, 3], [None]):
        line = time_line(useless, FRAME, 0.04)
        assert line.counted
        assert line.times == pytest.approx(np.arange(len(useless)) * 0.04)
        assert line.duration == pytest.approx(len(useless) * 0.04)
    # Without an order, but all there: their distances say how long a frame is.
    mixed = np.random.default_rng(0).permutation(120).tolist()
    assert time_line(mixed, FRAME, 0.04).duration == pytest.approx(4.0)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40), st.integers(0, 50)), min_size=1, max_size=80))
def test_any_stamps_give_a_time_line(stamps: list[int | None]) -> None:
    line = time_line(stamps, 1e-3, 0.04)
    times = line.times[line.good]
    assert len(line.times) == len(stamps)
    assert 2 * len(times) >= len(stamps)
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert times[-1] < line.duration < np.inf


def test_many_bad_stamps_are_looked_at_in_little_time() -> None:
    # A quadratic way would take hours.
    stamps = np.random.default_rng(0).integers(0, 10**9, 100_000).tolist()
    assert time_line(stamps, 1e-3, 0.04).counted


def b_frames(count: int, between: int) -> list[int]:
    """Presentation times in decoding order, each P-frame before the B-frames between it and the one before."""
    shown = [0]
    for anchor in range(between + 1, count, between + 1):
        shown += [anchor, *range(anchor - between, anchor)]
    return shown


def test_order_of_decoding() -> None:
    assert is_in_order(np.arange(100), FRAME, reorders=False)
    for between in (1, 3, 16):
        assert is_in_order(np.array(b_frames(200, between)), FRAME, reorders=True)
        assert not is_in_order(np.array(b_frames(200, between)), FRAME, reorders=False)
    for place, stamp in ((100, 30), (100, 190), (60, HOUR), (199, HOUR)):
        damaged = 2 * np.arange(200)
        damaged[place] = 2 * stamp + 1
        for reorders in (False, True):
            assert not is_in_order(damaged, FRAME / 2, reorders)


def test_rates_that_are_none() -> None:
    assert usable_rate(None, 0.0, 1000.0, float(Fraction(30000, 1001))) == pytest.approx(29.97, abs=0.001)
    assert usable_rate(90_000.0, None) is None
