"""Whole sessions in a real browser, by keyboard and by touch: what happens on the way, and what is there at the end."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdsvqa.labeling.collecting.organiser import set_password
from mdsvqa.labeling.export.run import exported
from rating_study import Study, prepared_of, served

OpenStudy = Callable[..., Study]
# A busy machine drops frames and waits: that is not what these tests are about.
PATIENT = {"most_dropped": 1.0, "most_watching": 60.0, "most_stall": 60.0}
NAMES = {"1": "Bad", "2": "Poor", "3": "Fair", "4": "Good", "5": "Excellent"}


class Rater:
    """Somebody at a screen."""

    def __init__(self, browser: Any, address: str, touch: bool = False, **context: Any) -> None:
        size = {"width": 390, "height": 844} if touch else {"width": 1440, "height": 900}
        self.context = browser.new_context(viewport=size, has_touch=touch, **context)
        self.context.set_default_timeout(60_000)
        self.page, self.address, self.touch = self.context.new_page(), address, touch
        self.said: list[str] = []
        self._listen()

    def _listen(self) -> None:
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def reopen(self) -> None:
        """Closes the page and opens the address again."""
        self.page.close()
        self.page = self.context.new_page()
        self._listen()
        self.page.goto(self.address)

    def press(self, name: str) -> None:
        """A button, by keyboard or by touch."""
        button = self.page.get_by_role("button", name=name, exact=True)
        button.wait_for()
        if self.touch:
            button.tap()
        else:
            button.focus()
            self.page.keyboard.press("Enter")

    def to_first_slot(self, link: str) -> None:
        self.page.goto(f"{self.address}/r/{link}")
        self.press("I agree and take part")
        self.press("Go on")
        self.press("Start the check")
        for picture in ("Dark", "Bright"):
            self.page.get_by_text(f"{picture} picture").wait_for()
            self.page.get_by_label("3", exact=True).check()
            self.press("Next")
        self.press("Play the test video")
        self.page.get_by_role("button", name="Play", exact=True).wait_for()

    def watch(self) -> None:
        """Presses Play, and waits for what comes behind the clip."""
        self.press("Play")
        self.page.get_by_role("group").wait_for()

    def choose(self, level: str) -> None:
        if self.touch:
            self.page.locator("label.choice", has_text=NAMES[level]).tap()
        else:
            self.page.keyboard.press(level)

    def stored(self, level: str) -> None:
        self.page.get_by_text(f"Stored: {NAMES[level]}").wait_for()

    def next(self) -> str:
        """Goes on; "vote" where another clip was seen, else the heading of the page."""
        before = self.place()
        name = "Next video" if self.page.get_by_role("button", name="Next video").count() else "Go on"
        self.press(name)
        self.moved_on(before)
        return "vote" if self.page.get_by_role("group").count() else str(self.page.locator("h1").inner_text())

    def place(self) -> str:
        """Which video the page asks about."""
        return str(self.page.locator(".card .quiet").first.inner_text())

    def moved_on(self, before: str) -> None:
        """Waits until another video is asked about, or another page is there."""
        self.page.wait_for_function(
            "(before) => { const place = document.querySelector('.card .quiet');"
            " const heading = document.querySelector('h1');"
            " return (place && place.innerText !== before) || heading }",
            arg=before,
        )


def exported_votes(study: Study) -> list[dict[str, str]]:
    with study.store.reading() as connection:
        files = exported(connection, study.settings, study.prepared, study.running.texts, time.time())
    return list(csv.DictReader(io.StringIO(files["votes.csv"].decode("utf-8-sig"))))


def open_short(open_study: OpenStudy, clip: Path, **settings: Any) -> Study:
    short = {"session_minutes": 0.15, "sessions": 1, "repeats": 0, **PATIENT, **settings}
    return open_study(prepared_of(clip, videos=12, seconds=1.0), clock=time.time, **short)


def test_a_session_by_keyboard_with_everything_that_happens_on_the_way(
    browser: Any, open_study: OpenStudy, clip: Path
) -> None:
    study = open_short(open_study, clip)
    study.store.write(lambda c: set_password(c, "a password", time.time()))
    ((_, link),) = study.invite()
    given: list[str] = []
    with served(study.app) as address:
        rater = Rater(browser, address)
        rater.to_first_slot(link)
        assert rater.page.url == f"{address}/"
        rater.watch()
        # Nothing goes on without an answer.
        rater.press("Next video")
        rater.page.get_by_text("Please choose an answer first.").wait_for()
        for number, level in enumerate("35124"):
            rater.choose(level)
            rater.stored(level)
            given.append(level)
            if number == 2:
                # The last vote is corrected; both stay, the last counts.
                rater.choose("4")
                rater.stored("4")
                given.append("4")
            if number == 3:
                # Leaves in the middle, and comes back to the same place.
                rater.reopen()
                rater.watch()
            elif rater.next() != "vote":
                rater.watch()
        # The network is away while a vote is given, and the page is loaded again as soon as it is back.
        rater.context.set_offline(True)
        rater.choose("2")
        rater.page.get_by_text("No connection.").wait_for()
        time.sleep(1)
        rater.context.set_offline(False)
        rater.stored("2")
        given.append("2")
        assert rater.page.get_by_text("No connection.").is_hidden()
        # A double click on the way on is one step.
        before = rater.place()
        rater.page.get_by_role("button", name="Next video").dblclick()
        rater.moved_on(before)
        other = Rater(browser, address)
        other.page.goto(f"{address}/r/{link}")
        other.page.get_by_text("This link was opened in another browser first.").wait_for()
        other.context.close()
        heading = "vote"
        rater.page.get_by_role("group").wait_for()
        while heading == "vote":
            rater.choose("3")
            rater.stored("3")
            given.append("3")
            heading = rater.next()
        assert heading == "Thank you"
        assert rater.said == []
        rater.context.close()
        votes = exported_votes(study)
        assert [vote["vote"] for vote in votes] == given
        assert len({vote["rater"] for vote in votes}) == 1
        assert [vote["excluded"] for vote in votes].count("corrected") == 1
        assert len([vote for vote in votes if vote["kind"] == "training"]) == 6
        slots = study.rows("SELECT count(*) AS n FROM slots")[0]["n"]
        assert len(votes) == slots + 1
        organiser = browser.new_page(viewport={"width": 1440, "height": 900})
        organiser.goto(f"{address}/organiser")
        organiser.get_by_label("Password").fill("a password")
        organiser.get_by_role("button", name="Log in").click()
        row = organiser.get_by_role("row").filter(has_text="r001")
        row.wait_for()
        assert f"{slots} of {slots}" in row.inner_text()
        row.get_by_role("button", name="Exclude").click()
        organiser.get_by_role("button", name="Count again").wait_for()
        assert {vote["excluded"] for vote in exported_votes(study)} >= {"rater excluded: by the organiser"}
        organiser.get_by_role("button", name="Count again").click()
        organiser.get_by_role("button", name="Exclude").wait_for()
        organiser.close()


def test_a_vote_that_was_not_answered_is_sent_after_the_page_is_loaded_again(
    browser: Any, open_study: OpenStudy, clip: Path
) -> None:
    study = open_short(open_study, clip)
    ((_, link),) = study.invite()
    with served(study.app) as address:
        rater = Rater(browser, address)
        rater.to_first_slot(link)
        rater.watch()
        # The answer is lost on its way: the vote was kept by the server, and the browser does not know.
        rater.page.route("**/api/vote", lambda route: route.abort())
        rater.choose("5")
        rater.page.get_by_text("No connection.").wait_for()
        assert study.rows("SELECT * FROM votes") == []
        rater.page.unroute("**/api/vote")
        rater.reopen()
        rater.page.get_by_text("Practice video 2 of 5").wait_for()
        assert [row["value"] for row in study.rows("SELECT value FROM votes")] == [5]
        rater.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_session_by_touch(browser: Any, open_study: OpenStudy, clip: Path, scheme: str) -> None:
    study = open_short(open_study, clip, number_keys=False, session_minutes=0.05)
    ((_, link),) = study.invite()
    with served(study.app) as address:
        rater = Rater(browser, address, touch=True, color_scheme=scheme, device_scale_factor=3)
        rater.to_first_slot(link)
        rater.watch()
        targets = rater.page.locator("button:visible, label.choice:visible")
        boxes = [target.bounding_box() for target in targets.all()]
        assert len(boxes) == 6
        assert all(min(box["width"], box["height"]) >= 48 for box in boxes)
        heading, count = "vote", 0
        while heading != "Thank you":
            if heading != "vote":
                rater.watch()
            level = "12345"[count % 5]
            rater.choose(level)
            rater.stored(level)
            heading, count = rater.next(), count + 1
        assert rater.said == []
        rater.context.close()
    votes = exported_votes(study)
    assert [vote["vote"] for vote in votes] == [str(n % 5 + 1) for n in range(count)]
    assert {vote["ratio"] for vote in votes} == {"3"}
    assert {vote["shown_width"] for vote in votes} == {"320"}
