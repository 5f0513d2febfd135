"""Content features from where they are stored, mapped from a file where there are many."""

from pathlib import Path

import numpy as np

from mdsvqa.runtime.results import fingerprint, frame_matrices, read_parts
from mdsvqa.runtime.shards import TableError, shards_of
from mdsvqa.selection.distances.chamfer import Content, Frames

# Bytes of frame features that are simply read; of more, a copy that can be mapped is kept beside the table.
READ = 1 << 28


def open_content(folder: Path, most: int = READ) -> tuple[list[str], Content]:
    """The videos of a content table that have frames.

    Args:
        folder: of the table.
        most: bytes of features up to which they are read into memory. Parquet cannot be mapped, so for more they are
            written once to `_frames-KEY.npy` in the folder, shard by shard, and mapped from there.

    Returns:
        Their ids and their features, float16.

    Raises:
        TableError: it is no content table, or holds no frames.
    """
    ids: list[str] = []
    counts: list[int] = []
    kept_frames: list[Frames] = []
    total = dims = 0
    for part in read_parts(folder, ["id", "frames"]):
        frames = frame_matrices(part)
        ids += part["id"].to_pylist()
        counts += [len(video) for video in frames]
        total += sum(len(video) for video in frames)
        dims = frames[0].shape[1] if frames else dims
        if total * dims * 2 <= most:
            kept_frames += [video.astype(np.float16) for video in frames]
        else:
            kept_frames.clear()
    if total == 0:
        raise TableError(f"{folder}: holds no frame features; make them by `mdsvqa content`.")
    kept = np.flatnonzero(np.array(counts))
    lengths = np.array(counts, np.int64)[kept]
    stacked = np.concatenate(kept_frames) if kept_frames else _mapped(folder, (total, dims))
    return [ids[i] for i in kept], Content(stacked, np.cumsum(lengths) - lengths, lengths)


def _mapped(folder: Path, shape: tuple[int, int]) -> Frames:
    shards = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in shards_of(folder)]
    path = folder / f"_frames-{fingerprint([sorted(shards), shape])}.npy"
    if not path.exists():
        for old in folder.glob("*frames-*.npy*"):
            old.unlink()
        unfinished = path.with_name(path.name + ".tmp")
        array = np.lib.format.open_memmap(unfinished, "w+", np.float16, shape)
        place = 0
        for part in read_parts(folder, ["frames"]):
            for frames in frame_matrices(part):
                array[place : place + len(frames)] = frames
                place += len(frames)
        array.flush()
        del array
        unfinished.replace(path)
    mapped: Frames = np.load(path, mmap_mode="r")
    return mapped
