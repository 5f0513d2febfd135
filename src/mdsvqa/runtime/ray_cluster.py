"""A Ray cluster: joined or started, asked for what it has, its errors in the words of this program."""

import logging
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any
from urllib.parse import urlsplit

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.environment import SPOOL, SPOOL_RUN
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.words import counted
from mdsvqa.runtime.workers import cores

# Seconds in which a cluster has to answer.
_ANSWERS = 5.0
_MISSING = re.compile(r"No module named '([\w.]+)'")
# Read by Ray when it is imported: nothing is sent home; no advice, and no words of its own, which would stand between
# results on stdout.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


def need_ray() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise InputError('--engine ray needs Ray: pip install "mdsvqa[ray]"') from None
    return ray


@contextmanager
def joined(engine: EngineSettings) -> Iterator[None]:
    """A Ray cluster as long as the block runs; the one of a block around it where there is one, nothing for `local`.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    if engine.name != "ray" or need_ray().is_initialized():
        yield
        return
    ray = need_ray()
    try:
        with _later() as interrupts:
            _join(ray, engine.address)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        if isinstance(error, InputError):
            raise
        where = "auto" if engine.address == "auto" else engine.address
        raise InputError(
            f"--engine ray: no cluster at {where} ({str(error).splitlines()[0]}). Where one answers there, see "
            "whether it has another version of Ray or of Python, and whether it asks for a token (RAY_AUTH_TOKEN)."
        ) from None
    try:
        for number in interrupts:
            signal.raise_signal(number)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _later() -> Iterator[list[int]]:
    """Keeps interrupts from the keyboard while the block runs: a cluster that is half started would stay behind."""
    kept: list[int] = []
    if current_thread() is not main_thread():
        yield kept
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: kept.append(number))
    try:
        yield kept
    finally:
        signal.signal(signal.SIGINT, before)


def _join(ray: Any, address: str) -> None:
    wanted = address if address != "auto" else os.environ.get("RAY_ADDRESS", "auto")
    silent: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if wanted != "auto":
        if wanted != "local":
            _knock(wanted)
        ray.init(address=wanted, **silent)
        return
    try:
        # Without an address only a cluster that `ray start` made is joined: not the one of another command here, which
        # ends with that.
        ray.init(num_cpus=cores(0), include_dashboard=False, **silent)
    except ValueError:
        # There is one, whose cores are not ours to count.
        ray.init(**silent)


def _knock(address: str) -> None:
    """Raises `InputError` where nobody listens: Ray itself tries for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise InputError(f"--address {address}: expected HOST:PORT, such as head-node:6379, or auto.")
    try:
        socket.create_connection((host, port), _ANSWERS).close()
    except OSError as error:
        raise InputError(
            f"--engine ray: no cluster at {address} ({error.strerror or error}). `ray status` on its head says its "
            "address; leave --address out to start Ray on this machine."
        ) from None


def room(gpus: float, cpus: int) -> int:
    """How many workers of this size the cluster has room for, were it idle.

    Args:
        gpus, cpus: of each.

    Raises:
        InputError: not for one.
    """
    nodes = [node["Resources"] for node in need_ray().nodes() if node["Alive"]]
    found = sum(_fit(node, gpus, cpus) for node in nodes)
    if found == 0:
        raise InputError(_too_small(nodes, gpus, cpus))
    return found


def idle_gpus(gpus: float, cpus: int) -> str:
    """In a sentence how many GPUs get no worker because cores are short; empty where none does."""
    nodes = [node["Resources"] for node in need_ray().nodes() if node["Alive"]]
    fit, most = (sum(_fit(node, gpus, cores_) for node in nodes) for cores_ in (cpus, 0))
    if not gpus or fit == most:
        return ""
    return (
        f"Warning: the cluster has GPUs for {counted(most, 'worker')} and cores for {fit}; fewer than "
        f"--cpus-per-worker {cpus} would use them all."
    )


def _fit(node: Mapping[str, float], gpus: float, cpus: int) -> int:
    by_cores = int(node.get("CPU", 0) // cpus) if cpus else None
    if not gpus:
        return by_cores or 0
    there = node.get("GPU", 0.0)
    by_gpus = int(there // gpus) if gpus >= 1 else int(there) * int(1 / gpus + 1e-9)
    return by_gpus if by_cores is None else min(by_cores, by_gpus)


def _too_small(nodes: Sequence[Mapping[str, float]], gpus: float, cpus: int) -> str:
    most_gpus, most_cores = (max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in ("GPU", "CPU"))
    if gpus > most_gpus:
        has = f"no node of the cluster has more than {most_gpus:g}" if most_gpus else "no node of the cluster has a GPU"
        way = "say --gpus-per-worker 0 to work on CPUs" if not most_gpus else f"say --gpus-per-worker {most_gpus:g}"
        return f"--gpus-per-worker {gpus:g}: {has}; {way}, or start nodes that have more."
    if cpus > most_cores:
        way = f"say --cpus-per-worker {most_cores:g}, or " if most_cores else ""
        return (
            f"--cpus-per-worker {cpus}: no node of the cluster has more than {counted(int(most_cores), 'core')}; {way}"
            "start nodes that have more."
        )
    return f"--gpus-per-worker {gpus:g} and --cpus-per-worker {cpus}: no node of the cluster has both."


def runtime_of(engine: EngineSettings) -> dict[str, Any]:
    """What tasks and workers need of their processes, as options of Ray."""
    found: dict[str, Any] = {"pip": list(engine.packages)} if engine.packages else {}
    if said := {name: os.environ[name] for name in (SPOOL, SPOOL_RUN) if name in os.environ}:
        found["env_vars"] = said
    return {"runtime_env": found} if found else {}


def original(error: Exception) -> Exception:
    """What was raised on the cluster, as it would have been raised here; else Ray's own error."""
    ray = need_ray()
    cause = getattr(error, "cause", None)
    missing = _MISSING.search(str(error))
    if isinstance(error, ray.exceptions.RuntimeEnvSetupError):
        why = f"it has no {missing[1]}, which pip install brings" if missing else _last_line(error)
        return InputError(f"--packages: cannot be installed on a node of the cluster ({why}).")
    if missing:
        return InputError(
            f"--engine ray: the nodes of the cluster have no module {missing[1]!r}. Install mdsvqa there, with what it "
            "has here and in the same version, or name it by --packages."
        )
    if isinstance(error, ray.exceptions.RayTaskError) and isinstance(cause, Exception):
        cause.add_note(f"On the cluster:\n{error}")
        return cause
    return error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def lost_to_death() -> tuple[type[Exception], ...]:
    """What Ray raises for a task whose process or node died."""
    errors = need_ray().exceptions
    return (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError)
