"""Which of the video streams of a file is the film, and which are covers, previews and thumbnails."""

from collections import Counter
from collections.abc import Callable, Mapping

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

# Packets of one stream after which counting stops: enough to tell a film from thumbnails.
_ENOUGH = 1000
# A stream with less than this share of another one's frames is no film.
_FEW = 0.1
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def find_film(container: InputContainer, count: Callable[[], Mapping[int, int]]) -> VideoStream | None:
    """The stream with the moving picture, None where there are only pictures attached to sound.

    The number of frames decides, since files flag their streams as they like: a single frame, or hardly any beside
    those of another stream, is no film. Among films it is the one that FFmpeg holds for the best.

    Args:
        container: freshly opened.
        count: counts the packets of each stream, by its index; called where the header does not tell.
    """
    streams = list(container.streams.video)
    flagged = [stream.index for stream in streams if stream.disposition & _PICTURES]
    if len(streams) < 2 and not flagged:
        return streams[0] if streams else None
    frames = {stream.index: stream.frames for stream in streams}
    if not all(frames.values()):
        frames = dict(count())
    most = max(frames.get(stream.index, 0) for stream in streams)
    films = [stream for stream in streams if frames.get(stream.index, 0) >= max(2, _FEW * most)]
    films = films or [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    films = [stream for stream in films if stream.index not in flagged] or films
    # A film that cannot be decoded is no reason to take its thumbnail, but to take another film.
    films = [stream for stream in films if stream.codec_context is not None] or films
    best = container.streams.best("video")
    if best is not None and any(stream.index == best.index for stream in films):
        films = [stream for stream in films if stream.index == best.index]
    return max(films, key=lambda stream: frames.get(stream.index, 0), default=None)


def count_packets(container: InputContainer, counted: Counter[int]) -> None:
    """Counts packets of each video stream, by its index, until one has so many that the rest does not matter."""
    for packet in container.demux(*container.streams.video):
        counted[packet.stream_index] += packet.size > 0
        if counted[packet.stream_index] >= _ENOUGH:
            return
