"""Videos that are read without FFmpeg's containers, and what any video says of itself."""

from pathlib import Path

from mdsvqa.videos.about import about_file, about_frame
from mdsvqa.videos.folder import RAW_ENDINGS
from mdsvqa.videos.probing import VideoInfo, check_file, probe
from mdsvqa.videos.raw import RawFilm
from mdsvqa.videos.video import RawFormat
from mdsvqa.videos.webp import WebpFilm

Film = RawFilm | WebpFilm


def open_film(path: Path, raw: RawFormat | None = None) -> Film | None:
    """A file that is read without FFmpeg's containers: a raw video, an animated WebP; None for any other.

    Raises:
        Undecodable: it is one of these, and cannot be read.
    """
    ending = path.suffix.lower()
    if ending in RAW_ENDINGS:
        return RawFilm.open(path, raw)
    if ending == ".webp":
        check_file(path)
        return WebpFilm.open(path)
    return None


def look_at(path: Path, raw: RawFormat | None = None) -> VideoInfo:
    """What a video says of itself; see `probe`.

    Args:
        path: of the file.
        raw: the format of a raw video.

    Raises:
        Undecodable: it is no video, or its first frame cannot be decoded.
    """
    film = open_film(path, raw)
    if film is None:
        return probe(path)
    first, count = next(iter(film.frames([0]))), len(film.times)
    codec = "rawvideo" if isinstance(film, RawFilm) else "webp"
    about = about_frame(first, None, 0).of(about_file(path))
    name = first.format.name
    return VideoInfo(first.width, first.height, count / film.duration, film.duration, count, codec, name, 0, about)
