"""Limits of a choice, read from what is known of the videos."""

from collections.abc import Mapping, Sequence

import numpy as np

from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place, Remote
from mdsvqa.runtime.user_tables import MISSING, Columns, Names, read_columns
from mdsvqa.selection.base import Limits
from mdsvqa.selection.settings import SelectionSettings, budget_seconds
from mdsvqa.videos.films import look_at
from mdsvqa.videos.local_files import local_file
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable

# Of a video, where a table has it.
SECONDS = "seconds"


def read_limits(
    settings: SelectionSettings,
    ids: Sequence[str],
    paths: Mapping[str, Place | None],
    manifest: Place | None = None,
    names: Names | None = None,
) -> Limits:
    """What a choice among some videos must keep to.

    Args:
        settings: of the choice.
        ids: of the videos.
        paths: of their files, for how long they are where no table says so.
        manifest: in place of `settings.about` where that is None.
        names: of the manifest's columns, where it has none of the usual names.

    Raises:
        InputError: a column is missing, a video is not in the table, or it cannot be found out how long it is.
    """
    total = budget_seconds(settings.budget)
    about = settings.about or manifest
    table = None
    columns = about is not None and (isinstance(about, Remote) or not about.is_dir())
    if settings.group is not None and not columns:
        raise InputError("groups need a table with ids and the column that names them: `about` (--about FILE).")
    if about is not None and columns and (settings.group is not None or total is not None):
        table = read_columns(about, names).or_usual()
    seconds = None if total is None else _seconds(table, ids, paths)
    group = None if settings.group is None or table is None else _groups(table, settings.group, ids)
    return Limits(group, settings.most_per_group, settings.least_per_group, settings.apart, seconds, total)


def _groups(table: Columns, column: str, ids: Sequence[str]) -> Ints:
    codes = {name: code for code, name in enumerate(sorted({str(n) for n in table.column(column) if n not in MISSING}))}
    return np.array([-1 if name is None else codes[name] for name in table.text_of(ids, column)], np.int64)


def _seconds(table: Columns | None, ids: Sequence[str], paths: Mapping[str, Place | None]) -> Floats:
    stated: dict[str, float] = {}
    if table is not None and SECONDS in table:
        stated = dict(zip(table.ids(), table.numbers(SECONDS).tolist(), strict=True))
    found = np.array([_length(video, stated.get(video, np.nan), paths.get(video)) for video in ids])
    bad = np.flatnonzero(~(found > 0))
    if len(bad):
        raise InputError(
            f"a budget in time needs to know how long every video is, and {ids[int(bad[0])]!r} and {len(bad) - 1} more "
            f"do not say. Give a table with the columns id and {SECONDS}: `about` (--about FILE)."
        )
    return found


def _length(video: str, stated: float, path: Place | None) -> float:
    # Lists of data sets write -1 where nobody measured.
    if stated > 0 or path is None:
        return stated
    try:
        with local_file(path, video) as file:
            return look_at(file.path).duration or np.nan
    except InputError:
        # It is a ValueError too, and of no single video.
        raise
    except (Undecodable, *DECODING_ERRORS):
        return float("nan")
