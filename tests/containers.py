"""Containers written byte by byte, so that they can hold what no muxer would write."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av


@dataclass(frozen=True)
class Coded:
    """A coded picture: its data, the number of the picture in display order, whether decoding can start at it."""

    data: bytes
    number: int
    key: bool


@dataclass(frozen=True)
class Track:
    """A coded video without a container, pictures in decoding order."""

    codec: str
    setup: bytes
    size: tuple[int, int]
    pictures: list[Coded]


_CODECS = {"h264": "V_MPEG4/ISO/AVC", "vp9": "V_VP9", "vp8": "V_VP8", "mpeg4": "V_MPEG4/ISO/ASP", "mjpeg": "V_MJPEG"}


def coded(path: Path) -> Track:
    """The video of a file, its pictures numbered by their time stamps."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        packets = [packet for packet in file.demux(stream) if packet.size]
        order = sorted(packet.pts for packet in packets)
        pictures = [Coded(bytes(packet), order.index(packet.pts), packet.is_keyframe) for packet in packets]
        context = stream.codec_context
        return Track(context.name, context.extradata or b"", (stream.width, stream.height), pictures)


def element(id: int, *content: bytes) -> bytes:
    """An element of Matroska, with a size of eight bytes."""
    body = b"".join(content)
    return id.to_bytes((id.bit_length() + 7) // 8, "big") + struct.pack(">Q", 1 << 56 | len(body)) + body


def number(id: int, value: int) -> bytes:
    return element(id, value.to_bytes(8, "big"))


def write_matroska(
    path: Path,
    track: Track,
    milliseconds: Sequence[int],
    *,
    duration: float | None = None,
    size_known: bool = True,
    more: Iterable[bytes] = (),
) -> Path:
    """A Matroska file whose pictures have any time stamps, without lengths, each in a cluster of its own.

    Args:
        milliseconds: of each picture in display order, 0 or later.
        duration: in milliseconds that the header states.
        size_known: of the segment; live recordings do not know it.
        more: elements behind the header.
    """
    width, height = track.size
    header = element(0x1A45DFA3, number(0x4286, 1), number(0x42F7, 1), element(0x4282, b"matroska"))
    info = number(0x2AD7B1, 1_000_000)
    if duration is not None:
        info += element(0x4489, struct.pack(">d", duration))
    video = element(0xE0, number(0xB0, width), number(0xBA, height))
    entry = number(0xD7, 1) + number(0x73C5, 1) + number(0x83, 1) + element(0x86, _CODECS[track.codec].encode()) + video
    if track.setup:
        entry += element(0x63A2, track.setup)
    clusters = [
        element(
            0x1F43B675,
            number(0xE7, milliseconds[picture.number]),
            element(0xA3, struct.pack(">BhB", 0x81, 0, 0x80 * picture.key) + picture.data),
        )
        for picture in track.pictures
    ]
    content = b"".join([element(0x1549A966, info), element(0x1654AE6B, element(0xAE, entry)), *more, *clusters])
    if size_known:
        path.write_bytes(header + element(0x18538067, content))
    else:
        path.write_bytes(header + b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7 + content)
    return path


_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")


def box(name: bytes, *content: bytes) -> bytes:
    """A box of MP4."""
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + name + body


def replace_boxes(content: bytes, new: Mapping[bytes, bytes | Callable[[bytes], bytes]]) -> bytes:
    """The boxes of an MP4 file, its index behind its pictures, with others in the places of some of them.

    Args:
        content: of the file.
        new: by the name of the box, the content instead, or what makes it of the content that is there.
    """
    made = b""
    while content:
        length, name = struct.unpack(">I4s", content[:8])
        inside, content = content[8:length], content[length:]
        if name in new:
            change = new[name]
            inside = change if isinstance(change, bytes) else change(inside)
        elif name in _PARENTS:
            inside = replace_boxes(inside, new)
        made += box(name, inside)
    return made


def edit_list(*edits: tuple[int, int, float]) -> bytes:
    """The content of an `elst` box.

    Args:
        edits: length in ticks of the movie (1/1000 s, as FFmpeg writes it), start in ticks of the track or -1 for
            nothing to see, and rate.
    """
    entries = (struct.pack(">iii", length, start, round(rate * 65536)) for length, start, rate in edits)
    return struct.pack(">II", 0, len(edits)) + b"".join(entries)


def display_matrix(a: float, b: float, c: float, d: float) -> Callable[[bytes], bytes]:
    """What puts a matrix into a track header, which takes (x, y) to (a x + c y, b x + d y), y downwards."""
    numbers = (round(a * 65536), round(b * 65536), 0, round(c * 65536), round(d * 65536), 0, 0, 0, 1 << 30)
    return lambda inside: inside[:40] + struct.pack(">9i", *numbers) + inside[76:]
