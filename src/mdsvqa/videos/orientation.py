"""How a stored picture is turned and mirrored on display."""

import gc
import struct
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)
# Rows of three numbers; those of the last column have other units, and only perspective uses them.
_MATRIX = struct.Struct("9i")


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a picture can lie: mirrored left to right or not, and then turned.

    Attributes:
        turns: by 90 degrees counterclockwise, 0 to 3.
        mirrored: left to right, before it is turned.
    """

    turns: int = 0
    mirrored: bool = False

    @property
    def sideways(self) -> bool:
        """Whether width and height change places."""
        return self.turns % 2 == 1

    def upright(self, plane: NDArray[Number]) -> NDArray[Number]:
        """A view of a plane as it is shown.

        Args:
            plane: as stored, shape (H, W).

        >>> Orientation(1, mirrored=True).upright(np.array([[1, 2, 3], [4, 5, 6]])).tolist()
        [[1, 4], [2, 5], [3, 6]]
        """
        return np.rot90(plane[:, ::-1] if self.mirrored else plane, self.turns)

    def part_of(self, width: int, height: int, rows: slice, columns: slice) -> tuple[int, int, int, int]:
        """Where a part of the picture that is shown lies in the one that is stored.

        Args:
            width, height: of the stored picture.
            rows, columns: of the upright one.

        Returns:
            Left, top, width and height.

        >>> Orientation(1).part_of(100, 50, slice(0, 10), slice(20, 25))
        (90, 20, 10, 5)
        """
        rows_of, columns_of = np.ogrid[:height, :width]
        (left, right), (top, bottom) = (
            sorted(self.upright(np.broadcast_to(axis, (height, width)))[rows, columns][[0, -1], [0, -1]].tolist())
            for axis in (columns_of, rows_of)
        )
        return left, top, right - left + 1, bottom - top + 1


class Orientations:
    """The orientations of the frames of a video, most of them by what was read from the first one.

    A frame of which it is read stays in memory until Python looks for cycles: of 8K that is 50 MB each.
    """

    def __init__(self) -> None:
        self._known: dict[int, Orientation] = {}
        self._held: int | None = None

    def of(self, frame: VideoFrame) -> Orientation:
        """As `orientation_of`, as long as frames that are turned by as much are mirrored or not alike."""
        if self._held not in (None, id(frame)):
            self._held = None
            gc.collect(1)
        if frame.rotation not in self._known:
            self._known[frame.rotation] = orientation_of(frame)
            self._held = id(frame)
        return self._known[frame.rotation]


def orientation_of(frame: VideoFrame) -> Orientation:
    """As the display matrix of a frame says; upright without one."""
    stated = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(stated, SideData) or len(content := bytes(stated)) < _MATRIX.size:
        return Orientation()
    a, b, _, c, d, *_ = _MATRIX.unpack_from(content)
    return nearest_orientation(a, b, c, d)


def nearest_orientation(a: float, b: float, c: float, d: float) -> Orientation:
    """The orientation nearest to a display matrix, which takes (x, y) to (a x + c y, b x + d y), y downwards.

    A matrix without an inverse, as some files hold it, says nothing: upright.

    Source: ISO/IEC 14496-12, 8.3.2.

    >>> nearest_orientation(0, 1, -1, 0)  # clockwise, as phones write it that are held upright
    Orientation(turns=3, mirrored=False)
    >>> nearest_orientation(1, 0, 0, -1)  # upside down, but not turned
    Orientation(turns=2, mirrored=True)
    """
    determinant = a * d - b * c
    if determinant == 0:
        return Orientation()
    mirrored = determinant < 0
    if mirrored:
        # Of a matrix that mirrors first, (-x, y), what is left is a turn.
        a, b = -a, -b
    # A turn by t counterclockwise is a = d = cos t, c = -b = sin t; shear and scale leave their mean.
    angle = np.degrees(np.arctan2(c - b, a + d))
    return Orientation(round(angle / 90) % 4, mirrored)
