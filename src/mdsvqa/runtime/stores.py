"""Objects in stores and files on servers: looked up, copied whole, listed; asked again where a store is busy."""

import errno
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from mdsvqa.runtime.atomic import cannot_write
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Remote
from mdsvqa.runtime.spool import TooLargeError, room_for, spool_folder

T = TypeVar("T")
# Seconds before each further try; all are drawn out by up to half, so that processes do not come back all at once.
WAITS = (1.0, 4.0, 16.0)
# Look-ups under way at a time, and of one folder the number from which it is listed instead: a page has 1,000 names.
_AT_ONCE, _LISTED = 32, 200
# What stores call the fingerprint of an object's content; behind them the time of its last change.
_ETAGS = ("ETag", "etag", "e_tag", "content_md5", "Content-MD5", "md5Hash", "blob_id", "Digest", "checksum")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created")
_NO_KEY = frozenset(
    ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")
    + ("UnauthorizedSSOTokenError", "ProfileNotFound", "DefaultCredentialsError", "RefreshError")
    + ("ClientAuthenticationError", "GatedRepoError")
)
_NO_WAY = frozenset(
    ("ClientConnectorError", "EndpointConnectionError", "ConnectionRefusedError", "gaierror", "ServiceRequestError")
)
_NO_TRUST = frozenset(("ClientConnectorCertificateError", "SSLCertVerificationError", "SSLError"))
_KEY = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or FSSPEC_S3_ANON=true where none is needed",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
}
_KEY["s3a"], _KEY["gcs"] = _KEY["s3"], _KEY["gs"]
# Of a program, and of no store.
_BUGS = (TypeError, AttributeError, NameError, LookupError, AssertionError, NotImplementedError)
# Schemes that come with the extra.
_OF_EXTRA = ("s3", "s3a", "gs", "gcs", "http", "https")
# Bytes without a sign for this long mean that a server is gone; a large file may take as long as it takes.
_SILENCE = {"sock_connect": 30, "sock_read": 60}

Trouble = Literal["refused", "missing", "untrusted", "unreachable", "busy", "wrong"]


class StoreError(InputError):
    """A store that cannot be used; the message names it, the video, and the way out."""


class NoObjectError(Exception):
    """An object that cannot be had, whatever the key; the message has the store's words."""


@dataclass(frozen=True)
class Stamp:
    """Which state of an object a copy is of.

    Attributes:
        size: in bytes, None where the store does not say.
        etag: of its content, as the store calls it; where it has none, the time of its last change.
    """

    size: int | None = None
    etag: str | None = None


def need_store(place: Remote, where: str) -> None:
    """Raises a StoreError where the package is missing that reads a store.

    Args:
        place: in it.
        where: it is written, for the message.
    """
    said = missing_package(place.scheme)
    if said is not None:
        raise StoreError(f"{where}: found {place}; {said}")


@cache
def missing_package(scheme: str) -> str | None:
    """What is to be installed before a scheme can be read, or that nothing reads it; None where something does."""
    try:
        registry = import_module("fsspec.registry")
    except ImportError:
        return "reading it needs fsspec: pip install 'mdsvqa[stores]'."
    try:
        registry.get_filesystem_class(scheme)
    except ImportError as error:
        ours = ": pip install 'mdsvqa[stores]'" if scheme in _OF_EXTRA else ""
        return f"the scheme {scheme!r} needs another package ({_words(error).rstrip('.')}){ours}."
    except ValueError:
        return f"expected a file on this machine or a scheme that fsspec knows, such as s3, gs, https; not {scheme!r}."
    return None


def look_up(place: Remote, owner: str) -> Stamp:
    """The state of an object.

    Args:
        place: of it.
        owner: whose it is, such as "id 'a'", for the message.

    Raises:
        NoObjectError: it is not there, or the store has been busy for too long.
        StoreError: the store refuses the key, or cannot be reached.
    """
    return _asked(place, owner, _look)


def stamps_of(places: Mapping[str, Remote]) -> dict[str, Stamp]:
    """The states of many objects, by whatever each is called; those that cannot be had are left out.

    Folders with many of them are listed, the others are asked for side by side.

    Raises:
        StoreError: as `look_up`.
    """
    folders: dict[str, dict[str, Remote]] = {}
    for name, place in places.items():
        folders.setdefault(place.parent.url, {})[name] = place
    found: dict[str, Stamp] = {}
    alone: dict[str, Remote] = {}
    for wanted in folders.values():
        first = next(iter(wanted.values()))
        listed = None if first.served or len(wanted) < _LISTED else _listed(first.parent)
        if listed is None:
            alone |= wanted
        else:
            found |= {name: listed[place.url] for name, place in wanted.items() if place.url in listed}
    waiting = iter(alone.items())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # Not all at once: what waits takes memory.
        while some := dict(islice(waiting, _AT_ONCE * 32)):
            stamps = zip(some, pool.map(_or_none, some, some.values()), strict=True)
            found |= {name: stamp for name, stamp in stamps if stamp is not None}
    return found


def files_below(folder: Remote) -> dict[Remote, Stamp]:
    """Every object whose address begins with a folder's, in no order.

    Raises:
        NoObjectError: there is none, or the store can list nothing.
        StoreError: as `look_up`.
    """

    def find(store: Any, path: str) -> dict[Remote, Stamp]:
        found = store.find(path, detail=True)
        store.invalidate_cache()
        return {_remote(folder, path, name): _stamp(info) for name, info in found.items()}

    if folder.served:
        raise NoObjectError("a web server lists no files")
    found = _asked(folder, str(folder), find)
    if not found:
        raise NoObjectError("nothing is there")
    return found


@contextmanager
def copied(place: Remote, owner: str) -> Iterator[tuple[Path, Stamp]]:
    """An object as a file of this machine, for as long as the block runs.

    Yields:
        The copy, and which state of the object it is of.

    Raises:
        NoObjectError: it is not there, or larger than copies may be, or the store was too busy each time.
        StoreError: the store refuses the key, or cannot be reached.
        WriteError: copies cannot be written.
    """
    stamp = look_up(place, owner)
    try:
        with room_for(stamp.size, place.name) as (file, most):
            _asked(place, owner, lambda store, path: _copy(store, path, file, stamp, most))
            yield file, stamp
    except TooLargeError as error:
        raise NoObjectError(str(error)) from None


def _asked(place: Remote, owner: str, ask: Callable[[Any, str], T]) -> T:
    """What a store answers, asked again where it may do better next time."""
    need_store(place, owner)
    for wait in (*WAITS, None):
        try:
            return ask(*_opened(place))
        except (TooLargeError, NoObjectError, *_BUGS):
            raise
        except Exception as error:
            trouble = _trouble(error)
            if wait is None or trouble not in ("busy", "unreachable"):
                _give_up(place, owner, trouble, error)
            time.sleep(wait * random.uniform(1, 1.5))
    raise AssertionError("the last try returns or raises")


def _opened(place: Remote) -> tuple[Any, str]:
    """The file system of a store, and what it calls a place in it."""
    core = import_module("fsspec.core")
    store, path = core.url_to_fs(place.url, **_options(place.scheme))
    return store, path


@cache
def _options(scheme: str) -> dict[str, Any]:
    if scheme not in ("http", "https"):
        return {}
    # By default a file that takes more than five minutes is given up, and proxies are not asked for.
    usual = {"timeout": import_module("aiohttp").ClientTimeout(total=None, **_SILENCE), "trust_env": True}
    said = import_module("fsspec.config").conf.get(scheme, {}).get("client_kwargs", {})
    return {"client_kwargs": {**usual, **said}}


def _look(store: Any, path: str) -> Stamp:
    info = store.info(path)
    if info.get("type") == "directory":
        raise NoObjectError("a folder, not a file")
    return _stamp(info)


def _stamp(info: Mapping[str, Any]) -> Stamp:
    said = next((info[name] for name in chain(_ETAGS, _TIMES) if info.get(name)), None)
    size = info.get("size")
    return Stamp(None if size is None else int(size), None if said is None else str(said).removeprefix("W/").strip('"'))


def _listed(folder: Remote) -> dict[str, Stamp] | None:
    """States of what lies in a folder, by address; None where it cannot be listed."""

    def ls(store: Any, path: str) -> dict[str, Stamp]:
        found = {_remote(folder, path, info["name"]).url: _stamp(info) for info in store.ls(path, detail=True)}
        # Or the next run in this process would be told what was there.
        store.invalidate_cache()
        return found

    try:
        return _asked(folder, str(folder), ls)
    except (NoObjectError, StoreError):
        # A key may open objects and list nothing; whoever asks for one is told what is wrong.
        return None


def _remote(folder: Remote, path: str, name: str) -> Remote:
    """The address of what a store calls by a name of its own, from a folder of which both are known."""
    return Remote(folder.url.rstrip("/") + name[len(path.rstrip("/")) :])


def _or_none(name: str, place: Remote) -> Stamp | None:
    try:
        return look_up(place, f"id {name!r}")
    except NoObjectError:
        return None


def _copy(store: Any, path: str, file: Path, stamp: Stamp, most: int) -> None:
    # Parts of 50 MB, ten at a time, would be held in memory by every process.
    options = {"max_concurrency": 1} if {"s3"} & set(_protocols(store)) else {}
    try:
        store.get_file(path, str(file), callback=_meter(most), **options)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cannot_write(spool_folder(), error) from None
        raise
    size = file.stat().st_size
    if stamp.size is not None and size != stamp.size:
        raise OSError(f"{size:,} bytes came of {stamp.size:,}")


def _protocols(store: Any) -> Sequence[str]:
    return (store.protocol,) if isinstance(store.protocol, str) else store.protocol


def _meter(most: int) -> Any:
    """Ends a copy that becomes larger than its room."""

    def check(size: int | None, value: int, **_: Any) -> None:
        if value > most:
            raise TooLargeError(f"more than {most:,} bytes came, for which there is no room (--spool)")

    return import_module("fsspec.callbacks").Callback(hooks={"room": check})


def _trouble(error: Exception) -> Trouble:
    """What kind of trouble a store's error tells of: who should do something about it."""
    causes = list(_causes(error))
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    status = next((code for cause in causes if (code := _status(cause)) is not None), None)
    refused = any(isinstance(cause, PermissionError) for cause in causes) or "Forbidden" in _words(error)
    # S3 has no words for a key that has run out where only the state of an object is asked for: 400.
    bad_request = status == 400 and "ClientError" in names
    if status in (401, 403, 407) or names & _NO_KEY or refused or bad_request:
        return "refused"
    if status in (404, 410):
        return "missing"
    if names & _NO_TRUST:
        return "untrusted"
    if names & _NO_WAY:
        return "unreachable"
    if status is not None:
        return "wrong" if 400 <= status < 500 and status not in (408, 409, 425, 429) else "busy"
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return "missing"
    return "wrong" if isinstance(error, ValueError) else "busy"


def _status(error: BaseException) -> int | None:
    """The status of the reply behind an error, by the names that the clients of stores have for it."""
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    # One after the other: aiohttp warns who asks for more than it has to.
    found = chain((told,), (getattr(error, name, None) for name in ("status", "status_code", "code")))
    return next((code for code in found if isinstance(code, int) and 100 <= code < 600), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _words(error: BaseException) -> str:
    """What a store says, in one line: of a reply, or of what no reply came to, rather than an address alone."""
    causes = list(_causes(error))
    named = (
        cause for cause in causes if {kind.__name__ for kind in type(cause).__mro__} & (_NO_TRUST | _NO_WAY | _NO_KEY)
    )
    said = next((cause for cause in causes if _status(cause) is not None), next(named, error))
    reply = getattr(said, "message", None)
    text = f"{_status(said)} {reply}" if isinstance(reply, str) and reply else str(said)
    return " ".join((text or type(said).__name__).split())


def _give_up(place: Remote, owner: str, trouble: Trouble, error: Exception) -> NoReturn:
    words = _words(error)
    if trouble == "refused":
        way = _KEY.get(place.scheme, "a key that may read it, as fsspec's documentation of this scheme says")
        raise StoreError(
            f"{place.store}: refuses {place} ({owner}): {words}. Set {way}; a store may also refuse what is not "
            "there, where the key may not list."
        ) from error
    if trouble in ("unreachable", "untrusted"):
        raise StoreError(
            f"{place.store}: cannot be reached for {place} ({owner}): {words}. Check the network and the "
            "endpoint, and run the same command again; what was done is safe."
        ) from error
    if trouble == "missing":
        raise NoObjectError(f"not in the store: {words}") from error
    tried = f"{len(WAITS) + 1} tries: " if trouble == "busy" else ""
    raise NoObjectError(f"cannot be fetched: {tried}{words}") from error
