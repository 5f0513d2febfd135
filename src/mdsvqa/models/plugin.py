"""Scores of a table of videos, by anyone's quality model."""

import importlib
import math
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa

from mdsvqa.models.base import FineTunable, ModelError, QualityModel, Score, ScoreStatus
from mdsvqa.models.settings import BATCH_GB
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import SCORES, Maker, ResultTable, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.videos.changes import changed_files, said_of_changed
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, Undecodable, decode_all
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.view import PLAIN, View

# Clips handed to the model at once, and rows a shard; fewer where their frames take more memory.
BATCH = 16
# Clips in a row without a score for the same reason, after which a model fails as a whole: once it gave a score, and
# before it ever did.
MOST_ALIKE, MOST_AT_FIRST = BATCH, 8
# Of a MOS; the ends are on it whatever rounding made of them.
LOWEST, HIGHEST = 1 - 1e-6, 5 + 1e-6

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
        with show.working(f"{name}.finetune on {counted(len(videos), 'video')}"):
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
    view: View = PLAIN,
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
        The scores table. A video that cannot be decoded is "undecodable"; one on which the model raises is "failed",
        one with a score outside of 1-5 "out_of_range". All of these are tried again by the next call.

    Raises:
        ModelError: the model does not return one `Score` a clip; or it fails as a whole, with its own traceback. Rows
            of earlier batches stay.
    """
    show, sampling, most_bytes = run.show, Sampling(frames=frames, view=view), batch_gb * 1e9
    with run.open(SCORES, maker) as table:
        without = unscored(table)
        changed = changed_files(table, videos) - without
        if changed:
            show.note(said_of_changed("Scores", changed, len(videos)))
        watch = _Watch(model, scored=bool(table.ids_with("ok")))

        def scored(part: Sequence[Video], *, again: bool = False) -> Iterator[list[dict[str, Any]]]:
            for batch in _batches(decode_all(part, sampling, map=run.map), most_bytes):
                yield _score_batch(model, batch, watch, again=again)

        again, mended, tried, done = [video for video in videos if video.id in without], 0, 0, 0
        for rows in scored(again, again=True):
            table.replace(rows)
            mended += sum(row["status"] == "ok" for row in rows)
            tried += len(rows)
            show.progress("Scores, tried again", tried, len(again))
        if mended:
            show.note(f"Scores: {mended} of {len(again)} that had no score before")
        for rows in scored([video for video in videos if video.id in changed]):
            table.redo(rows)
        missing = [video for video in videos if video.id not in table.ids]
        if reused := len(videos) - len(missing) - len(changed):
            show.note(f"Scores: {reused} of {len(videos)} reused from {run.out}")
        if missing:
            show.progress("Scores", 0, len(missing))
        for rows in scored(missing):
            table.collect(rows)
            done += len(rows)
            show.progress("Scores", done, len(missing))
        watch.end()
    return read_table(run.out)


def unscored(table: ResultTable) -> set[str]:
    """The videos that a class gave no score, and may yet: it may have been mended since, or a file."""
    return table.ids_with("failed") | table.ids_with("undecodable") | table.ids_with("out_of_range")


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


@dataclass(frozen=True)
class _Outcome:
    """What became of one clip, and what was raised on it."""

    score: Score
    error: Exception | None = None

    def fails_like(self, other: "_Outcome") -> bool:
        """Whether both have no score for the same reason: an error of one type, from one line or with one message."""
        if self.error is None or other.error is None:
            return self.score.status == other.score.status == "out_of_range"
        alike = _where(self.error) == _where(other.error) or str(self.error) == str(other.error)
        return alike and type(self.error) is type(other.error)


class _Watch:
    """Ends the work of a model that fails as a whole, and not on some videos.

    Args:
        model: to watch.
        scored: whether it ever gave a score to one of these videos.
    """

    def __init__(self, model: QualityModel, *, scored: bool) -> None:
        self._model, self._scored, self._alike = model, scored, list[_Outcome]()

    def see(self, found: Sequence[_Outcome], *, again: bool) -> None:
        """Looks at the clips of a batch, of videos that it could not score before where `again` is set."""
        for outcome in found:
            self._scored |= outcome.score.status == "ok"
            if not (self._alike and outcome.fails_like(self._alike[0])):
                self._alike = []
            if outcome.fails_like(outcome):
                self._alike.append(outcome)
        if len(self._alike) >= (MOST_ALIKE if self._scored else MOST_AT_FIRST) and not (again and self._scored):
            self._fail()

    def end(self) -> None:
        """There is nothing more to score."""
        if self._alike and not self._scored:
            self._fail()

    def _fail(self) -> None:
        first, count = self._alike[0], len(self._alike)
        where = f"{count} clips in a row, {first.score.id!r} the first" if count > 1 else f"clip {first.score.id!r}"
        on = f"{type(self._model).__name__}.score, on {where}"
        if first.error is None:
            raise ModelError(
                f"{on}: {first.score.text}. Map its scores to 1-5, or give Score(id, None, 'out_of_range') where there "
                "is none."
            )
        trace = first.error.__traceback__
        # Without the call from here.
        own = trace.tb_next if trace is not None and trace.tb_next is not None else trace
        raised = "".join(traceback.format_exception(type(first.error), first.error, own))
        raise ModelError(
            f"{on}: raised the same error. What was scored is kept; mend the class and run the same command again.\n"
            f"{raised.rstrip()}"
        ) from first.error


def _score_batch(
    model: QualityModel, batch: Sequence[_Decoded], watch: _Watch, *, again: bool = False
) -> list[dict[str, Any]]:
    """The row of each video of a batch; `again` says that they had no score before."""
    found = _guarded(model, [clip for _, clip in batch if isinstance(clip, Clip)])
    watch.see(found, again=again)
    scores = iter(each.score for each in found)
    return [
        asdict(Score(video.id, None, "undecodable", clip.reason))
        if isinstance(clip, Undecodable)
        else asdict(next(scores)) | clip.columns
        for video, clip in batch
    ]


def _guarded(model: QualityModel, clips: Sequence[Clip]) -> list[_Outcome]:
    if not clips:
        return []
    raised: Exception | None = None
    try:
        returned: object = model.score(clips)
        scores = list(returned) if isinstance(returned, Iterable) else []
    except Exception as error:  # someone else's code: one bad video must not cost the others their scores
        raised = error
    # Outside of the handler: what is raised on a clip alone has not that of the batch as its context.
    if raised is not None and len(clips) > 1:
        return [outcome for clip in clips for outcome in _guarded(model, [clip])]
    if raised is not None:
        text = f"{type(raised).__name__}: {raised} ({_where(raised)})"
        return [_Outcome(Score(clips[0].id, None, "failed", text), raised)]
    if [getattr(score, "id", None) for score in scores] != [clip.id for clip in clips]:
        other = len(scores) not in (0, len(clips))
        found = f"{len(scores)} for {counted(len(clips), 'clip')}" if other else repr(scores or returned)
        raise ModelError(f"{_name(model)} must return one Score a clip, in order; found {found:.200}.")
    return [_checked(model, score) for score in scores]


def _checked(model: QualityModel, score: object) -> _Outcome:
    if not _is_score(score):
        raise ModelError(
            f"{_name(model)}: a Score has a finite number and the status 'ok', or None and why there is no number; "
            f"found {score!r:.200}."
        )
    assert isinstance(score, Score)
    if score.score is not None and not LOWEST <= score.score <= HIGHEST:
        text = f"found {score.score:g}, expected a score from 1 to 5"
        return _Outcome(replace(score, score=None, status="out_of_range", text=text))
    return _Outcome(score)


def _is_score(score: object) -> bool:
    if not isinstance(score, Score) or score.status not in get_args(ScoreStatus):
        return False
    if score.status != "ok":
        return score.score is None
    return isinstance(score.score, (int, float, np.number)) and math.isfinite(score.score)


def _where(error: Exception) -> str:
    """The file and line that an error was raised at."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def _name(model: QualityModel) -> str:
    return f"{type(model).__name__}.score"
