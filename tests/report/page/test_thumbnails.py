import base64
import io

import numpy as np
import pytest
from PIL import Image

from mdsvqa.report.page.thumbnails import PREFIX, thumbnail, thumbnail_size


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri[len(PREFIX) :])))


def test_middle_frame_is_shown():
    frames = np.zeros((5, 3, 90, 160), dtype=np.uint8)
    frames[2, 0] = 255
    red, green, blue = np.asarray(opened(thumbnail(frames))).reshape(-1, 3).mean(axis=0)
    assert red > 245
    assert max(green, blue) < 10


@pytest.mark.parametrize(
    ("height", "width", "size"), [(1080, 1920, (160, 90)), (1920, 1080, (90, 160)), (40, 60, (60, 40))]
)
def test_longest_side_is_bounded(height, width, size):
    uri = thumbnail(np.zeros((1, 3, height, width), dtype=np.uint8))
    assert opened(uri).size == size
    assert thumbnail_size(uri) == size


@pytest.mark.parametrize(
    "uri",
    [None, "", "https://example.org/x.jpg", "data:text/html,<script>", PREFIX + "????", PREFIX + "AAAA", PREFIX + "é"],
)
def test_anything_but_a_jpeg_has_no_size(uri):
    assert thumbnail_size(uri) is None
