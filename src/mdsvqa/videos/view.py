"""How the pictures of a video are shown."""

from dataclasses import dataclass
from typing import Literal

Hdr = Literal["keep", "tonemap"]
Deinterlace = Literal["none", "bwdif"]
Chroma = Literal["full", "reference"]


@dataclass(frozen=True)
class View:
    """What is done with pictures that are not made for a plain display; see `ViewSettings`.

    Attributes:
        hdr: keep the code values of PQ and HLG, or tone-map them to SDR.
        deinterlace: none, or FFmpeg's filter.
        chroma: brought to the full resolution by interpolation, or as decord and PyAV leave it, whose pictures models
            were trained on: without interpolation and with less care for rounding.
    """

    hdr: Hdr = "keep"
    deinterlace: Deinterlace = "none"
    chroma: Chroma = "full"

    def record(self) -> dict[str, str]:
        """As it stands in the record of what made a result: what is not at its default.

        >>> View().record(), View(hdr="tonemap").record()
        ({}, {'hdr': 'tonemap'})
        """
        return {name: value for name, value in vars(self).items() if value != getattr(PLAIN, name)}


PLAIN = View()
