import numpy as np
import pytest

from mdsvqa.report.page.content_map import DESK, PHONE, content_map, fit, place_boxes


@pytest.mark.parametrize("seed", range(5))
def test_boxes_stay_on_the_sheet_apart_and_off_the_selected_dots(seed):
    rng = np.random.default_rng(seed)
    anchors, dots = rng.uniform(60, 600, (20, 2)), rng.uniform(0, 660, (300, 2))
    boxes = place_boxes(anchors, np.tile([90.0, 50.0], (20, 1)), dots, (660, 660))
    placed = [box for box in boxes if box is not None]
    assert len(boxes) == 20
    assert len(placed) >= 10
    for index, box in enumerate(placed):
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= 660
        assert box.y + box.height <= 660
        hidden = (anchors > [box.x, box.y]) & (anchors < [box.x + box.width, box.y + box.height])
        assert not hidden.all(axis=1).any()
        for other in placed[:index]:
            apart_x = box.x + box.width < other.x or other.x + other.width < box.x
            apart_y = box.y + box.height < other.y or other.y + other.height < box.y
            assert apart_x or apart_y


def test_a_lone_box_sits_beside_its_dot():
    (box,) = place_boxes(np.array([[300.0, 300.0]]), np.array([[90.0, 50.0]]), np.empty((0, 2)), (600, 600))
    assert box is not None
    assert np.hypot(box.line_x - 300, box.line_y - 300) < 20


def test_no_room_means_no_box():
    boxes = place_boxes(np.array([[20.0, 20.0]]), np.array([[90.0, 50.0]]), np.empty((0, 2)), (40, 40))
    assert boxes == [None]


def test_map_keeps_every_dot_on_the_sheet(pool_of):
    points = pool_of(200, 12, pictures=False)
    places = fit(points, DESK)
    assert (places >= 0).all()
    assert (places <= [DESK.width, DESK.height]).all()
    # The highest y of the data is the top of the screen.
    assert places[:, 1].argmin() == max(range(200), key=lambda index: points[index].y)


@pytest.mark.parametrize("sheet", [DESK, PHONE])
def test_map_draws_all_videos_once(pool_of, sheet):
    pool = pool_of(200, 30, pictures=False)
    selected = [point for point in pool if point.rank]
    drawn = content_map([p for p in pool if not p.rank], selected, [None] * 30, (1.0, 5.0), sheet)
    assert sum(map(len, drawn.dots)) == 170
    assert len(drawn.markers) == 30
    assert sum(marker.box is not None for marker in drawn.markers) <= sheet.shown


def test_videos_in_one_place_still_make_a_map(pool_of):
    pool = [type(point)(point.id, 0.0, 0.0, 3.0) for point in pool_of(5, 0)]
    drawn = content_map(pool, [], [], (3.0, 3.0), DESK)
    assert {(dot.x, dot.y) for step in drawn.dots for dot in step} == {(DESK.width / 2, DESK.height / 2)}
