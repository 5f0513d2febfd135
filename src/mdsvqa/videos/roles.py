"""Who is source, pool and test set: the only definition."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mdsvqa.videos.video import Video

Role = Literal["source", "pool", "target test", "source test", ""]


def with_split(video: Video) -> Video:
    """Without a split, a labeled video is for training and an unlabeled one belongs to the pool."""
    return video if video.split else replace(video, split="pool" if video.mos is None else "train")


def roles_of(videos: Sequence[Video]) -> list[Role]:
    """The role of each video.

    source       labeled, split train: what f learns from
    pool         split pool: what there is to choose from
    target test  labeled, split test, of a data set that has videos in the pool
    source test  labeled, split test, of any other data set
    (none)       without the label that its split needs

    Test videos of the pool's data set are target test even where that is the source's too: nothing may learn from them.

    >>> old = [Video("a", None, "old", "train", 3.0), Video("b", None, "old", "test", 3.0)]
    >>> new = [Video("c", None, "new", "pool"), Video("d", None, "new", "test", 3.0), Video("e", None, "new", "test")]
    >>> roles_of([*old, *new])
    ['source', 'source test', 'pool', 'target test', '']
    """
    sorted_out = [with_split(video) for video in videos]
    targets = {video.dataset for video in sorted_out if video.split == "pool"}
    return [_role(video, targets) for video in sorted_out]


def _role(video: Video, targets: set[str]) -> Role:
    if video.split == "pool":
        return "pool"
    if video.mos is None:
        return ""
    if video.split == "train":
        return "source"
    return "target test" if video.dataset in targets else "source test"


def in_role(videos: Sequence[Video], wanted: Role) -> list[Video]:
    """The videos of one role, in their order."""
    return [video for video, role in zip(videos, roles_of(videos), strict=True) if role == wanted]
