"""Where the repeats of a rehearsal are done: in processes here, or on a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal

from mdsvqa.runtime.ray_tasks import map_on_ray
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.study.rehearsal.repeats import Job, RepeatInputs, RepeatResult, run_repeat

EngineName = Literal["local", "ray"]
# From jobs to their results, in order; reads a job only when there is room for it.
Engine = Callable[[Iterable[Job]], Iterator[list[RepeatResult]]]


def engine(name: EngineName, inputs: RepeatInputs, workers: int, address: str | None = None) -> Engine:
    """Something that does repeats, in so many processes here or on the Ray cluster at an address; see `map_on_ray`.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    repeat = partial(run_repeat, inputs)
    if name == "ray":
        return partial(map_on_ray, repeat, address=address)
    return partial(map_in_workers, repeat, workers=workers, crashed=_crashed)


def _crashed(job: Job) -> list[RepeatResult]:
    raise RuntimeError(f"the worker that rehearsed on {job.target.name} was killed twice; run again to go on")
