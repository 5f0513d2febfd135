"""What a file is and how its pictures are to be shown: the columns that tell it, and what is unusual of many."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# Names by ITU-T H.273, tables 3 and 2, spelled as FFmpeg spells them.
TRANSFERS = {
    **{1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316"},
    **{11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084"},
    **{17: "smpte428", 18: "arib-std-b67"},
}
PRIMARIES = {
    **{1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428"},
    **{11: "smpte431", 12: "smpte432", 22: "ebu3213"},
}
RANGES = {1: "tv", 2: "pc"}
HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
# No display ever had pixels that are more than this many times as long as they are wide: a damaged header says so.
_MOST_SAR = 4


@dataclass(frozen=True)
class About:
    """A file, and how its pictures are to be shown; None where nobody says.

    Attributes:
        size: in bytes.
        mtime: when it was last changed, in ns since 1970; None of an object in a store.
        transfer, primaries, range: as FFmpeg calls them: smpte2084 (PQ), arib-std-b67 (HLG), bt2020, tv, pc.
        sar: width to height of a pixel, such as "16:15".
        interlaced: whether one of the frames that were looked at is.
        rotation: 0, 90, 180 or 270 degrees by which players turn the stored picture counterclockwise.
        etag: of an object in a store, which changes with its content.
    """

    size: int | None = None
    mtime: int | None = None
    transfer: str | None = None
    primaries: str | None = None
    range: str | None = None
    sar: str | None = None
    interlaced: bool | None = None
    rotation: int | None = None
    etag: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As a row of a result has them."""
        return asdict(self)

    @property
    def hdr(self) -> str | None:
        """PQ, HLG, or None for any other transfer."""
        return HDR.get(self.transfer or "")

    def of(self, file: "About") -> "About":
        """The same pictures in a file."""
        return replace(self, size=file.size, mtime=file.mtime, etag=file.etag)


NOTHING = About()


def about_file(path: Path | None) -> About:
    """Size and time of change of a file, as far as there is one."""
    try:
        state = None if path is None else path.stat()
    except (OSError, ValueError):
        state = None
    return NOTHING if state is None else About(size=state.st_size, mtime=state.st_mtime_ns)


def about_frame(frame: VideoFrame, sar: Fraction | None, rotation: int) -> About:
    """What a decoded frame says of the pictures of its video.

    Args:
        frame: any.
        sar: of its stream, see `pixel_shape`.
        rotation: in degrees.
    """
    return About(
        transfer=TRANSFERS.get(int(frame.color_trc)),
        primaries=PRIMARIES.get(int(frame.color_primaries)),
        # RGB has no other than the full one.
        range=None if frame.format.is_rgb else RANGES.get(int(frame.color_range)),
        sar=None if sar is None else f"{sar.numerator}:{sar.denominator}",
        interlaced=bool(frame.interlaced_frame),
        rotation=rotation,
    )


def pixel_shape(stream: VideoStream) -> Fraction | None:
    """Width to height of the pixels of a stream: its container's word before its codec's; None where neither says."""
    for stated in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if stated:
            return Fraction(stated)
    return None


def has_padding(stream: VideoStream) -> bool:
    """Whether what FFmpeg takes for transparency is padding: the fourth byte of a pixel of an uncompressed AVI.

    Source: BITMAPINFOHEADER of the Windows API: of 32 bits with BI_RGB "the high byte in each DWORD is not used".
    """
    return stream.codec_context.name == "rawvideo" and stream.container.format.name == "avi"


def squared_size(width: int, height: int, sar: Fraction | None) -> tuple[int, int]:
    """Width and height of a stored picture on square pixels: as many lines, the width that they are shown at.

    >>> squared_size(720, 576, Fraction(16, 15)), squared_size(720, 480, Fraction(8, 9))
    ((768, 576), (640, 480))
    >>> squared_size(720, 576, None), squared_size(720, 576, Fraction(1, 1000))  # nobody says, and nonsense
    ((720, 576), (720, 576))
    """
    if sar is None or not Fraction(1, _MOST_SAR) <= sar <= _MOST_SAR:
        return width, height
    return max(1, round(width * sar)), height


def unusual(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many of some videos are HDR, and so on; only what there is.

    Args:
        rows: with the columns of `About`, null or absent where they are not known.

    >>> unusual([{"transfer": "smpte2084", "sar": "1:1"}, {"transfer": "arib-std-b67", "sar": "4:3"}, {}])
    {'HDR': 2, 'PQ': 1, 'HLG': 1, 'not square': 1}
    """
    found: Counter[str] = Counter()
    for row in rows:
        kind = HDR.get(row.get("transfer") or "")
        found.update(
            {
                "HDR": kind is not None,
                "PQ": kind == "PQ",
                "HLG": kind == "HLG",
                "interlaced": bool(row.get("interlaced")),
                "not square": row.get("sar") not in (None, "1:1"),
                "full range": row.get("range") == "pc",
                "rotated": bool(row.get("rotation")),
            }
        )
    return {name: count for name, count in found.items() if count}


def sentences(found: Mapping[str, int], hdr: str, deinterlace: str) -> list[str]:
    """What of `unusual` changes what a model sees, one line each.

    Args:
        found: counts.
        hdr, deinterlace: what was done with them; see `ViewSettings`.
    """
    said = []
    if found.get("HDR"):
        kinds = ", ".join(f"{kind} {found[kind]}" for kind in ("PQ", "HLG") if found.get(kind))
        done = "tone-mapped to SDR" if hdr == "tonemap" else "read by their code values as if they were SDR (hdr: keep)"
        said.append(f"HDR: {found['HDR']} ({kinds}), {done}")
    if found.get("interlaced"):
        done = "deinterlaced" if deinterlace != "none" else "read with both fields in one picture (deinterlace: none)"
        said.append(f"Interlaced: {found['interlaced']}, {done}")
    return said


NAMES = tuple(field.name for field in fields(About))
