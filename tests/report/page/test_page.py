import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.data import PairedVideo, PoolPoint, ReportData, RuleResult, ScatterPoint, Undecoded, VideoPair
from mdsvqa.report.page.export import csv_text
from mdsvqa.report.page.page import HERE, render_page, sample
from mdsvqa.report.page.tables import Column, Row, Table

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='a()'>&{{ 7*7 }}"


class Page(HTMLParser):
    """Collects elements and fails on a tag that closes another."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(study) -> Page:
    return Page(render_page(study))


def test_same_data_same_bytes(study):
    assert render_page(study) == render_page(study)


def test_the_page_loads_nothing(study, page):
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    outside = {value for value in links if not value.startswith(("#", "data:image/jpeg;base64,"))}
    assert outside == {"https://arxiv.org/abs/2603.11525"}
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "object", "embed", "form", "base"})
    assert "url(" not in (HERE / "page.css").read_text()
    assert "@import" not in (HERE / "page.css").read_text()
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_every_section_is_there_and_asks_for_nothing(full_study):
    page = Page(render_page(full_study))
    sections = [attributes["id"] for attributes in page.of("section")]
    names = ["help", "selected", "rehearsal", "failure", "agreement", "disagreement", "intervals", "audit"]
    assert sections[:8] == names
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    outside = {value for value in links if not value.startswith(("#", "data:"))}
    assert outside == {"https://arxiv.org/abs/2603.11525"}
    assert len(page.of("img")) == 2 * 5


def test_sections_without_figures_are_left_out(page):
    sections = {attributes["id"] for attributes in page.of("section")}
    assert sections.isdisjoint({"rehearsal", "failure", "disagreement", "intervals", "audit", "reliability"})


def test_the_files_of_a_table_are_in_the_page(full_study):
    page = Page(render_page(full_study))
    files = {link["download"]: link["href"] for link in page.of("a") if "download" in link}
    assert len(files) == 2 * 7
    kind, text = files["rules.csv"].split(",", 1)
    assert kind == "data:text/csv;charset=utf-8;base64"
    assert base64.b64decode(text).decode() == csv_text(full_study.tables["rules"])


def test_audited_videos_are_marked(full_study, page):
    assert "2 of them are the audit" in Page(render_page(full_study)).text
    marks = [mark for mark in Page(render_page(full_study)).of("span") if mark.get("class") == "audit"]
    assert len(marks) == 2
    assert "audit" not in page.text


def test_pairs_say_whether_mos_agree(full_study):
    text = Page(render_page(full_study)).text
    assert "By the fine-tuned model the left one is better; by MOS it is worse, by 0.50." in text
    assert "By the base model the left one is better; by MOS it is worse, by 0.50." in text


def test_rounds_without_a_comparison_are_shown(study):
    page = Page(render_page(replace(study, rules=[])))
    assert "Learning curve" in page.text
    assert "Not known yet" not in page.text


def test_inner_links_lead_somewhere_and_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {
        value[1:]
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "aria-labelledby") and (value.startswith("#") or name == "aria-labelledby")
        for value in ["#" + value.lstrip("#")]
    }
    assert targets <= set(ids)


def test_hostile_text_stays_text(study):
    bad = ReportData(
        title=HOSTILE,
        simulated=False,
        headline=[HOSTILE, HOSTILE],
        facts={HOSTILE: HOSTILE},
        rules=[RuleResult("x", HOSTILE, {"srcc": Interval(0.5, 0.4, 0.6)})],
        pool=[PoolPoint(HOSTILE, 0, 0, 2.0, 1, f"data:image/jpeg;base64,{HOSTILE}"), PoolPoint(HOSTILE, 1, 1, 3.0)],
        scatter=[ScatterPoint(HOSTILE, 2, 2, 3)],
        failures=[Undecoded(HOSTILE, HOSTILE)],
        settings={HOSTILE: HOSTILE},
        notes=[HOSTILE],
        commands=[HOSTILE],
        after_label=HOSTILE,
        tables={
            name: Table("t", HOSTILE, HOSTILE, (Column(HOSTILE, HOSTILE),), (Row(HOSTILE, (HOSTILE,), HOSTILE),))
            for name in ("rules", "datasets", "failure", "audit", "reliability")
        },
        failure=[HOSTILE],
        base_sees_none=[VideoPair(*(PairedVideo(HOSTILE, 3, 2, 4, f"data:image/jpeg;base64,{HOSTILE}"),) * 2)],
    )
    page = Page(render_page(bad))
    assert len(page.of("script")) == 1
    assert page.of("img") == []
    assert page.of("image") == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in page.text


def test_names_that_are_not_utf8_can_be_written(study):
    text = render_page(replace(study, failures=[Undecoded("caf\udce9.mp4", "no stream")]))
    assert b"caf?.mp4" in text.encode("utf-8")


def test_simulated_ratings_are_named_at_the_top(study):
    assert "Simulated ratings" in Page(render_page(study)).text
    assert "imulated" not in Page(render_page(replace(study, simulated=False))).text


def test_only_a_clear_gain_is_highlighted(study):
    def winners(data: ReportData) -> int:
        return sum("winner" in (attributes.get("class") or "") for attributes in Page(render_page(data)).of("tr"))

    assert winners(study) == 1
    unclear = [replace(rule, gain_over_random=Interval(0.06, -0.01, 0.1)) for rule in study.rules]
    assert winners(replace(study, rules=unclear)) == 0
    assert "not distinguishable from random" in render_page(replace(study, rules=unclear))


def test_the_paper_is_cited_with_its_losses(page):
    assert "Model-Informed Data Selection for Video Quality Assessment" in page.text
    assert "does not win everywhere" in page.text


def test_a_study_right_after_selection_says_what_to_label(pool_of):
    page = Page(render_page(ReportData("Live sport", False, pool=pool_of(100, 12, pictures=False))))
    assert "What to label next" in page.text
    assert "Not known yet" in page.text
    assert len([item for item in page.of("li") if (item.get("id") or "").startswith("video-")]) == 12
    assert page.of("table") == []


@pytest.mark.parametrize("count", [0, 1])
def test_almost_nothing_still_makes_a_page(count, pool_of):
    page = Page(render_page(ReportData("Nothing yet", False, pool=pool_of(count, count))))
    assert page.of("h1")
    assert "nan" not in page.text.lower().split()


def test_every_table_has_a_caption_and_every_chart_a_name(page):
    assert len(page.of("table")) == len(page.of("caption")) >= 4
    for svg in page.of("svg"):
        assert svg.get("aria-label") or svg.get("aria-hidden") == "true" or svg.get("class") == "forest-plot"


def test_size_and_pictures_are_stored_once(pool_of, study):
    text = render_page(replace(study, pool=pool_of(400, 40)))
    assert text.count("data:image/jpeg") == 40
    assert len(text.encode()) < 1_500_000


def test_a_large_pool_is_sampled_and_says_so(pool_of):
    text = render_page(ReportData("Large", False, pool=pool_of(4000, 70, pictures=False)))
    assert "930 unselected videos" in text
    assert text.count("data-tip><title>") == 3000
    assert "10 more selected videos" in text
    assert len(text.encode()) < 1_500_000


def test_sample_keeps_order():
    kept, left = sample(list(range(100)), 10)
    assert kept == sorted(kept)
    assert left == 90


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_are_readable_and_the_ramp_is_ordered(scheme):
    block = re.findall(r":root \{(.*?)\}", (HERE / "page.css").read_text(), re.DOTALL)[scheme]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name in ("ink", "soft", "accent", "better", "worse"):
        assert contrast(colour[name], colour["paper"]) >= 4.5
    assert contrast(colour["badge"], colour["badge-ink"]) >= 4.5
    assert contrast(colour["mark"], colour["paper"]) >= 3
    ramp = [luminance(colour[f"ramp-{step}"]) for step in range(7)]
    assert ramp == sorted(ramp, reverse=scheme == 0)
