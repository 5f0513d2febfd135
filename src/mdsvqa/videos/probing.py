"""Opening a video file, what its header says, and why it cannot be used."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mdsvqa.videos.about import NOTHING, About, about_file, about_frame, pixel_shape
from mdsvqa.videos.folder import plain_name
from mdsvqa.videos.orientation import orientation_of
from mdsvqa.videos.streams import count_packets, find_film
from mdsvqa.videos.wholeness import is_cut_off

# What the first four bytes of an MP4 or MOV file may be preceded by a length and be.
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_INDEX_CUT = "truncated: the MP4 index (moov) is missing or cut"
# What a damaged file can raise. PyAV raises some errors of its own as ValueError or OSError, an IndexError at the end
# of a file in which streams appear on the way; a damaged size asks for more memory than there is.
DECODING_ERRORS = (FFmpegError, OSError, ValueError, IndexError, MemoryError)


class Undecodable(Exception):
    """A video that gives no frames.

    Attributes:
        path: of the file, or the id of a video without one.
        reason: why, in a few words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        # It may quote the name of a file, and becomes a cell of a table.
        self.reason = plain_name(reason)

    def __str__(self) -> str:
        return f"{plain_name(str(self.path))}: {self.reason}"


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video file and its first frame say.

    Attributes:
        width, height: of the picture in pixels as stored, after rotation; `about.sar` says whether they are square.
        fps: mean frame rate in Hz, None when the file does not say.
        duration: in seconds, None when the file does not say.
        frames: how many there are, None when the header does not say.
        codec: name of the codec, as FFmpeg calls it.
        pix_fmt: name of the pixel format, as FFmpeg calls it.
        rotation: 0, 90, 180 or 270 degrees by which players turn the stored picture counterclockwise.
        about: the file, and what its pictures are.
        mirrored: whether they mirror it left to right before they turn it.
    """

    width: int
    height: int
    fps: float | None
    duration: float | None
    frames: int | None
    codec: str
    pix_fmt: str | None
    rotation: int
    about: About = NOTHING
    mirrored: bool = False


def probe(path: Path) -> VideoInfo:
    """What a video file says of itself; decodes one frame, because only frames carry the rotation.

    Raises:
        Undecodable: the file is no video, or its first frame cannot be decoded.
    """
    with open_video(path) as (container, stream):
        frame = _first_frame(container, stream)
        if frame is None:
            raise Undecodable(path, f"no frame could be decoded (codec {stream.codec_context.name})")
        orientation = orientation_of(frame)
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            width=frame.height if orientation.sideways else frame.width,
            height=frame.width if orientation.sideways else frame.height,
            fps=float(rate) if rate else None,
            duration=stated_duration(container, stream),
            frames=stream.frames or None,
            codec=stream.codec_context.name,
            pix_fmt=frame.format.name,
            rotation=90 * orientation.turns,
            about=about_frame(frame, pixel_shape(stream), 90 * orientation.turns).of(about_file(path)),
            mirrored=orientation.mirrored,
        )


# Decoders that see what FFmpeg's own do not: the transparency that these codecs keep in a stream beside the pictures.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def decoder_of(stream: VideoStream) -> Callable[["Packet[VideoStream] | None"], Sequence[VideoFrame]]:
    """What makes frames of the packets of a stream, and at the end, of None, those that it still holds."""
    name = _WITH_ALPHA.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.decode
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = stream.codec_context.thread_count
    # An empty packet ends the decoding, as with a stream's own decoder.
    return lambda packet: decoder.decode(packet if packet is not None and packet.size else None)


@contextmanager
def open_video(path: Path, threads: int = 1, index: int | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and its main video stream.

    Args:
        path: of a local file.
        threads: for decoding, 0 for one a core.
        index: of the stream, where it is known; else it is looked for, see `find_film`.

    Yields:
        The container and the stream.

    Raises:
        Undecodable: the file is no video. FFmpeg errors in the body of the with statement become Undecodable.
    """
    check_file(path)
    try:
        opened = _open(path)
    except DECODING_ERRORS as error:
        raise Undecodable(path, _why_not_opened(path, error)) from error
    with opened as container:
        stream = _video_stream(path, container, index)
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "SLICE" if threads == 1 else "AUTO"
        try:
            yield container, stream
        except DECODING_ERRORS as error:
            raise Undecodable(path, f"damaged: {_words(error)}") from error


def _open(path: Path) -> InputContainer:
    # An absolute path cannot be taken for a protocol, and a playlist called .mp4 must not reach the network.
    return av.open(str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace")


def stated_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of video that the header promises, the shorter where stream and container disagree; None if silent."""
    stated = []
    if stream.duration and stream.time_base:
        stated.append(float(stream.duration * stream.time_base))
    if container.duration:
        stated.append(container.duration / av.time_base)
    return min(stated, default=None)


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    decode = decoder_of(stream)
    for packet in container.demux(stream):
        try:
            frames = decode(packet)
        except InvalidDataError:
            continue  # recordings may start in the middle of a group of pictures
        if frames:
            return frames[0]
    return None


def check_file(path: Path) -> None:
    """Raises Undecodable when a path is no file that can be read, or an empty one."""
    if path.is_dir():
        raise Undecodable(path, "a folder, not a file")
    if not path.exists():
        raise Undecodable(path, "file not found")
    if not path.is_file():
        raise Undecodable(path, "not a regular file")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise Undecodable(path, "empty file (0 bytes)")
    except OSError as error:
        raise Undecodable(path, f"cannot be read: {_words(error)}") from error


def _video_stream(path: Path, container: InputContainer, index: int | None) -> VideoStream:
    kinds = sorted({stream.type for stream in container.streams})
    if not kinds:
        raise Undecodable(path, "truncated: the header names no stream")
    stream = find_film(container, lambda: _count(path)) if index is None else container.streams[index]
    usable = isinstance(stream, VideoStream) and stream.codec_context is not None
    if not usable and container.format.name.startswith("mov") and is_cut_off(path, container.format.name):
        raise Undecodable(path, _INDEX_CUT)
    if not isinstance(stream, VideoStream):
        pictures = " and a cover picture" if "video" in kinds else ""
        found = " and ".join(kind for kind in kinds if kind != "video")
        raise Undecodable(path, f"no video stream ({found or 'nothing'} only{pictures})")
    if stream.codec_context is None:
        raise Undecodable(path, "no decoder for the codec of the video stream")
    # The _pipe formats are single pictures (png_pipe, jpeg_pipe).
    if container.format.name.endswith("_pipe") or container.format.name.startswith("image2"):
        raise Undecodable(path, f"not a video: a still picture ({stream.codec_context.name})")
    return stream


def _count(path: Path) -> Counter[int]:
    counted: Counter[int] = Counter()
    with suppress(*DECODING_ERRORS), _open(path) as container:
        count_packets(container, counted)
    return counted


def _why_not_opened(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in _MP4_ATOMS:
        return _INDEX_CUT
    if head.startswith((b"\x1aE\xdf\xa3", b"RIFF", b"FLV")):
        return "damaged: the header cannot be read"
    return f"not a video: no known container format ({_words(error)})"


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
