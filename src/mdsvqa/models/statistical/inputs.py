"""What a saved statistical model reads: which sets of features, and how they are made of videos anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdsvqa.models.encoders.encoding import content_maker, encode_content
from mdsvqa.models.settings import ContentSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.statistical.features import SAMPLED_FRAMES
from mdsvqa.models.statistical.kernel_model import KernelModel, Recipe
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import (
    FEATURES,
    ResultTable,
    check_maker,
    fingerprint,
    frame_matrices,
    is_table,
    read_meta,
    read_table,
)
from mdsvqa.runtime.run import Run
from mdsvqa.videos.video import Video

NOTHING = np.empty(0)


@dataclass(frozen=True)
class Inputs:
    """What a model reads of videos.

    Attributes:
        rows: features by id, shape (dims,) each.
        failed: status and reason of the videos that have none, by id.
        maker: of them.
    """

    rows: Mapping[str, Floats]
    failed: Mapping[str, tuple[str, str]]
    maker: str

    @classmethod
    def of_table(cls, table: pa.Table, folder: Path) -> Self:
        """The statistical features in a folder."""
        columns = (table[name].to_pylist() for name in ("id", "status", "features", "text"))
        rows, failed = dict[str, Floats](), dict[str, tuple[str, str]]()
        for video, status, values, text in zip(*columns, strict=True):
            if status == "ok":
                rows[video] = np.asarray(values, np.float64)
            else:
                failed[video] = (status, text)
        return cls(rows, failed, fingerprint(read_meta(folder)["maker"]))


def read_inputs(
    videos: Sequence[Video],
    model: KernelModel | None,
    frames: int | None,
    run: Run,
    content: Path | None = None,
    encoder: str | None = None,
) -> Inputs:
    """The features of videos that a model was trained on, computed where they are not there yet.

    What the model reads goes to `features` in the run's folder; of a model that reads content the parts go to
    `statistical` and `content`.

    Args:
        videos: with paths.
        model: saved; None for one that reads statistical features.
        frames: of each video for these; None for as many as the model learned from.
        content: existing table of content features, in place of one in the run's folder; what it lacks is added.
        encoder: of content, where it lies elsewhere than when the model was trained.

    Raises:
        InputError: the content is not what the model learned from, or its encoder cannot be used.
    """
    recipe = (model.recipe if model is not None else None) or Recipe(("statistical",), SAMPLED_FRAMES)
    reads_content = "content" in recipe.sets
    if (content or encoder) and not reads_content:
        raise InputError("--content and --encoder go with a model that was trained on content features.")
    wanted = {video.id for video in videos}
    part = Inputs({}, {}, "")
    if "statistical" in recipe.sets:
        place = run.within("statistical" if reads_content else "features")
        part = Inputs.of_table(extract_features(videos, frames or recipe.frames, place), place.out)
        if not reads_content:
            return part
    table = _content(videos, recipe, run, content, encoder)
    columns = (table[name].to_pylist() for name in ("id", "status", "text"))
    failed = {video: (status, text) for video, status, text in zip(*columns, strict=True) if status != "ok"}
    failed = {video: why for video, why in {**failed, **part.failed}.items() if video in wanted}
    of_frames = dict(zip(table["id"].to_pylist(), frame_matrices(table), strict=True))
    known = [video.id for video in videos if video.id not in failed]
    rows = {video: with_content(part.rows.get(video, NOTHING), of_frames[video]) for video in known}
    found = Inputs(rows, failed, fingerprint([part.maker, recipe.content]))
    maker = {"step": "features", "sets": list(recipe.sets), "parts": found.maker}
    with ResultTable(run.out / "features", FEATURES, maker, overwrite=run.overwrite) as kept:
        new = {video: {"id": video, "features": row.tolist(), "status": "ok"} for video, row in rows.items()}
        new |= {video: {"id": video, "status": status, "text": text} for video, (status, text) in failed.items()}
        kept.append([row for video, row in new.items() if video not in kept.ids])
        kept.replace([new[video] for video in kept.ids_with("undecodable") & rows.keys()])
    return found


def _content(videos: Sequence[Video], recipe: Recipe, run: Run, content: Path | None, encoder: str | None) -> pa.Table:
    if content is not None and is_table(content):
        check_maker(content, recipe.content)
        found = read_table(content)
        if {video.id for video in videos} <= set(found["id"].to_pylist()):
            return found
    settings = ContentSettings.model_validate({**recipe.settings, "encoder": encoder or recipe.settings["encoder"]})
    made = content_maker(settings)
    if made != recipe.content:
        differences = "; ".join(
            f"{key}: {recipe.content.get(key)!r} then, {made.get(key)!r} now"
            for key in sorted({*made, *recipe.content})
            if made.get(key) != recipe.content.get(key)
        )
        raise InputError(
            f"encoder {settings.encoder!r}: is not the one that the model was trained with ({differences}). Name that "
            "one by --encoder, or content that it made by --content."
        )
    place = run.within("content") if content is None else Run(content, run.show, run.workers)
    return encode_content(videos, settings, place)


def with_content(features: Floats, frames: NDArray[np.floating]) -> Floats:
    """Statistical features of a video, none or some, and those of its frames' content beside them."""
    return np.concatenate([features, pooled(frames)])


def pooled(frames: NDArray[np.floating]) -> Floats:
    """Mean and deviation over the frames of a video, shape (2 dims,), from shape (T, dims).

    >>> pooled(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [2.0, 5.0, 1.0, 0.0]
    """
    values = frames.astype(np.float64)
    return np.concatenate([values.mean(0), values.std(0)])


def recorded(sets: Sequence[str], frames: int, settings: ContentSettings, content: Path) -> Recipe:
    """The recipe of features that were computed from videos.

    Args:
        sets: statistical, content, or both, in the order in which they stand side by side.
        frames: of each video for the statistical ones.
        settings, content: of the encoder, and the table that it made.
    """
    if "content" not in sets:
        return Recipe(tuple(sets), frames)
    said: dict[str, Any] = settings.record()
    return Recipe(tuple(sets), frames, said, read_meta(content)["maker"])
