"""Which files of a folder are videos, what they are called, and which are passed over."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mdsvqa.runtime.cells import tidy
from mdsvqa.runtime.places import Place, Remote
from mdsvqa.runtime.stores import NoObjectError, StoreError, files_below

VIDEO_EXTENSIONS = frozenset(
    """.264 .265 .3g2 .3gp .apng .asf .av1 .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m1v .m2t .m2ts .m2v
    .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .obu .ogm .ogv .qt .rm .rmvb .ts .vob .webm .webp .wmv
    .y4m""".split()  # noqa: SIM905
)
# Of raw video, which nobody can read who is not told how large its pictures are.
RAW_ENDINGS = frozenset((".yuv", ".raw", ".rgb", ".bgr", ".nv12", ".i420", ".uyvy"))
# Kinds of characters that no line of a table or a terminal can show: controls, halves of pairs (which stand for bytes
# that are not UTF-8), ends of lines and paragraphs.
_HIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_MOST_NAMED = 8


@dataclass(frozen=True)
class Listing:
    """The files below a folder.

    Attributes:
        videos: paths or addresses by id, sorted by id.
        passed_over: how many files of each other ending there are; "" for none.
    """

    videos: Mapping[str, Place]
    passed_over: Counter[str]


def list_folder(folder: Path) -> Listing:
    """The files of a folder and the folders below it.

    Hidden files and folders are skipped, links to folders are not followed. The id of a video is its path from the
    folder, with forward slashes and without white space around it, which is lost wherever tables are read; what of it
    is not UTF-8 or a control character is escaped, see `plain_name`.
    """
    root = folder.absolute()
    found: list[tuple[str, Place]] = []
    passed_over: Counter[str] = Counter()
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if name.startswith(".") or not path.is_file():
                continue
            ending = path.suffix.lower()
            if ending in VIDEO_EXTENSIONS:
                found.append((path.relative_to(root).as_posix(), path))
            else:
                passed_over[ending] += 1
    return Listing(_by_id(found), passed_over)


def list_store(folder: Remote) -> Listing:
    """The objects of a store whose addresses begin with a folder's, as `list_folder` has files.

    Raises:
        StoreError: nothing is there, or the store cannot be read.
    """
    try:
        files = files_below(folder)
    except NoObjectError as error:
        raise StoreError(f"{folder}: {error}; expected a folder of videos, or a manifest in a store.") from None
    found: list[tuple[str, Place]] = []
    passed_over: Counter[str] = Counter()
    for place in files:
        name = place.url[len(folder.url.rstrip("/")) :].lstrip("/") or place.name
        if any(part.startswith(".") for part in name.split("/")) or name.endswith("/"):
            continue
        ending = place.suffix.lower()
        if ending in VIDEO_EXTENSIONS:
            found.append((name, place))
        else:
            passed_over[ending] += 1
    return Listing(_by_id(found), passed_over)


def _by_id(found: Iterable[tuple[str, Place]]) -> dict[str, Place]:
    videos: dict[str, Place] = {}
    # Names that can stay as they are come first: an escaped one must not take the name of another.
    for name, path in sorted(found, key=lambda pair: (plain_name(pair[0]) != pair[0], pair[0])):
        id = next(each for each in _numbered(tidy(plain_name(name))) if each not in videos)
        videos[id] = path
    return dict(sorted(videos.items()))


def plain_name(name: str, *, edges: bool = False) -> str:
    r"""A name as a table and a terminal can hold it: what is no character, or a hidden one, as \x and \u.

    Args:
        name: with surrogates in place of bytes that are not UTF-8, as Python reads names of files.
        edges: also white space at its ends, which is lost wherever tables are read.

    >>> plain_name("caf\udce9.mp4"), plain_name("two\nlines.mp4"), plain_name("é.mp4")
    ('caf\\xe9.mp4', 'two\\x0alines.mp4', 'é.mp4')
    """
    kept = tidy(name) if edges else name
    start = name.index(kept)
    ends = [*map(_escaped, name[:start]), *map(_plain, kept), *map(_escaped, name[start + len(kept) :])]
    return "".join(ends)


def _plain(character: str) -> str:
    return _escaped(character) if unicodedata.category(character) in _HIDDEN else character


def _escaped(character: str) -> str:
    code = ord(character)
    # U+DC80 to U+DCFF: a byte that is not UTF-8 (PEP 383).
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def named_file(path: Path) -> Path:
    r"""The file of an escaped name, where there is none of the name as it is written.

    Args:
        path: as a table has it; see `plain_name`.
    """
    if "\\" not in str(path) or path.exists():
        return path
    raw = Path(_ESCAPE.sub(_unescaped, str(path)))
    return raw if raw.exists() else path


def _unescaped(match: "re.Match[str]") -> str:
    if match[2]:
        return chr(int(match[2], 16))
    code = int(match[1], 16)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def _numbered(name: str) -> Iterator[str]:
    """A name, then others in its place.

    >>> numbered = _numbered("a.mp4")
    >>> next(numbered), next(numbered), next(numbered)
    ('a.mp4', 'a.mp4 (2)', 'a.mp4 (3)')
    """
    yield name
    number = 2
    while True:
        yield f"{name} ({number})"
        number += 1


def said_of_passed_over(passed_over: Counter[str]) -> str:
    """One line about files that are no videos by their ending; empty where there are none.

    >>> said_of_passed_over(Counter({".yuv": 12, ".txt": 1, "": 1}))
    '14 files ignored: .yuv (12), .txt (1), without ending (1). Raw video is read from a manifest with width, height, pix_fmt and fps.'
    """  # noqa: E501
    if not passed_over:
        return ""
    ranked = sorted(passed_over.items(), key=lambda pair: (-pair[1], not pair[0], pair[0]))
    named = [f"{plain_name(ending) or 'without ending'} ({count})" for ending, count in ranked[:_MOST_NAMED]]
    others = sum(count for _, count in ranked[_MOST_NAMED:])
    named += [f"others ({others})"] if others else []
    total = sum(passed_over.values())
    said = f"{total} {'file' if total == 1 else 'files'} ignored: {', '.join(named)}"
    raw = any(ending in RAW_ENDINGS for ending in passed_over)
    return said + (". Raw video is read from a manifest with width, height, pix_fmt and fps." if raw else "")
