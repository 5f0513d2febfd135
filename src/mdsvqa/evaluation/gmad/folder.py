"""The folder of a gMAD competition: the pairs that models found, the list that raters fill in, and what they said."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.evaluation.gmad.pairs import Attack, PairToRate, common_scale, find_attacks, mos_preference, pairs_to_rate
from mdsvqa.evaluation.gmad.ranking import Answers, Competition, Standing
from mdsvqa.evaluation.paper_tables import csv_text, latex_text
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.cells import number_of, says_no_number
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import json_text
from mdsvqa.runtime.user_tables import MISSING, ColumnError, Columns, read_columns
from mdsvqa.runtime.words import counted

PAIRS, TO_RATE, MADE_BY = "pairs.csv", "to_rate.csv", "gmad.json"
SIDES = {"left": 1.0, "equal": 0.5, "right": 0.0}
# Of the range of the MOS: the standard deviation of single ratings where none is known. 0.8 on a scale of 1 to 5.
RATING_NOISE = 0.2


@dataclass(frozen=True)
class Found:
    """What `find_pairs` wrote.

    Attributes:
        attacks: of all duels.
        to_rate: distinct pairs.
        videos: how many took part.
        left_out: how many lack a score or a MOS.
        unit: of the common scale.
    """

    attacks: list[Attack]
    to_rate: list[PairToRate]
    videos: int
    left_out: int
    unit: str


@dataclass(frozen=True)
class Opened:
    """A competition as its folder has it."""

    folder: Path
    attacks: list[Attack]
    to_rate: Mapping[str, PairToRate]
    table: Path


def find_pairs(
    table: Path,
    models: Sequence[str],
    folder: Path,
    *,
    mos: str | None = None,
    falling: Iterable[str] = (),
    levels: int = 5,
    per_level: int = 2,
    tolerance: float = 0.02,
    seed: int = 0,
    overwrite: bool = False,
) -> Found:
    """Finds the pairs of every attacker and defender, and writes them and the list for raters.

    Args:
        table: with ids and a column of scores for each model; paths of the videos in a column `path`, where there.
        models: columns.
        folder: for pairs.csv, to_rate.csv and gmad.json.
        mos: column by which scores are put on one scale; by rank without.
        falling: models whose high scores mean low quality.
        levels, per_level, tolerance, seed: as of `find_attacks`.
        overwrite: replace a competition that is there, answers included.

    Raises:
        InputError: the table cannot be used, has too few videos, or the folder holds another competition.
    """
    _check_names(models, falling)
    columns = read_columns(table)
    ids = np.array(columns.ids())
    scores = {model: columns.numbers(model) for model in models}
    opinions = None if mos is None else columns.numbers(mos)
    whole = np.isfinite([*scores.values(), *([] if opinions is None else [opinions])]).all(0)
    if whole.sum() < 2:
        raise InputError(
            f"{table}: found {counted(int(whole.sum()), 'video')} with all of {', '.join(models)}; expected more."
        )
    kept = {model: score[whole] for model, score in scores.items()}
    scale = common_scale(kept, None if opinions is None else opinions[whole], frozenset(falling))
    limits: dict[str, Any] = {"levels": levels, "per_level": per_level, "tolerance": tolerance, "seed": seed}
    attacks = find_attacks(ids[whole].tolist(), scale, **limits)
    to_rate = pairs_to_rate(attacks, seed)
    paths = columns.column("path") if "path" in columns else None
    path_of = {} if paths is None else dict(zip(ids.tolist(), paths, strict=True))
    made_by = {"table": str(table.resolve()), "scores": list(models), "scale": scale.unit, "mos": mos, **limits}
    name_of = {frozenset((pair.left, pair.right)): pair.name for pair in to_rate}
    pairs = csv_text([{"pair": name_of[attack.videos], **asdict(attack)} for attack in attacks]).encode()
    there = (folder / PAIRS).exists() and not overwrite
    if there and (folder / PAIRS).read_bytes() != pairs:
        raise InputError(
            f"{folder / PAIRS}: is there already, maybe with answers; name another folder, or --overwrite."
        )
    if not there:
        _write(folder, pairs, to_rate, path_of, made_by)
    return Found(attacks, to_rate, int(whole.sum()), int((~whole).sum()), scale.unit)


def _check_names(models: Sequence[str], falling: Iterable[str]) -> None:
    twice = sorted({model for model in models if list(models).count(model) > 1})
    if twice:
        raise InputError(f"--scores: {twice[0]!r} is there twice; name each model once.")
    unknown = sorted(set(falling) - set(models))
    if unknown:
        raise InputError(f"--falling: {unknown[0]!r} is none of the scores {', '.join(models)}.")


def _write(
    folder: Path,
    pairs: bytes,
    to_rate: Sequence[PairToRate],
    path_of: Mapping[str, Any],
    made_by: Mapping[str, Any],
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); name another place.") from None
    write_atomically(folder / MADE_BY, (json_text(made_by, 1) + "\n").encode())
    shown = [
        {
            "pair": pair.name,
            "left": pair.left,
            "right": pair.right,
            "left_path": path_of.get(pair.left) or "",
            "right_path": path_of.get(pair.right) or "",
            "preference": "",
        }
        for pair in to_rate
    ]
    write_atomically(folder / TO_RATE, csv_text(shown).encode())
    # Last: it is what marks a folder as whole.
    write_atomically(folder / PAIRS, pairs)


def open_competition(folder: Path) -> Opened:
    """Reads what `find_pairs` wrote.

    Raises:
        InputError: the folder has no competition, or its files were changed so that they cannot be used.
    """
    for name in (PAIRS, TO_RATE, MADE_BY):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: has no {name}; make it by: mdsvqa gmad pairs TABLE --scores A B --out {folder}"
            )
    found, shown = read_columns(folder / PAIRS), read_columns(folder / TO_RATE)
    level, *numbers = (
        found.numbers(name).tolist() for name in ("level", "weight", "attacker_difference", "defender_difference")
    )
    texts = (map(str, found.column(name)) for name in ("attacker", "defender", "better", "worse"))
    attacks = [
        Attack(attacker, defender, int(level_), weight, better, worse, attacker_difference, defender_difference)
        for attacker, defender, better, worse, level_, weight, attacker_difference, defender_difference in zip(
            *texts, level, *numbers, strict=True
        )
    ]
    listed = zip(*(map(str, shown.column(name)) for name in ("pair", "left", "right")), strict=True)
    # Several raters may have filled in one file: a pair stands there once for each.
    to_rate = {name: PairToRate(name, left, right) for name, left, right in listed}
    known = {attack.videos for attack in attacks}
    strange = [p.name for p in to_rate.values() if frozenset((p.left, p.right)) not in known]
    if strange:
        raise InputError(f"{folder / TO_RATE}: pair {strange[0]!r} has videos that are no pair of {folder / PAIRS}.")
    table = json.loads((folder / MADE_BY).read_text(encoding="utf-8")).get("table", "")
    return Opened(folder, attacks, to_rate, Path(table))


def read_preferences(competition: Opened, path: Path) -> Answers:
    """Reads what raters said.

    Args:
        competition: whose pairs they saw.
        path: a table with columns pair and preference: left, right, equal, or the probability in [0, 1] that the left
            video is better; an empty cell was not rated. A column `rater` names people; rows of a pair without it are
            different people. Columns left and right, where there, say how a rater saw the pair; to_rate.csv does where
            not.

    Raises:
        ColumnError: a pair is unknown, a preference is none of these, or nothing was rated.
    """
    table = read_columns(path)
    sides = [table.column(side) if side in table else None for side in ("left", "right")]
    people = table.column("rater") if "rater" in table else None
    rows = []
    for row, (name, cell) in enumerate(zip(table.column("pair"), table.column("preference"), strict=True)):
        place = f"{path}, row {row + 1}, pair {str(name)!r}"
        pair = competition.to_rate.get(str(name))
        if pair is None:
            raise ColumnError(f"{place}: is no pair of {competition.folder / TO_RATE}.")
        left = pair.left if sides[0] is None else str(sides[0][row])
        right = pair.right if sides[1] is None else str(sides[1][row])
        if {left, right} != {pair.left, pair.right}:
            raise ColumnError(
                f"{place}: found {left!r} and {right!r}, expected {pair.left!r} and {pair.right!r} as in "
                f"{competition.folder / TO_RATE}."
            )
        if not says_no_number(cell):
            value = _preference(cell, place, decimal_comma=table.decimal_comma)
            rows.append((pair.name, value if left == pair.left else 1 - value, _rater(people, row)))
    if not rows:
        raise ColumnError(f"{path}: no row has a preference; fill in left, right, equal or a number in [0, 1].")
    return _answers(competition, rows)


def _rater(people: Sequence[Any] | None, row: int) -> str:
    if people is None:
        return f"row {row}"
    return "" if people[row] in MISSING else str(people[row])


def _preference(cell: Any, place: str, *, decimal_comma: bool) -> float:
    """For the left video."""
    side = SIDES.get(str(cell).strip().lower())
    if side is not None:
        return side
    try:
        value = number_of(cell, decimal_comma=decimal_comma)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise ColumnError(f"{place}: found preference {cell!r}, expected left, right, equal or a number in [0, 1].")
    return value


def mos_preferences(
    competition: Opened, mos: str, noise: str | None = None, table: Path | None = None
) -> tuple[Answers, str]:
    """MOS in place of people: the probability by Thurstone that a rater prefers the left video.

    Args:
        competition: whose pairs to judge.
        mos: column of the MOS.
        noise: column of the standard deviations of single ratings, or that of all videos in MOS points. By default
            mos_std where the table has it, and a fifth of the range of the MOS elsewhere.
        table: with ids; that of the competition by default.

    Returns:
        The answers, and what stood for the noise of raters, in words.

    Raises:
        ColumnError: the table cannot be used, or lacks a video or its MOS.
    """
    columns = read_columns(competition.table if table is None else table)
    values = columns.numbers(mos)
    deviations, words = _deviations(columns, values, noise)
    row_of = {video: row for row, video in enumerate(columns.ids())}
    rows = []
    for pair in competition.to_rate.values():
        left, right = (_rated(columns, row_of, values, deviations, video) for video in (pair.left, pair.right))
        variance = deviations[left] ** 2 + deviations[right] ** 2
        preference = mos_preference(np.array(values[left] - values[right]), np.array(variance))
        rows.append((pair.name, float(preference), mos))
    return _answers(competition, rows), words


def _deviations(columns: Columns, values: Floats, noise: str | None) -> tuple[Floats, str]:
    if noise is None and "mos_std" in columns:
        noise = "mos_std"
    if noise is None:
        most = RATING_NOISE * float(np.nanmax(values) - np.nanmin(values)) if np.isfinite(values).any() else 0.0
        return np.full(len(columns), most), f"{most:.2g} MOS points, a fifth of their range"
    try:
        constant = float(noise)
    except ValueError:
        deviations = columns.numbers(noise)
        if (deviations < 0).any():
            row = int(np.argmax(deviations < 0)) + 1
            raise ColumnError(f"{columns.path}, row {row}, column {noise}: a deviation cannot be negative.") from None
        return deviations, f"column {noise}"
    if not 0 <= constant < np.inf:
        raise InputError(f"--mos-std: found {noise}, expected a column, or a number that is 0 or more.")
    return np.full(len(columns), constant), f"{constant:g} MOS points"


def _rated(columns: Columns, row_of: Mapping[str, int], values: Floats, deviations: Floats, video: str) -> int:
    if video not in row_of:
        raise ColumnError(f"{columns.path}: lacks video {video!r} of the competition.")
    row = row_of[video]
    if not np.isfinite(values[row]) or not np.isfinite(deviations[row]):
        raise ColumnError(f"{columns.path}, row {row + 1}, id {video!r}: has no MOS or no deviation.")
    return row


def _answers(competition: Opened, rows: Sequence[tuple[str, float, str]]) -> Answers:
    """From the name of a pair, the preference for its left video, and the rater."""
    found_by: dict[frozenset[str], list[int]] = {}
    for place, attack in enumerate(competition.attacks):
        found_by.setdefault(attack.videos, []).append(place)
    pair_number = {name: number for number, name in enumerate(competition.to_rate)}
    raters: dict[str, int] = {}
    answers: list[tuple[int, int, int, float]] = []
    for name, for_left, rater in rows:
        pair = competition.to_rate[name]
        person = raters.setdefault(rater, len(raters))
        for place in found_by[frozenset((pair.left, pair.right))]:
            says_left = competition.attacks[place].better == pair.left
            answers.append((place, pair_number[name], person, for_left if says_left else 1 - for_left))
    attacks, pairs, people, agreement = zip(*answers, strict=True)
    return Answers(np.array(attacks), np.array(pairs), np.array(people), np.array(agreement, np.float64))


def result_rows(result: Competition) -> list[dict[str, Any]]:
    """The figures as rows: measure, model, against (empty for the global score), value, low, high.

    An entry of a duel that nobody rated is left out.
    """
    rows = []
    for measure in ("aggressiveness", "resistance"):
        standing: Standing = getattr(result, measure)
        figures = {**{(model, ""): standing.score[model] for model in standing.order()}, **standing.matrix}
        rows += [
            {"measure": measure, "model": model, "against": against, **asdict(figure)}
            for (model, against), figure in figures.items()
            if figure is not None
        ]
    return rows


def latex(result: Competition) -> str:
    """The ranking and both matrices as three tabulars, for the package booktabs."""
    order = result.aggressiveness.order()
    both = (result.aggressiveness, result.resistance)
    scores = [[model, *(f"{standing.score[model]:+.2f}" for standing in both)] for model in order]
    parts = [latex_text(["Model", "Aggressiveness", "Resistance"], scores)]
    for corner, standing in zip(("Attacker", "Defender"), both, strict=True):
        entries = [[standing.matrix.get((model, other)) for other in order] for model in order]
        rows = [
            [model, *("--" if entry is None else f"{entry:.2f}" for entry in line)]
            for model, line in zip(order, entries, strict=True)
        ]
        parts.append(latex_text([corner, *order], rows))
    return "\n".join(parts)
