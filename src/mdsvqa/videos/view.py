"""How the pictures of a video are shown: settings that whoever decodes has in common."""

from typing import Literal

from pydantic import Field

from mdsvqa.runtime.settings import Added, Settings


class ViewSettings(Settings):
    """What is done with pictures that are not made for a plain display."""

    # Models have learned from what such files look like without it; a curve changes scores, so it is asked for.
    hdr: Added[Literal["keep", "tonemap"]] = Field(
        "keep",
        description="Of HDR (PQ, HLG). keep: its code values, as if they were SDR. tonemap: as SDR by ITU-R BT.2408 "
        "and BT.2390, reference white 203 cd/m2.",
    )
    deinterlace: Added[Literal["none", "bwdif"]] = Field(
        "none", description="Of interlaced frames. none: both fields in one picture. bwdif: FFmpeg's filter."
    )

    def view(self) -> "ViewSettings":
        """These alone, where they are part of other settings."""
        return ViewSettings(hdr=self.hdr, deinterlace=self.deinterlace)


PLAIN = ViewSettings()
