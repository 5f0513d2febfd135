"""Scores of one or more models and the MOS of the same videos, from tables that people hand in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdsvqa.evaluation.compare import RatingStatistics
from mdsvqa.runtime.arrays import Flags, Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.user_tables import MISSING, ColumnError, Columns, Names, read_columns


@dataclass(frozen=True)
class Scored:
    """The videos that have everything that was asked for.

    Attributes:
        scores: of each model by name, each of shape (n,).
        mos: shape (n,).
        dataset: of each video, length n; empty where no column was named.
        rated: what is known of the ratings; None where no column was named.
        left_out: rows without a MOS, a score of every model, or what else was asked for.
        notes: on ids that match nothing.
    """

    scores: Mapping[str, Floats]
    mos: Floats
    dataset: Sequence[str]
    rated: RatingStatistics | None
    left_out: int
    notes: Sequence[str] = ()


def read_scored(
    table: Path,
    scores: Sequence[str],
    mos: str,
    *,
    others: Mapping[str, Path] | None = None,
    dataset: str | None = None,
    mos_std: str | None = None,
    ratings: str | None = None,
    only: Path | None = None,
    names: Names | None = None,
    beside: Path | None = None,
    split: str | None = None,
) -> Scored:
    """Reads and joins tables.

    Args:
        table: as `read_columns`; needs ids only where other tables are joined or `only` is given.
        scores: columns of it, one a model.
        mos: column of it.
        others: more models, by name: a result folder or table with ids and a column `score`, or else one of the
            model's name.
        dataset: column of it with the data set of each video.
        mos_std: column of it with the standard deviation of each video's ratings.
        ratings: column of it with their number, or that number itself, the same for all.
        only: table whose ids to keep.
        names: of the table's columns of ids and MOS, where it has none of the usual names.
        beside: another table of the same videos, such as a manifest, whose columns are taken where the table lacks
            them.
        split: of the videos to keep, where one of the tables has a column `split`.

    Raises:
        InputError: a column is missing or holds something else; the same model or id twice; `mos_std` without
            `ratings`, or the other way round; a table that is joined has none of the ids; no video has everything.
    """
    columns, notes = read_columns(table, names), list[str]()
    if beside is not None:
        columns, said = _with_columns_of(columns, beside, names, mos)
        notes.append(said)
    elif scores and mos not in columns:
        raise ColumnError(
            f"{table}: has no column {mos!r}; found {', '.join(columns.cells)}. Name the column by --mos, or the table "
            "that has it by --with, such as --with videos.csv."
        )
    _check_names([*scores, *(others or {})])
    check_ids(columns, dataset)
    found = {name: columns.numbers(name) for name in scores}
    for name, path in (others or {}).items():
        found[name], said = _joined(columns, name, path)
        notes.append(said)
    y = columns.numbers(mos)
    kept = np.isfinite(y) & np.isfinite(np.array(list(found.values()))).all(axis=0)
    if only is not None:
        wanted = read_columns(only).ids()
        notes.append(match_ids(only, wanted, columns.ids(), str(table)))
        kept &= np.isin(np.array(columns.ids(), object), np.array(wanted, object))
    if split is not None:
        kept &= np.array([cell.casefold() == split.casefold() for cell in columns.texts("split")])
    elif beside is not None and "split" in columns:
        notes.append(_on_seen(columns, kept))
    rated = _rating_statistics(columns, mos_std, ratings)
    if rated is not None:
        kept &= np.isfinite(rated.std) & np.isfinite(rated.ratings)
        rated = RatingStatistics(rated.std[kept], rated.ratings[kept])
    if not kept.any():
        raise InputError(f"{table}: no video has a number in every column asked for: {', '.join([mos, *found])}.")
    datasets = [] if dataset is None else _datasets(columns, dataset, kept)
    by_model = {name: x[kept] for name, x in found.items()}
    return Scored(by_model, y[kept], datasets, rated, int((~kept).sum()), [note for note in notes if note])


def _with_columns_of(columns: Columns, path: Path, names: Names | None, mos: str) -> tuple[Columns, str]:
    """A table with the columns of another one that it lacks, by id, and a sentence on ids that match nothing."""
    other = read_columns(path, names)
    place = {video: row for row, video in enumerate(other.ids())}
    ids = columns.ids()
    said = match_ids(columns.path, ids, place, str(path))
    taken = {name: other.column(name) for name in other.cells if name not in columns}
    its_mos = other.mos_column()
    if mos not in columns and mos not in other and its_mos is not None:
        taken[mos] = other.column(its_mos)
    rows = [place.get(video) for video in ids]
    joined = {name: [None if row is None else cells[row] for row in rows] for name, cells in taken.items()}
    return replace(columns, cells={**joined, **columns.cells}), said


def _on_seen(columns: Columns, kept: Flags) -> str:
    """What to say where a model is measured on videos that it may have learned from."""
    seen = [cell.casefold() == "train" and keep for cell, keep in zip(columns.texts("split"), kept, strict=True)]
    if not any(seen):
        return ""
    return (
        f"{sum(seen)} of these videos are of split train, which a model that learned from them knows: --split test "
        "measures on the others."
    )


def check_ids(columns: Columns, dataset: str | None) -> None:
    """Raises a ColumnError where an id stands twice; in several data sets it may name a video of each."""
    name = columns.id_column()
    if name is None:
        return
    if dataset is None:
        columns.ids()
        return
    first: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(columns.texts(dataset), columns.texts(name), strict=True), 1):
        if first.setdefault(key, row) != row:
            raise ColumnError(
                f"{columns.path}: id {key[1]!r} of data set {key[0]!r} is in rows {first[key]} and {row}; ids are "
                "unique within a data set. Remove one, or average them."
            )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name!r} is named twice; every model needs a name of its own.")


def _joined(columns: Columns, name: str, path: Path) -> tuple[Floats, str]:
    """Scores of the table's rows by another table, and a sentence on its ids that match nothing."""
    other = read_columns(path)
    if "score" not in other and name not in other:
        raise ColumnError(f"{path}: has neither a column 'score' nor one {name!r}; found {', '.join(other.cells)}.")
    values = other.numbers("score" if "score" in other else name)
    by_id = dict(zip(other.ids(), values, strict=True))
    ids = columns.ids()
    said = match_ids(path, list(by_id), ids, str(columns.path))
    return np.array([by_id.get(video, np.nan) for video in ids]), said


def _rating_statistics(columns: Columns, mos_std: str | None, ratings: str | None) -> RatingStatistics | None:
    if mos_std is None and ratings is None:
        return None
    if mos_std is None or ratings is None:
        raise InputError(
            "--mos-std and --ratings go together: how far a MOS can be trusted takes the standard deviation of its "
            "ratings and their number. --ratings takes a column, or the number itself where it is the same for all."
        )
    std = columns.numbers(mos_std)
    if ratings not in columns and ratings.isdecimal():
        number = np.full(len(columns), float(ratings))
    else:
        number = columns.numbers(ratings)
    for name, values, least in ((mos_std, std, 0), (ratings, number, 1)):
        if (values < least).any():
            row = int(np.flatnonzero(values < least)[0])
            raise ColumnError(
                f"{columns.path}, row {row + 1}, {name}: found {values[row]:g}, expected at least {least}."
            )
    return RatingStatistics(std, number)


def _datasets(columns: Columns, name: str, kept: Flags) -> list[str]:
    cells = columns.column(name)
    names = []
    for row in np.flatnonzero(kept).tolist():
        if cells[row] in MISSING:
            raise ColumnError(f"{columns.path}, row {row + 1}, column {name}: is empty; expected the data set's name.")
        names.append(str(cells[row]))
    return names
