"""How a manifest is read, where it does not say all by itself."""

from pydantic import Field

from mdsvqa.runtime.column_names import Names
from mdsvqa.runtime.settings import Settings, StudyPath


class ManifestSettings(Settings):
    """What a manifest's columns are called, and where its videos are."""

    id: str | None = Field(None, description="Name the column of the ids, where it has none of the usual names.")
    mos: str | None = Field(None, description="Name the column of the MOS, where it has none of the usual names.")
    videos_folder: StudyPath | None = Field(
        None, description="Look for the videos here, if not beside the manifest; folders below it are searched too."
    )

    @property
    def names(self) -> Names:
        """Of the columns."""
        return Names(self.id, self.mos)
