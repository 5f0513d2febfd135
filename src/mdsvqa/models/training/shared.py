"""What comes before the first step, shared among the processes of a training: weights, and decoded videos."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.processes import DoesNotFit, Processes
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import Maker, claimed, fingerprint
from mdsvqa.runtime.words import counted
from mdsvqa.videos.video import Video


def compare_given(given: Mapping[str, str], maker: Maker, processes: Processes) -> None:
    """Ends a training whose processes were given other videos or settings.

    Args:
        given: what is known of each video, by its name.
        maker: of the training.

    Raises:
        InputError: some differ; the same in all.
    """
    settings = {name: value for name, value in maker.items() if name != "videos"}
    processes.compare("videos and settings", {**given, "the settings": fingerprint(settings)})


@contextmanager
def claimed_by_first(
    folder: Path, maker: Maker, files: Sequence[str], processes: Processes, *, overwrite: bool
) -> Iterator[None]:
    """A result folder that the first process locks and writes; see `claimed`. What is wrong with it ends all."""
    with ExitStack() as held:
        first = processes.rank == 0
        processes.together(lambda: held.enter_context(claimed(folder, maker, files, overwrite=overwrite, where=first)))
        yield


def load_shared(name: str, settings: VlmSettings, show: Show, processes: Processes) -> Checkpoint:
    """The base model in every process, each on its own device.

    Raises:
        ModelError: one of them cannot load it.
    """
    with show.working(f"Loading {name}"):
        try:
            return processes.together(lambda: load_checkpoint(settings, name))
        except DoesNotFit:
            raise ModelError(f"model {name!r}: its weights do not fit the memory of the device.") from None


def decode_shared(
    cache: ClipCache, videos: Sequence[Video], workers: int, show: Show, processes: Processes
) -> list[Video]:
    """Decodes videos at training size, each process its share of them; those that can be decoded.

    Args:
        cache: in a folder that all processes see.
        workers: processes that decode on each machine; 0 for none but this one.

    Raises:
        InputError: the processes do not see each other's clips.
    """
    mine = videos[processes.rank :: processes.size]
    failed = processes.together(lambda: cache.fill(mine, workers // processes.here, show))
    without = {video: reason for part in processes.gathered(failed) for video, reason in part.items()}
    if without:
        show.note(f"{counted(len(without), 'video')} left out: cannot be decoded")
    there = [video for video in videos if cache.has(video)]
    processes.compare("decoded videos", {video.id: "there" for video in there})
    return there
