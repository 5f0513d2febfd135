"""Which videos there are and what is known of them: manifests, folders of videos, MOS on one scale."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

from mdsvqa.runtime.results import write_atomically
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.videos.folder import RAW_ENDINGS, VIDEO_EXTENSIONS, list_folder, plain_name, said_of_passed_over
from mdsvqa.videos.manifest_formats import RAW_COLUMNS, ManifestError, Row, read_rows
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.places import path_of, refuse_scheme
from mdsvqa.videos.raw_columns import raw_cells, raw_format
from mdsvqa.videos.video import Split, Video

__all__ = [
    "ManifestError",
    "MosScale",
    "Split",
    "Video",
    "find_videos",
    "load_videos",
    "read_manifest",
    "write_manifest",
]

_COLUMNS = ("id", "path", "dataset", "split", "mos", "mos_std", "ratings")
_SPLITS = get_args(Split)
_LAST = {".apng", ".gif", ".webp", *RAW_ENDINGS}


def read_manifest(
    path: Path,
    *,
    videos_folder: Path | None = None,
    scale: MosScale | Mapping[str, MosScale] | None = None,
    dataset: str | None = None,
) -> list[Video]:
    """Reads a manifest: CSV (or TSV), JSONL, Parquet, or plain text lines of `name mos [std]`.

    Columns are id (or name), path, dataset, split, mos, mos_std, ratings, and width, height, pix_fmt, fps of raw video
    (.yuv); any others are ignored. A manifest has
    at least an id or a path column. Ids are kept character by character; without an id column they are the names
    of the files without extension. A relative path counts from `videos_folder`, or from the manifest's folder.
    A row without a path has the file in `videos_folder` that is called like its id (with or without extension);
    without `videos_folder`, the file beside the manifest that is called exactly like its id, if there is one.

    Args:
        path: of the manifest; the format follows the extension.
        videos_folder: where the videos are, if not where the manifest is.
        scale: the scale of the ratings in the file, or one for each dataset. When given, mos and mos_std are
            converted to the 1-5 scale.
        dataset: of rows that do not state one, "default" if neither does.

    Returns:
        One `Video` a row, in the order of the file.

    Raises:
        ManifestError: the file or one of its values is wrong; names the file, the row, what was found, what was
            expected.
    """
    columns, rows = read_rows(path)
    if "id" not in columns and "path" not in columns:
        raise ManifestError(
            f"{path}: found the columns {', '.join(columns) or '(none)'}; expected an id (or name) column or a "
            "path column. Rename or add one in the first line."
        )
    if not rows:
        raise ManifestError(f"{path}: found no videos; expected at least one row below the column names.")
    base = (videos_folder or path.parent).absolute()
    videos = [_video(row, base, videos_folder, scale, dataset) for row in rows]
    _check_unique(videos, rows)
    return videos


def find_videos(
    folder: Path, *, dataset: str = "default", note: Callable[[str], None] = lambda text: None
) -> list[Video]:
    """Every video file in a folder and the folders below it, by extension.

    Args:
        folder: to search. Hidden files and folders are skipped, links to folders are not followed.
        dataset: that the videos belong to.
        note: told in one line how many files of which endings are no videos.

    Returns:
        Videos sorted by id, the path relative to the folder with forward slashes and extension; what of it no table
        can hold is escaped (see `plain_name`).

    Raises:
        ManifestError: there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: found no such folder; expected a folder of videos.")
    found = list_folder(folder)
    ignored = said_of_passed_over(found.passed_over)
    if not found.videos:
        raise ManifestError(
            f"{folder}: found no video; expected files ending in {' '.join(sorted(VIDEO_EXTENSIONS))}. "
            f"List files with other endings in a manifest.{f' {ignored}' if ignored else ''}"
        )
    if ignored:
        note(f"{plain_name(str(folder))}: {ignored}")
    return [Video(id, path, dataset) for id, path in found.videos.items()]


def load_videos(
    source: Path,
    *,
    videos_folder: Path | None = None,
    scale: MosScale | Mapping[str, MosScale] | None = None,
    dataset: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> list[Video]:
    """Videos of a manifest file (see `read_manifest`) or of a folder (see `find_videos`).

    Raises:
        ManifestError: source is neither, or what it holds is wrong.
    """
    if not source.exists():
        # A path has lost one of its slashes.
        refuse_scheme(str(source).replace(":/", "://", 1), "videos")
    if source.is_dir():
        return find_videos(source, dataset=dataset or "default", note=note)
    return read_manifest(source, videos_folder=videos_folder, scale=scale, dataset=dataset)


def write_manifest(path: Path, videos: Iterable[Video]) -> None:
    """Writes videos as CSV, at once and whole; `read_manifest` gives the same videos back.

    Args:
        path: of the file to write or replace. Videos in its folder are written with relative paths, so that the
            folder can be moved.
        videos: with unique ids.
    """
    folder, videos = path.absolute().parent, list(videos)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    raw = any(video.raw is not None for video in videos)
    table.writerow([*_COLUMNS, *(RAW_COLUMNS if raw else ())])
    for video in videos:
        cells = [_cell(getattr(video, column), folder) for column in _COLUMNS]
        table.writerow([*cells, *(raw_cells(video) if raw else ())])
    write_atomically(path, text.getvalue().encode("utf-8"))


def _cell(value: object, folder: Path) -> str:
    if value is None:
        return ""
    if isinstance(value, Path):
        absolute = value.absolute()
        inside = absolute.is_relative_to(folder)
        return plain_name(absolute.relative_to(folder).as_posix() if inside else str(absolute))
    # repr keeps every digit of a float.
    return value if isinstance(value, str) else repr(value)


def _video(
    row: Row,
    base: Path,
    videos_folder: Path | None,
    scale: MosScale | Mapping[str, MosScale] | None,
    dataset: str | None,
) -> Video:
    written_path = row.text("path")
    id = row.text("id") if "id" in row.cells else Path(written_path).stem
    if not id.strip():
        missing = "id" if "id" in row.cells else "path"
        raise ManifestError(f"{row.where}: found an empty {missing}; expected a name. Fill it in or drop the row.")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in id):
        raise ManifestError(f"{row.where}: found the id {id!r}; expected characters, and half of a pair is none.")
    where = f"{row.where}, id {id!r}"
    if not written_path and videos_folder is not None:
        refuse_scheme(id, where)
    path = path_of(written_path, base, where) if written_path else _file_named(id, base, videos_folder)
    split = row.text("split")
    if split not in _SPLITS:
        raise ManifestError(f"{row.where}, id {id!r}: found split {split!r}; expected train, test, pool or nothing.")
    mos = _number(row, id, "mos")
    mos_std = _number(row, id, "mos_std")
    if mos_std is not None and mos_std < 0:
        raise ManifestError(f"{row.where}, id {id!r}: found mos_std {mos_std:g}; expected 0 or more.")
    study = row.text("dataset") or dataset or "default"
    if isinstance(scale, Mapping) and mos is not None and study not in scale:
        raise ManifestError(
            f"{row.where}, id {id!r}: found dataset {study!r}; expected one whose MOS scale is stated: "
            f"{', '.join(scale)}."
        )
    scale = scale.get(study) if isinstance(scale, Mapping) else scale
    if scale is not None:
        mos = _convert(row, id, mos, scale.to_five)
        mos_std = _convert(row, id, mos_std, scale.std_to_five)
    return Video(
        id=id,
        path=path,
        dataset=study,
        split=cast(Split, split),
        mos=mos,
        mos_std=mos_std,
        ratings=_count(row, id),
        raw=None if path is None or path.suffix.lower() not in RAW_ENDINGS else raw_format(row, id),
    )


def _number(row: Row, id: str, column: str) -> float | None:
    text = row.text(column).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ManifestError(
            f"{row.where}, id {id!r}: found {column} {text!r}; expected a number. Leave it empty if it is unknown."
        )
    return number


def _count(row: Row, id: str) -> int | None:
    text = row.text("ratings").strip()
    if not text:
        return None
    # isascii, because isdecimal alone accepts the digits of every script.
    if not (text.isascii() and text.isdecimal()):
        raise ManifestError(
            f"{row.where}, id {id!r}: found ratings {text!r}; expected how many people rated it, a whole number."
        )
    return int(text)


def _convert(row: Row, id: str, value: float | None, convert: Callable[[float], float]) -> float | None:
    try:
        return None if value is None else convert(value)
    except ValueError as error:
        raise ManifestError(f"{row.where}, id {id!r}: {error}") from None


def _file_named(id: str, base: Path, videos_folder: Path | None) -> Path | None:
    exact = base / id
    if videos_folder is None:
        return exact if exact.suffix.lower() in {*VIDEO_EXTENSIONS, *RAW_ENDINGS} and exact.is_file() else None
    if exact.is_file():
        return exact
    # Pictures that may lie beside a film of the same name come last.
    endings = sorted({*VIDEO_EXTENSIONS, *RAW_ENDINGS}, key=lambda ending: (ending in _LAST, ending))
    named = [base / f"{id}{ending}" for ending in endings]
    # A video that is not there keeps its path, so that whoever decodes it says which file is missing.
    return next((file for file in named if file.is_file()), exact)


def _check_unique(videos: Sequence[Video], rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for video, row in zip(videos, rows, strict=True):
        earlier = first.setdefault(video.id, row)
        if earlier is not row:
            way_out = "Drop or rename one." if "id" in row.cells else "Add an id column that tells them apart."
            raise ManifestError(
                f"{row.where}: found the id {video.id!r} again, first at {earlier.label}; expected unique "
                f"ids. {way_out}"
            )


def read_videos(
    source: Path, mos_scale: str | Mapping[str, str], note: Callable[[str], None] = lambda text: None
) -> list[Video]:
    """The videos of a manifest or a folder, MOS on the 1-5 scale.

    Args:
        source: manifest or folder.
        mos_scale: of every data set, or by data set.
        note: as `find_videos`.

    Raises:
        ManifestError, ConfigError: the manifest or the scale cannot be used.
    """
    if isinstance(mos_scale, str):
        return load_videos(source, scale=parse_scale(mos_scale), note=note)
    return load_videos(source, scale={name: parse_scale(text) for name, text in mos_scale.items()}, note=note)


def parse_scale(text: str) -> MosScale:
    """A MOS scale of the configuration.

    Raises:
        ConfigError: it is none.
    """
    try:
        return MosScale.parse(text)
    except ValueError as error:
        raise ConfigError(f"MOS scale: {error}") from None
