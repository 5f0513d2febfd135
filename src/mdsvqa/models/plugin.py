"""Scores of a table of videos, by anyone's quality model."""

import importlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa

from mdsvqa.models.base import FineTunable, ModelError, QualityModel, Score, ScoreStatus
from mdsvqa.models.settings import BATCH_GB
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import SCORES, Maker, ResultTable, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.videos.about import changed_files, said_of_changed
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_all
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.view import PLAIN, ViewSettings

# Clips handed to the model at once, and rows a shard; fewer where their frames take more memory.
BATCH = 16

_Decoded = tuple[Video, Clip | Undecodable]


def load_class(dotted: str) -> QualityModel:
    """Makes an instance of anyone's model.

    Args:
        dotted: "package.module:Class"; the class is called without arguments.

    Raises:
        ModelError: there is no such module or class, it cannot be made, or it has no `score` method.
    """
    module_name, _, class_name = dotted.partition(":")
    if not module_name or not class_name or dotted.startswith("."):
        raise ModelError(
            f"model {dotted!r}: expected `statistical`, a file saved by `mdsvqa finetune`, or package.module:Class."
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model {dotted!r}: {error}. Is the folder of {module_name!r} on PYTHONPATH?") from None
    except Exception as error:  # someone else's code
        raise ModelError(f"model {dotted!r}: importing it failed with {type(error).__name__}: {error}.") from error
    try:
        model = found()
    except Exception as error:  # someone else's code
        raise ModelError(
            f"model {dotted!r}: calling it without arguments failed with {type(error).__name__}: {error}."
        ) from error
    if not callable(getattr(model, "score", None)):
        raise ModelError(f"model {dotted!r}: has no method score(clips) -> list[Score].")
    loaded: QualityModel = model
    return loaded


def finetuned_by_class(model: FineTunable, videos: Sequence[Video], folder: Path, show: Show) -> QualityModel:
    """The model that a class's own `finetune` makes.

    Raises:
        ModelError: it fails, or returns nothing that scores.
    """
    name = type(model).__name__
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with show.working(f"{name}.finetune on {len(videos)} videos"):
            found: object = model.finetune(videos, folder)
    except Exception as error:  # someone else's code
        raise ModelError(f"{name}.finetune failed with {type(error).__name__}: {error}.") from error
    if not callable(getattr(found, "score", None)):
        raise ModelError(f"{name}.finetune must return a model with a method score(clips); found {found!r:.200}.")
    return cast(QualityModel, found)


def score_videos(
    videos: Sequence[Video],
    model: QualityModel,
    maker: Maker,
    frames: int,
    run: Run,
    view: ViewSettings = PLAIN,
    batch_gb: float = BATCH_GB,
) -> pa.Table:
    """Scores each video that has no score yet, and those anew whose files have changed; the model runs in this process,
    decoding ahead in others.

    Args:
        videos: with paths.
        model: f.
        maker: what makes these scores.
        frames: sampled from each video.
        view: what is done with HDR and interlaced pictures.
        batch_gb: of frames that the model is given at once, see `QualitySettings`.

    Returns:
        The scores table. A video that cannot be decoded is "undecodable"; one on which the model raises is "failed".

    Raises:
        ModelError: the model does not return one `Score` a clip.
    """
    with ResultTable(run.out, SCORES, maker, overwrite=run.overwrite) as table:
        changed = changed_files(table, videos)
        if changed:
            run.show.note(said_of_changed("Scores", changed, len(videos)))
        # Each part in batches of its own: which videos are scored together is the same whatever changed.
        for write, part in (
            (table.redo, [video for video in videos if video.id in changed]),
            (table.append, [video for video in videos if video.id not in table.ids]),
        ):
            done = 0
            decoded = decode_all(part, Sampling(frames=frames, view=view), run.workers)
            for batch in _batches(decoded, batch_gb * 1e9):
                write(list(_rows(model, batch)))
                done += len(batch)
                run.show.progress("Scores", done, len(part))
    return read_table(run.out)


def _batches(decoded: Iterable[_Decoded], most_bytes: float) -> Iterator[list[_Decoded]]:
    """Batches of clips whose frames fit into some memory; a larger clip is alone in its batch."""
    batch: list[_Decoded] = []
    room = most_bytes
    for video, clip in decoded:
        size = clip.frames.nbytes if isinstance(clip, Clip) else 0
        if batch and size > room:
            yield batch
            batch, room = [], most_bytes
        batch.append((video, clip))
        room -= size
        if len(batch) == BATCH:
            yield batch
            batch, room = [], most_bytes
    if batch:
        yield batch


def _rows(model: QualityModel, batch: Sequence[_Decoded]) -> Iterator[dict[str, Any]]:
    """Scores with what is known of the files of their clips."""
    for (_, clip), score in zip(batch, _score_batch(model, batch), strict=True):
        yield asdict(score) | (clip.columns if isinstance(clip, Clip) else {})


def _score_batch(model: QualityModel, batch: Sequence[_Decoded]) -> Iterator[Score]:
    clips = [clip for _, clip in batch if isinstance(clip, Clip)]
    scores = {score.id: score for score in _guarded(model, clips)}
    for video, clip in batch:
        if isinstance(clip, Undecodable):
            yield Score(video.id, None, "undecodable", clip.reason)
        else:
            yield replace(scores[video.id], note=clip.note)


def _guarded(model: QualityModel, clips: Sequence[Clip]) -> list[Score]:
    if not clips:
        return []
    try:
        returned: object = model.score(clips)
        scores = list(returned) if isinstance(returned, Iterable) else []
    except Exception as error:  # someone else's code: one bad video must not cost the others their scores
        if len(clips) == 1:
            return [Score(clips[0].id, None, "failed", f"{type(error).__name__}: {error}")]
        return [score for clip in clips for score in _guarded(model, [clip])]
    if [getattr(score, "id", None) for score in scores] != [clip.id for clip in clips]:
        found = scores or returned
        raise ModelError(f"{type(model).__name__}.score must return one Score a clip, in order; found {found!r:.200}.")
    for score in scores:
        if not _is_score(score):
            raise ModelError(
                f"{type(model).__name__}.score: a Score has a finite number and the status 'ok', or None and why there "
                f"is no number; found {score!r:.200}."
            )
    return scores


def _is_score(score: object) -> bool:
    if not isinstance(score, Score) or score.status not in get_args(ScoreStatus):
        return False
    if score.status != "ok":
        return score.score is None
    return isinstance(score.score, (int, float, np.number)) and math.isfinite(score.score)
