"""What must not be let in: each gets a clean answer, nothing is stored, and the study goes on."""

import asyncio
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from mdsvqa.labeling.collecting.organiser import set_password
from mdsvqa.labeling.collecting.raters import release
from mdsvqa.labeling.web.app import described
from mdsvqa.labeling.web.guards import LARGEST_BODY, Rates
from rating_study import ADDRESS, Browser, Study

OpenStudy = Callable[..., Study]


@pytest.fixture
def begun(open_study: OpenStudy) -> tuple[Study, Browser, Any]:
    """A study with a rater at the first slot."""
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    return study, browser, browser.to_first_slot(link)


def body(page: Any, browser: Browser, **changed: Any) -> dict[str, Any]:
    found = {"key": secrets.token_hex(8), "slot": page["slot"], "value": 3, "plays": browser.watched(page)}
    return {**found, **changed}


def nothing_stored(study: Study) -> None:
    assert study.rows("SELECT * FROM votes") == []
    assert study.rows("SELECT * FROM plays") == []


def test_links_that_are_foreign_expired_or_opened_elsewhere(open_study: OpenStudy) -> None:
    study = open_study(link_days=2)
    (_, first), (_, second) = study.invite(2)
    assert study.browser().open(secrets.token_urlsafe(16)).status_code == 404
    one, other = study.browser(), study.browser()
    assert one.open(first).status_code == 200
    assert one.open(first).status_code == 200
    refused = other.open(first)
    assert (refused.status_code, refused.json()) == (403, {"error": "link_elsewhere"})
    assert "set-cookie" not in refused.headers
    study.store.write(lambda c: release(c, 1, study.clock()))
    assert other.open(first).status_code == 200
    assert one.client.get("/api/state").status_code == 401
    study.clock.now += 2 * 86_400 + 1
    assert study.browser().open(second).json() == {"error": "link_expired"}
    assert other.client.get("/api/state").status_code == 401
    kept = study.rows("SELECT hash, browser FROM links")
    assert all(first.encode() not in row["hash"] for row in kept)


def test_the_cookie_and_the_headers(begun: tuple[Study, Browser, Any]) -> None:
    study, _, _ = begun
    ((_, link),) = study.invite()
    answer = study.browser().open(link)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    for path in ("/", f"/r/{link}", "/organiser", "/static/rating.js", "/nothing"):
        headers = study.browser().client.get(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
            "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
    tls = study.browser()
    tls.client.base_url = "https://study.test"
    found = tls.client.post(
        "/api/open",
        json={"link": link, "browser": "0" * 32},
        headers={"origin": "https://study.test", "host": "study.test"},
    )
    assert found.status_code in (200, 403)
    second = study.invite()[0][1]
    found = tls.client.post(
        "/api/open", json={"link": second, "browser": "0" * 32}, headers={"origin": "https://study.test"}
    )
    assert "secure" in found.headers["set-cookie"].lower()


def test_changes_need_the_origin_json_and_the_token(begun: tuple[Study, Browser, Any]) -> None:
    study, browser, page = begun
    vote = body(page, browser)
    for origin in ("http://evil.test", "null", "http://study.test.evil.test", "http://study.test:81", ""):
        assert browser.post("/api/vote", vote, Origin=origin).status_code == 403
    assert browser.client.post("/api/vote", json=vote, headers={"X-Token": browser.token}).status_code == 403
    assert browser.post("/api/vote", vote, **{"X-Token": "wrong"}).json() == {"error": "no_token"}
    plain = {"Origin": ADDRESS, "X-Token": browser.token, "Content-Type": "text/plain"}
    assert browser.client.post("/api/vote", content=json.dumps(vote), headers=plain).status_code == 415
    assert browser.post("/api/vote", vote, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    nothing_stored(study)


def test_slots_and_keys_of_others_and_slots_out_of_order(begun: tuple[Study, Browser, Any]) -> None:
    study, browser, page = begun
    ((_, link),) = study.invite()
    other = study.browser()
    theirs = other.to_first_slot(link)
    assert browser.post("/api/vote", body(theirs, browser)).json() == {"error": "slot_unknown"}
    assert browser.post("/api/begin", {"slot": theirs["slot"]}).status_code == 404
    assert browser.client.get(f"/media/{theirs['slot']}/0").status_code == 404
    assert browser.post("/api/vote", body(page["next"], browser)).json() == {"error": "not_your_turn"}
    assert browser.post("/api/unplayable", {"slot": page["next"]["slot"], "error": ""}).status_code == 409
    assert browser.post("/api/correct", {"key": "k" * 16, "slot": page["slot"], "value": 1}).status_code == 409
    assert browser.post("/api/continue").status_code == 409
    nothing_stored(study)
    # A key is a rater's own: the same one of somebody else is another vote.
    mine, their = body(page, browser, key="same-key-0001"), body(theirs, other, key="same-key-0001", value=5)
    assert browser.post("/api/vote", mine).json()["vote"]["value"] == 3
    assert other.post("/api/vote", their).json()["vote"]["value"] == 5
    following = browser.state()
    again = browser.post("/api/vote", body(following, browser, key="same-key-0001"))
    assert (again.status_code, again.json()["error"]) == (409, "key_used")


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../etc/passwd/0",
        "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd/0",
        "/static/..%2f..%2fapp.py",
        "/static/en.json",
        "/static/rating.js%00",
        "/media/0000000000000000/0",
        "/media/0000000000000000/-1",
        "/media/0000000000000000/99999999999999999999",
        "/media/%F0%9F%98%80/0",
        "/preview/../../x",
        "/openapi.json",
        "/docs",
    ],
)
def test_paths_reach_no_file(begun: tuple[Study, Browser, Any], path: str) -> None:
    _, browser, _ = begun
    answer = browser.client.get(path)
    assert 400 <= answer.status_code < 500
    assert "root:" not in answer.text


def test_values_that_no_page_sends(begun: tuple[Study, Browser, Any]) -> None:
    study, browser, page = begun
    bad: list[dict[str, Any]] = [
        {"value": "3"},
        {"value": True},
        {"value": [3]},
        {"key": "short"},
        {"key": "<script>alert(1)</script>"},
        {"key": "\u202e" * 16},
        {"slot": "0"},
        {"slot": page["slot"] + "'; DROP TABLE votes; --"},
        {"plays": [{}]},
        {"plays": browser.watched(page) * 49},
        {"plays": [{**browser.watched(page)[0], "reached": -1}]},
        {"plays": [{**browser.watched(page)[0], "total": 10**30}]},
        {"plays": [{**browser.watched(page)[0], "more": 1}]},
        {"more": 1},
    ]
    for changed in bad:
        answer = browser.post("/api/vote", body(page, browser, **changed))
        assert answer.status_code in (409, 422), changed
        assert "script" not in answer.text
    raw = {"Origin": ADDRESS, "X-Token": browser.token, "Content-Type": "application/json"}
    text = json.dumps(body(page, browser))
    for content in (
        text.replace('"value": 3', '"value": NaN'),
        "{",
        "[]",
        "null",
        "",
        '{"key": "\\ud800"}',
        "[" * 5000,
        "\x00",
    ):
        answer = browser.client.post("/api/vote", content=content, headers=raw)
        assert answer.status_code in (400, 422), content[:20]
    for text in ("<script>alert(1)</script>", "\u202e\u2066", "a\x00b", "\\ud83d" * 3, "'\"; --"):
        assert browser.post("/api/check", {"browser": text}).status_code == 422
    nothing_stored(study)
    hostile = "<img src=x onerror=alert(1)>\u202e"
    assert browser.post("/api/unplayable", {"slot": page["slot"], "error": hostile}).status_code == 200
    assert browser.state()["page"] == "slot"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(begun: tuple[Study, Browser, Any]) -> None:
    study, _, _ = begun
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1024
        return {"type": "http.request", "body": b" " * 1024, "more_body": True}

    def post(*headers: tuple[bytes, bytes]) -> int:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/vote", "raw_path": b"/api/vote", "query_string": b"",
            "scheme": "http", "http_version": "1.1", "server": ("study.test", 80), "client": ("10.0.0.9", 1),
            "headers": [
                (b"host", b"study.test"), (b"origin", ADDRESS.encode()),
                (b"content-type", b"application/json"), *headers,
            ],
        }  # fmt: skip
        # A browser of another test may have a loop in this thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, study.app(scope, receive, send)).result()
        return int(sent[0]["status"])

    assert post((b"content-length", str(10 * 1024**3).encode())) == 413
    assert read == 0
    # Without a length it is read up to the limit, and no further.
    assert post((b"transfer-encoding", b"chunked")) == 413
    assert read <= LARGEST_BODY + 1024
    assert post((b"content-length", b"-1")) == 400


def test_ranges_of_a_clip(begun: tuple[Study, Browser, Any]) -> None:
    study, browser, page = begun
    whole = study.prepared.stimuli[0].file.read_bytes()
    source = page["clips"][0]["source"]

    def get(wanted: str, **headers: str) -> Any:
        return browser.client.get(source, headers={"Range": wanted, **headers})

    assert browser.client.get(source).content == whole
    assert (get("bytes=0-1").status_code, get("bytes=0-1").content) == (206, whole[:2])
    assert get("bytes=100-").content == whole[100:]
    assert get("bytes=-100").content == whole[-100:]
    assert get(f"bytes={len(whole) - 1}-{len(whole) + 500}").content == whole[-1:]
    beyond = get(f"bytes={len(whole)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert get("bytes=5-2").status_code == 400
    assert get("bytes=x-y").status_code == 400
    many = get("bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(1000)))
    assert (many.status_code, many.content) == (200, whole)
    assert get("bytes=0-1", **{"If-Range": '"something"'}).content == whole
    assert browser.client.head(source).status_code in (200, 405)


def test_nothing_tells_a_trap_or_an_anchor_from_a_video(open_study: OpenStudy) -> None:
    study = open_study(sessions=1)
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    while page["training"]:
        page = browser.vote(page).json()
    kinds = {row["id"]: row["kind"] for row in study.rows("SELECT id, kind FROM slots")}
    seen: dict[str, set[Any]] = {}
    while page["page"] == "slot":
        clip = browser.client.get(page["clips"][0]["source"])
        headers = {name: value for name, value in clip.headers.items() if name not in ("etag", "date")}
        bare = {
            **page,
            "slot": "",
            "place": 0,
            "next": None,
            "clips": [{**page["clips"][0], "source": ""}],
            "vote": None,
        }
        said = json.dumps([headers, bare], sort_keys=True)
        seen.setdefault(kinds[page["slot"]], set()).add(said)
        assert page["slot"] in clip.headers["etag"]
        page = browser.vote(page).json()
    assert set(seen) == {"video", "repeat", "trap", "anchor"}
    assert len(set().union(*seen.values())) == 1


def test_the_organiser_needs_the_password_and_attempts_are_limited(open_study: OpenStudy) -> None:
    study = open_study()
    study.store.write(lambda c: set_password(c, "correct horse", study.clock()))
    browser = study.browser()
    for path in ("overview", "download/votes.csv", "preview/consent"):
        assert browser.client.get(f"/api/organiser/{path}").status_code == 401
    for path, sent in (
        ("exclude", {"rater": 1, "excluded": True}),
        ("end", {"ended": True}),
        ("invite", {"raters": 1}),
    ):
        assert browser.post(f"/api/organiser/{path}", sent).status_code == 401
    answers = [browser.post("/api/organiser/login", {"password": f"guess {n}"}).status_code for n in range(1000)]
    assert answers[:5] == [403] * 5
    assert set(answers[5:]) == {429}
    # Nobody is let in by the right one either, until the address has waited.
    assert browser.post("/api/organiser/login", {"password": "correct horse"}).status_code == 429
    assert study.rows("SELECT * FROM cookies") == []
    kept = study.rows("SELECT value FROM facts WHERE name = 'password'")[0]["value"]
    assert kept.startswith("$argon2id$")


def test_sessions_of_the_organiser_can_be_revoked(open_study: OpenStudy) -> None:
    study = open_study()
    study.store.write(lambda c: set_password(c, "correct horse", study.clock()))
    one, other = study.browser(), study.browser()
    for browser in (one, other):
        answer = browser.post("/api/organiser/login", {"password": "correct horse"})
        browser.token = answer.json()["token"]
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert browser.client.get("/api/organiser/overview").status_code == 200
    # A rater's cookie opens nothing here, and the other way round.
    assert one.client.get("/api/state").status_code == 401
    assert one.post("/api/organiser/invite", {"raters": 1}, **{"X-Token": other.token}).status_code == 403
    assert one.post("/api/organiser/logout-all").status_code == 200
    assert other.client.get("/api/organiser/overview").status_code == 401


def test_rates_are_limited_for_a_cookie_and_an_address() -> None:
    from mdsvqa.labeling.collecting.refusals import Refused

    at = [0.0]
    rates = Rates(lambda: at[0])

    def taken(cookie: str, address: str = "a") -> int:
        for count in range(10_000):
            with suppress(Refused):
                rates.take(address, cookie)
                continue
            return count
        return -1

    assert taken("one") == 120
    assert taken("two") == 120
    assert taken("") == 4000 - 242
    at[0] += 10.0
    assert taken("one") == 120
    for n in range(30_000):
        rates._take("cookie", str(n), (1.0, 1.0))
    assert len(rates._buckets) <= Rates.MOST_KEPT


def test_the_description_of_requests_names_them_all(open_study: OpenStudy) -> None:
    paths = described(open_study().running)["paths"]
    assert {"/api/vote", "/api/open", "/api/state", "/media/{slot}/{side}", "/api/organiser/login"} <= set(paths)
