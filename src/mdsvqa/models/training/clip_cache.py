"""Clips at the size at which a model reads them, decoded once and kept on disk for all epochs of a training."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from mdsvqa.models.vlm.clips import ModelClip, VisualLimits, crashed, read_clip
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.places import Remote
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import fingerprint
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.videos.about import About
from mdsvqa.videos.decoding import Undecodable
from mdsvqa.videos.local_files import about_place, about_places
from mdsvqa.videos.video import Video


class ClipCache:
    """A folder with a file for each clip, uint8, as large as the model sees it.

    Args:
        folder: made if missing. Clips of another sight or of a changed video file are not taken for these.
        sight: of the model.
    """

    def __init__(self, folder: Path, sight: VisualLimits) -> None:
        self._folder, self.sight = folder, sight
        # Of objects: a store is asked once in a training.
        self._objects: dict[str, About] = {}

    def fill(self, videos: Sequence[Video], workers: int, show: Show) -> dict[str, str]:
        """Decodes what is missing, ahead in other processes.

        Returns:
            Why, for each video that cannot be decoded, by its id.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._objects |= about_places({video.id: video.path for video in videos if isinstance(video.path, Remote)})
        missing = [video for video in videos if not self._path(video).is_file()]
        failed: dict[str, str] = {}
        found = map_in_workers(partial(read_clip, sight=self.sight), missing, workers, crashed=crashed)
        if missing:
            show.progress("Decoding at training size", 0, len(missing))
        for done, (video, clip) in enumerate(zip(missing, found, strict=True), 1):
            if isinstance(clip, Undecodable):
                failed[video.id] = clip.reason
            else:
                metadata = {
                    "id": clip.id,
                    "seconds_per_grid": repr(clip.seconds_per_grid),
                    "tokens": str(clip.tokens),
                    "times": json.dumps(clip.times),
                }
                write_atomically(self._path(video), save({"frames": torch.from_numpy(clip.frames)}, metadata))
            show.progress("Decoding at training size", done, len(missing))
        return failed

    def has(self, video: Video) -> bool:
        """Whether a clip was filled in."""
        return self._path(video).is_file()

    def load(self, video: Video) -> ModelClip:
        """A clip that was filled in."""
        with safe_open(self._path(video), "numpy") as file:
            about = file.metadata()
            frames = file.get_tensor("frames")
        seconds, tokens, times = float(about["seconds_per_grid"]), int(about["tokens"]), json.loads(about["times"])
        return ModelClip(about["id"], frames, seconds, tokens, times=tuple(times))

    def name(self, video: Video) -> str:
        """Of the file of a clip: another one for another sight, and for a changed video file."""
        return self._path(video).name

    def _path(self, video: Video) -> Path:
        version = self._version(video)
        key = fingerprint([video.id, str(video.path), version, self.sight.record()])
        return self._folder / f"{hashlib.sha256(video.id.encode()).hexdigest()[:16]}-{key}.safetensors"

    def _version(self, video: Video) -> list[int | str | None]:
        """Which state of its file a clip is of, empty where there is none."""
        if isinstance(video.path, Remote) and video.id not in self._objects:
            self._objects[video.id] = about_place(video.path, video.id)
        about = self._objects[video.id] if isinstance(video.path, Remote) else about_place(video.path, video.id)
        return [] if about.size is None and about.etag is None else [about.size, about.etag or about.mtime]
