"""What a frozen vision tower makes of each video of a training: computed once, and kept on disk for all epochs."""

import shutil
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save

from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.videos.video import Video

# Of the disk's free bytes, where nothing else is said.
FREE_SHARE = 0.5


class VisionCache:
    """Clips as `VlmReader.looked_at` makes them, a file each.

    Args:
        clips: at the size at which the model reads them.
        reader: has the tower, which nothing trains.
        folder: made if missing; of one model.
        most: bytes of all files; None takes half of what is free on the disk. What finds no room is looked at anew
            whenever it is read.
        sharers: processes that write there, each as much.
    """

    def __init__(self, clips: ClipCache, reader: VlmReader, folder: Path, most: int | None, sharers: int = 1) -> None:
        self._clips, self._reader, self._folder = clips, reader, folder
        folder.mkdir(parents=True, exist_ok=True)
        taken = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        room = most - taken if most is not None else int(FREE_SHARE * shutil.disk_usage(folder).free)
        self._room = room // sharers

    def load(self, video: Video) -> ModelClip:
        """A clip with what the tower makes of it; looked at where it was not before."""
        path = self._folder / self._clips.name(video)
        if path.is_file():
            with safe_open(path, "pt") as file:
                about, seen = file.metadata(), file.get_tensor("seen")
            shape = tuple(int(side) for side in about["shape"].split())
            frames = np.broadcast_to(np.uint8(0), shape)
            return ModelClip(about["id"], frames, float(about["seconds_per_grid"]), int(about["tokens"]), seen=seen)
        clip = self._reader.looked_at(self._clips.load(video))
        if clip.seen is not None and clip.seen.nbytes <= self._room:
            self._room -= clip.seen.nbytes
            about = {"id": clip.id, "seconds_per_grid": repr(clip.seconds_per_grid), "tokens": str(clip.tokens)}
            about["shape"] = " ".join(map(str, clip.frames.shape))
            write_atomically(path, save({"seen": clip.seen.cpu().contiguous()}, about))
        return clip
