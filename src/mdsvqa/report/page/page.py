"""A study's page: one HTML file that opens anywhere, asks nothing of the network, and is the same for the same data."""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.metrics import METRICS
from mdsvqa.report.page import wording
from mdsvqa.report.page.charts import Forest, Histogram, forest, histogram, ramp_step
from mdsvqa.report.page.content_map import DESK, PHONE, ContentMap, content_map
from mdsvqa.report.page.curves import CURVE, PANEL, LearningCurve, budget_curve, calibration, learning_curve, width_bars
from mdsvqa.report.page.data import PoolPoint, ReportData, RuleResult
from mdsvqa.report.page.export import cell_text, csv_text, latex_text
from mdsvqa.report.page.interval_bars import interval_bars
from mdsvqa.report.page.tables import Table
from mdsvqa.report.page.thumbnails import thumbnail_size
from mdsvqa.runtime.words import counted

HERE = Path(__file__).parent
# More dots than this say nothing more and make the file heavy.
DOTS = 3000
# Gallery cards with a picture; the rest of a long selection is a table.
CARDS = 60
# Of these, cards that are not folded away: a phone shows them one below the other.
FIRST_CARDS = 12

Item = TypeVar("Item")


@dataclass(frozen=True)
class Card:
    """A selected video, with the size of its thumbnail when it has a usable one, and its step of the ramp."""

    point: PoolPoint
    size: tuple[int, int] | None
    step: int


@dataclass(frozen=True)
class Comparison:
    """Everything in "Does the selection help?"; a chart is None when nothing was measured that way."""

    target: Forest | None
    gain: Forest | None
    source: Forest | None
    rounds: LearningCurve | None
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    winner: str | None
    sentences: list[str]


@dataclass(frozen=True)
class PoolView:
    """Everything in "What was selected and why"."""

    maps: tuple[ContentMap, ...]
    key: Histogram
    cards: list[Card]
    rest: list[Card]
    total: int
    dots_left_out: int
    pictured: bool
    audited: int


def render_page(data: ReportData) -> str:
    """The page of a study.

    Args:
        data: of the study. Ids, paths and reasons are escaped; whatever is absent leaves its section out or says so.

    Returns:
        A whole HTML document, valid UTF-8 once encoded; the same characters for the same data.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=wording.number, bounds=wording.bounds, verdict=wording.verdict, counted=counted)
    environment.filters.update(
        cell_text=cell_text, files=_files, base64=_base64, picture=lambda uri: thumbnail_size(uri) is not None
    )
    script = environment.get_template("page.js.j2").render()
    drawn, hidden_points = sample(range(len(data.scatter)), DOTS)
    page = environment.get_template("page.html.j2").render(
        data=data,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        comparison=compare(data),
        pool=pool_view(data.pool),
        scatter=calibration(data.scatter, drawn) if drawn else None,
        points=[data.scatter[place] for place in drawn],
        widths=width_bars(data.half_widths),
        budgets=budget_curve(data.budgets),
        bars=interval_bars(data.intervals),
        points_left_out=hidden_points,
        settings=wording.flat_settings(data.settings),
        confidence=f"{100 * data.confidence:g}%",
        metric_names={name: metric.label for name, metric in METRICS.items()},
        panel=PANEL,
        curve_size=CURVE,
        first_cards=FIRST_CARDS,
    )
    # A file name that is not UTF-8 reaches us with lone surrogates, which no file could hold.
    return page.encode("utf-8", "replace").decode("utf-8")


def _files(table: Table) -> list[tuple[str, str, str]]:
    """The files of a table: ending, type and text."""
    return [("csv", "text/csv", csv_text(table)), ("tex", "text/x-tex", latex_text(table))]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def compare(data: ReportData) -> Comparison:
    """Draws the rules against each other."""
    best = wording.winner(data.rules)
    base = next((result for result in data.rules if result.rule == "base"), None)
    metrics = tuple(name for name in METRICS if any(name in result.target for result in data.rules))
    return Comparison(
        target=_forest(data.rules, best, [result.target.get("srcc") for result in data.rules], base),
        gain=_gains(data.rules, best),
        source=_forest(data.rules, best, [result.source_srcc for result in data.rules], base),
        rounds=learning_curve(data.rounds),
        metrics=metrics,
        lower_is_better=tuple(METRICS[name].label for name in metrics if not METRICS[name].higher_is_better),
        winner=best,
        sentences=wording.comparison_sentences(data.rules),
    )


def _forest(
    rules: Sequence[RuleResult], best: str | None, intervals: list[Interval | None], base: RuleResult | None
) -> Forest | None:
    if not any(interval is not None for interval in intervals):
        return None
    at_base = next((i.value for r, i in zip(rules, intervals, strict=True) if r is base and i), None)
    rows = [(r.label, _tone(r, best), i) for r, i in zip(rules, intervals, strict=True)]
    return forest(rows, reference=at_base)


def _gains(rules: Sequence[RuleResult], best: str | None) -> Forest | None:
    rows = [(r.label, _tone(r, best), r.gain_over_random) for r in rules if r.rule not in ("base", "random")]
    measured = any(interval is not None for *_, interval in rows)
    return forest(rows, reference=0.0, signed=True) if measured else None


def _tone(result: RuleResult, best: str | None) -> str:
    return "winner" if result.rule == best else wording.verdict(result).tone


def pool_view(pool: Sequence[PoolPoint]) -> PoolView | None:
    """Draws the pool, None when no video of it can be drawn."""
    drawable = [p for p in pool if all(math.isfinite(value) for value in (p.x, p.y, p.difficulty))]
    if not drawable:
        return None
    difficulties = [point.difficulty for point in drawable]
    scale = (0.0, 100.0)
    selected = sorted((p for p in drawable if p.rank is not None), key=lambda p: (p.rank or 0, p.id))
    unselected, hidden = sample([p for p in drawable if p.rank is None], DOTS)
    cards = [
        Card(point, thumbnail_size(point.thumbnail) if index < CARDS else None, ramp_step(point.difficulty, *scale))
        for index, point in enumerate(selected)
    ]
    shapes = [card.size for card in cards]
    return PoolView(
        maps=tuple(content_map(unselected, selected, shapes, scale, sheet) for sheet in (DESK, PHONE)),
        key=histogram(difficulties, [point.difficulty for point in selected]),
        cards=cards[:CARDS],
        rest=cards[CARDS:],
        total=len(drawable),
        dots_left_out=hidden,
        pictured=any(card.size for card in cards),
        audited=sum(point.audit for point in selected),
    )


def sample(items: Sequence[Item], most: int) -> tuple[list[Item], int]:
    """At most so many items, evenly at random with a fixed seed, in their order; and how many were left out."""
    if len(items) <= most:
        return list(items), 0
    kept = np.sort(np.random.default_rng(0).choice(len(items), most, replace=False))
    return [items[index] for index in kept], len(items) - most
