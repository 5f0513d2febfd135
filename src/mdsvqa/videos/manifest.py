"""Which videos there are and what is known of them: manifests, folders of videos, MOS on one scale."""

import csv
import gc
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from sys import intern
from typing import NamedTuple, cast, get_args

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.places import Place, Remote, place_of
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.stores import NoObjectError, files_below
from mdsvqa.runtime.user_tables import ColumnError, Columns, Names, is_table_place, place_of_table, read_columns
from mdsvqa.videos.folder import (
    RAW_ENDINGS,
    VIDEO_EXTENSIONS,
    list_folder,
    list_store,
    named_file,
    plain_name,
    said_of_passed_over,
)
from mdsvqa.videos.manifest_cells import RAW_COLUMNS, ManifestError, path_of, raw_cells, raw_format
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.settings import ManifestSettings
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
# Pictures that may lie beside a film of the same name, and what only a manifest can read.
_LAST = {".apng", ".gif", ".webp", *RAW_ENDINGS}
_ENDINGS = sorted({*VIDEO_EXTENSIONS, *RAW_ENDINGS}, key=lambda ending: (ending in _LAST, ending))
_RAW = tuple(RAW_ENDINGS)
# No character, but half of the code of one.
_HALF = re.compile("[\ud800-\udfff]")
Note = Callable[[str], None]


def unheard(text: str) -> None:
    """A `Note` that nobody is told."""


def read_manifest(
    path: Place,
    *,
    videos_folder: Place | None = None,
    scale: MosScale | Mapping[str, MosScale] | None = None,
    dataset: str | None = None,
    names: Names | None = None,
) -> list[Video]:
    """Reads a manifest: a table of any form that `read_columns` takes, as data sets ship them.

    Columns are id, path, dataset, split, mos, mos_std, ratings, by these or other usual names, whatever their capitals;
    width, height, pix_fmt, fps of raw video (.yuv); any others are ignored. A manifest has at least an id or a path
    column. Ids are kept character by character, but for white space around them; without an id column they are the
    names of the files without extension. A file without column names has lines of `name mos [std]` or
    `path, duration, fps, mos`. A relative path counts from
    `videos_folder`, or from the manifest's folder. A row without a path has the file in `videos_folder`, or in a folder
    below it, that is called like its id (with or without extension); without `videos_folder`, the file beside the
    manifest that is called exactly like its id, if there is one.

    A path may be an address in a store, such as s3://bucket/clips/a.mp4; beside a manifest that lies in a store, a
    relative path counts in the store.

    Args:
        path: of the manifest, or its address; the format follows the extension.
        videos_folder: where the videos are, if not where the manifest is.
        scale: the scale of the ratings in the file, or one for each dataset. When given, mos and mos_std are
            converted to the 1-5 scale.
        dataset: of rows that do not state one, "default" if neither does.
        names: of the columns of ids and MOS, where they have none of the usual ones.

    Returns:
        One `Video` a row, in the order of the file.

    Raises:
        ManifestError: the file or one of its values is wrong; names the file, the row, what was found, what was
            expected.
    """
    base = videos_folder or (path if isinstance(path, Remote) else place_of_table(path)[0]).parent
    files = _Files(base.absolute() if isinstance(base, Path) else base, searched=videos_folder is not None)
    with _no_collection():
        try:
            rows = _rows(read_columns(path, names))
        except ColumnError as error:
            raise ManifestError(str(error)) from None
        return [_video(row, files, scale, dataset) for row in rows]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looks for circles among objects: a third of the time, where millions are made and none is in one."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def find_videos(folder: Place, *, dataset: str = "default", note: Note = unheard) -> list[Video]:
    """Every video file in a folder and the folders below it, by extension.

    Args:
        folder: to search, or what the addresses of a store's objects begin with. Hidden files and folders are skipped,
            links to folders are not followed.
        dataset: that the videos belong to.
        note: told in one line how many files of which endings are no videos.

    Returns:
        Videos sorted by id, the path relative to the folder with forward slashes and extension; what of it no table
        can hold is escaped (see `plain_name`).

    Raises:
        ManifestError: there is no such folder, or no video in it.
    """
    if isinstance(folder, Remote):
        found = list_store(folder)
    elif not folder.is_dir():
        raise ManifestError(f"{folder}: found no such folder; expected a folder of videos.")
    else:
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
    source: Place | str,
    *,
    videos_folder: Place | None = None,
    scale: MosScale | Mapping[str, MosScale] | None = None,
    dataset: str | None = None,
    names: Names | None = None,
    note: Note = unheard,
) -> list[Video]:
    """Videos of a manifest file (see `read_manifest`) or of a folder (see `find_videos`), here or in a store.

    Raises:
        ManifestError: source is neither, or what it holds is wrong.
    """
    source = place_of(source)
    if not is_table_place(source) if isinstance(source, Remote) else source.is_dir():
        return find_videos(source, dataset=dataset or "default", note=note)
    return read_manifest(source, videos_folder=videos_folder, scale=scale, dataset=dataset, names=names)


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
        cells = [cell(getattr(video, column), folder) for column in _COLUMNS]
        table.writerow([*cells, *(raw_cells(video) if raw else ())])
    write_atomically(path, text.getvalue().encode("utf-8"))


def cell(value: object, folder: Path | None = None) -> str:
    """What a table says of something about a video, as `read_manifest` reads it.

    Args:
        value: of a field of `Video`.
        folder: that a path in it counts from; any other path is written whole.
    """
    if value is None:
        return ""
    if isinstance(value, Remote):
        return value.url
    if isinstance(value, Path):
        absolute = value.absolute()
        if folder is not None and absolute.is_relative_to(folder):
            return plain_name(absolute.relative_to(folder).as_posix(), edges=True)
        return plain_name(str(absolute), edges=True)
    # repr keeps every digit of a float.
    return value if isinstance(value, str) else repr(value)


class _Row(NamedTuple):
    """What a row says, before it is checked; NaN or empty where it says nothing."""

    table: Columns
    number: int
    id: str
    path: str
    dataset: str
    split: str
    mos: float
    mos_std: float
    ratings: float
    raw: tuple[str, ...]

    def where(self) -> str:
        """For messages."""
        return f"{self.table.where(self.number)}, id {self.id!r}"


def _rows(table: Columns) -> Iterator[_Row]:
    ids = table.ids()
    count = len(ids)

    def texts(name: str) -> Iterable[str]:
        return table.texts(name) if name in table else repeat("", count)

    def numbers(name: str | None) -> Iterable[float]:
        return repeat(math.nan, count) if name is None else table.numbers(name).tolist()

    mos = table.mos_column()
    if mos is None and table.names.mos is not None:
        table.mos()  # says which columns there are
    columns = [numbers(mos), *(numbers(name if name in table else None) for name in ("mos_std", "ratings"))]
    paths = table.texts("path") if "path" in table else [""] * count
    # What other tables have under these names is theirs.
    any_raw = any(_may_be_raw(path or id) for path, id in zip(paths, ids, strict=True))
    raw = zip(*map(texts, RAW_COLUMNS), strict=True) if any_raw else repeat(("",) * len(RAW_COLUMNS), count)
    said = zip(range(1, count + 1), ids, paths, texts("dataset"), texts("split"), *columns, raw, strict=True)
    return (_Row(table, *row) for row in said)


def _may_be_raw(written: str) -> bool:
    return written.partition("?")[0].lower().endswith(_RAW)


@dataclass(frozen=True)
class _Files:
    """The folder that relative paths count from.

    Attributes:
        base: absolute.
        searched: for files that are called like ids, also below it; else an id is a file's name only as it stands.
    """

    base: Place
    searched: bool

    def at(self, written: str, where: Callable[[], str]) -> Place:
        """The file of a path as it is written, or from where its first folders are the last ones of the base."""
        exact = path_of(written, self.base, where)
        if not self.searched or not isinstance(self.base, Path) or not isinstance(exact, Path) or exact.is_file():
            return exact
        parts, above = Path(written).parts, self.base.parts
        shared = [count for count in range(1, len(parts)) if parts[:count] == above[-count:]]
        within = [self.base.joinpath(*parts[count:]) for count in shared]
        return next((file for file in within if file.is_file()), exact)

    def named(self, id: str, where: Callable[[], str]) -> Place | None:
        """The file that is called like an id."""
        if isinstance(self.base, Remote):
            return self._object(id, where)
        if not self.searched:
            own = named_file(self.base / id)
            return own if own.suffix.lower() in _ENDINGS and own.is_file() else None
        exact = self.at(id, where)
        if not isinstance(exact, Path) or exact.is_file():
            return exact
        beside = [self.base / f"{id}{extension}" for extension in _ENDINGS]
        found: Place | None = next((file for file in beside if file.is_file()), None)
        if found is None and len(self._below.get(id, ())) == 1:
            found = self._below[id][0]
        # A video that is not there keeps its path, so that whoever decodes it says which file is missing.
        return found or exact

    def _object(self, id: str, where: Callable[[], str]) -> Place | None:
        """The object of a store that is called like an id; a web server lists none."""
        exact = path_of(id, self.base, where)
        if isinstance(exact, Path) or exact.served:
            return exact if self.searched else None
        if exact in self._there:
            return exact
        if not self.searched:
            return None
        beside = [Remote(f"{exact.url}{ending}") for ending in _ENDINGS]
        found = next((place for place in beside if place in self._there), None)
        if found is None and len(self._below.get(id, ())) == 1:
            return self._below[id][0]
        return found or exact

    @cached_property
    def _there(self) -> frozenset[Place]:
        """The videos of a store in this folder and those below it."""
        assert isinstance(self.base, Remote)
        try:
            return frozenset(place for place in files_below(self.base) if place.suffix.lower() in _ENDINGS)
        except NoObjectError:
            return frozenset()

    @cached_property
    def _below(self) -> Mapping[str, list[Place]]:
        """Files in the folders below, by name, with and without extension."""
        found: dict[str, list[Place]] = {}
        files: Iterable[Place] = self._there if isinstance(self.base, Remote) else self.base.rglob("*")
        for file in sorted(files, key=str):
            there = file.suffix.lower() in _ENDINGS and not file.name.startswith(".")
            if there and (isinstance(file, Remote) or file.is_file()):
                for name in {file.name, file.stem}:
                    found.setdefault(name, []).append(file)
        return found


def _video(row: _Row, files: _Files, scale: MosScale | Mapping[str, MosScale] | None, dataset: str | None) -> Video:
    if _HALF.search(row.id) is not None:
        where = row.table.where(row.number)
        raise ManifestError(f"{where}: found the id {row.id!r}; expected characters, and half of a pair is none.")
    if row.split not in _SPLITS:
        raise ManifestError(f"{row.where()}: found split {row.split!r}; expected train, test, pool or nothing.")
    if row.mos_std < 0:
        raise ManifestError(f"{row.where()}: found mos_std {row.mos_std:g}; expected 0 or more.")
    if row.ratings == row.ratings and not (row.ratings >= 0 and row.ratings.is_integer()):
        raise ManifestError(
            f"{row.where()}: found ratings '{row.ratings:g}'; expected how many people rated it, a whole number."
        )
    study = intern(row.dataset) or dataset or "default"
    mos, mos_std = (None if math.isnan(value) else value for value in (row.mos, row.mos_std))
    if isinstance(scale, Mapping) and mos is not None and study not in scale:
        raise ManifestError(
            f"{row.where()}: found dataset {study!r}; expected one whose MOS scale is stated: {', '.join(scale)}."
        )
    scale = scale.get(study) if isinstance(scale, Mapping) else scale
    path = files.at(row.path, row.where) if row.path else files.named(row.id, row.where)
    raw = path is not None and _may_be_raw(row.path or path.name) and path.suffix.lower() in RAW_ENDINGS
    return Video(
        id=row.id,
        path=path,
        dataset=study,
        split=cast(Split, intern(row.split)),
        mos=mos if scale is None else _convert(row.where, mos, scale.to_five),
        mos_std=mos_std if scale is None else _convert(row.where, mos_std, scale.std_to_five),
        ratings=None if math.isnan(row.ratings) else int(row.ratings),
        raw=raw_format(row.raw, row.where()) if raw else None,
    )


def _convert(where: Callable[[], str], value: float | None, convert: Callable[[float], float]) -> float | None:
    try:
        return None if value is None else convert(value)
    except ValueError as error:
        raise ManifestError(f"{where()}: {error}") from None


def read_videos(
    source: Place | str,
    mos_scale: str | Mapping[str, str] = "1-5",
    manifest: ManifestSettings | None = None,
    note: Note = unheard,
) -> list[Video]:
    """The videos of a manifest or a folder, MOS on the 1-5 scale.

    Args:
        source: manifest or folder, or the address of one in a store.
        mos_scale: of every data set, or by data set.
        manifest: how it is read where it is one.
        note: as `find_videos`.

    Raises:
        ManifestError, ConfigError: the manifest or the scale cannot be used.
    """
    manifest = manifest or ManifestSettings()
    scale = (
        parse_scale(mos_scale)
        if isinstance(mos_scale, str)
        else {name: parse_scale(text) for name, text in mos_scale.items()}
    )
    return load_videos(source, videos_folder=manifest.videos_folder, scale=scale, names=manifest.names, note=note)


def parse_scale(text: str) -> MosScale:
    """A MOS scale of the configuration.

    Raises:
        ConfigError: it is none.
    """
    try:
        return MosScale.parse(text)
    except ValueError as error:
        raise ConfigError(f"MOS scale: {error}") from None
