"""What every request passes before anything reads it: size, rate and origin; and the headers of every answer."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdsvqa.labeling.collecting.refusals import Refused

LARGEST_BODY = 64 * 1024
# What each answer carries. Videos come as blobs from memory; nothing else comes from anywhere but here.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), fullscreen=(self), autoplay=(self)",
}
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Guards:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, rates: "Rates") -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The study has no web sockets; the life of the server is nobody's request.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answering = _Answering(send)
        body = _Body(receive)

        async def send_guarded(message: Message) -> None:
            # FastAPI takes whatever goes wrong while it reads a body for a body that cannot be parsed, and says so.
            if not body.too_large:
                await answering(message)
            elif not answering.begun:
                await answer(answering, Refused(413, "too_large"))

        try:
            self._rates.take(scope["client"][0] if scope.get("client") else "", headers.get("cookie", ""))
            if scope["method"] in CHANGING:
                check_origin(headers)
                check_length(headers)
            await self._app(scope, body, send_guarded)
        except Refused as refused:
            if not answering.begun:
                await answer(answering, refused)


class _Answering:
    """Sends an answer with the headers that each has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await self._send(message)


class _Body:
    """The body of a request as it comes, up to the limit: one of unknown length may not go on for ever."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = 0
        self.too_large = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > LARGEST_BODY:
            self.too_large = True
            raise Refused(413, "too_large")
        return message


def check_origin(headers: Headers) -> None:
    """Raises `Refused` where a change does not come from a page of this server."""
    origin = urlsplit(headers.get("origin", ""))
    here = headers.get("host", "")
    if origin.scheme not in ("http", "https") or not here or origin.netloc != here:
        raise Refused(403, "foreign_origin")
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Refused(403, "foreign_origin")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "not_json")


def check_length(headers: Headers) -> None:
    """Raises `Refused` where a body says that it is too large."""
    stated = headers.get("content-length", "0")
    if not (stated.isascii() and stated.isdecimal()):
        raise Refused(400, "no_length")
    if len(stated) > 9 or int(stated) > LARGEST_BODY:
        raise Refused(413, "too_large")


async def answer(send: Send, refused: Refused) -> None:
    """Sends a refusal."""
    body = json.dumps({"error": refused.code, **refused.detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # What is left of a body that nobody reads must not be taken for the next request.
    headers += [(b"connection", b"close")] if refused.status == 413 else []
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Bucket:
    """A token bucket: so many requests at once, refilled at a rate."""

    def __init__(self, burst: float, rate: float, at: float) -> None:
        self.left, self.burst, self.rate, self.at = burst, burst, rate, at

    def take(self, at: float) -> bool:
        """Whether there is a token left, which is then gone."""
        self.left = min(self.burst, self.left + (at - self.at) * self.rate)
        self.at = at
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Rates:
    """How much a browser and an address may ask for.

    A whole classroom has one address: its limit is that of many raters.
    """

    PER_COOKIE, PER_ADDRESS = (120.0, 20.0), (4000.0, 400.0)
    LOGINS = (5.0, 1 / 30)
    ALL_LOGINS = (20.0, 1 / 10)
    MOST_KEPT = 20_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, address: str, cookie: str) -> None:
        """Raises `Refused` where either asks for too much."""
        self._take("address", address, self.PER_ADDRESS)
        if cookie:
            self._take("cookie", cookie[:200], self.PER_COOKIE)

    def login(self, address: str) -> None:
        """Raises `Refused` where there were too many attempts at the organiser's password."""
        self._take("login", address, self.LOGINS)
        self._take("login", "", self.ALL_LOGINS)

    def _take(self, kind: str, name: str, limit: tuple[float, float]) -> None:
        at = self._clock()
        bucket = self._buckets.setdefault((kind, name), Bucket(*limit, at))
        self._buckets.move_to_end((kind, name))
        if len(self._buckets) > self.MOST_KEPT:
            self._buckets.popitem(last=False)
        if not bucket.take(at):
            raise Refused(429, "too_many")
