"""An S3 server in this process (moto's), and a web server: what they sent is counted, and some replies are 503."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from threading import Lock, Thread
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import WSGIRequestHandler, make_server

from mdsvqa.runtime import workers

BUCKET, KEY, SECRET = "pool", "somebody", "secret"
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_WRONG_KEY = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


@dataclass
class Store:
    """A server, and what it was asked for.

    Attributes:
        address: of it.
        app: that replies.
        busy: share of requests that are replied to by 503.
        seen: how many requests there were, by method.
        refused: how many of them were replied to by 503.
        sent: bytes of the bodies of replies to GET.
    """

    app: Callable[..., Iterable[bytes]]
    address: str = ""
    busy: float = 0.0
    seed: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self._lock, self._chance = Lock(), random.Random(self.seed)

    def forget(self) -> None:
        """Counts from nothing again."""
        self.seen, self.refused, self.sent = Counter(), 0, 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        with self._lock:
            self.seen[method] += 1
            busy = self._chance.random() < self.busy
            self.refused += busy
        if busy:
            return self._short(environ, start_response, "503 Slow Down", _SLOW_DOWN)
        if "AWS4" in environ.get("HTTP_AUTHORIZATION", "") and KEY not in environ["HTTP_AUTHORIZATION"]:
            return self._short(environ, start_response, "403 Forbidden", _WRONG_KEY)
        body = b"".join(self.app(environ, start_response))
        if method == "GET":
            with self._lock:
                self.sent += len(body)
        return [body]

    def _short(self, environ: dict[str, Any], start_response: Any, status: str, body: bytes) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def put(self, name: str, content: bytes) -> None:
        """An object."""
        client(self).put_object(Bucket=BUCKET, Key=name, Body=content)

    def fill(self, folder: Path, prefix: str = "") -> int:
        """Every file of a folder as an object; gives back their bytes."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            self.put(prefix + path.relative_to(folder).as_posix(), path.read_bytes())
        self.forget()
        return sum(path.stat().st_size for path in files)


def client(store: Store) -> Any:
    """Of AWS's own."""
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=store.address, **keys)


@contextmanager
def serving(store: Store, context: SSLContext | None = None) -> Iterator[Store]:
    """Has it reply, until the block ends; by https with a certificate of localhost."""
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_Handler, ssl_context=context)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store.address = f"{'https://localhost' if context else 'http://127.0.0.1'}:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An S3 server with an empty bucket, and an environment in which it is S3."""
    # A client keeps the key that it was made with.
    S3FileSystem.clear_instance_cache()
    # So does a process that was started with it.
    monkeypatch.setattr(workers, "_POOLS", {})
    with serving(Store(DomainDispatcherApplication(create_backend_app))) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with urlopen(f"{store.address}/moto-api/reset", data=b""):
            client(store).create_bucket(Bucket=BUCKET)
        store.forget()
        yield store
    S3FileSystem.clear_instance_cache()


def files_of(folder: Path) -> Callable[..., Iterable[bytes]]:
    """The files of a folder as a web server has them, each with an ETag."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = folder / environ["PATH_INFO"].encode("latin-1").decode().lstrip("/")
        if not path.is_file():
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        content = path.read_bytes()
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        start_response("200 OK", [("Content-Length", str(len(content))), ("ETag", etag)])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    return app
