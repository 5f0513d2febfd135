"""What stores answer: read, tried again, given up, or the end of a run."""

import hashlib
import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from mdsvqa.runtime import stores
from mdsvqa.runtime.places import Remote
from mdsvqa.runtime.spool import spool_folder
from mdsvqa.runtime.stores import NoObjectError, Stamp, StoreError, copied, files_below, look_up, stamps_of
from mdsvqa.runtime.user_tables import read_columns
from object_store import BUCKET, Store, client, files_of, s3_server, serving


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with s3_server(monkeypatch) as store:
        yield store


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Store]:
    with serving(Store(files_of(tmp_path))) as store:
        yield store


def at(name: str) -> Remote:
    return Remote(f"s3://{BUCKET}/{name}")


def content_of(place: Remote) -> bytes:
    with copied(place, "id 'a'") as (file, _):
        return file.read_bytes()


def test_an_object_is_copied_whole_and_goes(s3: Store) -> None:
    s3.put("clips/a b.mp4", b"abc" * 1000)
    s3.forget()
    with copied(at("clips/a b.mp4"), "id 'a'") as (file, stamp):
        assert (file.name, file.read_bytes()) == ("a b.mp4", b"abc" * 1000)
        # The etag of what was sent in one piece is its MD5.
        assert stamp == Stamp(3000, hashlib.md5(b"abc" * 1000).hexdigest())
    assert not file.exists()
    assert (s3.sent, dict(s3.seen)) == (3000, {"HEAD": 1, "GET": 1})


def test_an_object_that_is_not_there_is_said_in_the_stores_words(s3: Store) -> None:
    with pytest.raises(NoObjectError, match=r"not in the store: .*clips/none\.mp4"), copied(at("clips/none.mp4"), "a"):
        pass
    with pytest.raises(NoObjectError, match="not in the store: "):
        look_up(Remote("s3://nobucket/a.mp4"), "a")
    s3.put("clips/a.mp4", b"abc")
    with pytest.raises(NoObjectError, match="a folder, not a file"):
        look_up(at("clips"), "a")


def test_a_wrong_key_ends_the_run_with_store_video_and_way_out(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("a.mp4", b"abc")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(
        StoreError, match=r"^s3://pool: refuses s3://pool/a.mp4 \(id 'a'\): .*AWS_ACCESS_KEY_ID"
    ) as said:
        look_up(at("a.mp4"), "id 'a'")
    assert "\n" not in str(said.value)
    assert s3.seen["HEAD"] == 1, "a key does not become right by trying again"
    with pytest.raises(StoreError, match="refuses"):
        files_below(Remote(f"s3://{BUCKET}"))
    with pytest.raises(StoreError, match="refuses"):
        read_columns(at("m.csv"))


def test_a_store_that_is_not_there_is_tried_again_and_ends_the_run(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match=r"^s3://pool: cannot be reached for s3://pool/a.mp4 \(id 'a'\): .*safe"):
        look_up(at("a.mp4"), "id 'a'")
    with pytest.raises(StoreError, match=r"^http://127.0.0.1:9: cannot be reached"):
        look_up(Remote("http://127.0.0.1:9/a.mp4"), "id 'a'")


def test_many_are_looked_up_side_by_side_or_listed(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(12):
        s3.put(f"clips/{n}.mp4", b"x" * n)
    wanted = {str(n): at(f"clips/{n}.mp4") for n in range(15)}
    s3.forget()
    alone = stamps_of(wanted)
    assert s3.seen["HEAD"] == 15
    monkeypatch.setattr(stores, "_LISTED", 10)
    s3.forget()
    assert stamps_of(wanted) == alone
    assert dict(s3.seen) == {"GET": 1}
    assert {name: stamp.size for name, stamp in alone.items()} == {str(n): n for n in range(12)}
    # Nothing of the listing is kept: what is written now is seen.
    s3.put("clips/3.mp4", b"other")
    assert stamps_of(wanted)["3"].size == 5
    assert look_up(at("clips/3.mp4"), "a").size == 5


def test_a_key_that_may_not_list_looks_up(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("clips/a.mp4", b"abc")
    monkeypatch.setattr(stores, "_LISTED", 1)
    listing = s3.app

    def no_lists(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "list-type" in environ["QUERY_STRING"]:
            return s3._short(environ, start_response, "403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>")
        return listing(environ, start_response)

    s3.app = no_lists
    assert stamps_of({"a": at("clips/a.mp4")})["a"].size == 3


def test_files_below_a_prefix(s3: Store) -> None:
    for name in ("clips/a.mp4", "clips/deep/b.mp4", "clipsandmore.mp4"):
        s3.put(name, b"abc")
    found = files_below(Remote(f"s3://{BUCKET}/clips/"))
    assert {place.url for place in found} == {f"s3://{BUCKET}/clips/a.mp4", f"s3://{BUCKET}/clips/deep/b.mp4"}
    with pytest.raises(NoObjectError, match="nothing is there"):
        files_below(at("other"))


def test_a_web_server(web: Store, tmp_path: Path) -> None:
    (tmp_path / "a b#1.mp4").write_bytes(b"abc")
    place = Remote(f"{web.address}/a%20b%231.mp4?signature=5")
    assert content_of(place) == b"abc"
    assert look_up(place, "a") == Stamp(3, "900150983cd24fb0d6963f7d28e17f72")
    with pytest.raises(NoObjectError, match="not in the store: 404 Not Found"):
        look_up(Remote(f"{web.address}/none.mp4"), "a")
    with pytest.raises(NoObjectError, match="lists no files"):
        files_below(Remote(web.address))


def replies(status: str, *, times: int = 10**9) -> Callable[..., Iterable[bytes]]:
    """The first requests are answered so, and then by a file of three bytes."""
    left = [times]

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        left[0] -= 1
        content = b"abc" if left[0] < 0 else b"no"
        start_response("200 OK" if left[0] < 0 else status, [("Content-Length", str(len(content)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    return app


@pytest.mark.parametrize("status", ["500 Error", "502 Bad Gateway", "503 Slow Down", "504 Time-out", "429 Too Many"])
def test_a_busy_server_is_asked_again(status: str) -> None:
    # A look-up asks twice, by HEAD and by GET.
    with serving(Store(replies(status, times=6))) as store:
        assert content_of(Remote(f"{store.address}/a.mp4")) == b"abc"
    with serving(Store(replies(status))) as store:
        with pytest.raises(NoObjectError, match=rf"cannot be fetched: 4 tries: {status[:3]}"):
            look_up(Remote(f"{store.address}/a.mp4"), "a")
        assert sum(store.seen.values()) == 8


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "407 Proxy"])
def test_a_server_that_refuses_ends_the_run(status: str) -> None:
    with serving(Store(replies(status))) as store:
        with pytest.raises(
            StoreError, match=rf"^{store.address}: refuses {store.address}/a.mp4 \(id 'a'\): {status[:3]}"
        ):
            look_up(Remote(f"{store.address}/a.mp4?signature=secret"), "id 'a'")
        assert sum(store.seen.values()) == 2


def test_a_reply_that_is_wrong_for_one_object_is_not_tried_again() -> None:
    with serving(Store(replies("418 Teapot"))) as store:
        with pytest.raises(NoObjectError, match="cannot be fetched: 418"):
            look_up(Remote(f"{store.address}/a.mp4"), "a")
        assert sum(store.seen.values()) == 2


def test_a_server_that_states_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"abc"] * 100

    with serving(Store(app)) as store:
        assert content_of(Remote(f"{store.address}/a.mp4")) == b"abc" * 100
        monkeypatch.setenv("MDSVQA_SPOOL", "299")
        with pytest.raises(NoObjectError, match=r"more than 299 bytes came"):
            content_of(Remote(f"{store.address}/a.mp4"))
    assert [path for path in spool_folder().iterdir() if path.is_dir()] == []


def test_a_copy_that_is_cut_off_is_made_again() -> None:
    sent = [1, 3, 3]

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        count = 3 if environ["REQUEST_METHOD"] == "HEAD" else sent.pop(0)
        start_response("200 OK", [("Content-Length", str(count))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"abc"[:count]]

    with serving(Store(app)) as store:
        assert content_of(Remote(f"{store.address}/a.mp4")) == b"abc"
    assert sent == [3]


def test_an_object_larger_than_the_spool_is_not_fetched(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("a.mp4", b"x" * 1000)
    s3.forget()
    monkeypatch.setenv("MDSVQA_SPOOL", "999")
    with pytest.raises(NoObjectError, match=r"1,000 bytes are more than the 999 .*--spool"):
        content_of(at("a.mp4"))
    assert s3.seen["GET"] == 0


def test_a_table_in_a_store_is_read_and_named_by_where_it_lies(s3: Store) -> None:
    s3.put("m.csv", b"id,mos\na,3\nb,x\n")
    table = read_columns(at("m.csv"))
    assert (table.path, table.ids()) == (at("m.csv"), ["a", "b"])
    with pytest.raises(ValueError, match=r"^s3://pool/m.csv, line 3, row 2, column mos: found 'x'"):
        table.numbers("mos")
    s3.put("twice.csv", b"id,id\na,3\n")
    with pytest.raises(ValueError, match=r"^s3://pool/twice.csv: column 'id' is there twice"):
        read_columns(at("twice.csv"))
    with pytest.raises(ValueError, match=r"^s3://pool/none.csv: cannot be read: not in the store"):
        read_columns(at("none.csv"))


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def replied(status: int) -> aiohttp.ClientResponseError:
    return aiohttp.ClientResponseError(SimpleNamespace(real_url="u"), (), status=status, message="why")  # type: ignore[arg-type]


class HttpError(Exception):
    """gcsfs's, by its attributes."""

    def __init__(self, code: int) -> None:
        super().__init__("why")
        self.code, self.message = code, "why"


class ClientAuthenticationError(Exception):
    """Azure's, by its name."""


def of_s3(code: str, status: int) -> ClientError:
    said = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "HeadObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (raised(PermissionError("Forbidden"), of_s3("403", 403)), "refused"),
        # A session token that has run out, where only the state of an object is asked for.
        (raised(OSError(22, "Bad Request"), of_s3("400", 400)), "refused"),
        (NoCredentialsError(), "refused"),
        (OSError("Forbidden: https://storage.googleapis.com/..."), "refused"),
        (HttpError(401), "refused"),
        (ClientAuthenticationError(), "refused"),
        (FileNotFoundError("pool/a.mp4"), "missing"),
        (raised(FileNotFoundError("The bucket does not exist"), of_s3("NoSuchBucket", 404)), "missing"),
        (raised(FileNotFoundError("u"), replied(410)), "missing"),
        # fsspec's web client says so of every failure.
        (raised(FileNotFoundError("u"), replied(503)), "busy"),
        (raised(OSError(16, "Please reduce your request rate."), of_s3("SlowDown", 503)), "busy"),
        (raised(OSError(121, "InternalError"), of_s3("InternalError", 500)), "busy"),
        (HttpError(429), "busy"),
        (TimeoutError(), "busy"),
        (aiohttp.ClientPayloadError("Response payload is not completed"), "busy"),
        (aiohttp.ServerDisconnectedError(), "busy"),
        (ConnectionResetError(), "busy"),
        (EndpointConnectionError(endpoint_url="u"), "unreachable"),
        (raised(FileNotFoundError("u"), ConnectionRefusedError()), "unreachable"),
        (raised(FileNotFoundError("u"), ssl.SSLCertVerificationError("self-signed")), "untrusted"),
        (ValueError("Parameter validation failed"), "wrong"),
        (HttpError(412), "wrong"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kinds_of_trouble(error: Exception, trouble: str) -> None:
    assert stores._trouble(error) == trouble


def test_the_servers_of_these_tests_speak_as_amazons_own_client_expects(s3: Store) -> None:
    s3.put("a.mp4", b"abc")
    assert client(s3).head_object(Bucket=BUCKET, Key="a.mp4")["ContentLength"] == 3
    assert os.environ["AWS_ENDPOINT_URL"] == s3.address
