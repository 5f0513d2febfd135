"""Every video as a file of this machine: whoever opens one asks here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mdsvqa.runtime.places import Place, Remote
from mdsvqa.runtime.stores import NoObjectError, Stamp, copied, look_up, stamps_of
from mdsvqa.videos.about import NOTHING, About, about_file
from mdsvqa.videos.probing import Undecodable


class LocalFile(NamedTuple):
    """A file of this machine.

    Attributes:
        path: of it.
        about: its size and its time of change, or what a store says in place of that.
    """

    path: Path
    about: About


@contextmanager
def local_file(place: Place, id: str) -> Iterator[LocalFile]:
    """A video's file, for as long as the block runs: itself, or a copy of an object, which goes with the block.

    Args:
        place: of the video.
        id: of the video, for messages.

    Raises:
        Undecodable: an object is not there, or cannot be had; of what is wrong with the file within the block, the
            address is the object's.
        StoreError: its store refuses the key, or cannot be reached.
    """
    if isinstance(place, Path):
        # Before it is read: a file that changes meanwhile is seen to have changed by the next run.
        yield LocalFile(place, about_file(place))
        return
    try:
        with copied(place, f"id {id!r}") as (file, stamp):
            yield LocalFile(file, _about_object(stamp))
    except NoObjectError as error:
        raise Undecodable(str(place), str(error)) from error
    except Undecodable as error:
        raise Undecodable(str(place), error.reason) from error


def about_place(place: Place | None, id: str) -> About:
    """Size and time of change or etag of a file or an object, as far as there is one; nothing is copied."""
    if not isinstance(place, Remote):
        return about_file(place)
    try:
        stamp = look_up(place, f"id {id!r}")
    except NoObjectError:
        return NOTHING
    return _about_object(stamp)


def about_places(places: Mapping[str, Place]) -> dict[str, About]:
    """As `about_place`, for many by id; objects are asked for side by side, or listed."""
    found = {id: about_file(place) for id, place in places.items() if isinstance(place, Path)}
    stamps = stamps_of({id: place for id, place in places.items() if isinstance(place, Remote)})
    return found | {id: _about_object(stamp) for id, stamp in stamps.items()}


def _about_object(stamp: Stamp) -> About:
    return About(stamp.size, etag=stamp.etag)
