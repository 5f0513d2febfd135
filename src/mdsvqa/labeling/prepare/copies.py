"""Copies that browsers play: H.264 High, 8 bits, 4:2:0, square pixels, upright, progressive, at a constant rate.

CRF 10 is far above what raters tell from the original. Not CRF 0: that is the profile High 4:4:4 Predictive, which
browsers do not play.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from mdsvqa.labeling.prepare.browsers import Look
from mdsvqa.runtime.arrays import Floats
from mdsvqa.videos.colour import picture_channels
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, open_video
from mdsvqa.videos.view import View

CRF = 10
# libx264 without a choice of the user's: the first that is slow enough not to waste bytes.
_PRESET = "medium"
# As ITU-T H.273 numbers matrix, primaries and transfer of BT.709.
_BT709 = 1
_EXACT = Interpolation.LANCZOS | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_TURNS = {90: ["transpose=2"], 180: ["hflip", "vflip"], 270: ["transpose=1"]}


def shown_frames(look: Look, *, filters: Iterable[str] = ()) -> Iterator[VideoFrame]:
    """The pictures of a file as a player shows them, at a constant rate, in the pixel format of the file.

    Args:
        look: at the file.
        filters: of FFmpeg, behind those that the file needs.

    Yields:
        Frames with presentation times 0, 1, 2, ... in units of one over the rate.
    """
    chain = [
        *(["bwdif=mode=send_frame"] if look.interlaced else []),
        *([f"fps={look.rate}"] if look.variable else []),
        *(["hflip"] if look.mirrored else []),
        *_TURNS.get(look.rotation, []),
        *([f"scale={look.width & ~1}:{look.height & ~1}:flags=lanczos+accurate_rnd"] if look.aspect != 1 else []),
        # A side that is odd has no half for chroma: the last line goes.
        *([f"crop={look.width & ~1}:{look.height & ~1}:0:0"] if look.aspect == 1 and _odd(look) else []),
        *filters,
    ]
    number = 0
    with open_video(look.path) as (container, stream):
        for frame in _filtered(container.decode(stream), stream, chain):
            frame.pts, frame.time_base = number, 1 / look.rate
            number += 1
            yield frame


def sdr_frames(look: Look) -> Iterator[VideoFrame]:
    """As `shown_frames`; HDR as red, green and blue of 8 bits, tone-mapped to SDR."""
    reformatter, view = VideoReformatter(), View(hdr="tonemap")
    for frame in shown_frames(look):
        if not look.hdr:
            yield frame
            continue
        channels = picture_channels(reformatter, frame, frame.width, frame.height, view)
        made = VideoFrame.from_ndarray(np.stack(channels, -1), "rgb24")
        made.pts, made.time_base = frame.pts, frame.time_base
        yield made


def _odd(look: Look) -> bool:
    return bool((look.width | look.height) & 1)


def _filtered(frames: Iterable[VideoFrame], stream: VideoStream, chain: list[str]) -> Iterator[VideoFrame]:
    if not chain:
        yield from frames
        return
    graph = Graph()
    place = graph.add_buffer(template=stream, time_base=stream.time_base)
    for each in [*chain, "buffersink"]:
        name, _, arguments = each.partition("=")
        following = graph.add(name, arguments) if arguments else graph.add(name)
        place.link_to(following)
        place = following
    graph.configure()
    for frame in frames:
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.pull()  # type: ignore[misc]
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class Converter:
    """Frames as an 8-bit 4:2:0 encoder takes them."""

    def __init__(self, pix_fmt: str = "yuv420p") -> None:
        self.pix_fmt = pix_fmt
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        settings: dict[str, Any] = {"interpolation": _EXACT, "threads": 1}
        if frame.format.is_rgb:
            settings["dst_colorspace"] = "ITU709"
        made = self._reformatter.reformat(frame, format=self.pix_fmt, **settings)
        if frame.format.is_rgb:
            made.colorspace, made.color_primaries, made.color_trc = _BT709, _BT709, _BT709
        if frame.time_base is not None:
            made.pts, made.time_base = frame.pts, frame.time_base
        return made


def add_picture(
    container: OutputContainer, rate: Fraction, frame: VideoFrame, codec: str, **options: str
) -> VideoStream:
    """A stream for pictures like one of them."""
    stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options))
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = 1
    for name in ("color_primaries", "color_trc", "colorspace", "color_range"):
        value = getattr(frame, name, None)
        if value is not None:
            setattr(stream.codec_context, name, value)
    return stream


def write_copy(look: Look, target: Path, *, audio: bool = False, crf: int = CRF) -> tuple[float | None, int]:
    """Writes a copy that browsers play, at once and whole.

    Args:
        look: at the original.
        target: of the copy; an .mp4.
        audio: whether the sound comes along.
        crf: of the encoder.

    Returns:
        PSNR of luma in dB against the original's pictures as a player shows them (None where all are equal), and how
        many frames the copy has.

    Raises:
        Undecodable: the original breaks off.
    """
    temporary = target.with_name(f"{target.stem}.part.mp4")
    frames = _encode(look, temporary, audio, crf)
    quality = psnr(look, temporary)
    temporary.replace(target)
    return quality, frames


def _encode(look: Look, target: Path, audio: bool, crf: int) -> int:
    convert, stream, count = Converter(), None, 0
    # Faststart needs a path: the muxer reads back what it wrote.
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        sound = _Sound(look, container) if audio and look.sound else None
        for frame in sdr_frames(look):
            made = convert(frame)
            if stream is None:
                stream = add_picture(
                    container, look.rate, made, "libx264", crf=str(crf), preset=_PRESET, profile="high"
                )
            # Key frames are the encoder's choice.
            made.pict_type = 0
            container.mux(stream.encode(made))
            count += 1
        if stream is None:
            raise Undecodable(look.path, f"no frame could be decoded (codec {look.codec})")
        container.mux(stream.encode(None))
        if sound is not None:
            sound.write()
    return count


class _Sound:
    """The sound of an original, as AAC."""

    def __init__(self, look: Look, container: OutputContainer) -> None:
        self._look, self._container = look, container
        self._stream: AudioStream = container.add_stream("aac", rate=48_000, options={"b": "192k"})

    def write(self) -> None:
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=48_000)
        with av.open(str(self._look.path)) as source:
            try:
                for frame in source.decode(audio=0):
                    frame.pts = None
                    for each in resampler.resample(frame):
                        self._container.mux(self._stream.encode(each))
            except DECODING_ERRORS:
                pass  # what is there of the sound is there
        for each in resampler.resample(None):
            self._container.mux(self._stream.encode(each))
        self._container.mux(self._stream.encode(None))


def psnr(look: Look, copy: Path) -> float | None:
    """PSNR of luma in dB over all frames of a copy, against the original's pictures as a player shows them.

    The original counts at its own depth of bits: what rounding to 8 bits costs is in the figure; of HDR its tone-mapped
    pictures count.

    Returns:
        None where no sample differs.
    """
    total, samples = 0.0, 0
    convert = Converter()
    with open_video(copy) as (container, stream):
        for ours, theirs in zip(container.decode(stream), sdr_frames(look), strict=False):
            shown = luma(ours)
            wanted = luma(theirs)
            if wanted is None:
                wanted = luma(convert(theirs))
            assert shown is not None
            assert wanted is not None
            height, width = shown.shape
            total += float(np.square(shown - wanted[:height, :width]).sum())
            samples += shown.size
    if not samples:
        raise Undecodable(copy, "the copy has no frames")
    return None if total == 0 else 10 * math.log10(255**2 * samples / total)


def luma(frame: VideoFrame) -> Floats | None:
    """Luma on the scale of 8 bits, shape (height, width); None for a format in which it does not lie by itself."""
    name = frame.format.name
    if not name.startswith(("yuv", "gray", "nv12", "nv16", "p010", "p210")) or name in ("yuyv422", "yvyu422"):
        return None
    bits = frame.format.components[0].bits
    plane = frame.planes[0]
    kind = np.dtype(np.uint8) if bits == 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    # These two keep their bits at the upper end.
    shift = 16 - bits if name.startswith(("p010", "p210")) else 0
    return rows[: frame.height, : frame.width].astype(np.float64) / 2.0 ** (bits - 8 + shift)
