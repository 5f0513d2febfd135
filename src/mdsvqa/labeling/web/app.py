"""The web application of a rating study."""

import sqlite3
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp

from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.labeling.web.context import Running
from mdsvqa.labeling.web.documents import page_file, rater_page, static_response
from mdsvqa.labeling.web.guards import Guards
from mdsvqa.labeling.web.organiser_requests import organiser_requests
from mdsvqa.labeling.web.rater_requests import rater_requests


def application(running: Running) -> ASGIApp:
    """Everything that a study answers, behind its guards."""
    return Guards(routes(running), running.rates)


def routes(running: Running) -> FastAPI:
    """The requests of a study without their guards; their description is `openapi()`."""
    # No pages of FastAPI's own: they load programs from elsewhere.
    app = FastAPI(title="mdsvqa rating study", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(rater_requests(running))
    app.include_router(organiser_requests(running))
    raters, organisers = rater_page(running.texts, running.settings.title), page_file("organiser.html")

    @app.get("/", response_class=HTMLResponse)
    @app.get("/r/{link}", response_class=HTMLResponse)
    @app.get("/preview/{page}", response_class=HTMLResponse)
    async def rater_document() -> HTMLResponse:
        """The rater's page; the link in the address is exchanged by the page, so that no mail scanner opens it."""
        return HTMLResponse(raters)

    @app.get("/organiser", response_class=HTMLResponse)
    async def organiser_document() -> HTMLResponse:
        """The organiser's page."""
        return HTMLResponse(organisers)

    @app.get("/static/{name}", response_class=Response)
    async def static(name: str) -> Response:
        """A file of the pages."""
        return static_response(name)

    @app.exception_handler(Refused)
    async def refused(request: Request, found: Refused) -> JSONResponse:
        return JSONResponse({"error": found.code, **found.detail}, found.status)

    @app.exception_handler(RequestValidationError)
    async def unusable(request: Request, found: RequestValidationError) -> JSONResponse:
        # What came in is not sent back.
        where = [".".join(str(part) for part in each["loc"]) for each in found.errors()[:5]]
        return JSONResponse({"error": "unusable", "where": where}, 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, found: HTTPException) -> JSONResponse:
        return JSONResponse({"error": "no_such_request"}, found.status_code, headers=found.headers)

    @app.exception_handler(sqlite3.Error)
    async def not_kept(request: Request, found: sqlite3.Error) -> JSONResponse:
        # The disk is full, or the file is locked by somebody: the browser keeps the vote and tries again.
        return JSONResponse({"error": "not_kept"}, 503)

    return app


def described(running: Running) -> dict[str, Any]:
    """The OpenAPI description of the requests."""
    return routes(running).openapi()
