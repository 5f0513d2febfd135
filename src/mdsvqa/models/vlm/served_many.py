"""f behind several servers of the same model: requests go to the one with the fewest under way."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from openai import AsyncOpenAI

from mdsvqa.models.base import ModelError, Score
from mdsvqa.models.settings import ServedSettings, VlmSettings
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.load import read_maker, warn_of_prompt
from mdsvqa.models.vlm.served import TOO_MANY, GoneError, NoReplyError, ServedModel, each_score
from mdsvqa.models.vlm.served_messages import wait_before
from mdsvqa.models.vlm.table_scoring import WINDOW, score_with_reader
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.videos.video import Video

# Seconds until one that is gone is asked again.
AWAY = 60.0


@dataclass(eq=False)
class _Server:
    """One of several.

    Attributes:
        under_way: videos that it is asked about now.
        back_at: when it may be asked again, by the monotonic clock.
        lost: whether it was gone, and has not replied since.
        overloads: in a row.
        failures: videos in a row that it failed on.
        replied: whether it ever replied.
    """

    model: ServedModel
    client: AsyncOpenAI | None = None
    under_way: int = 0
    back_at: float = 0.0
    lost: bool = False
    overloads: int = 0
    failures: int = 0
    replied: bool = False

    @property
    def url(self) -> str:
        return self.model.served.urls[0]


class ServedModels(ServedModel):
    """A model behind several servers; a `table_scoring.ClipReader`, as `ServedModel` is.

    A server that is gone, or fails where others do not, is asked again after a minute, one that is overloaded when it
    says so. Who comes back is asked first whether it still is the same.

    Args:
        served: their addresses, and how each is asked.
        settings, note: as of `ServedModel`.

    Raises:
        ModelError: one of them as `ServedModel`, or they differ in what they are or can do.
    """

    def __init__(self, served: ServedSettings, settings: VlmSettings, note: Callable[[str], None]) -> None:
        found = [
            ServedModel(served.model_copy(update={"url": url}), settings, note if place == 0 else lambda text: None)
            for place, url in enumerate(served.urls)
        ]
        for model in found:
            _check_equal(found[0], model)
            model.hands_over = True
        self.served, self.settings, self._say, self._answered = served, settings, note, False
        self.kind, self.as_video, self.sight = found[0].kind, found[0].as_video, found[0].sight
        self.abilities = found[0].abilities
        self._servers = [_Server(model) for model in found]

    async def _read(
        self, clips: Sequence[ModelClip], progress: Callable[[int], None], without: list[NoReplyError]
    ) -> list[Score]:
        # Belongs to the loop of this call.
        self._changed = asyncio.Condition()
        async with AsyncExitStack() as stack:
            for server in self._servers:
                server.client, server.under_way = await stack.enter_async_context(server.model.client()), 0
            return await each_score(clips, self._somewhere, progress, without)

    async def _somewhere(self, clip: ModelClip) -> Score:
        """The score of a clip by whichever server has one.

        Raises:
            NoReplyError: two servers fail on it, or one does not want it.
            GoneError: all are gone, and stay so.
        """
        failed: _Server | None = None
        reason: NoReplyError | None = None
        for attempt in range(self.served.retries + 1):
            while (server := await self._next(failed)) is not None:
                try:
                    found = await self._ask(server, clip)
                except GoneError as error:
                    self._lose(server, error)
                except NoReplyError as error:
                    if reason is not None or not error.by_failing:
                        raise reason or error from None
                    failed, reason = server, error
                else:
                    return found
            if reason is not None:
                # There is no other one to ask.
                raise reason
            if attempt < self.served.retries:
                await asyncio.sleep(wait_before(attempt, self._last.asked or None, random.random(), time.time()))
                if all(each.back_at > time.monotonic() for each in self._servers):
                    for each in self._servers:
                        each.back_at = 0.0
        raise GoneError(f"{counted(len(self._servers), 'server')}, all gone; the last one: {self._last}")

    async def _next(self, failed: _Server | None) -> _Server | None:
        """The server with the fewest videos under way, when one has room; None where all are gone."""

        def there() -> list[_Server]:
            now = time.monotonic()
            return [each for each in self._servers if each.back_at <= now and each is not failed]

        def with_room() -> list[_Server]:
            return [each for each in there() if each.under_way < self.served.concurrency]

        async with self._changed:
            await self._changed.wait_for(lambda: with_room() or not there())
            server = min(with_room(), key=lambda each: each.under_way, default=None)
            if server is not None:
                server.under_way += 1
            return server

    async def _ask(self, server: _Server, clip: ModelClip) -> Score:
        assert server.client is not None
        try:
            if server.lost:
                await self._greet(server)
            found = await server.model.score(server.client, clip)
        except NoReplyError as error:
            self._suspect(server, error)
            raise
        finally:
            server.under_way -= 1
            async with self._changed:
                self._changed.notify_all()
        server.overloads, server.failures, server.replied = 0, 0, True
        return found

    async def _greet(self, server: _Server) -> None:
        """Asks one that was gone whether it is the same still."""
        kind = await server.model.look()
        if kind != self.kind:
            raise ModelError(
                f"server {server.url}: came back as another kind ({kind}, and was {self.kind}). Restart it."
            )
        if server.lost:
            server.lost = False
            self._say(f"{server.url}: is back")

    def _lose(self, server: _Server, error: GoneError) -> None:
        self._last, now = error, time.monotonic()
        if server.back_at > now:
            # Another video has told already.
            return
        if error.asked is not None:
            server.back_at = now + wait_before(server.overloads, error.asked or None, 1.0, time.time())
            server.overloads += 1
            return
        self._away(server, str(error).partition(": ")[2])

    def _away(self, server: _Server, why: str) -> None:
        server.back_at, server.lost = time.monotonic() + AWAY, True
        self._say(f"{server.url}: {why.split('. ', maxsplit=1)[0]}; it is asked again in a minute")

    def _suspect(self, server: _Server, error: NoReplyError) -> None:
        """Leaves a server that fails on one video after the other, where another one does not."""
        server.failures += error.by_failing
        others = any(each.replied and not each.failures for each in self._servers)
        if server.failures >= TOO_MANY and others and server.back_at <= time.monotonic():
            self._away(server, f"fails on {server.failures} videos in a row, and others do not")


def _check_equal(first: ServedModel, other: ServedModel) -> None:
    def said(model: ServedModel) -> dict[str, Any]:
        abilities = vars(model.abilities)
        return {"kind": model.kind, **{name: value for name, value in abilities.items() if name != "overhead"}}

    one, two = said(first), said(other)
    differ = [f"{name} {one[name]} and {two[name]}" for name in one if one[name] != two[name]]
    if differ:
        raise ModelError(
            f"servers {first.served.url} and {other.served.url}: differ ({'; '.join(differ)}), and so would scores. "
            "Start both in the same way, or name one of them."
        )


def open_served(served: ServedSettings, settings: VlmSettings, note: Callable[[str], None]) -> ServedModel:
    """The model behind the server or the servers that settings name.

    Raises:
        ModelError: see `ServedModel` and `ServedModels`.
    """
    if len(served.urls) > 1:
        return ServedModels(served, settings, note)
    return ServedModel(served.model_copy(update={"url": served.urls[0]}), settings, note)


def score_served(videos: Sequence[Video], served: ServedSettings, settings: VlmSettings, run: Run) -> pa.Table:
    """Scores each video that has no score yet by a model behind a server; as `vlm.score_with_vlm`."""
    warn_of_prompt(settings, run.show)
    with run.show.working(f"Asking {' and '.join(served.urls)} for {served.model}"):
        model = open_served(served, settings, run.show.note)
    maker: dict[str, Any] = {
        "step": "scores",
        "model": served.model,
        "frames_as": "video" if model.as_video else "images",
        "picture": served.picture,
        "server": " ".join([model.kind, *([model.abilities.version] if model.abilities.version else [])]),
    }
    if settings.reading == "expected":
        maker["probabilities"] = "of all answers" if model.abilities.exact else "along the reply"
    maker |= {"served": True, **read_maker(settings, settings.repetition_penalty or "the server's")}
    # No batches: nothing depends on how videos are cut.
    return score_with_reader(videos, model, maker, run, WINDOW * len(served.urls))[0]
