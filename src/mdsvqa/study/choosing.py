"""The step that chooses, alone, on the tables that the steps before it wrote; and why it chose what it did."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import SELECTION, Maker, computed, fingerprint, read_meta
from mdsvqa.runtime.user_tables import Columns, read_columns
from mdsvqa.selection.audit import budget_of
from mdsvqa.selection.base import Limits
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.stored import open_content
from mdsvqa.selection.explain import Explanation, explain
from mdsvqa.selection.limits import read_limits
from mdsvqa.selection.select import select, selection_rows
from mdsvqa.selection.settings import SelectionSettings, budget_seconds
from mdsvqa.study.loop import COMMITTEE
from mdsvqa.videos.manifest import load_videos

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The videos that a choice is made from.

    Attributes:
        ids: of n videos, those labeled already among them.
        difficulty: shape (n,).
        content: of the same videos, None where the rule needs none.
        limits: of the choice.
        labeled: ids among them that are labeled already: not chosen again, and what is chosen differs from them.
        made_by: what made the content.
    """

    ids: list[str]
    difficulty: Floats
    content: Content | None
    limits: Limits
    labeled: Sequence[str]
    made_by: Any = None


def candidates(
    table: Path,
    column: str,
    content: Path | None,
    settings: SelectionSettings,
    labeled: Sequence[str] = (),
    limit: int | None = None,
) -> Candidates:
    """Reads what a choice needs.

    Args:
        table: result folder or any table with ids and a column of difficulties; rows without one are left out.
        column: of the difficulties.
        content: result folder of content features, None for rules that need none.
        settings: of the choice; `exclude` and `about` are read.
        labeled: ids that are labeled already.
        limit: of the table's videos only the first so many.

    Raises:
        InputError: there is no video to choose from, or a table does not go with the others.
    """
    found = read_columns(table)
    _check_committee(table, settings)
    excluded = set() if settings.exclude is None else set(read_columns(settings.exclude).ids())
    values = dict(list(zip(found.ids(), found.numbers(column), strict=True))[:limit])
    ids = [video for video, value in values.items() if np.isfinite(value) and video not in excluded]
    features = None
    if content is not None:
        stored, everything = open_content(content)
        place = {video: index for index, video in enumerate(stored)}
        ids = [video for video in ids if video in place]
        features = everything.take(np.array([place[video] for video in ids], np.int64))
    if not ids:
        raise InputError(f"{table}: no video has both a difficulty and, where they are needed, frames.")
    # Only a budget in time asks how long videos are.
    paths = {} if budget_seconds(settings.budget) is None else _paths(settings, found)
    limits = read_limits(settings, ids, paths, None if table.is_dir() else table)
    here = set(ids)
    made_by = None if content is None else fingerprint(read_meta(content)["maker"])
    known = [video for video in labeled if video in here]
    return Candidates(ids, np.array([values[video] for video in ids]), features, limits, known, made_by)


def _check_committee(table: Path, settings: SelectionSettings) -> None:
    record = table / "predictor.json"
    if settings.rule == COMMITTEE and record.is_file():
        predictor = json.loads(record.read_text())["predictor"]
        if predictor != COMMITTEE:
            raise InputError(
                f"{table}: holds the difficulties of {predictor!r}; rule committee needs the committee's spread: "
                "`mdsvqa difficulty ... --rule committee`."
            )


def _paths(settings: SelectionSettings, table: Columns) -> dict[str, Path | None]:
    """Files of the videos, for how long they are."""
    if settings.about is not None and "path" in read_columns(settings.about).cells:
        return {video.id: video.path for video in load_videos(settings.about)}
    if "path" not in table.cells:
        return {}
    folder = table.path.parent
    paths = zip(table.ids(), table.column("path"), strict=True)
    return {video: folder / path if path else None for video, path in paths}


def choose(
    given: Candidates, settings: SelectionSettings, out: Path | None, *, seed: int, overwrite: bool
) -> list[dict[str, Any]]:
    """D: rows of a selection table, best first.

    Args:
        given: to choose from.
        settings: rule, budget and the rest.
        out: folder for the selection table, None to write nothing.
        seed: of everything random.
        overwrite: replace what other settings made.
    """
    open_ = len(given.ids) - len(given.labeled)
    budget = budget_of(settings, open_, given.limits)

    def rows() -> list[dict[str, Any]]:
        picks = select(
            given.ids,
            given.difficulty,
            given.content,
            budget.videos,
            settings,
            chosen=given.labeled,
            limits=budget.limits,
            audit=budget.audit,
            seed=seed,
        )
        if not picks:
            raise InputError("nothing can be chosen within these limits and this budget.")
        return selection_rows(given.ids, picks, settings.rule)

    if out is None:
        return rows()
    recorded = settings.record()
    maker: Maker = {
        "step": "selection",
        "settings": recorded,
        "seed": seed,
        "difficulty": fingerprint([given.ids, given.difficulty.tolist()]),
        "content": given.made_by,
        "limits": fingerprint(given.limits.record()),
        "labeled": fingerprint(list(given.labeled)),
    }
    return computed(out, SELECTION, maker, rows, overwrite=overwrite)[0].to_pylist()


def explained(
    given: Candidates, settings: SelectionSettings, rows: Sequence[dict[str, Any]], video: str
) -> Explanation:
    """Why a video was chosen or was not; see `selection.explain`.

    Raises:
        InputError: it was not among the candidates.
    """
    if video not in given.ids:
        raise InputError(
            f"--explain: {video!r} was not to choose from: it is excluded, or has no difficulty or frames."
        )
    place = {name: index for index, name in enumerate(given.ids)}
    return explain(
        given.ids,
        given.difficulty,
        given.content,
        settings,
        replace(given.limits, most_seconds=None),
        [place[name] for name in given.labeled],
        [(place[row["id"]], str(row["rule"])) for row in rows],
        place[video],
    )
