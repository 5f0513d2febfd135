"""Where a file is: on this machine, or in a store or on a server."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

# RFC 3986, 3.1. One letter is a drive of Windows.
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]+):/(/?)", re.IGNORECASE)
# Of files of this machine.
_HERE = ("file", "local")
_SERVERS = ("http", "https")


@dataclass(frozen=True, slots=True)
class Remote:
    """An object in a store, or a file on a server.

    Attributes:
        url: as it was written, its scheme in small letters.
    """

    url: str

    def __str__(self) -> str:
        """For messages: without a query, which may be a signature that opens the file for whoever reads it."""
        return f"{self.store}/{self._rest().partition('/')[2]}"

    @property
    def scheme(self) -> str:
        """Such as s3."""
        return self.url.partition(":")[0]

    @property
    def served(self) -> bool:
        """Whether a web server has it: it can list nothing, and its addresses are quoted."""
        return self.scheme in _SERVERS

    @property
    def store(self) -> str:
        """Scheme and bucket or host, without the name and password that may stand before a host."""
        return f"{self.scheme}://{self._rest().partition('/')[0].rpartition('@')[2]}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return posixpath.basename(unquote(self._rest()) if self.served else self._rest())

    @property
    def suffix(self) -> str:
        """The ending of its name, with the point."""
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> "Remote":
        """The folder that it lies in."""
        head, _, _ = self._rest().rpartition("/")
        return Remote(f"{self.scheme}://{head or self._rest()}")

    def __truediv__(self, written: str) -> "Place":
        """What a relative path in this folder means; any other one is what it says."""
        there = place_of(written)
        if isinstance(there, Remote) or there.is_absolute():
            return there
        store, _, folder = self._rest().partition("/")
        written = quote(written) if self.served else written
        # As of a file, `..` leads up, and never out of the store.
        path = posixpath.normpath(posixpath.join("/", folder, written))
        return Remote(f"{self.scheme}://{store}{path}")

    def _rest(self) -> str:
        """What stands behind the scheme; of a server's address without query."""
        if not self.served:
            return self.url.partition("://")[2]
        _, host, path, _, _ = urlsplit(self.url)
        return f"{host}{path}"


Place = Path | Remote


def scheme_of(place: Path | str) -> str | None:
    """The scheme of a place in a store or on a server, in small letters; None of a path on this machine.

    Args:
        place: as it is written, or as a path, which has lost one of its slashes.

    >>> scheme_of("s3://bucket/a.mp4"), scheme_of(Path("GS://bucket")), scheme_of("a: b/c.mp4"), scheme_of("C:/a.mp4")
    ('s3', 'gs', None, None)
    """
    written = str(place)
    found = _SCHEME.match(written) if ":/" in written else None
    path = place if isinstance(place, Path) else None
    if found is None or (not found[2] and path is None) or (path is not None and path.exists()):
        return None
    return found[1].lower()


def place_of(written: Place | str) -> Place:
    """What a path or an address means, as people write it.

    >>> place_of("S3://bucket/a.mp4"), place_of("file:///data/my%20clip.mp4")
    (Remote(url='s3://bucket/a.mp4'), PosixPath('/data/my clip.mp4'))
    """
    if isinstance(written, Remote):
        return written
    scheme = scheme_of(written)
    if scheme is None:
        return Path(written)
    url = str(written).strip()
    url = url.replace(":/", "://", 1) if isinstance(written, Path) else url
    if scheme in _HERE:
        return Path(unquote(urlsplit(url).path))
    return Remote(url if url.startswith(scheme) else scheme + url[len(scheme) :])


def stem_of(written: str) -> str:
    """The name of the file that a path or an address leads to, without its ending.

    >>> stem_of("clips/a.b.mp4"), stem_of("s3://bucket/clips/a.b.mp4"), stem_of("https://host/a%20b.mp4?key=1.2")
    ('a.b', 'a.b', 'a b')
    """
    return place_of(written).stem
