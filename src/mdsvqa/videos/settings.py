"""How a manifest is read, where it does not say all by itself, and how pictures are shown."""

from pydantic import Field

from mdsvqa.runtime.column_names import Names
from mdsvqa.runtime.settings import Added, Settings, StudyPlace
from mdsvqa.videos.view import Deinterlace, Hdr, View


class ManifestSettings(Settings):
    """What a manifest's columns are called, and where its videos are."""

    id: str | None = Field(None, description="Name the column of the ids, where it has none of the usual names.")
    mos: str | None = Field(None, description="Name the column of the MOS, where it has none of the usual names.")
    videos_folder: StudyPlace | None = Field(
        None,
        description="Look for the videos here (a folder, or s3://bucket/prefix), if not beside the manifest; folders "
        "below it are searched too.",
    )

    @property
    def names(self) -> Names:
        """Of the columns."""
        return Names(self.id, self.mos)


class ViewSettings(Settings):
    """What is done with pictures that are not made for a plain display."""

    # Models have learned from what such files look like without it; a curve changes scores, so it is asked for.
    hdr: Added[Hdr] = Field(
        "keep",
        description="Read HDR (PQ, HLG) so. keep: its code values, as if they were SDR. tonemap: as SDR by ITU-R "
        "BT.2408 and BT.2390, reference white 203 cd/m2.",
    )
    deinterlace: Added[Deinterlace] = Field(
        "none", description="Read interlaced frames so. none: both fields in one picture. bwdif: FFmpeg's filter."
    )

    def view(self) -> View:
        """These alone, where they are part of other settings."""
        return View(self.hdr, self.deinterlace)
