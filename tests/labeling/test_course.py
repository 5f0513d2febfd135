"""A rater's way through a study, over HTTP."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from rating_study import Study, prepared_of

OpenStudy = Callable[..., Study]


def test_a_whole_study_of_one_rater(open_study: OpenStudy, clip: Path) -> None:
    study = open_study(prepared_of(clip, videos=60), sessions=2, session_minutes=4, pause_minutes=5)
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    seen: list[tuple[bool, int, int]] = []
    while page["page"] == "slot":
        seen.append((page["training"], page["place"], page["of"]))
        page = browser.vote(page).json()
        if page["page"] == "break":
            assert 0 < page["seconds"] <= 300
            assert browser.post("/api/continue").status_code == 409
            study.clock.now += 301
            page = browser.post("/api/continue").json()
    assert page["page"] == "thanks"
    assert seen[:5] == [(True, place, 5) for place in range(1, 6)]
    slots = study.rows(
        "SELECT slots.*, turn, duration, content, stimuli.id AS video FROM slots JOIN sessions ON session = "
        "sessions.number JOIN stimuli ON stimuli.number = first ORDER BY session, place"
    )
    for turn in (1, 2):
        session = [slot for slot in slots if slot["turn"] == turn]
        assert sum(slot["duration"] for slot in session) <= 240
        kinds = Counter(slot["kind"] for slot in session)
        assert kinds["repeat"] == 2
        assert kinds["trap"] == kinds["anchor"] == round(len(session) / 12)
        contents = [slot["content"] for slot in session]
        assert all(one != other for one, other in pairwise(contents))
        for place, slot in enumerate(session):
            if slot["kind"] == "repeat":
                first = next(number for number, each in enumerate(session) if each["first"] == slot["first"])
                assert place - first > 8
    videos = [slot["video"] for slot in slots if slot["kind"] == "video"]
    assert len(videos) == len(set(videos))
    assert len(study.rows("SELECT * FROM votes")) == len(slots)


def test_instructions_and_two_clips_again_after_twelve_hours(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    for _ in range(8):
        page = browser.vote(page).json()
    left_at = page["slot"]
    study.clock.now += 11 * 3600
    assert browser.state()["slot"] == left_at
    study.clock.now += 2 * 3600
    assert browser.state() | {"study": 0, "token": 0} == {"page": "instructions", "again": True, "study": 0, "token": 0}
    page = browser.post("/api/instructions").json()
    practice = []
    while page["training"]:
        practice.append(page["slot"])
        page = browser.vote(page).json()
    assert len(practice) == 2
    assert page["slot"] == left_at


def test_a_disturbed_play_is_shown_once_more_and_twice_disturbed_does_not_count(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    answer = browser.vote(page, stalled=0.6)
    assert (answer.status_code, answer.json()) == (409, {"error": "play_again", "disturbed": "stalled"})
    first, second = browser.watched(page, stalled=0.6), browser.watched(page)
    page = browser.post("/api/vote", _vote(page, [*first, *second])).json()
    first, second = browser.watched(page, hidden=1.0), browser.watched(page, dropped=20)
    assert browser.post("/api/vote", _vote(page, [*first, *second])).status_code == 200
    assert [row["disturbed"] for row in study.rows("SELECT disturbed FROM votes")] == ["", "dropped"]
    assert [row["disturbed"] for row in study.rows("SELECT disturbed FROM plays")] == [
        "stalled",
        "",
        "hidden",
        "dropped",
    ]


def _vote(page: Any, plays: Any, value: float = 4, key: str = "0123456789abcdef") -> dict[str, Any]:
    return {"key": key + page["slot"], "slot": page["slot"], "value": value, "plays": plays}


def test_a_vote_needs_the_whole_clip_and_its_time(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    assert browser.vote(page, reached=4.0).json()["error"] == "not_seen"
    assert browser.vote(page, total=100).json()["error"] == "not_seen"
    study.clock.now -= 1000
    assert browser.vote(page).json()["error"] == "too_soon"
    assert browser.post("/api/vote", _vote(page, [], 3)).status_code == 422
    for value in (0, 6, 2.5, -1, "x", None):
        assert browser.post("/api/vote", _vote(page, browser.watched(page), value)).status_code == 422
    assert study.rows("SELECT * FROM votes") == []


def test_the_same_key_again_and_another_key(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    body = _vote(page, browser.watched(page))
    first = browser.post("/api/vote", body).json()
    assert browser.post("/api/vote", body).json() == first
    assert first["vote"] == {"key": body["key"], "slot": page["slot"], "value": 4.0}
    other = browser.post("/api/vote", body | {"key": "another-key-0001", "value": 1})
    assert (other.status_code, other.json()["error"], other.json()["vote"]) == (409, "slot_voted", first["vote"])
    assert len(study.rows("SELECT * FROM votes")) == 1


def test_the_last_vote_can_be_corrected_until_the_next_video_begins(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    following = browser.vote(page, 2).json()
    correction = {"key": "correction-0001", "slot": page["slot"], "value": 5}
    assert browser.post("/api/correct", correction).json()["vote"]["value"] == 5
    assert browser.post("/api/correct", correction).status_code == 200
    assert browser.post("/api/begin", {"slot": following["slot"]}).status_code == 200
    late = browser.post("/api/correct", {**correction, "key": "correction-0002", "value": 1})
    assert (late.status_code, late.json()["error"]) == (409, "too_late")
    assert [row["value"] for row in study.rows("SELECT value FROM votes ORDER BY number")] == [2, 5]


def test_a_clip_that_does_not_play_is_an_outcome_and_the_session_goes_on(open_study: OpenStudy) -> None:
    study = open_study()
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    following = browser.post("/api/unplayable", {"slot": page["slot"], "error": "4 <b>no decoder</b>"}).json()
    assert following["slot"] != page["slot"]
    assert study.rows("SELECT outcome FROM slots WHERE id = ?", page["slot"]) == [{"outcome": "unplayable"}]
    assert browser.post("/api/unplayable", {"slot": page["slot"], "error": ""}).status_code == 200


def test_a_failed_check_that_excludes_keeps_out_and_can_be_repeated(open_study: OpenStudy) -> None:
    study = open_study(excluding=("playback", "brightness"))
    browser = study.browser()
    ((_, link),) = study.invite()
    browser.open(link)
    browser.state()
    browser.post("/api/consent")
    browser.post("/api/instructions")
    assert browser.post("/api/check", {"failed": ["colour", "brightness"]}).json() == {
        "page": "unsuited",
        "failed": ["brightness"],
    }
    assert browser.post("/api/check", {"failed": ["colour"]}).json()["page"] == "slot"


def test_impairment_and_pairs_show_two_clips(open_study: OpenStudy) -> None:
    study = open_study(method="dcr")
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    while page["training"]:
        page = browser.vote(page).json()
    assert len(page["clips"]) == 2
    assert browser.vote(page, 1).status_code == 200
    rows = study.rows(
        "SELECT a.id AS one, b.id AS two FROM slots JOIN stimuli a ON a.number = first JOIN stimuli b ON b.number = "
        "second WHERE kind = 'video'"
    )
    assert rows
    assert all(row["one"] == f"ref{int(row['two'][1:]) % 15}" for row in rows)
    pairs = open_study(method="pairs", sessions=1)
    browser = pairs.browser()
    ((_, link),) = pairs.invite()
    page = browser.to_first_slot(link)
    while page.get("training"):
        page = browser.vote(page, 1).json()
    judged = 0
    while page["page"] == "slot":
        assert len(page["clips"]) == 2
        page = browser.vote(page, (0, 0.5, 1)[judged % 3]).json()
        judged += 1
    assert judged > 20
    assert {row["value"] for row in pairs.rows("SELECT value FROM votes")} == {0.0, 0.5, 1.0}


def test_hidden_references_come_with_their_videos(open_study: OpenStudy) -> None:
    study = open_study(method="acr-hr", sessions=1)
    browser = study.browser()
    ((_, link),) = study.invite()
    page = browser.to_first_slot(link)
    while page["page"] == "slot":
        page = browser.vote(page).json()
    shown = study.rows("SELECT stimuli.id, role FROM slots JOIN stimuli ON number = first WHERE kind = 'video'")
    references = {row["id"] for row in shown if row["role"] == "reference"}
    assert references == {f"ref{int(row['id'][1:]) % 15}" for row in shown if row["role"] == "video"}
