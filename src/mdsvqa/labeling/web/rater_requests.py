"""What a rater's browser asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mdsvqa.labeling.collecting import voting
from mdsvqa.labeling.collecting.course import TrainingHistory, clip_of
from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.plays import Count, Pixels, Play
from mdsvqa.labeling.collecting.raters import open_link, rater_with
from mdsvqa.labeling.web.context import RATER, Running
from mdsvqa.labeling.web.media import clip_response

Key = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{8,64}$")]
SlotId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Value = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
Check = Literal["screen", "brightness", "playback", "colour"]


# A change on the way of a rater, and what it says itself.
Changing = Callable[[TrainingHistory, Connection, int, float], dict[str, Any] | None]


class Body(BaseModel):
    """A request in JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Link(Body):
    """A link and the browser that opens it."""

    link: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{16,64}$")]
    browser: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{16,64}$")]


class Checked(Body):
    """What the check of a device found; widths and heights in device pixels."""

    failed: Annotated[list[Check], Field(max_length=4)] = []
    browser: Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z ]*$")] = ""
    touch: bool = False
    screen_width: Pixels = 0.0
    screen_height: Pixels = 0.0
    ratio: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 1.0
    refresh: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0
    frames: Count = 0
    dropped: Count = 0
    brightness_errors: Annotated[int, Field(ge=0, le=100)] = 0
    colour_errors: Annotated[int, Field(ge=0, le=100)] | None = None


class SlotBody(Body):
    """A slot."""

    slot: SlotId


class Vote(Body):
    """A vote and the plays before it."""

    key: Key
    slot: SlotId
    value: Value
    plays: Annotated[list[Play], Field(min_length=1, max_length=48)]


class Correction(Body):
    """Another vote on the same slot."""

    key: Key
    slot: SlotId
    value: Value


class Unplayable(Body):
    """A clip that would not play."""

    slot: SlotId
    error: Annotated[str, Field(max_length=300)]


class Nothing(Body):
    """A request that says nothing but that it was made."""


def rater_requests(running: Running) -> APIRouter:
    """The routes of a rater."""
    router = APIRouter()
    settings = running.settings

    @router.post("/api/open")
    async def opened(link: Link, request: Request, response: Response) -> dict[str, Any]:
        """Exchanges a link for a cookie."""
        found = await running.change(lambda c: open_link(c, link.link, link.browser, running.clock()))
        response.set_cookie(
            RATER,
            found.cookie,
            max_age=max(0, int(found.expires - running.clock())),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return {"opened": True}

    @router.get("/api/texts")
    async def texts() -> dict[str, str]:
        """All texts of the rater's pages."""
        return dict(running.texts.said)

    @router.get("/api/state")
    async def state(request: Request) -> dict[str, Any]:
        """The page that the rater is on, and the token for changes."""

        def found(course: TrainingHistory, connection: Connection, rater: int, at: float) -> dict[str, Any]:
            _, token = rater_with(connection, request.cookies.get(RATER), at)
            return {"token": token, "study": running.public(rater), **course.page(connection, rater, at)}

        return await running.with_course(request, found)

    async def then(request: Request, change: Changing) -> dict[str, Any]:
        """Makes a change; the answer is the page that follows, beside what the change says itself."""

        def changed(course: TrainingHistory, connection: Connection, rater: int, at: float) -> dict[str, Any]:
            said = change(course, connection, rater, at)
            return {**({} if said is None else {"vote": said}), **course.page(connection, rater, at)}

        return await running.with_course(request, changed)

    @router.post("/api/consent")
    async def consent(_: Nothing, request: Request) -> dict[str, Any]:
        """The rater consents."""
        return await then(request, TrainingHistory.agree)

    @router.post("/api/instructions")
    async def instructions(_: Nothing, request: Request) -> dict[str, Any]:
        """The rater has read the instructions."""
        return await then(request, TrainingHistory.read_instructions)

    @router.post("/api/check")
    async def check(body: Checked, request: Request) -> dict[str, Any]:
        """What the check of the device found."""
        facts = body.model_dump(exclude={"failed"})
        failed = list(dict.fromkeys(body.failed))
        return await then(request, lambda course, c, rater, at: course.keep_check(c, rater, failed, facts, at))

    @router.post("/api/begin")
    async def begin(body: SlotBody, request: Request) -> dict[str, Any]:
        """A clip starts."""

        def changed(connection: Connection, rater: int, at: float) -> dict[str, Any]:
            voting.begin(connection, rater, body.slot, at)
            return {"begun": body.slot}

        return await running.for_rater(request, changed)

    @router.post("/api/vote")
    async def vote(body: Vote, request: Request) -> dict[str, Any]:
        """A vote; the answer leaves when it is on the disk."""
        return await then(
            request,
            lambda _, c, rater, at: voting.vote(c, rater, body.key, body.slot, body.value, body.plays, settings, at),
        )

    @router.post("/api/correct")
    async def correct(body: Correction, request: Request) -> dict[str, Any]:
        """Another vote on the last slot."""
        return await then(
            request, lambda _, c, rater, at: voting.correct(c, rater, body.key, body.slot, body.value, settings, at)
        )

    @router.post("/api/unplayable")
    async def unplayable(body: Unplayable, request: Request) -> dict[str, Any]:
        """A clip could not be played."""
        return await then(request, lambda _, c, rater, at: voting.unplayable(c, rater, body.slot, body.error, at))

    @router.post("/api/continue")
    async def go_on(_: Nothing, request: Request) -> dict[str, Any]:
        """The pause is over."""
        return await then(request, TrainingHistory.go_on)

    @router.get("/media/check", response_class=Response)
    async def check_clip(request: Request) -> Response:
        """The clip of the device check."""
        await running.for_rater(request, lambda c, rater, at: None)
        return await clip_response(running.check_clip.file, "check", 0)

    @router.get("/media/{slot}/{side}", response_class=Response)
    async def clip(slot: str, side: int, request: Request) -> Response:
        """The clip of a slot; ranges are answered."""
        row = await running.for_rater(request, lambda c, rater, at: clip_of(c, rater, slot, side))
        return await clip_response(Path(row["file"]), slot, side)

    return router
