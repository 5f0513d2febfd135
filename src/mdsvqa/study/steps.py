"""Each step of the loop alone, on the files that the step before it wrote."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mdsvqa.difficulty.held_out import where_from
from mdsvqa.difficulty.prediction import PREDICTOR, difficulty_rows, predict_difficulty, usual_predictor, write_choice
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.open import Model
from mdsvqa.models.plugin import score_videos
from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.statistical.kernel_model import KernelModel, Recipe, fit_statistical
from mdsvqa.models.statistical.route import Route
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.places import Place
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import (
    DIFFICULTY,
    SCORES,
    SELECTION,
    Maker,
    companion,
    fingerprint,
    fingerprint_of,
    made_by,
    read_table,
)
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.user_tables import Columns, Names, read_columns
from mdsvqa.runtime.words import counted
from mdsvqa.selection.audit import budget_of
from mdsvqa.selection.base import Limits
from mdsvqa.selection.catalogue import rule_named
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.distances.stored import open_content
from mdsvqa.selection.explain import Explanation, explain
from mdsvqa.selection.limits import read_limits
from mdsvqa.selection.select import select, selection_rows
from mdsvqa.selection.settings import SelectionSettings, budget_seconds
from mdsvqa.study.contracts import Scores
from mdsvqa.study.data import StudyData
from mdsvqa.study.inputs import Inputs, read_inputs
from mdsvqa.study.participants.statistical import StatisticalModel, score_rows
from mdsvqa.study.participants.unrefitted import errors_of
from mdsvqa.study.rule_comparison import all_known
from mdsvqa.videos.labels import Labels
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.manifest_cells import path_of
from mdsvqa.videos.roles import in_role, with_split
from mdsvqa.videos.video import Video

# Within a folder of scores by the statistical model.
SAVED_MODEL = "model.safetensors"


def score(
    videos: Sequence[Video],
    model: Model,
    frames: int | None,
    run: Run,
    *,
    seed: int,
    route: Route = "target",
    content: Path | None = None,
    encoder: str | None = None,
) -> pa.Table:
    """f: scores videos by the statistical model (trained on those with MOS and split train), a saved one, or a class.

    Args:
        videos, model, frames: what is scored by what.
        run: folder for the scores; of part of the videos, it has the scores of these, by a model that is trained on
            all of split train.
        seed: of the training.
        route: of a saved model that was fine-tuned; see `read_by`.
        content, encoder: for a saved model that reads content; see `read_inputs`.

    Returns:
        The scores table; what the statistical model reads goes to `_features` in its folder, the model that was trained
        to `_model.safetensors` there.
    """
    view, source = model.vlm.view(), {video.id for video in in_role(videos, "source")}
    share = run.share(videos)
    if model.kind == "plugin":
        maker = {"step": "scores", "model": model.name, "frames": frames or SAMPLED_FRAMES, **view.record()}
        return score_videos(share, model.plugin, maker, frames or SAMPLED_FRAMES, run, view)
    saved = model.saved
    if saved is None and not source:
        raise InputError(_needs_labeled("0"))
    if saved is None and run.part is not None:
        run.show.note(
            f"{counted(len(source), 'training video')} read in every part: score them alone first, and name the model "
            "by --model OUT/_model.safetensors, to save that"
        )
    wanted = [video.id for video in share]
    here = {*wanted, *(source if saved is None else ())}
    inputs = read_inputs([video for video in videos if video.id in here], saved, frames, run, view, content, encoder)
    kernel_model = saved or _trained(
        videos, inputs, Recipe(("statistical",), frames or SAMPLED_FRAMES, view.record()), run.show, seed
    )
    maker = {
        "step": "scores",
        "model": fingerprint({name: value.tolist() for name, value in kernel_model.arrays().items()}),
        "features": inputs.maker,
        **({} if route == "target" else {"route": route}),
    }
    with run.open(SCORES, maker) as table:
        if saved is None:
            # Not before the folder turned out to be this model's: scores of one model beside another would mislead.
            kernel_model.save(companion(run.out, SAVED_MODEL))
        stamps, mended = table.stamps(), table.ids_with("undecodable") & inputs.rows.keys()
        changed = [video for video in wanted if video in stamps and stamps[video] != inputs.stamp(video)]
        table.redo(_score_rows(kernel_model, inputs, changed, route))
        table.append(_score_rows(kernel_model, inputs, [video for video in wanted if video not in table.ids], route))
        table.replace(_score_rows(kernel_model, inputs, list(mended), route))
    return read_table(run.out)


def _trained(videos: Sequence[Video], inputs: Inputs, recipe: Recipe, show: Show, seed: int) -> KernelModel:
    source = in_role(videos, "source")
    usable = [video for video in source if video.id in inputs.rows]
    if not usable:
        first = source[0].id
        raise InputError(
            _needs_labeled(f"{len(source)}, of which not one can be used ({first}: {inputs.failed[first][1]})")
        )
    data = _arrays(usable, inputs.rows).labeled_source()
    with show.working(f"Training the statistical model on {len(data)} labeled videos"):
        return replace(fit_statistical(data, seed=seed), recipe=recipe)


def _needs_labeled(found: str) -> str:
    return (
        f"the statistical model learns from labeled videos (split train, with MOS); found {found}. Add some, or name a "
        "saved model by --model FILE."
    )


def _score_rows(model: KernelModel, inputs: Inputs, wanted: Sequence[str], route: Route) -> list[dict[str, Any]]:
    known = [video for video in wanted if video in inputs.rows]
    scored = score_rows(model, known, np.stack([inputs.rows[video] for video in known]), route) if known else []
    rows = {row["id"]: row for row in scored} | inputs.failed_rows()
    return [rows[video] | inputs.about[video] for video in wanted]


def _by_id(table: pa.Table, column: str) -> dict[str, Any]:
    rows = zip(table["id"].to_pylist(), table[column].to_pylist(), table["status"].to_pylist(), strict=True)
    return {video: value for video, value, status in rows if status == "ok"}


def difficulty(
    videos: Sequence[Video],
    scores: Path,
    features: Path,
    settings: DifficultySettings,
    model: KernelModel | None,
    run: Run,
    *,
    rule: str | None = None,
    seed: int,
) -> pa.Table:
    """g: trained on f's errors on the labeled videos, applied to the others.

    Args:
        videos: those with MOS (and not split pool or test) are learned from; split pool, or no MOS, is predicted for.
            Where f cannot be refitted, and there are enough of split test of the same data sets, these are learned
            from.
        scores: table of f's scores of all of them.
        features: table of features of all of them.
        settings: of g.
        model: f where it is a statistical model, so that its errors can be cross-fitted; None for any other f.
        run: folder for the difficulty table.
        rule: one of `difficulty.catalogue.BASELINES` in place of g.
    """
    table, rows = read_table(scores), _by_id(read_table(features), "features")
    score, spread = _by_id(table, "score"), _by_id(table, "spread")
    for path, known in ((scores, score), (features, rows)):
        # Of a longer manifest there may be more; of another one there is nothing to go on with.
        match_ids(path, list(known), [video.id for video in videos], "the manifest")
    data = _arrays([video for video in videos if video.id in score and video.id in rows], rows)
    if len(data.source) < 2 * settings.folds or len(data.pool) == 0:
        raise InputError(
            f"the failure predictor needs at least {2 * settings.folds} labeled videos (split train) with scores and "
            f"features, and a pool; found {len(data.source)} and {len(data.pool)}."
        )
    settings, show = usual_predictor(settings, refitted=model is not None), run.show
    maker = {"step": "difficulty", "scores": fingerprint(made_by(scores)), "cross_fitted": model is not None}
    maker |= {"features": fingerprint(made_by(features))}
    maker |= {"settings": settings.record(whole=True), "seed": seed}
    labeled = [(data.videos[int(i)].id, data.videos[int(i)].mos) for i in [*data.source, *data.source_test]]
    maker |= {"videos": fingerprint([labeled, data.ids(data.pool)]), "rule": rule}

    def computed_rows() -> list[dict[str, Any]]:
        if model is None:
            show.note(where_from(len(data.source_test), settings))
            numbers = [np.array([values[v.id] for v in data.videos], np.float64) for values in (score, spread, spread)]
            known = errors_of(data, Scores(*numbers), data.pool, settings, seed)
        else:
            f = StatisticalModel.start(model, data.labeled_source(), FinetuningSettings())
            with show.working(f"Measuring the errors of f on {len(data.source)} labeled videos"):
                known = f.errors(data, data.pool, settings, seed)
        with show.working("Training the failure predictor"):
            prediction = predict_difficulty(*known, settings, seed, rule)
        show.note(str(prediction))
        write_choice(run.out, prediction)
        return difficulty_rows(data.ids(data.pool), prediction)

    return run.table(DIFFICULTY, maker, computed_rows)


def _arrays(videos: Sequence[Video], features: Mapping[str, Sequence[float] | Floats]) -> StudyData:
    """Videos that have features, as arrays; nothing here looks at content."""
    dims = len(next(iter(features.values()), ()))
    rows = np.array([features[video.id] for video in videos], np.float64).reshape(len(videos), dims)
    return StudyData.of_videos(
        [with_split(video) for video in videos], rows, Content.stack([np.zeros((1, 1))] * len(videos))
    )


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
        left_out: videos of the table that have no difficulty, or no frames where they are needed, or are excluded.
        notes: on ids that match nothing.
    """

    ids: list[str]
    difficulty: Floats
    content: Content | None
    limits: Limits
    labeled: Sequence[str]
    made_by: Any = None
    left_out: int = 0
    notes: Sequence[str] = ()


def candidates(
    table: Path,
    column: str,
    content: Path | None,
    settings: SelectionSettings,
    labeled: Sequence[str] = (),
    limit: int | None = None,
    names: Names | None = None,
) -> Candidates:
    """Reads what a choice needs.

    Args:
        table: result folder or any table with ids and a column of difficulties; rows without one are left out.
        column: of the difficulties.
        content: result folder of content features, None for rules that need none.
        settings: of the choice; `exclude` and `about` are read.
        labeled: ids that are labeled already.
        limit: of the table's videos only the first so many.
        names: of the table's column of ids, where it has none of the usual names.

    Raises:
        InputError: there is no video to choose from, or a table does not go with the others.
    """
    found = read_columns(table, names)
    _check_committee(table, settings)
    every = found.ids()
    excluded = [] if settings.exclude is None else read_columns(settings.exclude).ids()
    notes = [match_ids("--labeled", labeled, every, str(table))]
    notes += [] if settings.exclude is None else [match_ids(settings.exclude, excluded, every, str(table))]
    values = dict(list(zip(every, found.numbers(column), strict=True))[:limit])
    never = set(excluded)
    ids = [video for video, value in values.items() if np.isfinite(value) and video not in never]
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
    encoded = None if content is None else fingerprint(made_by(content))
    known = [video for video in labeled if video in here]
    difficulties = np.array([values[video] for video in ids])
    told = [note for note in notes if note]
    return Candidates(ids, difficulties, features, limits, known, encoded, len(values) - len(ids), told)


def _check_committee(table: Path, settings: SelectionSettings) -> None:
    record = companion(table, PREDICTOR)
    if rule_named(settings.rule).difficulty == "committee" and record.is_file():
        predictor = json.loads(record.read_text())["predictor"]
        if predictor != settings.rule:
            raise InputError(
                f"{table}: holds the difficulties of {predictor!r}; rule committee needs the committee's spread: "
                "`mdsvqa difficulty ... --rule committee`."
            )


def _paths(settings: SelectionSettings, table: Columns) -> dict[str, Place | None]:
    """Files of the videos, for how long they are."""
    if settings.about is not None and "path" in read_columns(settings.about):
        return {video.id: video.path for video in load_videos(settings.about)}
    if "path" not in table:
        return {}
    folder = table.path.parent
    paths = zip(table.ids(), table.column("path"), strict=True)
    where = "{}, id {!r}".format
    return {video: path_of(path, folder, partial(where, table.path, video)) if path else None for video, path in paths}


def choose(given: Candidates, settings: SelectionSettings, run: Run | None, *, seed: int) -> list[dict[str, Any]]:
    """D: rows of a selection table, best first.

    Args:
        given: to choose from.
        settings: rule, budget and the rest.
        run: folder for the selection table, None to write nothing.
        seed: of everything random.
    """
    budget = budget_of(settings, len(given.ids) - len(given.labeled), given.limits)

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
        if run is not None and picks.certify is not None:
            picks.certify().write(run.out)
        return selection_rows(given.ids, picks, settings.rule)

    if run is None:
        return rows()
    maker: Maker = {
        "step": "selection",
        "settings": settings.record(),
        "seed": seed,
        "difficulty": fingerprint_of(given.ids, given.difficulty),
        "content": given.made_by,
        "limits": fingerprint(given.limits.record()),
        "labeled": fingerprint(list(given.labeled)),
    }
    found: list[dict[str, Any]] = run.table(SELECTION, maker, rows).to_pylist()
    return found


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


def fine_tune(
    videos: Sequence[Video],
    features: Path,
    model: Path,
    labels: Labels,
    out: Path,
    settings: FinetuningSettings,
    seed: int,
) -> tuple[int, int]:
    """f': fine-tunes a saved statistical model on source labels and new ones, and saves it.

    Args:
        videos: those with MOS (split train) are the source; those in `labels` are new.
        features: table of features of all of them.
        model: to start from.
        labels: new MOS.
        out: file for the fine-tuned model.

    Returns:
        How many source videos and how many new ones it learned from.
    """
    f, rows = KernelModel.load(model), _by_id(read_table(features), "features")
    new = [video for video in videos if video.id in labels.mos and video.id in rows]
    unknown = sorted(labels.mos.keys() - {video.id for video in new})
    if unknown:
        raise InputError(
            f"labels: {unknown[0]!r} and {len(unknown) - 1} more are not in the manifest, or have no features."
        )
    source = [video for video in in_role(videos, "source") if video.id in rows]
    if not new or not source:
        raise InputError(f"fine-tuning needs labeled source videos and new labels; found {len(source)} and {len(new)}.")
    rated = [replace(video, split="pool", mos=labels.mos[video.id]) for video in new]
    data = _arrays([*(video for video in source if video.id not in labels.mos), *rated], rows)
    better = StatisticalModel.start(f, data.labeled_source(), settings)
    better = better.finetuned(data, all_known(data, data.pool), 1, seed)
    better.model.save(out)
    return len(data.source), len(new)
