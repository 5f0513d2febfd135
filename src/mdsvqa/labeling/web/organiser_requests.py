"""What the organiser's browser asks for."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import Field

from mdsvqa.labeling.collecting import organiser, raters
from mdsvqa.labeling.collecting.database import Connection, fact
from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.labeling.export.findings import overview
from mdsvqa.labeling.export.run import exported
from mdsvqa.labeling.stimuli import read_prepared
from mdsvqa.labeling.web.context import ORGANISER, TOKEN, Running
from mdsvqa.labeling.web.previews import PAGES, preview
from mdsvqa.labeling.web.rater_requests import Body, Nothing

T = TypeVar("T")
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "html": "text/html; charset=utf-8"}
_MOST_INVITED = 1000


class Login(Body):
    """The organiser's password."""

    password: Annotated[str, Field(max_length=200)]


class Rater(Body):
    """A rater by number."""

    rater: Annotated[int, Field(ge=1, le=10**9)]


class Exclusion(Rater):
    """Whether a rater's votes count, and why not."""

    excluded: bool
    reason: Annotated[str, Field(max_length=300)] = ""


class Invitation(Body):
    """How many more raters."""

    raters: Annotated[int, Field(ge=1, le=_MOST_INVITED)]


class Ending(Body):
    """Whether the study is over."""

    ended: bool


def organiser_requests(running: Running) -> APIRouter:
    """The routes of the organiser."""
    router = APIRouter()

    async def change(request: Request, what: Callable[[Connection, float], T]) -> T:
        """Makes a change in the name of the organiser."""
        cookie, token, reading = request.cookies.get(ORGANISER), request.headers.get(TOKEN), request.method == "GET"

        def changed(connection: Connection) -> T:
            at = running.clock()
            expected = organiser.token_of(connection, cookie, at)
            if not reading and token != expected:
                raise Refused(403, "no_token")
            return what(connection, at)

        return await running.change(changed)

    async def look(request: Request, what: Callable[[Connection], T]) -> T:
        """Looks at the study by a connection of its own, while votes are written."""
        await change(request, lambda c, at: None)

        def looked() -> T:
            with running.slow, running.store.reading() as connection:
                return what(connection)

        return await asyncio.to_thread(looked)

    @router.post("/api/organiser/login")
    async def login(body: Login, request: Request, response: Response) -> dict[str, str]:
        """Gives the password for a session."""
        running.rates.login(request.client.host if request.client else "")
        kept = await running.change(lambda c: fact(c, organiser.PASSWORD))
        if not await asyncio.to_thread(organiser.is_password, kept, body.password):
            raise Refused(403, "wrong_password")
        cookie, token = await running.change(lambda c: organiser.open_session(c, running.clock()))
        response.set_cookie(
            ORGANISER,
            cookie,
            max_age=int(organiser.SESSION_SECONDS),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return {"token": token}

    @router.post("/api/organiser/logout")
    async def logout(_: Nothing, request: Request) -> dict[str, bool]:
        """Ends this session."""
        await change(request, lambda c, at: organiser.revoke(c, request.cookies.get(ORGANISER), at))
        return {"ended": True}

    @router.post("/api/organiser/logout-all")
    async def logout_all(_: Nothing, request: Request) -> dict[str, bool]:
        """Ends every session of the organiser."""
        await change(request, lambda c, at: organiser.revoke_all(c, at))
        return {"ended": True}

    @router.get("/api/organiser/overview")
    async def look_over(request: Request) -> dict[str, Any]:
        """Where the study stands."""
        cookie = request.cookies.get(ORGANISER)
        token = await change(request, lambda c, at: organiser.token_of(c, cookie, at))
        found = await look(request, lambda c: overview(c, running.settings, running.clock()))
        prepared = await asyncio.to_thread(read_prepared, running.out)
        said = {"not_ratable": prepared.left_out, "notes": list(prepared.notes), "pages": PAGES}
        return {"token": token, "texts_missing": list(running.texts.missing), **said, **found}

    @router.post("/api/organiser/invite")
    async def invite(body: Invitation, request: Request) -> dict[str, Any]:
        """Makes raters; the links are in this answer and nowhere else."""
        settings = running.settings
        made = await change(request, lambda c, at: raters.invite(c, body.raters, settings.link_days, settings.seed, at))
        return {"links": [{"rater": raters.name_of(number), "path": f"/r/{secret}"} for number, secret in made]}

    @router.post("/api/organiser/release")
    async def release(body: Rater, request: Request) -> dict[str, bool]:
        """Lets a rater open the link in another browser."""
        await change(request, lambda c, at: raters.release(c, body.rater, at))
        return {"released": True}

    @router.post("/api/organiser/exclude")
    async def exclude(body: Exclusion, request: Request) -> dict[str, bool]:
        """Says that a rater's votes do not count, or do again."""
        await change(request, lambda c, at: raters.exclude(c, body.rater, body.excluded, body.reason, at))
        return {"excluded": body.excluded}

    @router.post("/api/organiser/forget")
    async def forget(body: Rater, request: Request) -> dict[str, int]:
        """Deletes everything of a rater."""
        return await change(request, lambda c, at: raters.forget(c, body.rater))

    @router.post("/api/organiser/end")
    async def end(body: Ending, request: Request) -> dict[str, bool]:
        """Ends the study, or opens it again."""
        await change(request, lambda c, at: organiser.end(c, body.ended, "by the organiser", at))
        if body.ended:
            await asyncio.to_thread(running.ending)
        return {"ended": body.ended}

    @router.get("/api/organiser/download/{name}", response_class=Response)
    async def download(name: str, request: Request) -> Response:
        """A file of the export, as of now."""
        prepared = await asyncio.to_thread(read_prepared, running.out)
        files = await look(request, lambda c: exported(c, running.settings, prepared, running.texts, running.clock()))
        if name not in files:
            raise Refused(404, "no_such_file")
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(files[name], media_type=TYPES[name.rpartition(".")[2]], headers=headers)

    @router.get("/api/organiser/preview/{page}")
    async def previewed(page: str, request: Request) -> dict[str, Any]:
        """What a rater's page shows, without a rater."""
        await change(request, lambda c, at: None)
        found = preview(page, running.settings.sessions)
        if found is None:
            raise Refused(404, "no_such_page")
        return {"study": running.public(0), **found}

    return router
