"""Whether a file ends where its container says that it does, or was cut off.

A length in a header is no evidence: muxers copy it from the sound, from what they were cut from, or write it before
they know it. The boxes, elements and tags that a container is made of have sizes of their own, and the last one of a
file that was cut off is not all there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# A download may have been given its full size before its bytes came. No container ends in so many zeros.
_UNFILLED = 4096
# Sizes of an AVI file while it is being written.
_UNFINISHED = (0, 0xFFFFFFFF)
# Headers of AVI and FLV in bytes, of a tag of FLV, and of an object of ASF.
_RIFF, _FLV, _FLV_TAG, _ASF = 8, 13, 11, 24
_HEADER = 65536
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# Elements of Matroska that may be of unknown size, which is written as all ones.
_EBML_OPEN = (0x18538067, 0x1F43B675)
# What top-level boxes are called is printable.
_PRINTABLE = range(0x20, 0x7F)


def is_cut_off(path: Path, container: str) -> bool:
    """Whether bytes are missing at the end of a file; True of containers whose structure does not tell.

    Args:
        path: of the file.
        container: as FFmpeg calls it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _UNFILLED))
        if not any(file.read()):
            return True
        for name, ends in _ENDS.items():
            if container.startswith(name):
                return not ends(file, size)
    return True


def header_seconds(path: Path, container: str) -> float:
    """The length in the header of an AVI or ASF file, which FFmpeg corrects by the bytes that are there; else 0."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if container == "avi" and (found := head.find(b"avih")) >= 0:
        # AVIMAINHEADER: dwMicroSecPerFrame comes first, dwTotalFrames fifth.
        main = head[found + 8 : found + 28]
        return 1e-6 * int.from_bytes(main[:4], "little") * int.from_bytes(main[16:20], "little")
    if container == "asf" and (found := head.find(_FILE_PROPERTIES)) >= 0:
        # ASF specification, 3.2: the time from the start of the clock in 100 ns, of which preroll in ms is not shown.
        played, preroll = (int.from_bytes(head[found + at : found + at + 8], "little") for at in (64, 80))
        return max(0.0, 1e-7 * played - 1e-3 * preroll)
    return 0.0


def is_fragmented(path: Path) -> bool:
    """Whether an MP4 file holds fragments, each with an index of its own."""
    with path.open("rb") as file:
        return any(name == b"moof" for name, _ in _boxes(file, path.stat().st_size))


def _boxes(file: BinaryIO, size: int) -> list[tuple[bytes, int]]:
    """Name and end of each top-level box of an MP4 file (ISO/IEC 14496-12, 4.2), up to what is no box."""
    found = []
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if len(name) == 4 and not all(letter in _PRINTABLE for letter in name):
            break
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - at
        if length < 8:
            break
        at += length
        found.append((name, at))
    return found


def _mp4_ends(file: BinaryIO, size: int) -> bool:
    boxes = _boxes(file, size)
    return bool(boxes) and boxes[-1][1] <= size


def _matroska_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last element ends in the file (RFC 8794, 4 to 6); into those of unknown size it looks."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        id_length = _vint_length(head[:1])
        length = _vint_length(head[id_length : id_length + 1])
        if not id_length or not length or id_length + length > len(head):
            return False
        id = int.from_bytes(head[:id_length], "big")
        unknown = (1 << 7 * length) - 1
        content = int.from_bytes(head[id_length : id_length + length], "big") & unknown
        at += id_length + length
        if content != unknown:
            at += content
        elif id not in _EBML_OPEN:
            return False
    return at <= size


def _vint_length(first: bytes) -> int:
    """Bytes of a number that begins with this one, 0 where none does.

    >>> _vint_length(b"\\x1a")
    4
    """
    return 9 - first[0].bit_length() if first and first[0] else 0


def _riff_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last RIFF chunk ends in the file; large AVI files hold several."""
    at = 0
    while at + _RIFF <= size:
        file.seek(at)
        head = file.read(_RIFF)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF":
            break
        if length in _UNFINISHED:
            return True  # nobody came back to fill in lengths: what stands in their places says nothing
        at += _RIFF + length + length % 2
    # The byte that fills up an odd chunk may be missing.
    return 0 < at <= size + 1


def _asf_ends(file: BinaryIO, size: int) -> bool:
    at = 0
    while at + _ASF <= size:
        file.seek(at + 16)
        length = int.from_bytes(file.read(8), "little")
        if length < _ASF:
            return False
        at += length
    return 0 < at <= size


def _flv_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last tag is all there: its size stands in its head and again behind it."""
    if size < _FLV + _FLV_TAG + 4:
        return False
    file.seek(size - 4)
    length = int.from_bytes(file.read(4), "big")
    start = size - 4 - length
    if length < _FLV_TAG or start < _FLV:
        return False
    file.seek(start + 1)
    return int.from_bytes(file.read(3), "big") + _FLV_TAG == length


_ENDS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mov": _mp4_ends,
    "matroska": _matroska_ends,
    "avi": _riff_ends,
    "asf": _asf_ends,
    "flv": _flv_ends,
}
