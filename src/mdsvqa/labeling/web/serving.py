"""The process that serves a rating study."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mdsvqa.runtime.errors import InputError

# Connections that wait to be taken: a classroom opens its links at once.
_WAITING = 1024


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any that is free.

    Raises:
        InputError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: cannot be listened on ({error.strerror or error}); name another port, or "
            "an address of this machine."
        ) from None
    return found


def serve(
    app: ASGIApp,
    place: socket.socket,
    *,
    proxy: str = "",
    started: Callable[[], None] = lambda: None,
    beside: Coroutine[Any, Any, None] | None = None,
) -> None:
    """Serves until the process is told to end (SIGINT, SIGTERM); what was asked for is answered first.

    Args:
        app: the study.
        place: see `listening`.
        proxy: address of a proxy in front whose word on the scheme and the address of raters is taken.
        started: called when requests are answered.
        beside: goes on for as long as the server does.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy or None,
        backlog=_WAITING,
        timeout_keep_alive=30,
        # A header is 8 KB at most; h11 takes 64 KB of one that does not end.
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)

    # uvicorn raises the signal that ended it once more, which by default ends the process on the spot.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[place]))
        company = None if beside is None else asyncio.create_task(beside)
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        try:
            await serving
        finally:
            if company is not None:
                company.cancel()

    asyncio.run(run())
