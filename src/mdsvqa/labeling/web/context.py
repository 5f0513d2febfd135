"""What the requests of a running study share."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from mdsvqa.labeling.collecting.course import TrainingHistory
from mdsvqa.labeling.collecting.database import Change, Connection, Store, now
from mdsvqa.labeling.collecting.planning import PlanNeededError, Planner
from mdsvqa.labeling.collecting.raters import name_of, rater_with
from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.labeling.stimuli import Stimulus
from mdsvqa.labeling.web.guards import Rates
from mdsvqa.labeling.web.texts import Texts
from mdsvqa.study.labeling import LabelingSettings

T = TypeVar("T")
RATER, ORGANISER, TOKEN = "mdsvqa_rater", "mdsvqa_organiser", "x-token"


@dataclass(frozen=True)
class Running:
    """A study that is being served.

    Attributes:
        store: its votes.
        settings: of it.
        course: the way of its raters.
        texts: of its pages.
        check_clip: the clip that a device has to play before the study.
        largest: width and height that the largest video needs, in pixels.
        out: folder of the rating study.
        clock: seconds since 1970.
        rates: limits.
        planner: what sessions should hold, where `course` leaves that open.
        ending: called when the study ends, to hand over its labels.
    """

    store: Store
    settings: LabelingSettings
    course: TrainingHistory
    texts: Texts
    check_clip: Stimulus
    largest: tuple[int, int]
    out: Path
    clock: Callable[[], float] = now
    rates: Rates = field(default_factory=Rates)
    planner: Planner | None = None
    ending: Callable[[], object] = lambda: None
    # One plan at a time: each has to see what those before it gave out.
    planning: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Reports take seconds; two at once would only take longer.
    slow: threading.Lock = field(default_factory=threading.Lock)

    async def change(self, change: Change[T]) -> T:
        """Makes a change; the answer comes when it is on the disk."""
        return await asyncio.wrap_future(self.store.submit(change))

    async def with_course(self, request: Request, change: Callable[[TrainingHistory, Connection, int, float], T]) -> T:
        """Makes a change on the way of the rater who asks, and plans a session where one begins; see `for_rater`."""
        try:
            return await self.for_rater(request, lambda c, rater, at: change(self.course, c, rater, at))
        except PlanNeededError:
            async with self.planning:
                rater, _ = await self.change(lambda c: rater_with(c, request.cookies.get(RATER), self.clock()))
                course = await asyncio.to_thread(self._planned, rater)
                return await self.for_rater(request, lambda c, rater, at: change(course, c, rater, at))

    def _planned(self, rater: int) -> TrainingHistory:
        assert self.planner is not None
        at = self.clock()
        seed = self.settings.seed * 1_000_003 + rater
        if self.settings.method == "pairs":
            pairs = self.planner.pairs(rater, seed, at)
            return replace(self.course, wanted_pairs=lambda c, draws: pairs)
        videos = self.planner.videos(rater, seed, at)
        return replace(self.course, wanted=lambda c, draws: videos)

    async def for_rater(self, request: Request, change: Callable[[Connection, int, float], T]) -> T:
        """Makes a change in the name of the rater who asks for it.

        Raises:
            Refused: the browser has no rater, or a request that changes something comes without the rater's token.
        """
        cookie, token, method = request.cookies.get(RATER), request.headers.get(TOKEN), request.method

        def changed(connection: Connection) -> T:
            at = self.clock()
            rater, expected = rater_with(connection, cookie, at)
            if method != "GET" and token != expected:
                raise Refused(403, "no_token")
            return change(connection, rater, at)

        return await self.change(changed)

    def public(self, rater: int) -> dict[str, Any]:
        """What the page of a rater has to know of the study."""
        wanted = (
            "method", "replays", "size", "audio", "number_keys", "colour_plates", "session_minutes", "sessions",
            "most_stall", "most_dropped", "most_watching", "title", "contact", "training",
        )  # fmt: skip
        check = {name: getattr(self.check_clip, name) for name in ("width", "height", "frames", "duration", "bytes")}
        return {
            "rater": name_of(rater) if rater else "",
            "traps": self.settings.trap_every > 0,
            "largest": list(self.largest),
            "check_clip": check,
            **{name: getattr(self.settings, name) for name in wanted},
        }
