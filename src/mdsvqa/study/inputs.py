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
from mdsvqa.runtime.known_rows import FileStamp
from mdsvqa.runtime.makers import differences
from mdsvqa.runtime.results import (
    FEATURES,
    Maker,
    companion,
    fingerprint,
    frame_matrices,
    is_table,
    made_by,
    read_meta,
    read_table,
)
from mdsvqa.runtime.run import Run
from mdsvqa.videos.about import NAMES
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import PLAIN, View

NOTHING = np.empty(0)
# Within a folder of scores: what the model read, and of one that reads content the two parts of it.
FEATURES_FOLDER, PARTS = "features", ("statistical", "content")


@dataclass(frozen=True)
class Inputs:
    """What a model reads of videos.

    Attributes:
        rows: features by id, shape (dims,) each.
        failed: status and reason of the videos that have none, by id.
        about: what tables say of the file of each video, by id.
        maker: of them.
    """

    rows: Mapping[str, Floats]
    failed: Mapping[str, tuple[str, str]]
    about: Mapping[str, dict[str, Any]]
    maker: str

    @classmethod
    def of_table(cls, table: pa.Table, folder: Path) -> Self:
        """The statistical features in a folder."""
        rows = {row["id"]: row for row in table.to_pylist()}
        known = {video: np.asarray(row["features"], np.float64) for video, row in rows.items() if row["status"] == "ok"}
        return cls(known, _failed(rows), _about(rows), fingerprint(made_by(folder)))

    def stamp(self, video: str) -> FileStamp:
        """Size, time of change and etag of a video's file."""
        about = self.about[video]
        return about.get("size"), about.get("mtime"), about.get("etag")

    def failed_rows(self) -> dict[str, dict[str, Any]]:
        """Rows of a table of the videos that have no features, by id."""
        return {video: {"id": video, "status": why[0], "text": why[1]} for video, why in self.failed.items()}


def _failed(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    return {video: (row["status"], row["text"]) for video, row in rows.items() if row["status"] != "ok"}


def _about(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {video: {name: row.get(name) for name in NAMES} for video, row in rows.items()}


def read_inputs(
    videos: Sequence[Video],
    model: KernelModel | None,
    frames: int | None,
    run: Run,
    view: View = PLAIN,
    content: Path | None = None,
    encoder: str | None = None,
) -> Inputs:
    """The features of videos that a model was trained on, computed where they are not there yet.

    What the model reads goes to `_features` in the run's folder; of a model that reads content the parts go to
    `_statistical` and `_content`.

    Args:
        videos: with paths.
        model: saved; None for one that reads statistical features.
        frames, view: of each video for these; None and the plain one for those that the model learned from.
        content: existing table of content features, in place of one in the run's folder; what it lacks is added.
        encoder: of content, where it lies elsewhere than when the model was trained.

    Raises:
        InputError: the content is not what the model learned from, or its encoder cannot be used.
    """
    recipe = (model.recipe if model is not None else None) or Recipe(("statistical",), SAMPLED_FRAMES)
    reads_content = "content" in recipe.sets
    if (content or encoder) and not reads_content:
        raise InputError("--content and --encoder go with a model that was trained on content features.")
    part = Inputs({}, {}, {}, "")
    if "statistical" in recipe.sets:
        place = run.within(companion(run.out, PARTS[0] if reads_content else FEATURES_FOLDER).name)
        shown = View(**recipe.view) if view == PLAIN else view
        part = Inputs.of_table(extract_features(videos, frames or recipe.frames, place, shown), place.out)
        if not reads_content:
            return part
    table, made = _content(videos, recipe, run, content, encoder)
    lines = {row["id"]: row for row in table.drop_columns(["frames"]).to_pylist()}
    wanted = {video.id for video in videos}
    failed = {video: why for video, why in {**_failed(lines), **part.failed}.items() if video in wanted}
    of_frames = dict(zip(table["id"].to_pylist(), frame_matrices(table), strict=True))
    known = [video.id for video in videos if video.id not in failed]
    rows = {video: with_content(part.rows.get(video, NOTHING), of_frames[video]) for video in known}
    found = Inputs(rows, failed, {**_about(lines), **part.about}, fingerprint([part.maker, made]))
    maker = {"step": "features", "sets": list(recipe.sets), "parts": found.maker}
    with run.within(companion(run.out, FEATURES_FOLDER).name).open(FEATURES, maker) as kept:
        new = {video: {"id": video, "features": row.tolist(), "status": "ok"} for video, row in rows.items()}
        new = {video: row | found.about[video] for video, row in {**new, **found.failed_rows()}.items()}
        kept.append([row for video, row in new.items() if video not in kept.ids])
        kept.replace([new[video] for video in kept.ids_with("undecodable") & rows.keys()])
    return found


def _content(
    videos: Sequence[Video], recipe: Recipe, run: Run, content: Path | None, encoder: str | None
) -> tuple[pa.Table, Maker]:
    """The table, and what made it."""
    if content is not None and is_table(content):
        there = read_meta(content)["maker"]
        if there != recipe.content:
            raise InputError(
                f"{content}: is not what the model was trained on ({differences(there, recipe.content)}). Name content "
                "that its encoder made, or leave --content out."
            )
        found = read_table(content)
        if {video.id for video in videos} <= set(found["id"].to_pylist()):
            return found, made_by(content)
    settings = ContentSettings.model_validate({**recipe.settings, "encoder": encoder or recipe.settings["encoder"]})
    made = content_maker(settings)
    if made != recipe.content:
        raise InputError(
            f"encoder {settings.encoder!r}: is not the one that the model was trained with "
            f"({differences(recipe.content, made)}). Name that one by --encoder, or content that it made by --content."
        )
    beside = run.within(companion(run.out, PARTS[1]).name)
    place = beside if content is None else Run(content, run.show, run.workers, engine=run.engine)
    return encode_content(videos, settings, place), made_by(place.out)


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


def recorded(sets: Sequence[str], frames: int, view: View, settings: ContentSettings, content: Path) -> Recipe:
    """The recipe of features that were computed from videos.

    Args:
        sets: statistical, content, or both, in the order in which they stand side by side.
        frames, view: of each video for the statistical ones.
        settings, content: of the encoder, and the table that it made.
    """
    if "content" not in sets:
        return Recipe(tuple(sets), frames, view.record())
    said: dict[str, Any] = settings.record()
    return Recipe(tuple(sets), frames, view.record(), said, read_meta(content)["maker"])
