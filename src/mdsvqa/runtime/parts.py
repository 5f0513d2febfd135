"""Parts of a pool, each for a machine of its own."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Self

from mdsvqa.runtime.errors import InputError

_WRITTEN = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")


@dataclass(frozen=True)
class Part:
    """The videos whose ids fall to one of several parts, whatever else the pool has.

    Attributes:
        number: from 1.
        of: parts.
        videos: of a pool that are in it.
    """

    number: int
    of: int
    videos: int = 0

    @classmethod
    def of_text(cls, text: str) -> Self:
        """
        Raises:
            InputError: it does not say which part of how many.

        >>> Part.of_text("3/64").name
        'part-03-of-64'
        """
        found = _WRITTEN.fullmatch(text)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            more = " Parts count from 1: add one to an index that counts from 0." if number == 0 < of else ""
            raise InputError(f"--part {text}: expected a part and the number of parts, such as 3/64.{more}")
        return cls(number, of)

    @property
    def name(self) -> str:
        """Of the folder of its results."""
        return f"part-{self.number:0{len(str(self.of))}d}-of-{self.of}"

    def holds(self, video: str) -> bool:
        """Whether a video is in it.

        >>> [Part(1, 3).holds(video) for video in "abcdef"]
        [False, False, True, False, False, True]
        """
        digest = blake2b(video.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1

    def among(self, videos: Iterable[str]) -> Self:
        """The same, knowing how many of some videos are in it.

        Raises:
            InputError: none.
        """
        found = sum(map(self.holds, videos))
        if not found:
            raise InputError(f"--part {self.number}/{self.of}: has none of the videos. Make fewer parts.")
        return replace(self, videos=found)

    def record(self) -> dict[str, Any]:
        """As it stands in the record of a result."""
        return {"number": self.number, "of": self.of, "videos": self.videos}
