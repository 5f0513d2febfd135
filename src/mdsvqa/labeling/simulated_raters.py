"""Made-up raters who take part in a study over HTTP as a browser does: they fetch each clip, wait as long as it
lasts, and vote what they made of it. For the demonstration; nothing they say is a human opinion.
"""

import hashlib
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.cookiejar import CookieJar
from typing import Any

import numpy as np

from mdsvqa.labeling.stimuli import Prepared

# Standard deviations of a rater's habit and of one vote, in levels; those of the simulated corpus.
BIAS, NOISE = 0.3, 0.6


class SimulatedRater:
    """Somebody who votes."""

    def __init__(self, address: str, link: str, opinions: Mapping[str, float], seed: int) -> None:
        """Opens nothing yet.

        Args:
            address: of the study.
            link: the secret of the rater's link.
            opinions: quality from 1 to 5 by the SHA-256 of a clip's bytes.
            seed: of the rater.
        """
        self._address, self._link, self._opinions = address, link, opinions
        self._rng = np.random.default_rng(seed)
        self._bias = float(self._rng.normal(0, BIAS))
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar())).open
        self._token = ""

    def take_part(self, voted: Callable[[], None] = lambda: None) -> int:
        """Goes through one whole session.

        Args:
            voted: called after each vote.

        Returns:
            How many votes.
        """
        self._post("/api/open", {"link": self._link, "browser": secrets.token_hex(16)})
        self._token = self._get("/api/state")["token"]
        self._post("/api/consent", {})
        self._post("/api/instructions", {})
        page, votes = self._post("/api/check", {"browser": "simulated", "screen_width": 1920, "screen_height": 1080}), 0
        while page["page"] == "slot":
            began = time.monotonic()
            opinion = [self._look(clip) for clip in page["clips"]][-1]
            seconds = sum(clip["duration"] for clip in page["clips"])
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))
            body = {"key": secrets.token_hex(16), "slot": page["slot"], "value": opinion}
            page = self._post("/api/vote", {**body, "plays": [_play(side, c) for side, c in enumerate(page["clips"])]})
            votes += 1
            voted()
        return votes

    def _look(self, clip: Mapping[str, Any]) -> int:
        with self._open(self._address + clip["source"], timeout=60) as answer:
            seen = hashlib.sha256(answer.read()).hexdigest()
        said = self._opinions[seen] + self._bias + self._rng.normal(0, NOISE)
        return int(np.clip(np.round(said), 1, 5))

    def _get(self, path: str) -> Any:
        with self._open(self._address + path, timeout=60) as answer:
            return json.loads(answer.read())

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Origin": self._address, "X-Token": self._token}
        request = urllib.request.Request(self._address + path, json.dumps(body).encode(), headers)
        with self._open(request, timeout=60) as answer:
            return json.loads(answer.read())


def _play(side: int, clip: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"shown_width": clip["width"], "shown_height": clip["height"], "watching": clip["duration"]}
    return {"side": side, "reached": clip["duration"], "total": clip["frames"], "dropped": 0, **shown}


def opinions_of(prepared: Prepared, quality: Mapping[str, float]) -> dict[str, float]:
    """Quality by the bytes of each clip: a trap has what it asks for, anything else what is known, or the middle."""
    found = {}
    for each in prepared.stimuli:
        known = quality.get(each.id, each.expected or 3.0)
        opinion = float(each.expected or 3.0) if each.role == "trap" else known
        # A trap and a video may be one file only where nothing tells them apart.
        found[hashlib.sha256(each.file.read_bytes()).hexdigest()] = opinion
    return found


def let_rate(
    address: str, links: Sequence[str], opinions: Mapping[str, float], seed: int, voted: Callable[[], None]
) -> int:
    """Lets as many raters as there are links take part at once; how many votes they gave."""
    counts: list[int] = []
    errors: list[BaseException] = []

    def one(number: int, link: str) -> None:
        try:
            counts.append(SimulatedRater(address, link, opinions, seed * 1000 + number).take_part(voted))
        except (urllib.error.URLError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(links)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts)
