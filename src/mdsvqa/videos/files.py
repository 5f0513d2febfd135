"""Are the files of a manifest there? Asked before hours of decoding."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place, Remote, place_of
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.spool import remove_leftovers
from mdsvqa.runtime.words import counted
from mdsvqa.videos.local_files import about_places
from mdsvqa.videos.video import Video

# Objects of a store that are asked for: a key or an address that is wrong is wrong for all of them.
_ASKED = 16


def check_files(manifest: Place | str, videos: Sequence[Video], show: Show) -> None:
    """Says which videos have no file where their path leads; the others can be used.

    Of a store some objects are asked for, from the first to the last one. Copies that a killed run left are removed.

    Args:
        manifest: where they are listed.
        videos: those without any path are not looked at.
        show: hears how many are not there, with an example.

    Raises:
        InputError: not one is there.
        StoreError: a store refuses the key, or cannot be reached.
    """
    places = [(video.id, video.path) for video in videos if video.path is not None]
    missing: list[tuple[str, Place]]
    missing = [(id, path) for id, path in places if isinstance(path, Path) and not _is_there(path)]
    objects = {id: path for id, path in places if isinstance(path, Remote)}
    asked = _some_of_each_store(objects)
    there = about_places(asked)
    gone = [(id, path) for id, path in asked.items() if id not in there]
    if objects:
        remove_leftovers()
    looked, missing = len(places) - len(objects) + len(asked), [*missing, *gone]
    if not missing:
        return
    first, path = missing[0]
    where = f"{path.absolute() if isinstance(path, Path) else path} (id {first!r})"
    if len(missing) == looked:
        some = f"{looked} that were asked for" if looked < len(places) else f"its {looked} files"
        raise InputError(
            f"{place_of(manifest)}: not one of {some} is there; looked for {where}. A relative path counts from "
            "the folder of the manifest, or from the one named for its videos."
        )
    verb = "is" if len(missing) == 1 else "are"
    show.note(f"{place_of(manifest)}: {len(missing)} of {counted(looked, 'file')} {verb} not there, such as {where}")


def _some_of_each_store(objects: Mapping[str, Remote]) -> dict[str, Remote]:
    stores: dict[str, list[str]] = {}
    for id, place in objects.items():
        stores.setdefault(place.store, []).append(id)
    picks = (ids[round(n * (len(ids) - 1) / (_ASKED - 1))] for ids in stores.values() for n in range(_ASKED))
    return {id: objects[id] for id in picks}


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # A name that is too long, or holds a null character.
        return False
