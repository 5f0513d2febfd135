"""Simulated raters of made-up videos: each opens a link, fetches every clip, watches as long as it lasts, and votes."""

import csv
import hashlib
import http.client
import json
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from scipy.stats import norm

from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.videos.simulated.corpus import Panel, read_ratings

# Of a clip's bytes, the answer.
Opinion = Callable[[str], int]
# What a page says of a clip that has just played as it should.
_PLAYED = {"dropped": 0, "stalled": 0.0, "hidden": 0.0}
_SEVERAL = 5


@dataclass(frozen=True)
class Clips:
    """What there is to see in the clips of a study, by the SHA-256 of their bytes.

    Attributes:
        quality: true quality of a made-up video, on the 1-5 scale.
        asked: answer that a trap asks for.
    """

    quality: Mapping[str, float]
    asked: Mapping[str, int]


def clips_of(manifest: Path, prepared: Prepared) -> Clips:
    """What there is to see in the clips of a study of made-up videos.

    Args:
        manifest: of the corpus, as `make_corpus` writes it.
        prepared: what the study shows; its videos go out as they are.
    """
    with manifest.open(encoding="utf-8", newline="") as file:
        known = {row["id"]: float(row["true_quality"]) for row in csv.DictReader(file)}
    shown = prepared.of("video", "reference", "training", "anchor")
    return Clips(
        {_digest(each.file.read_bytes()): known[each.id] for each in shown if each.id in known},
        {_digest(each.file.read_bytes()): round(each.expected or 3) for each in prepared.of("trap")},
    )


def simulated_opinion(clips: Clips, panel: Panel, seed: int) -> Opinion:
    """How one rater of a panel votes: by true quality, a habit and noise; a trap as it asks for.

    Args:
        clips: what there is to see.
        panel: whose habits and noise the rater has.
        seed: of the rater.
    """
    rng = np.random.default_rng(seed)
    habit, alone = rng.normal(0.0, panel.bias_std, 1), replace(panel, raters=1)

    def opinion(digest: str) -> int:
        if digest in clips.asked:
            return clips.asked[digest]
        return int(read_ratings(clips.quality.get(digest, 3.0), alone, habit, rng)[0])

    return opinion


def mean_opinion(quality: float, panel: Panel) -> float:
    """Mean vote of endlessly many raters of a panel.

    >>> round(mean_opinion(3.0, Panel(1, 1.0, 0.0)), 9)
    3.0
    """
    centre, spread = 3.0 + panel.slope * (quality - 3.0) + panel.offset, np.hypot(panel.bias_std, panel.noise_std)
    # A vote is at least L where what is felt lies above L - 0.5.
    return 1.0 + float(norm.sf(np.array([1.5, 2.5, 3.5, 4.5]), centre, spread).sum())


def take_part(link: str, opinion: Opinion, seen: Callable[[], None] = lambda: None) -> int:
    """Takes part in a study over HTTP, from the link to the last page.

    Args:
        link: of the rater.
        opinion: of the rater.
        seen: called after each vote.

    Returns:
        How many votes were given.
    """
    rater = _Rater(link)
    page, votes = rater.to_first_page(), 0
    while page["page"] == "slot":
        page = rater.rate(page, opinion)
        votes += 1
        seen()
    rater.connection.close()
    return votes


def all_take_part(links: Mapping[str, Opinion], seen: Callable[[int], None] = lambda votes: None) -> int:
    """Several raters at the same time, each with an opinion; how many votes they gave."""
    given = [0]

    def one_more() -> None:
        given[0] += 1
        seen(given[0])

    with ThreadPoolExecutor(max(1, len(links))) as people:
        return sum(people.map(lambda link: take_part(link, links[link], one_more), links))


class _Rater:
    """A browser without a screen."""

    def __init__(self, link: str) -> None:
        place = urlsplit(link)
        self.origin = f"{place.scheme}://{place.netloc}"
        self.connection = http.client.HTTPConnection(place.netloc, timeout=60)
        self.secret = place.path.rpartition("/")[2]
        self.cookie, self.token = "", ""

    def to_first_page(self) -> dict[str, Any]:
        said = self._ask("POST", "/api/open", {"link": self.secret, "browser": secrets.token_hex(16)})
        self.cookie = (said[1].getheader("set-cookie") or "").partition(";")[0]
        self.token = self._said("GET", "/api/state")["token"]
        self._said("POST", "/api/consent", {})
        self._said("POST", "/api/instructions", {})
        return self._said("POST", "/api/check", {"failed": []})

    def rate(self, page: dict[str, Any], opinion: Opinion) -> dict[str, Any]:
        """Watches the clips of a slot and votes on the last."""
        began = time.monotonic()
        self._said("POST", "/api/begin", {"slot": page["slot"]})
        content, plays = b"", []
        for side, clip in enumerate(page["clips"]):
            content = self._ask("GET", clip["source"])[0]
            shown = {"shown_width": clip["width"], "shown_height": clip["height"], "watching": clip["duration"]}
            plays.append({"side": side, "reached": clip["duration"], "total": clip["frames"], **shown, **_PLAYED})
        watched = sum(clip["duration"] for clip in page["clips"])
        time.sleep(max(0.0, began + watched - time.monotonic()))
        vote = {"key": secrets.token_hex(12), "slot": page["slot"], "value": opinion(_digest(content)), "plays": plays}
        return self._said("POST", "/api/vote", vote)

    def _said(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(json.loads(self._ask(method, path, body)[0]))

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[bytes, http.client.HTTPResponse]:
        """The content and the head of an answer; asks again where the server says that it is busy."""
        headers = {"Origin": self.origin, "Cookie": self.cookie, "X-Token": self.token}
        headers |= {} if body is None else {"Content-Type": "application/json"}
        for attempt in range(_SEVERAL):
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            content = answer.read()
            if answer.status < 400:
                return content, answer
            time.sleep(0.2 * (attempt + 1))
        raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
