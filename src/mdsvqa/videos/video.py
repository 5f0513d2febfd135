"""A video as a manifest knows it: what it is called, where it is, how people rated it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from mdsvqa.runtime.places import Place

Split = Literal["", "train", "test", "pool"]


@dataclass(frozen=True)
class RawFormat:
    """What the pictures of a raw video are.

    Attributes:
        width, height: in pixels.
        pix_fmt: as FFmpeg calls it, such as yuv420p or yuv420p10le.
        fps: pictures a second.
    """

    width: int
    height: int
    pix_fmt: str
    fps: Fraction

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pix_fmt}"


@dataclass(frozen=True, slots=True)
class Video:
    """One stimulus.

    Attributes:
        id: unique in its manifest, kept as it was written.
        path: of the file, or the address of an object in a store or on a server; None where only scores or features of
            the video exist.
        dataset: the study that its MOS comes from; MOS of different datasets are never compared.
        split: what the video is for, "" when nobody said.
        mos: mean opinion score, on the scale of the manifest unless that was converted.
        mos_std: standard deviation of the ratings behind mos, on the same scale.
        ratings: how many ratings are behind mos.
        raw: of a raw video (.yuv), which does not say it itself.
    """

    id: str
    path: Place | None
    dataset: str = "default"
    split: Split = ""
    mos: float | None = None
    mos_std: float | None = None
    ratings: int | None = None
    raw: RawFormat | None = None
