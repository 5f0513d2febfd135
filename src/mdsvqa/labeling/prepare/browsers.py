"""What browsers play as it is: a look at a file, and what stands against sending it untouched."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mdsvqa.videos.about import HDR, TRANSFERS
from mdsvqa.videos.orientation import orientation_of
from mdsvqa.videos.packets import Packets, read_packets
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable, open_video

_CODECS = {"h264": "H.264", "hevc": "HEVC", "vp8": "VP8", "vp9": "VP9", "av1": "AV1", "mpeg4": "MPEG-4 Visual"}
_PLAYED = {"mp4": {"h264", "vp9", "av1"}, "webm": {"vp9", "av1"}}
_SUFFIXES = {"mp4": (".mp4", ".m4v"), "webm": (".webm",)}
_EIGHT_BIT_420 = ("yuv420p", "yuvj420p")
_SOUND = {"aac", "mp3", "opus", "vorbis", "flac"}
# Frames looked at for fields; of a longer file the first ones are like the others.
_LOOKED_AT = 12
# Of timestamps: containers count milliseconds.
_JITTER = 0.0021
_USUAL_RATES = tuple(Fraction(n, d) for n, d in (
    (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1), (90, 1), (120, 1)
))  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What a file is.

    Attributes:
        path: of it.
        width, height: on display, in square pixels.
        frames: how many.
        duration: in seconds.
        rate: frames a second; of a variable rate the nearest usual one to most of its frames.
        kind: "mp4" or "webm" for containers that browsers open, else "".
        codec: as FFmpeg calls it.
        bits: of a sample.
        rotation: degrees counterclockwise on display.
        mirrored: left to right on display, before it is turned.
        aspect: width of a stored pixel over its height.
        interlaced: whether frames hold two fields.
        hdr: "PQ", "HLG" or "".
        sound: codec of the first sound track, "" without.
        against: why it is not sent as it is; empty where it is.
    """

    path: Path
    width: int
    height: int
    frames: int
    duration: float
    rate: Fraction
    kind: str
    codec: str
    bits: int
    rotation: int
    mirrored: bool
    aspect: Fraction
    interlaced: bool
    variable: bool
    hdr: str
    sound: str
    against: tuple[str, ...]


def look_at(path: Path, *, audio: bool = False) -> Look:
    """Looks at a file: its header, all of its packets, and its first frames.

    Args:
        path: of the file.
        audio: whether its sound will be played.

    Raises:
        Undecodable: it is no video, or is not whole.
    """
    with open_video(path) as (container, stream):
        frames = _first_frames(container, stream)
        if not frames:
            raise Undecodable(path, f"no frame could be decoded (codec {stream.codec_context.name})")
        found = _of_header(path, container, stream, frames)
    with open_video(path) as (container, stream):
        packets = read_packets(path, container, stream)
        longest = (container.duration or 0) / 1_000_000
    rate, variable = rate_of(packets)
    return _judged(found, packets, rate, variable, longest, audio)


def _first_frames(container: InputContainer, stream: VideoStream) -> list[VideoFrame]:
    frames: list[VideoFrame] = []
    with suppress(*DECODING_ERRORS):
        frames.extend(islice(container.decode(stream), _LOOKED_AT))
    return frames


def _of_header(path: Path, container: InputContainer, stream: VideoStream, frames: list[VideoFrame]) -> Look:
    first = frames[0]
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    lies = orientation_of(first)
    rotation = 90 * lies.turns
    width = round(first.width * aspect)
    size = (first.height, width) if rotation in (90, 270) else (width, first.height)
    sound = next((t.codec_context.codec.canonical_name for t in container.streams.audio if t.codec_context), "")
    return Look(
        path=path,
        width=size[0],
        height=size[1],
        frames=0,
        duration=0.0,
        rate=Fraction(25),
        kind=container_kind(path, container),
        codec=stream.codec_context.codec.canonical_name,
        bits=max((component.bits for component in first.format.components), default=8),
        rotation=rotation,
        mirrored=lies.mirrored,
        aspect=aspect,
        interlaced=any(frame.interlaced_frame for frame in frames),
        variable=False,
        hdr=HDR.get(TRANSFERS.get(int(first.color_trc or 0), ""), ""),
        sound=sound,
        against=_against_picture(first.format.name),
    )


def _against_picture(pix_fmt: str) -> tuple[str, ...]:
    if pix_fmt in _EIGHT_BIT_420:
        return ()
    chroma = next((f"4:{c[1]}:{c[2]}" for c in ("422", "444", "440", "411", "410") if c in pix_fmt), "")
    return (chroma or f"pixel format {pix_fmt}",)


def container_kind(path: Path, container: InputContainer) -> str:
    """ "mp4" or "webm" where a browser opens such a file under its name, else ""."""
    names = set(container.format.name.split(","))
    kind = ""
    if "mp4" in names and container.metadata.get("major_brand", "").strip() != "qt":
        kind = "mp4"
    elif "webm" in names:
        with path.open("rb") as file:
            # The document type stands in the first header; Matroska says "matroska".
            kind = "webm" if b"webm" in file.read(64) else ""
    return kind if kind and path.suffix.lower() in _SUFFIXES[kind] else ""


def rate_of(packets: Packets) -> tuple[Fraction, bool]:
    """Frames a second, and whether their distances vary.

    Returns:
        The usual rate within 1% of what most frames have, or else that itself.
    """
    if len(packets.times) < 2:
        return Fraction(25), False
    gaps = np.diff(packets.times)
    grid = np.arange(len(packets.times)) * (packets.times[-1] / (len(packets.times) - 1))
    variable = bool(np.abs(packets.times - grid).max() > max(_JITTER, float(packets.tick)))
    found = 1 / float(np.median(gaps)) if variable else (len(packets.times) - 1) / float(packets.times[-1])
    near = min(_USUAL_RATES, key=lambda rate: abs(float(rate) / found - 1))
    return (near if abs(float(near) / found - 1) < 0.01 else Fraction(found).limit_denominator(1001)), variable


def _judged(found: Look, packets: Packets, rate: Fraction, variable: bool, longest: float, audio: bool) -> Look:
    codec = _CODECS.get(found.codec, found.codec)
    against = [
        "" if found.kind else f"container {found.path.suffix or 'without a name'}",
        "" if found.codec in _PLAYED.get(found.kind or "mp4", set()) else codec,
        f"{found.bits} bits" if found.bits > 8 else "",
        *([] if found.bits > 8 and found.against == (f"pixel format yuv420p{found.bits}le",) else found.against),
        "interlaced" if found.interlaced else "",
        f"rotated by {found.rotation} degrees" if found.rotation else "",
        "mirrored" if found.mirrored else "",
        "" if found.aspect == 1 else f"pixels of {found.aspect.numerator}:{found.aspect.denominator}",
        "variable frame rate" if variable else "",
        f"sound in {found.sound}" if found.sound and found.sound not in _SOUND else "",
        "sound outlasts the picture" if longest > packets.duration + 0.5 else "",
    ]
    return Look(
        **{
            **found.__dict__,
            "frames": len(packets.times),
            "duration": packets.duration,
            "rate": rate,
            "variable": variable,
            "against": tuple(reason for reason in against if reason),
        }
    )
