"""What a study works on: its videos with their features, as arrays, each video in its role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.open import kind_of
from mdsvqa.models.predictions import read_features
from mdsvqa.models.settings import HANDCRAFTED, STATISTICAL, FeatureSet
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures
from mdsvqa.models.statistical.standardise import Standardiser
from mdsvqa.runtime.arrays import Flags, Floats, Ints
from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.results import fingerprint, frame_matrices, read_meta
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.user_tables import place_of_table, read_columns
from mdsvqa.selection.base import Limits
from mdsvqa.selection.distances.chamfer import Content
from mdsvqa.selection.limits import read_limits
from mdsvqa.selection.settings import Space
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.inputs import NOTHING, with_content
from mdsvqa.videos.about import NAMES, sentences, unusual
from mdsvqa.videos.files import check_files
from mdsvqa.videos.labels import (
    FIVE_LEVELS,
    REQUEST,
    ROUND_LABELS,
    Labels,
    known_labels,
    read_label_request,
    read_labels,
)
from mdsvqa.videos.manifest import parse_scale, read_videos
from mdsvqa.videos.roles import Role, roles_of, with_split
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import View


@dataclass(frozen=True)
class PoolArrays:
    """The unlabeled videos of a study that a choice is made from, k of them.

    Attributes:
        ids: unique.
        index: of each among the study's videos, shape (k,).
        content: frame features of each, in the space in which videos are compared.
        limits: that the choice of each round must keep to.
    """

    ids: Sequence[str]
    index: Ints
    content: Content
    limits: Limits = field(default_factory=Limits)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: Ints) -> "PoolArrays":
        """Some of them, by their places here."""
        ids = [self.ids[int(place)] for place in chosen]
        return PoolArrays(ids, self.index[chosen], self.content.take(chosen), self.limits.take(chosen))

    def within(self, limits: Limits) -> "PoolArrays":
        """The same under other limits."""
        return replace(self, limits=limits)


@dataclass(frozen=True)
class StudyData:
    """The usable videos of a study, as arrays of one length n.

    Attributes:
        videos: MOS on the 1-5 scale.
        features: of the statistical model, shape (n, dims).
        content: frame features.
        dataset: integer code of each video's study, shape (n,): 0 and below for the source's, 1 and above for the
            pool's.
        source, pool, target_test, source_test: indices of the videos in each role.
        failures: why the other videos are not here, by id.
        maker: what made the features and the content, for the results that depend on them.
        content_is_features: there are no files, and the standardised features stand in for content.
        feature_sets: features of each set, side by side, where each has a kernel of its own; else none.
        about: the file of each video and what its pictures are, as columns of `videos.about.About`, by id.
    """

    videos: Sequence[Video]
    features: Floats
    content: Content
    dataset: Ints
    source: Ints
    pool: Ints
    target_test: Ints
    source_test: Ints
    failures: Mapping[str, str]
    maker: Mapping[str, str]
    content_is_features: bool = False
    feature_sets: tuple[int, ...] = ()
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_videos(
        cls,
        videos: Sequence[Video],
        features: Floats,
        content: Content,
        failures: Mapping[str, str] | None = None,
        maker: Mapping[str, str] | None = None,
    ) -> "StudyData":
        """Each video in the role that its split and its label give it."""
        roles = roles_of(videos)

        def role(wanted: Role) -> Ints:
            return np.array([index for index, found in enumerate(roles) if found == wanted], np.int64)

        targets = list(dict.fromkeys(video.dataset for video in videos if video.split == "pool"))
        sources = list(dict.fromkeys(video.dataset for video in videos if video.split == "train"))
        # A pool is rated in a study of its own even where its videos belong to the source's data set.
        new, old = {name: 1 + i for i, name in enumerate(targets)}, {name: -i for i, name in enumerate(sources)}
        dataset = [
            old.get(video.dataset, -len(sources)) if video.split == "train" else new.get(video.dataset, -len(sources))
            for video in videos
        ]
        return cls(
            videos,
            features,
            content,
            np.array(dataset, np.int64),
            source=role("source"),
            pool=role("pool"),
            target_test=role("target test"),
            source_test=role("source test"),
            failures=failures or {},
            maker=maker or {},
        )

    def ids(self, role: Ints) -> list[str]:
        """The ids of the videos in a role."""
        return [self.videos[int(index)].id for index in role]

    def mos(self, role: Ints) -> Floats:
        """Their MOS, NaN where there is none."""
        values = [self.videos[int(index)].mos for index in role]
        return np.array([np.nan if mos is None else mos for mos in values], np.float64)

    def labeled_source(self) -> LabeledFeatures:
        """The source with its labels."""
        index = self.source
        new = np.zeros(len(index), bool)
        return LabeledFeatures(self.features[index], self.mos(index), self.dataset[index], new)

    def labeled(self, index: Ints, mos: Floats) -> LabeledFeatures:
        """Some videos with the MOS that they were newly given."""
        new = np.ones(len(index), bool)
        return LabeledFeatures(self.features[index], mos, self.dataset[index], new)

    def pool_arrays(self, config: StudyConfig) -> PoolArrays:
        """The pool, with what the choice must keep to."""
        ids = self.ids(self.pool)
        paths = {self.videos[int(index)].id: self.videos[int(index)].path for index in self.pool}
        limits = read_limits(config.selection, ids, paths, config.videos, config.manifest.names)
        return PoolArrays(ids, self.pool, self.space(config.selection.features, self.pool), limits)

    def space(self, name: Space, role: Ints) -> Content:
        """The features in which the videos of a role are compared: those that show content, or those that f reads.

        The latter in units of these videos: in those of others a few features may outweigh all else.
        """
        if name == "content" and not self.content_is_features:
            return self.content.take(role)
        features = self.features[role]
        return Content.stack(list(Standardiser.fit(features)(features)[:, None, :]))

    def of(self, index: Ints) -> "StudyData":
        """Some of the videos, in this order and in no role."""
        none = np.empty(0, np.int64)
        return replace(
            self,
            videos=[self.videos[int(place)] for place in index],
            features=self.features[index],
            content=self.content.take(index),
            dataset=self.dataset[index],
            source=none,
            pool=none,
            target_test=none,
            source_test=none,
        )

    def only(self, kept: Flags, reason: str) -> "StudyData":
        """Without some of the videos, which become failures for the stated reason."""
        if kept.all():
            return self
        place = np.cumsum(kept) - 1

        def moved(role: Ints) -> Ints:
            return place[role[kept[role]]]

        lost = {video.id: reason for video, keep in zip(self.videos, kept, strict=True) if not keep}
        return replace(
            self,
            videos=[video for video, keep in zip(self.videos, kept, strict=True) if keep],
            features=self.features[kept],
            content=self.content.take(np.flatnonzero(kept)),
            dataset=self.dataset[kept],
            source=moved(self.source),
            pool=moved(self.pool),
            target_test=moved(self.target_test),
            source_test=moved(self.source_test),
            failures={**self.failures, **lost},
        )

    def because(self, reasons: Mapping[str, str]) -> "StudyData":
        """With other reasons why some videos are not here."""
        return replace(self, failures={**self.failures, **reasons})

    def labels_fingerprint(self) -> str:
        """Names the source's labels."""
        rows = zip(
            self.ids(self.source), self.mos(self.source).tolist(), self.dataset[self.source].tolist(), strict=True
        )
        return fingerprint([list(row) for row in rows])


def given_labels(config: StudyConfig) -> Labels | None:
    """What the raters said, in the file of labels, in the lists that went out, or in rating studies; None where they
    have not said anything yet.

    Where several know a video, the file of labels is right, then the lists.

    Raises:
        ColumnError: a file cannot be used.
    """
    found = None
    if config.labeling is not None:
        # What a rating study of a round ended with lies in the folder of the round.
        for path in sorted(config.out.glob(f"round-*/{ROUND_LABELS}")):
            found = read_labels(path, FIVE_LEVELS).over(found or Labels({}))
    for said in filled_requests(config).values():
        found = said.over(found or Labels({}))
    if config.labels is None or not place_of_table(config.labels)[0].exists():
        return found
    said = read_labels(config.labels, parse_scale(config.labels_scale), config.manifest.names)
    return said if found is None else said.over(found)


def filled_requests(config: StudyConfig) -> dict[Path, Labels]:
    """The lists of videos to be rated that people filled in where they lie, those with an answer.

    Raises:
        ColumnError: one cannot be used.
    """
    scale = parse_scale(config.labels_scale)
    lists = {path: read_label_request(path, scale) for path in sorted(config.out.glob(f"round-*/{REQUEST}"))}
    return {path: said for path, said in lists.items() if said.mos or said.unratable}


def pool_labels(config: StudyConfig, material: StudyData) -> Labels:
    """All MOS of pool videos that anyone knows: the raters', and where they said nothing the manifest's.

    Raises:
        ColumnError: the file of labels cannot be used.
    """
    return known_labels([material.videos[int(index)] for index in material.pool], given_labels(config))


def gather(config: StudyConfig, run: Run) -> StudyData:
    """Reads the videos of a study and computes what is missing of their features and content.

    Args:
        config: names the manifest.
        run: results go to the folders `features` and `content` in it.

    Raises:
        ConfigError, ManifestError, ColumnError, TableError: something handed in cannot be used.
    """
    videos = [
        with_split(video) for video in read_videos(config.videos, config.mos_scale, config.manifest, run.show.note)
    ]
    videos = _without_excluded(videos, config, run)
    check_files(config.videos, videos, run.show)
    failures: dict[str, str] = {}
    about: dict[str, dict[str, Any]] = {}
    given, sets = config.quality.features, feature_sets(config)
    rows: dict[str, Floats] = {}
    if isinstance(given, Path):
        values = read_features(given, [video.id for video in videos], run.show)
        rows = dict(zip([video.id for video in videos], values, strict=True))
        for video, row in rows.items():
            if not np.isfinite(row).any():
                failures[video] = f"not in {given.name}"
        made_features = fingerprint([given.name, values.tobytes().hex()])
    elif sets != ("content",):
        view = config.quality.view()
        table = extract_features(videos, config.quality.frames, run.within("features"), view)
        about = _about(table, videos, view, run)
        rows = _rows(table, videos, failures)
        made_features = fingerprint(read_meta(config.out / "features"))
    content_is_features = isinstance(given, Path) and not any(video.path for video in videos)
    if content_is_features:
        # One "frame" a video: the standardised features say how different two videos are.
        known = np.stack([rows[video.id] for video in videos])
        frames = dict(zip(rows, Standardiser.fit(known)(known)[:, None, :], strict=True))
        made_content = made_features
    else:
        table = encode_content(videos, config.content, run.within("content"))
        about = about or _about(table, videos, config.content.view(), run)
        frames = _frames(table, videos, failures)
        made_content = fingerprint(read_meta(config.out / "content"))
    if "content" in sets:
        rows = {v: with_content(rows.get(v, NOTHING), of_v) for v, of_v in frames.items() if v not in failures}
        made_features = fingerprint([*sets, made_features if "statistical" in sets else "", made_content])
    usable = [video for video in videos if video.id not in failures]
    if not usable:
        raise ConfigError(f"{config.videos}: not one of its {len(videos)} videos can be used: {_first(failures)}")
    data = StudyData.of_videos(
        usable,
        np.stack([rows[video.id] for video in usable]).astype(np.float64),
        Content.stack([frames[video.id] for video in usable]),
        failures,
        {"features": made_features, "content": made_content},
    )
    for name, found in (("pool", data.pool), ("train", data.source)):
        if len(found) == 0:
            meaning = "videos to choose from" if name == "pool" else "labeled videos that f learns from"
            raise ConfigError(f"{config.videos}: has no usable video of split {name!r} ({meaning}).")
    both = data.features.shape[1], 2 * data.content.dims
    sizes = tuple({"statistical": both[0] - both[1] * ("content" in sets), "content": both[1]}[name] for name in sets)
    return replace(data, content_is_features=content_is_features, feature_sets=sizes, about=about)


def feature_sets(config: StudyConfig) -> tuple[FeatureSet, ...]:
    """The sets of features that have a kernel each, statistical first; none where f reads features as one."""
    named, quality = config.quality.features, config.quality
    if isinstance(named, tuple):
        return tuple(sorted(named, reverse=True))
    if named is None and quality.model != STATISTICAL and kind_of(quality.model) == "statistical":
        recipe = KernelModel.load(Path(quality.model)).recipe
        # As one kernel, where it reads them as one.
        return () if recipe is None or "content" not in recipe.sets else cast(tuple[FeatureSet, ...], recipe.sets)
    encoded = named is None and quality.model == STATISTICAL and config.content.encoder != HANDCRAFTED
    return ("statistical", "content") if encoded else ()


def _without_excluded(videos: Sequence[Video], config: StudyConfig, run: Run) -> list[Video]:
    """Without the pool's videos that are never to be chosen."""
    path = config.selection.exclude
    if path is None:
        return list(videos)
    listed = read_columns(path).ids()
    said = match_ids(path, listed, [video.id for video in videos], str(config.videos))
    if said:
        run.show.note(said)
    excluded = set(listed)
    return [video for video in videos if video.split != "pool" or video.id not in excluded]


def _about(table: pa.Table, videos: Sequence[Video], view: View, run: Run) -> dict[str, dict[str, Any]]:
    """What a table says of the files of some videos; said aloud where it changes what a model sees."""
    wanted = {video.id for video in videos}
    known = table.select(["id", *(name for name in NAMES if name in table.column_names)]).to_pylist()
    found = {row.pop("id"): row for row in known if row["id"] in wanted}
    for sentence in sentences(unusual(found.values()), view.hdr, view.deinterlace):
        run.show.note(sentence)
    return found


def _rows(table: pa.Table, videos: Sequence[Video], failures: dict[str, str]) -> dict[str, Floats]:
    wanted = {video.id for video in videos}
    rows = {}
    for video, status, values, text in zip(
        *(table[name].to_pylist() for name in ("id", "status", "features", "text")), strict=True
    ):
        if status == "ok":
            rows[video] = np.asarray(values, np.float64)
        elif video in wanted:
            failures[video] = text
    return rows


def _frames(table: pa.Table, videos: Sequence[Video], failures: dict[str, str]) -> dict[str, NDArray[np.float32]]:
    wanted = {video.id for video in videos}
    reasons = zip(*(table[name].to_pylist() for name in ("id", "status", "text")), strict=True)
    failures |= {video: text for video, status, text in reasons if status != "ok" and video in wanted}
    return dict(zip(table["id"].to_pylist(), frame_matrices(table), strict=True))


def _first(failures: Mapping[str, str]) -> str:
    video, reason = next(iter(failures.items()))
    return f"{video}: {reason}."
