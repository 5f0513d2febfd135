"""Are the files of a manifest there? Asked before hours of decoding."""

from collections.abc import Sequence
from pathlib import Path

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.words import counted
from mdsvqa.videos.video import Video


def check_files(manifest: Path, videos: Sequence[Video], show: Show) -> None:
    """Says which videos have no file where their path leads; the others can be used.

    Args:
        manifest: where they are listed.
        videos: those without any path are not looked at.
        show: hears how many are not there, with an example.

    Raises:
        InputError: not one is there.
    """
    listed = [video for video in videos if video.path is not None]
    missing = [video for video in listed if not _is_there(video.path)]
    if not missing:
        return
    first = missing[0]
    assert first.path is not None
    where = f"{first.path.absolute()} (id {first.id!r})"
    if len(missing) == len(listed):
        raise InputError(
            f"{manifest}: not one of its {len(listed)} files is there; looked for {where}. A relative path counts from "
            "the folder of the manifest, or from the one named for its videos."
        )
    verb = "is" if len(missing) == 1 else "are"
    show.note(f"{manifest}: {len(missing)} of {counted(len(listed), 'file')} {verb} not there, such as {where}")


def _is_there(path: Path | None) -> bool:
    try:
        return path is not None and path.exists()
    except (OSError, ValueError):
        # A name that is too long, or holds a null character.
        return False
