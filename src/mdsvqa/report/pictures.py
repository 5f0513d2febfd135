"""What the page of a study shows of videos: the map of the pool, thumbnails, pairs of test videos."""

import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
from sklearn.decomposition import PCA

from mdsvqa.evaluation.disagreement import Pair, disagreements
from mdsvqa.report.page.data import PairedVideo, PoolPoint, VideoPair
from mdsvqa.report.page.thumbnails import thumbnail
from mdsvqa.runtime.arrays import Floats
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.percentile import percentiles
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.result import StudyResult
from mdsvqa.videos.clip import Clip
from mdsvqa.videos.decoding import Sampling, decode_video
from mdsvqa.videos.video import Video
from mdsvqa.videos.view import PLAIN, View

THUMBNAILS = 60
# Pairs of test videos, each way.
PAIRS = 4


def pool_points(config: StudyConfig, result: StudyResult, mos: Floats) -> list[PoolPoint]:
    """The pool's videos on a map of their content (its first two principal components).

    Args:
        mos: of the pool's videos, NaN where nobody knows it, shape (n,).
    """
    data = result.data
    means = data.content.take(data.pool).means()
    place = np.zeros((len(means), 2))
    if len(means) > 2 and means.shape[1] > 1:
        place = PCA(2, random_state=0).fit_transform(means)
    chosen = {row["id"]: row for row in result.selected}
    shown = set(list(chosen)[:THUMBNAILS])
    points, difficulty = [], percentiles(result.difficulty)
    for row, index in enumerate(data.pool):
        video = data.videos[int(index)]
        pick = chosen.get(video.id)
        points.append(
            PoolPoint(
                video.id,
                float(place[row, 0]),
                float(place[row, 1]),
                float(difficulty[row]),
                None if pick is None else pick["rank"],
                picture_of(video, config.quality.view()) if video.id in shown else None,
                float(result.scores[0][index]),
                float(mos[row]) if np.isfinite(mos[row]) else None,
                pick["diversity"] if pick is not None and config.selection.rule == "mds" else None,
                pick is not None and pick["rule"] == AUDIT,
                # A page asks nothing of the network.
                played_from(config.out, video.path) if pick is not None and isinstance(video.path, Path) else None,
            )
        )
    return points


def played_from(page: Path, video: Path) -> str:
    """The address of a video file in a page of a folder."""
    try:
        return quote(os.path.relpath(video.resolve(), page.resolve()).replace(os.sep, "/"))
    except ValueError:
        # On another drive of a Windows machine.
        return video.resolve().as_uri()


def picture_of(video: Video, view: View = PLAIN) -> str | None:
    """A thumbnail of a video's middle frame, None where there is no file."""
    clip = decode_video(video, Sampling(frames=1, longest_side=320, view=view))
    return thumbnail(clip.frames) if isinstance(clip, Clip) else None


def video_pairs(config: StudyConfig, result: StudyResult) -> tuple[list[VideoPair], list[VideoPair]]:
    """Test videos of the target on which the base and the fine-tuned model disagree most.

    Returns:
        Pairs that the base model scores about equal, and pairs that the fine-tuned model does; none before there is a
        fine-tuned model.
    """
    data, test = result.data, result.data.target_test
    if len(result.scores) < 2 or len(test) < 2:
        return [], []
    before, after = (result.scores[turn][test] for turn in (0, -1))
    names = [data.videos[int(index)].dataset for index in test]
    dataset = np.unique(names, return_inverse=True)[1].astype(np.int64)

    def shown(pair: Pair) -> VideoPair:
        return VideoPair(*(_paired(config, result, int(test[place])) for place in (pair.better, pair.worse)))

    def told_apart(pair: VideoPair, seeing: str) -> bool:
        """Whether the scores of the model that sees a difference differ at the precision at which they are shown."""
        return round(getattr(pair.better, seeing), 2) != round(getattr(pair.worse, seeing), 2)

    blind = disagreements(before, after, dataset, PAIRS), disagreements(after, before, dataset, PAIRS)
    base, tuned = ([shown(pair) for pair in pairs] for pairs in blind)
    return [p for p in base if told_apart(p, "after")], [p for p in tuned if told_apart(p, "before")]


def _paired(config: StudyConfig, result: StudyResult, index: int) -> PairedVideo:
    video = result.data.videos[index]
    mos = float("nan") if video.mos is None else video.mos
    before, after = (float(result.scores[turn][index]) for turn in (0, -1))
    return PairedVideo(video.id, mos, before, after, picture_of(video, config.quality.view()))
