"""A copy of results in another place, such as an object store, kept up while they are made, and fetched by who goes on.

What was copied is written down in the folder itself, so that only what is new goes out, and only what was copied from
here is ever deleted there.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.shards import JOURNAL, MERGED, META, has_shards, is_shard
from mdsvqa.runtime.words import counted

# In the folder of a result: size and time of change of each file that was copied, by URL.
RECORD = "_mirror.json"
# Copied after so many shards, and at the end.
EVERY = 10
# Of no use elsewhere: what is under way, what is derived.
_PASSED_OVER = (".", JOURNAL, MERGED, RECORD, "_csv", "_frames-")

States = dict[str, list[int]]


class MirrorError(InputError):
    """A copy that cannot be kept up; the message says why, and the way out."""


@dataclass
class Mirror:
    """Where results are copied to.

    Attributes:
        url: a folder, or what fsspec takes, such as s3://bucket/prefix.
        root: the folder that is copied there; results in folders below it go below the URL.
        note: says a line.
        overwrite: whether a result of other settings that lies there may go.
    """

    url: str
    root: Path
    note: Callable[[str], None]
    overwrite: bool = False
    _failed: dict[Path, Exception] = field(default_factory=dict)
    _seen: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            self._store, base = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise MirrorError(
                f"--mirror {self.url}: {error}. Name a folder or a store such as s3://bucket/prefix; stores need pip "
                "install 'mdsvqa[stores]'."
            ) from None
        self._base = str(base).rstrip("/")
        # A file of this machine is there before it is whole.
        self._local = "file" in (
            [self._store.protocol] if isinstance(self._store.protocol, str) else self._store.protocol
        )
        if self._local and Path(self._base).resolve() == self.root.resolve():
            raise MirrorError(f"--mirror {self.url}: is the folder of the result itself. Name another place.")

    def fetch(self, folder: Path) -> None:
        """Brings rows here that only the copy has: those that a machine made which is gone.

        Args:
            folder: of a result; nobody else writes to it.

        Raises:
            MirrorError: there are no rows here, and whether there are some there cannot be found out.
        """
        try:
            self._fetch(folder)
        except Exception as error:  # stores raise what they like
            if has_shards(folder):
                # Copying says the same.
                return
            raise MirrorError(
                f"--mirror {self.url}: cannot be read ({_words(error)}), so rows that it may have are not here. "
                "Correct the address, run it again later, or leave --mirror out."
            ) from None

    def _fetch(self, folder: Path) -> None:
        place, record = self._place(folder), _record(folder)
        copied, there = record.get(self.url, {}), self._listed(place)
        new = [name for name in there if name not in copied and not (folder / name).exists()]
        if META not in there or not new or not self._is_alike(folder, place):
            return
        for name in sorted(new, key=_meta_first):
            write_atomically(folder / name, self._store.cat_file(f"{place}/{name}"))
        here = _states(folder)
        fetched = {name: here[name] for name in new if name in here}
        write_atomically(folder / RECORD, json.dumps({**record, self.url: {**copied, **fetched}}).encode())
        if rows := sum(map(is_shard, new)):
            self.note(f"{folder}: {counted(rows, 'file')} of rows fetched from {place}")

    def _is_alike(self, folder: Path, place: str) -> bool:
        """Whether what made the copy made the result, or there is no result."""
        if not (folder / META).exists():
            return True
        theirs = json.loads(self._store.cat_file(f"{place}/{META}"))
        return bool(theirs.get("maker") == json.loads((folder / META).read_text())["maker"])

    def _listed(self, place: str) -> dict[str, int]:
        """Sizes of the files of a copy."""
        self._store.invalidate_cache()
        found = self._store.find(place, maxdepth=1, detail=True)
        return {name.rpartition("/")[2]: entry["size"] for name, entry in found.items()}

    def copy(self, folder: Path, *, first: bool = False) -> None:
        """Copies what is new of a result folder; says where that fails, and remembers it for `end`.

        Args:
            first: before there is new work, so that what cannot be mended by waiting may raise.

        Raises:
            MirrorError: what lies there is of another result, or has rows that this one lacks.
        """
        try:
            self._copy(folder)
        except Exception as error:  # stores raise what they like
            if first and isinstance(error, MirrorError):
                raise
            self._failed[folder] = error
            self.note(f"{self._place(folder)}: cannot be copied to ({_words(error)}); tried again later")
        else:
            self._failed.pop(folder, None)

    def end(self) -> None:
        """Tries once more what failed.

        Raises:
            MirrorError: it fails again.
        """
        for folder in list(self._failed):
            self.copy(folder)
        if self._failed:
            folder, error = next(iter(self._failed.items()))
            if isinstance(error, MirrorError):
                raise error
            raise MirrorError(
                f"--mirror {self.url}: cannot be copied to ({_words(error)}). The result is whole in {folder}; run the "
                "same command again to copy it."
            )

    def _place(self, folder: Path) -> str:
        within = folder.resolve().relative_to(self.root.resolve()).as_posix()
        return self._base if within == "." else f"{self._base}/{within}"

    def _copy(self, folder: Path) -> None:
        place, here, record = self._place(folder), _states(folder), _record(folder)
        copied: States = record.get(self.url, {})
        if folder not in self._seen:
            copied = self._agreed(folder, place, here, copied)
            self._seen.add(folder)
        try:
            for name in sorted(here, key=_meta_first):
                if copied.get(name) != here[name]:
                    self._put(folder / name, f"{place}/{name}")
                    copied[name] = here[name]
            for name in sorted(copied.keys() - here.keys()):
                if self._store.exists(f"{place}/{name}"):
                    self._store.rm_file(f"{place}/{name}")
                del copied[name]
        finally:
            if folder.is_dir():
                write_atomically(folder / RECORD, json.dumps({**record, self.url: copied}).encode())

    def _put(self, file: Path, target: str) -> None:
        self._store.makedirs(target.rpartition("/")[0], exist_ok=True)
        if not self._local:
            self._store.put_file(str(file), target)
            return
        self._store.put_file(str(file), f"{target}.tmp")
        Path(f"{target}.tmp").replace(target)

    def _agreed(self, folder: Path, place: str, here: States, copied: States) -> States:
        """Of what was copied what is still there.

        Raises:
            MirrorError: see `copy`.
        """
        there = self._listed(place)
        known = {name: state for name, state in copied.items() if there.get(name) == state[0]}
        if META in there and META not in known and not self._is_alike(folder, place):
            if not self.overwrite:
                raise MirrorError(
                    f"--mirror {self.url}: a result of other settings lies at {place}. Name another place, or say "
                    "--overwrite."
                )
            return {name: [-1, -1] for name in there if is_shard(name) or name == META}
        lacking = [name for name in there if is_shard(name) and name not in known and name not in here]
        if lacking:
            raise MirrorError(
                f"--mirror {self.url}: {place} has {len(lacking)} files of rows that {folder} lacks, {lacking[0]} the "
                "first. Copy them there before you go on, or name another place."
            )
        return known


def _meta_first(name: str) -> tuple[bool, int, str]:
    """What made the rows before the rows, of which nobody knows otherwise whose they are; these in their order."""
    return name != META, len(name), name


def _states(folder: Path) -> States:
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(_PASSED_OVER)]
        states = {entry.name: entry.stat() for entry in files if not entry.name.endswith(".tmp")}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def _record(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
